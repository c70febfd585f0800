//! What is for ourselves, and what is refused before it is a call.

use super::world::*;

#[test]
fn strangers_are_refused() {
    let mut world = World::new();
    let text = invite_from(STRANGER, "c1", "s", &sdp("203.0.113.99", 40_000));
    world.from(STRANGER, &text);
    let no = world.one_to(STRANGER);
    assert!(no.starts_with("SIP/2.0 403 Forbidden"));
    world.from(STRANGER, &text);
    assert_eq!(world.one_to(STRANGER), no, "the same answer, without state");
    assert_eq!(world.counter("sip_forbidden"), 2);
    // A carrier's address on the inside, a pool member's on the outside: no.
    let outside = invite_from("10.0.0.99:5060", "c2", "s", "");
    world.from("10.0.0.99:5060", &outside);
    assert!(world.one_to("10.0.0.99:5060").starts_with("SIP/2.0 403"));
    assert!(world.sent.is_empty());
    assert!(world.cdrs.is_empty());
    assert_eq!(world.core.calls().count(), 0);
    world.assert_clean();
}

#[test]
fn options_and_what_else_is_for_ourselves() {
    let mut world = World::new();
    let request = |method: &str, extra: &str| {
        invite_from(STRANGER, "o", "o", "")
            .replace("INVITE sip:100@", &format!("{method} sip:"))
            .replace("INVITE", method)
            .replace("Max-Forwards: 70\r\n", extra)
    };
    let mut ask = |text: String| {
        world.from(STRANGER, &text);
        world.sent_to(STRANGER).pop().unwrap_or_default()
    };
    let ok = ask(request("OPTIONS", ""));
    assert!(ok.starts_with("SIP/2.0 200 OK"));
    assert!(header(&ok, "Allow").contains("INVITE"));
    assert_eq!(header(&ok, "Accept"), "application/sdp");
    let no = ask(request("OPTIONS", "Require: foo, bar\r\n"));
    assert!(no.starts_with("SIP/2.0 420"));
    assert_eq!(header(&no, "Unsupported"), "foo, bar");
    assert!(ask(request("REGISTER", "")).starts_with("SIP/2.0 405"));
    assert!(ask(request("FOO", "")).starts_with("SIP/2.0 403"));
    let other = request("OPTIONS", "").replace("sip:198", "sip:100@198");
    assert!(ask(other).starts_with("SIP/2.0 403"), "not for us");
    assert!(ask(request("BYE", "")).starts_with("SIP/2.0 481"));
    assert!(ask(request("CANCEL", "")).starts_with("SIP/2.0 481"));
    assert!(ask(request("INVITE", "Max-Forwards: 0\r\n")).starts_with("SIP/2.0 483"));
    assert!(ask(request("INVITE", "Proxy-Require: x\r\n")).starts_with("SIP/2.0 420"));
    let bad = ask(request("OPTIONS", "").replace("Call-ID: o\r\n", ""));
    assert_eq!(start(&bad), "SIP/2.0 400 Missing Call-ID Header");
    assert_eq!(ask(request("ACK", "")), "");
    assert_eq!(ask(request("ACK", "").replace("Call-ID: o\r\n", "")), "");
    assert_eq!(ask("\r\n\r\n".into()), "");
    assert_eq!(ask("rubbish\r\n\r\n".into()), "");
    assert_eq!(world.counter("sip_malformed_requests"), 1);
    assert_eq!(world.counter("sip_malformed_acks"), 1);
    assert_eq!(world.counter("sip_keepalives"), 1);
    assert_eq!(world.counter("sip_not_sip"), 1);
    world.assert_clean();
}

#[test]
fn the_same_request_by_another_way_has_looped() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    world.sent_to(CARRIER);
    world.from(
        CARRIER,
        &invite_from(CARRIER, "c1", "other", &sdp("203.0.113.10", 40_000)),
    );
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 482"));
    assert_eq!(world.core.calls().count(), 1);
}

#[test]
fn responses_go_where_rfc_3581_says() {
    let mut world = World::new();
    let text = invite_from(STRANGER, "o", "o", "")
        .replace("INVITE sip:100@", "OPTIONS sip:")
        .replace("INVITE", "OPTIONS");
    world.from("203.0.113.99:7777", &text);
    assert!(header(&world.one_to(STRANGER), "Via").contains("203.0.113.99:5060"));
    world.from(
        "203.0.113.99:7777",
        &text.replace(";branch", ";rport;branch"),
    );
    let ok = world.one_to("203.0.113.99:7777");
    assert!(header(&ok, "Via").contains(";received=203.0.113.99;rport=7777"));
}

#[test]
fn before_the_tables_are_read_callers_are_asked_to_wait() {
    let mut world = World::without_tables();
    let text = invite("c1", &sdp("203.0.113.10", 40_000));
    world.from(CARRIER, &text);
    let wait = world.one_to(CARRIER);
    assert!(wait.starts_with("SIP/2.0 503"), "{wait}");
    assert_eq!(header(&wait, "Retry-After"), "5");
    assert_eq!(world.counter("calls_no_tables"), 1);
    assert_eq!(world.counter("sip_forbidden"), 0);
    assert!(world.cdrs.is_empty() && world.journal.is_empty());
    world.input(tandem_call::Input::Tables(tables().into()));
    // The same request again is not another one: its sender has its answer.
    world.from(CARRIER, &text);
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 503"));
    let later = invite_from(CARRIER, "c1", "inv2", &sdp("203.0.113.10", 40_000));
    world.from(CARRIER, &later);
    at_pool(&mut world);
}
