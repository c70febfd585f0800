//! Calls through the core, message by message.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod world;

use std::time::Duration;

use tandem_link::{Command, Cookie, Event, FlowId, Leg};
use tandem_policy::EndCause;
use world::*;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The caller hangs up, and the callee agrees.
fn hang_up(world: &mut World, dialog: &Dialog) {
    world.from(CARRIER, &dialog.by_caller("BYE", "bye", 20, "", ""));
    let bye = world.sent_to(&dialog.pool).pop().unwrap();
    assert!(bye.starts_with("BYE"), "{bye}");
    world.from(
        &dialog.pool,
        &answer(&bye, &dialog.pool, "200 OK", "", "", ""),
    );
    let ok = world.sent_to(CARRIER).pop().unwrap();
    assert!(ok.starts_with("SIP/2.0 200"), "{ok}");
}

/// What we own of a message shows no address of the other side.
fn assert_hides(message: &str, hidden: &[&str]) {
    let mut owned: Vec<&str> = Vec::new();
    for name in ["Via", "Contact", "Record-Route", "Route"] {
        owned.extend(headers(message, name));
    }
    owned.push(start(message));
    owned.push(body(message));
    for text in owned {
        for address in hidden {
            assert!(!text.contains(address), "{address} in {message}");
        }
    }
}

#[test]
fn a_call_from_carrier_to_pool_and_back() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let trying = world.one_to(CARRIER);
    assert!(trying.starts_with("SIP/2.0 100 Trying"));
    let (pool, inside) = at_pool(&mut world);
    assert_eq!(start(&inside), format!("INVITE sip:100@{pool} SIP/2.0"));
    assert_eq!(headers(&inside, "Via").len(), 1);
    assert!(header(&inside, "Via").starts_with("SIP/2.0/UDP 10.0.0.1:5060;"));
    assert_eq!(headers(&inside, "Record-Route"), ["<sip:10.0.0.1:5060;lr>"]);
    assert_eq!(header(&inside, "Contact"), "<sip:user@10.0.0.1:5060>");
    assert_eq!(header(&inside, "Max-Forwards"), "69");
    assert!(body(&inside).contains("c=IN IP4 10.0.0.1"));
    assert_hides(&inside, &["203.0.113", "198.51.100"]);
    assert_eq!(world.journal.len(), 1);

    world.from(&pool, &answer(&inside, &pool, "180 Ringing", "bob", "", ""));
    let ringing = world.one_to(CARRIER);
    assert!(ringing.starts_with("SIP/2.0 180 Ringing"));
    let ip = pool.split(':').next().unwrap();
    let ok_inside = answer(&inside, &pool, "200 OK", "bob", "", &sdp(ip, 20_000));
    world.from(&pool, &ok_inside);
    let ok = world.one_to(CARRIER);
    assert!(header(&ok, "Via").starts_with("SIP/2.0/UDP 203.0.113.10:5060;branch=z9hG4bKinv1"));
    assert_eq!(headers(&ok, "Record-Route"), ["<sip:198.51.100.1:5060;lr>"]);
    assert_eq!(header(&ok, "Contact"), "<sip:media@198.51.100.1:5060>");
    assert!(body(&ok).contains("c=IN IP4 198.51.100.1"));
    assert_hides(&ok, &["10.0.0."]);
    assert_eq!(world.flows.len(), 1);
    let flow = world.flows.values().next().unwrap();
    assert_eq!((flow.a.realm, flow.a.port), (0, media_port(&ok)));
    assert_eq!((flow.b.realm, flow.b.port), (1, media_port(&inside)));
    assert_eq!(flow.a.remote, "203.0.113.10:40000".parse().ok());
    assert_eq!(flow.b.remote, format!("{ip}:20000").parse().ok());

    // The 2xx again: passed on again, the same.
    world.from(&pool, &ok_inside);
    assert_eq!(world.one_to(CARRIER), ok);
    let dialog = Dialog {
        call_id: "c1".into(),
        tag: "bob".into(),
        pool: pool.clone(),
        seen_by_caller: uri(header(&ok, "Contact")).into(),
        seen_by_callee: uri(header(&inside, "Contact")).into(),
    };
    let route = "Route: <sip:198.51.100.1:5060;lr>\r\n";
    let ack = dialog.by_caller("ACK", "ack1", 1, route, "");
    world.from(CARRIER, &ack);
    let passed = world.one_to(&pool);
    assert_eq!(start(&passed), format!("ACK sip:media@{pool} SIP/2.0"));
    assert_eq!(headers(&passed, "Route"), Vec::<&str>::new());
    world.from(CARRIER, &ack);
    assert_eq!(world.one_to(&pool), passed, "an ACK again goes as it went");

    world.wait(secs(5));
    world.from(CARRIER, &dialog.by_caller("BYE", "bye1", 2, route, ""));
    let bye = world.one_to(&pool);
    assert_eq!(start(&bye), format!("BYE sip:media@{pool} SIP/2.0"));
    assert_eq!(header(&bye, "CSeq"), "2 BYE");
    assert_eq!(world.flows.len(), 1, "it may be challenged yet");
    world.wait(Duration::from_millis(300));
    world.from(&pool, &answer(&bye, &pool, "200 OK", "", "", ""));
    assert!(world.flows.is_empty(), "ports are free at once");
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 200 OK"));

    assert_eq!(world.cdrs.len(), 1);
    let cdr = &world.cdrs[0];
    assert_eq!((cdr.sip_code, cdr.cause), (200, EndCause::Caller));
    assert_eq!(
        (
            cdr.callid.as_str(),
            cdr.from_tag.as_str(),
            cdr.to_tag.as_str()
        ),
        ("c1", "alice", "bob")
    );
    assert_eq!(cdr.direction, "inbound");
    assert_eq!(cdr.destination, format!("sip:{pool}"));
    assert_eq!(cdr.end_ms - cdr.answer_ms.unwrap(), 5000);
    assert_eq!(
        (cdr.caller_media.packets, cdr.callee_media.packets),
        (50, 49)
    );
    assert_eq!(world.counter("calls_answered"), 1);
    world.assert_clean();
}

#[test]
fn retransmissions_are_absorbed() {
    let mut world = World::new();
    let message = invite("c1", &sdp("203.0.113.10", 40_000));
    world.from(CARRIER, &message);
    let (pool, _) = at_pool(&mut world);
    world.sent_to(CARRIER);
    world.from(CARRIER, &message);
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 100"));
    assert!(world.sent_to(&pool).is_empty());
    assert_eq!(world.counter("sip_requests_absorbed"), 1);
    assert_eq!(world.core.calls().count(), 1);
    // We send ours again until something comes.
    world.wait(Duration::from_millis(600));
    assert_eq!(world.sent_to(&pool).len(), 1);
    assert_eq!(world.counter("sip_retransmissions"), 2);
}

#[test]
fn upstream_vias_and_routes_come_back() {
    let mut world = World::new();
    let extra = "Via: SIP/2.0/UDP 192.0.2.5;branch=z9hG4bKup\r\nRecord-Route: <sip:203.0.113.10;lr>\r\n\
        Record-Route: <sip:192.0.2.5;lr>\r\n";
    let text = invite("c1", &sdp("203.0.113.10", 40_000)).replace("Supported: 100rel\r\n", extra);
    world.from(CARRIER, &text);
    world.sent_to(CARRIER);
    let (pool, inside) = at_pool(&mut world);
    assert_hides(&inside, &["192.0.2.5", "203.0.113"]);
    world.from(
        &pool,
        &answer(
            &inside,
            &pool,
            "200 OK",
            "bob",
            "",
            &sdp("10.0.0.11", 20_000),
        ),
    );
    let ok = world.one_to(CARRIER);
    assert_eq!(headers(&ok, "Via").len(), 2);
    assert_eq!(
        headers(&ok, "Via")[1],
        "SIP/2.0/UDP 192.0.2.5;branch=z9hG4bKup"
    );
    let routes = [
        "<sip:198.51.100.1:5060;lr>",
        "<sip:203.0.113.10;lr>",
        "<sip:192.0.2.5;lr>",
    ];
    assert_eq!(headers(&ok, "Record-Route"), routes);
    // A BYE of the callee takes the caller's route set, to its first route.
    let dialog = Dialog {
        call_id: "c1".into(),
        tag: "bob".into(),
        pool: pool.clone(),
        seen_by_caller: String::new(),
        seen_by_callee: uri(header(&inside, "Contact")).into(),
    };
    world.from(
        &pool,
        &dialog.by_callee("BYE", "b", 1, "Route: <sip:10.0.0.1:5060;lr>\r\n", ""),
    );
    let bye = world.one_to(CARRIER);
    assert_eq!(start(&bye), "BYE sip:user@203.0.113.10:5060 SIP/2.0");
    assert_eq!(
        headers(&bye, "Route"),
        ["<sip:203.0.113.10;lr>", "<sip:192.0.2.5;lr>"]
    );
    world.from(CARRIER, &answer(&bye, CARRIER, "481 Gone", "", "", ""));
    assert_eq!(world.cdrs[0].cause, EndCause::Callee);
}

#[test]
fn a_cancel_reaches_the_target() {
    let mut world = World::new();
    let message = invite("c1", &sdp("203.0.113.10", 40_000));
    world.from(CARRIER, &message);
    let (pool, inside) = at_pool(&mut world);
    let cancel = message
        .replace("INVITE sip", "CANCEL sip")
        .replace("1 INVITE", "1 CANCEL")
        .split("Content-Type")
        .next()
        .unwrap()
        .to_owned()
        + "Content-Length: 0\r\n\r\n";
    world.sent_to(CARRIER);
    world.from(CARRIER, &cancel);
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 200"));
    assert!(
        world.sent_to(&pool).is_empty(),
        "not before a provisional response"
    );
    world.from(&pool, &answer(&inside, &pool, "180 Ringing", "bob", "", ""));
    let sent = world.one_to(&pool);
    assert_eq!(start(&sent), start(&inside).replace("INVITE", "CANCEL"));
    assert_eq!(header(&sent, "Via"), header(&inside, "Via"));
    assert_eq!(header(&sent, "CSeq"), "1 CANCEL");
    world.from(&pool, &answer(&sent, &pool, "200 OK", "bob", "", ""));
    world.from(
        &pool,
        &answer(&inside, &pool, "487 Request Terminated", "bob", "", ""),
    );
    let ack = world.one_to(&pool);
    assert_eq!(start(&ack), start(&inside).replace("INVITE", "ACK"));
    assert!(header(&ack, "To").ends_with("tag=bob"));
    let last = world.sent_to(CARRIER).pop().unwrap();
    assert!(last.starts_with("SIP/2.0 487"), "{last}");
    assert_eq!(
        (world.cdrs[0].sip_code, world.cdrs[0].cause),
        (487, EndCause::Cancelled)
    );
    world.assert_clean();
}

#[test]
fn an_answer_that_crosses_a_cancel_stands() {
    let mut world = World::new();
    let message = invite("c1", &sdp("203.0.113.10", 40_000));
    world.from(CARRIER, &message);
    let (pool, inside) = at_pool(&mut world);
    world.from(&pool, &answer(&inside, &pool, "180 Ringing", "bob", "", ""));
    let cancel = message.replace("INVITE", "CANCEL");
    world.from(CARRIER, &cancel);
    world.from(
        &pool,
        &answer(
            &inside,
            &pool,
            "200 OK",
            "bob",
            "",
            &sdp("10.0.0.11", 20_000),
        ),
    );
    assert!(
        world
            .sent_to(CARRIER)
            .pop()
            .unwrap()
            .starts_with("SIP/2.0 200 OK")
    );
    let call = world.core.calls().next().unwrap();
    assert_eq!(call.state.as_str(), "confirmed");
}

#[test]
fn a_silent_target_is_left_for_the_next() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (first, inside) = at_pool(&mut world);
    let before = media_port(&inside);
    world.wait(secs(3));
    assert!(
        world.sent_to(&first).iter().all(|t| *t == inside),
        "repeated until given up"
    );
    let (second, again) = at_pool(&mut world);
    assert_ne!(first, second);
    assert_eq!(world.counter("failover_silence"), 1);
    assert!(body(&again).contains("c=IN IP4 10.0.0.1"));
    let _ = before;
    world.from(
        &second,
        &answer(
            &again,
            &second,
            "200 OK",
            "bob",
            "",
            &sdp("10.0.0.12", 20_000),
        ),
    );
    assert!(
        world
            .sent_to(CARRIER)
            .pop()
            .unwrap()
            .starts_with("SIP/2.0 200 OK")
    );
    world.sent_to(&first);

    // The first one wakes up: its answer is acknowledged and ended.
    world.from(
        &first,
        &answer(
            &inside,
            &first,
            "200 OK",
            "late",
            "",
            &sdp("10.0.0.11", 21_000),
        ),
    );
    let sent = world.sent_to(&first);
    let starts: Vec<_> = sent.iter().map(|t| t.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["ACK", "BYE"]);
    assert!(header(&sent[1], "To").ends_with("tag=late"));
    assert_eq!(header(&sent[1], "CSeq"), "2 BYE");
    assert!(world.sent_to(CARRIER).is_empty());
    assert_eq!(world.counter("late_answers"), 1);
    world.from(
        &first,
        &answer(
            &inside,
            &first,
            "200 OK",
            "late",
            "",
            &sdp("10.0.0.11", 21_000),
        ),
    );
    assert_eq!(
        world.one_to(&first).split(' ').next(),
        Some("ACK"),
        "one BYE is enough"
    );
    assert_eq!(world.core.calls().count(), 1);
    let calls: Vec<u64> = world.core.dispatcher().map(|t| t.calls).collect();
    assert_eq!(calls.iter().sum::<u64>(), 1);
}

#[test]
fn a_late_ringing_target_is_cancelled() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (first, inside) = at_pool(&mut world);
    world.wait(secs(3));
    world.sent_to(&first);
    world.from(
        &first,
        &answer(&inside, &first, "180 Ringing", "late", "", ""),
    );
    assert!(world.one_to(&first).starts_with("CANCEL"));
}

#[test]
fn failures_and_icmp_errors_lead_to_the_next_target() {
    for icmp in [false, true] {
        let mut world = World::new();
        world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
        let (first, inside) = at_pool(&mut world);
        if icmp {
            world.unreachable(&first);
        } else {
            world.from(&first, &answer(&inside, &first, "503 Busy", "x", "", ""));
            assert!(world.one_to(&first).starts_with("ACK"));
        }
        let (second, again) = at_pool(&mut world);
        assert_ne!(first, second);
        world.from(&second, &answer(&again, &second, "500 Oops", "y", "", ""));
        let last = world.sent_to(CARRIER).pop().unwrap();
        assert!(last.starts_with("SIP/2.0 503"), "none is left: {last}");
        assert_eq!(world.counter("failover_unreachable"), u64::from(icmp));
        assert_eq!(world.counter("calls_no_target"), 1);
        assert_eq!(world.cdrs.len(), 1);
        assert_eq!(
            (world.cdrs[0].sip_code, world.cdrs[0].cause),
            (503, EndCause::Rejected)
        );
        world.assert_clean();
        assert_eq!(world.counter("sip_acks_missing"), 1);
    }
}

#[test]
fn a_refusal_of_the_callee_goes_to_the_caller() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, inside) = at_pool(&mut world);
    world.from(
        &pool,
        &answer(
            &inside,
            &pool,
            "486 Busy Here",
            "bob",
            "X-Why: busy\r\n",
            "",
        ),
    );
    let busy = world.sent_to(CARRIER).pop().unwrap();
    assert!(busy.starts_with("SIP/2.0 486 Busy Here"));
    assert_eq!(header(&busy, "X-Why"), "busy");
    assert_hides(&busy, &["10.0.0."]);
    let ack = invite("c1", "").replace("INVITE", "ACK");
    world.from(CARRIER, &ack);
    assert_eq!(world.cdrs[0].sip_code, 486);
    world.assert_clean();
    assert_eq!(world.counter("sip_acks_missing"), 0);
}

#[test]
fn a_redirection_shows_nothing() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, inside) = at_pool(&mut world);
    world.from(&pool, &answer(&inside, &pool, "302 Moved", "bob", "", ""));
    let text = world.sent_to(CARRIER).pop().unwrap();
    assert!(text.starts_with("SIP/2.0 480"));
    assert_hides(&text, &["10.0.0."]);
}

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
fn a_pool_members_call_leaves_by_the_trunk() {
    let mut world = World::new();
    let text = invite_from("10.0.0.11:5062", "o1", "o", &sdp("10.0.0.11", 20_000));
    world.from("10.0.0.11:5062", &text);
    assert!(world.one_to("10.0.0.11:5062").starts_with("SIP/2.0 100"));
    let outside = world.one_to(TRUNK);
    assert_eq!(start(&outside), format!("INVITE sip:100@{TRUNK} SIP/2.0"));
    assert!(header(&outside, "Via").contains("198.51.100.1:5060"));
    assert!(body(&outside).contains("c=IN IP4 198.51.100.1"));
    assert_hides(&outside, &["10.0.0."]);
    world.from(
        TRUNK,
        &answer(
            &outside,
            TRUNK,
            "200 OK",
            "t",
            "",
            &sdp("203.0.113.50", 41_000),
        ),
    );
    let ok = world.one_to("10.0.0.11:5062");
    assert_hides(&ok, &["203.0.113", "198.51.100"]);
    assert_eq!(world.core.calls().next().unwrap().direction, "outbound");
    // And the trunk may call in.
    world.from(
        TRUNK,
        &invite_from(TRUNK, "i1", "t", &sdp("203.0.113.50", 41_002)),
    );
    at_pool(&mut world);
}

#[test]
fn hold_and_resume() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let before = world.flows.clone();
    let hold = sdp_with("203.0.113.10", 40_000, "sendonly").replace("1 1 IN", "1 2 IN");
    world.from(CARRIER, &dialog.by_caller("INVITE", "re1", 2, "", &hold));
    let inside = world.one_to(&dialog.pool);
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 100"));
    assert_eq!(
        start(&inside),
        format!("INVITE sip:media@{} SIP/2.0", dialog.pool)
    );
    assert!(body(&inside).contains("a=sendonly"));
    assert_hides(&inside, &["203.0.113", "198.51.100"]);
    let reply = sdp_with("10.0.0.11", 20_000, "recvonly");
    world.from(
        &dialog.pool,
        &answer(&inside, &dialog.pool, "200 OK", "", "", &reply),
    );
    let ok = world.one_to(CARRIER);
    assert!(ok.starts_with("SIP/2.0 200") && body(&ok).contains("a=recvonly"));
    assert_hides(&ok, &["10.0.0."]);
    world.from(CARRIER, &dialog.by_caller("ACK", "re1a", 2, "", ""));
    assert!(world.one_to(&dialog.pool).starts_with("ACK"));
    let held = world.flows.values().next().unwrap();
    assert_eq!(held.timeout_s, 3600);
    assert_eq!(held.a.port, before.values().next().unwrap().a.port);
    // The callee refuses the next offer: all stays as it was.
    world.from(
        CARRIER,
        &dialog.by_caller("INVITE", "re2", 3, "", &sdp("203.0.113.10", 40_000)),
    );
    world.sent_to(CARRIER);
    let inside = world.one_to(&dialog.pool);
    world.from(
        &dialog.pool,
        &answer(&inside, &dialog.pool, "488 No", "", "", ""),
    );
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 488"));
    assert_eq!(world.flows.values().next().unwrap().timeout_s, 3600);
    assert_eq!(world.core.calls().count(), 1);
}

#[test]
fn two_offers_at_a_time_are_kept_apart() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    world.from(
        CARRIER,
        &dialog.by_caller("INVITE", "re1", 2, "", &sdp("203.0.113.10", 40_000)),
    );
    world.sent_to(&dialog.pool);
    world.sent_to(CARRIER);
    world.from(
        &dialog.pool.clone(),
        &dialog.by_callee("INVITE", "x", 1, "", &sdp("10.0.0.11", 20_000)),
    );
    let sent = world.sent_to(&dialog.pool);
    assert!(sent.last().unwrap().starts_with("SIP/2.0 491"), "{sent:#?}");
    assert!(world.sent_to(CARRIER).is_empty());
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", ""));
    let (pool, inside) = at_pool(&mut world);
    world.from(
        &pool,
        &answer(
            &inside,
            &pool,
            "200 OK",
            "bob",
            "",
            &sdp("10.0.0.11", 20_000),
        ),
    );
    let ok = world.sent_to(CARRIER).pop().unwrap();
    assert!(body(&ok).contains("c=IN IP4 198.51.100.1"));
    let dialog = Dialog {
        call_id: "c1".into(),
        tag: "bob".into(),
        pool: pool.clone(),
        seen_by_caller: uri(header(&ok, "Contact")).into(),
        seen_by_callee: String::new(),
    };
    world.from(
        CARRIER,
        &dialog.by_caller("ACK", "a", 1, "", &sdp("203.0.113.10", 40_000)),
    );
    let ack = world.one_to(&pool);
    assert!(body(&ack).contains("c=IN IP4 10.0.0.1"));
    assert_hides(&ack, &["203.0.113"]);
    let flow = world.flows.values().next().unwrap();
    assert_eq!(flow.a.remote, "203.0.113.10:40000".parse().ok());
    assert_eq!(flow.b.remote, "10.0.0.11:20000".parse().ok());
}

#[test]
fn prack_and_update_pass_in_an_early_dialog() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", ""));
    let (pool, inside) = at_pool(&mut world);
    let reliable = "Require: 100rel\r\nRSeq: 1\r\n";
    world.from(
        &pool,
        &answer(
            &inside,
            &pool,
            "183 Progress",
            "bob",
            reliable,
            &sdp("10.0.0.11", 20_000),
        ),
    );
    let early = world.sent_to(CARRIER).pop().unwrap();
    assert!(early.starts_with("SIP/2.0 183") && body(&early).contains("198.51.100.1"));
    let dialog = Dialog {
        call_id: "c1".into(),
        tag: "bob".into(),
        pool: pool.clone(),
        seen_by_caller: uri(header(&early, "Contact")).into(),
        seen_by_callee: String::new(),
    };
    let rack = "RAck: 1 1 INVITE\r\n";
    world.from(
        CARRIER,
        &dialog.by_caller("PRACK", "p", 2, rack, &sdp("203.0.113.10", 40_000)),
    );
    let prack = world.one_to(&pool);
    assert_eq!(header(&prack, "RAck"), "1 1 INVITE");
    assert!(body(&prack).contains("c=IN IP4 10.0.0.1"));
    world.from(&pool, &answer(&prack, &pool, "200 OK", "", "", ""));
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 200"));
    world.from(
        CARRIER,
        &dialog.by_caller("UPDATE", "u", 3, "", &sdp("203.0.113.10", 40_010)),
    );
    let update = world.one_to(&pool);
    assert!(body(&update).contains("c=IN IP4 10.0.0.1"));
    world.from(
        &pool,
        &answer(&update, &pool, "200 OK", "", "", &sdp("10.0.0.11", 20_000)),
    );
    let ok = world.one_to(CARRIER);
    assert!(body(&ok).contains("198.51.100.1"));
    assert_eq!(
        world.flows.values().next().unwrap().a.remote,
        "203.0.113.10:40010".parse().ok()
    );
}

#[test]
fn every_fork_is_a_dialog_and_one_answers() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, inside) = at_pool(&mut world);
    world.sent_to(CARRIER);
    let early =
        |tag: &str, ip: &str| answer(&inside, &pool, "183 Progress", tag, "", &sdp(ip, 20_000));
    world.from(&pool, &early("one", "10.0.0.11"));
    world.from(&pool, &early("two", "10.0.0.77"));
    let seen = world.sent_to(CARRIER);
    assert_eq!(seen.len(), 2);
    assert!(header(&seen[1], "To").ends_with("tag=two"));
    assert_eq!(
        world.flows.values().next().unwrap().b.remote,
        "10.0.0.77:20000".parse().ok()
    );
    world.from(
        &pool,
        &answer(
            &inside,
            &pool,
            "200 OK",
            "one",
            "",
            &sdp("10.0.0.11", 20_000),
        ),
    );
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 200"));
    assert_eq!(
        world.flows.values().next().unwrap().b.remote,
        "10.0.0.11:20000".parse().ok()
    );
    // The other fork answers too: acknowledged and ended by us.
    world.from(
        &pool,
        &answer(
            &inside,
            &pool,
            "200 OK",
            "two",
            "",
            &sdp("10.0.0.77", 20_000),
        ),
    );
    let sent = world.sent_to(&pool);
    let starts: Vec<_> = sent.iter().map(|t| t.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["ACK", "BYE"]);
    assert!(world.sent_to(CARRIER).is_empty());
}

#[test]
fn other_requests_pass_by_dialog_and_unknown_ones_do_not() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let info = dialog.by_callee("INFO", "i", 1, "", "");
    world.from(&dialog.pool.clone(), &info);
    let passed = world.one_to(CARRIER);
    assert_eq!(start(&passed), "INFO sip:user@203.0.113.10:5060 SIP/2.0");
    assert_hides(&passed, &["10.0.0."]);
    world.from(CARRIER, &answer(&passed, CARRIER, "200 OK", "", "", ""));
    assert!(world.one_to(&dialog.pool).starts_with("SIP/2.0 200"));
    let unknown = dialog
        .by_caller("INFO", "j", 5, "", "")
        .replace("tag=bob", "tag=eve");
    world.from(CARRIER, &unknown);
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 481"));
    // The caller's words from the callee's side.
    world.from(
        &dialog.pool.clone(),
        &dialog.by_caller("BYE", "k", 6, "", ""),
    );
    assert_eq!(world.counter("in_dialog_wrong_side"), 1);
    assert!(world.one_to(&dialog.pool).starts_with("SIP/2.0 481"));
    assert_eq!(world.core.calls().count(), 1);
}

#[test]
fn a_peer_that_never_answers_a_bye_holds_nothing() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let hung_up = world.now.wall_ms;
    world.from(CARRIER, &dialog.by_caller("BYE", "b", 2, "", ""));
    world.wait(secs(33));
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].end_ms, hung_up);
    assert_eq!(world.cdrs[0].cause, EndCause::Caller);
    assert!(
        world
            .sent_to(CARRIER)
            .pop()
            .unwrap()
            .starts_with("SIP/2.0 408")
    );
    world.assert_clean();
}

#[test]
fn silence_ends_the_call_on_both_sides() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let info = dialog.by_callee("INFO", "i", 41, "", "");
    world.from(&dialog.pool.clone(), &info);
    world.sent_to(CARRIER);
    let (flow, cookie) = world
        .flows
        .values()
        .map(|f| (f.id, f.cookie))
        .next()
        .unwrap();
    world.event(Event::MediaTimeout { flow, cookie });
    let to_callee = world.one_to(&dialog.pool);
    let to_caller = world.one_to(CARRIER);
    assert_eq!(
        start(&to_callee),
        format!("BYE sip:media@{} SIP/2.0", dialog.pool)
    );
    assert_eq!(header(&to_callee, "CSeq"), "2 BYE");
    assert_eq!(header(&to_callee, "From"), CALLER);
    assert_eq!(start(&to_caller), "BYE sip:user@203.0.113.10:5060 SIP/2.0");
    assert_eq!(header(&to_caller, "CSeq"), "42 BYE");
    assert_eq!(header(&to_caller, "From"), format!("{CALLED};tag=bob"));
    assert_hides(&to_caller, &["10.0.0."]);
    assert_hides(&to_callee, &["203.0.113", "198.51.100"]);
    assert_eq!(world.cdrs[0].cause, EndCause::MediaTimeout);
    world.from(CARRIER, &answer(&to_caller, CARRIER, "200 OK", "", "", ""));
    world.assert_clean();
    assert_eq!(world.counter("byes_unanswered"), 1);
}

#[test]
fn the_longest_duration_ends_the_call() {
    let mut config = config();
    config.media.max_duration = secs(3600);
    let mut world = World::with(config);
    establish(&mut world, "c1");
    world.wait(secs(3599));
    assert!(world.cdrs.is_empty());
    world.wait(secs(2));
    assert_eq!(world.cdrs[0].cause, EndCause::MaxDuration);
}

#[test]
fn a_ringing_target_rings_out() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, inside) = at_pool(&mut world);
    world.from(&pool, &answer(&inside, &pool, "180 Ringing", "bob", "", ""));
    world.wait(secs(186));
    assert!(world.sent_to(&pool).iter().any(|t| t.starts_with("CANCEL")));
    assert_eq!(
        (world.cdrs[0].sip_code, world.cdrs[0].cause),
        (408, EndCause::NoAnswer)
    );
    world.from(
        &pool,
        &answer(&inside, &pool, "487 Request Terminated", "bob", "", ""),
    );
    world.assert_clean();
}

#[test]
fn without_a_dataplane_no_call_is_taken() {
    let mut world = World::new();
    world.input(tandem_call::Input::DataplaneDown);
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let no = world.sent_to(CARRIER).pop().unwrap();
    assert!(no.starts_with("SIP/2.0 503"));
    assert_eq!(header(&no, "Retry-After"), "5");
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.counter("calls_no_dataplane"), 1);
}

#[test]
fn flows_come_back_after_the_dataplane_died() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let (flow, cookie) = world
        .flows
        .values()
        .map(|f| (f.id, f.cookie))
        .next()
        .unwrap();
    let source = "203.0.113.10:45000".parse().unwrap();
    world.event(Event::Latched {
        flow,
        cookie,
        leg: Leg::A,
        rtcp: false,
        source,
    });
    world.dataplane_restarts();
    let again = world.flows.get(&flow).expect("the flow again");
    assert_eq!(again.a.latched, Some(source));
    assert_eq!(world.counter("flows_reinstalled"), 1);
    assert_eq!(world.core.calls().count(), 1);
    world.from(CARRIER, &dialog.by_caller("BYE", "b", 2, "", ""));
    let bye = world.one_to(&dialog.pool);
    world.from(
        &dialog.pool.clone(),
        &answer(&bye, &dialog.pool, "200 OK", "", "", ""),
    );
    world.assert_clean();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn a_call_survives_the_process() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let (flow, cookie) = world
        .flows
        .values()
        .map(|f| (f.id, f.cookie))
        .next()
        .unwrap();
    // Learned by the dataplane while nobody listened.
    world
        .latched
        .insert(flow, "203.0.113.10:45000".parse().unwrap());
    // And a flow of a call that nobody knows.
    let mut orphan = world.flows[&flow].clone();
    orphan.id = FlowId(1);
    orphan.cookie = Cookie(1);
    world.flows.insert(orphan.id, orphan);
    let mut world = world.crash();
    assert_eq!(world.counter("calls_restored"), 1);
    assert!(world.sent.is_empty());
    world.dataplane_up();
    assert_eq!(world.flows.keys().collect::<Vec<_>>(), [&flow]);
    assert_eq!(world.counter("flows_orphaned"), 1);
    assert!(
        !world
            .commands
            .iter()
            .any(|c| matches!(c, Command::PutFlow(_))),
        "nothing to put"
    );
    assert_eq!(world.counter("media_port_pairs_used"), 2);
    assert_eq!(world.core.dispatcher().map(|t| t.calls).sum::<u64>(), 1);

    world.from(
        &dialog.pool.clone(),
        &dialog.by_callee("BYE", "b", 7, "", ""),
    );
    let bye = world.one_to(CARRIER);
    assert_eq!(start(&bye), "BYE sip:user@203.0.113.10:5060 SIP/2.0");
    world.from(CARRIER, &answer(&bye, CARRIER, "200 OK", "", "", ""));
    assert!(world.flows.is_empty());
    assert!(world.one_to(&dialog.pool).starts_with("SIP/2.0 200"));
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(
        (world.cdrs[0].sip_code, world.cdrs[0].cause),
        (200, EndCause::Callee)
    );
    assert_eq!(world.cdrs[0].caller_media.packets, 50);
    let _ = cookie;
    world.assert_clean();
}

#[test]
fn a_call_in_setup_ends_with_the_process() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, inside) = at_pool(&mut world);
    world.from(
        &pool,
        &answer(
            &inside,
            &pool,
            "183 Progress",
            "bob",
            "",
            &sdp("10.0.0.11", 20_000),
        ),
    );
    assert_eq!(world.flows.len(), 1);
    let mut world = world.crash();
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].cause, EndCause::Local);
    world.dataplane_up();
    world.assert_clean();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn a_crash_while_ending_makes_one_cdr() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    world.answers = false;
    hang_up(&mut world, &dialog);
    assert!(world.cdrs.is_empty(), "the figures are awaited");
    assert_eq!(world.journal.len(), 1);
    let mut world = world.crash();
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].cause, EndCause::Caller);
    world.dataplane_up();
    world.assert_clean();
}

#[test]
fn figures_that_do_not_come_are_not_waited_for() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    world.answers = false;
    hang_up(&mut world, &dialog);
    world.wait(Duration::from_millis(1900));
    assert!(world.cdrs.is_empty());
    world.wait(Duration::from_millis(200));
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.counter("cdr_reports_missing"), 1);
}

#[test]
fn a_journal_record_that_is_not_ours_is_named() {
    let mut world = World::new();
    establish(&mut world, "c1");
    let (key, body) = world
        .journal
        .iter()
        .next()
        .map(|(k, b)| (*k, b.clone()))
        .unwrap();
    let mut core = tandem_call::Core::new(config(), [1; 16]);
    let error = core
        .restore(world.now, key, &body[..body.len() - 3])
        .unwrap_err();
    assert!(error.to_string().contains(&format!("{key:016x}")));
    let mut other = body.clone();
    other[0] = 99;
    assert!(
        core.restore(world.now, key, &other)
            .unwrap_err()
            .reason
            .contains("version 99")
    );
    assert!(core.restore(world.now, key, &[]).is_err());
    assert!(core.restore(world.now, key, &body).is_ok());
    assert_eq!(core.calls().count(), 1);
}

#[test]
fn a_dataplane_that_refuses_the_flow_ends_the_call() {
    let mut world = World::new();
    world.put_error = Some(tandem_link::CommandError::TableFull);
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, inside) = at_pool(&mut world);
    world.from(
        &pool,
        &answer(
            &inside,
            &pool,
            "200 OK",
            "bob",
            "",
            &sdp("10.0.0.11", 20_000),
        ),
    );
    assert_eq!(world.counter("calls_media_failed"), 1);
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].cause, EndCause::Local);
}

#[test]
fn sdp_that_cannot_be_anchored_is_refused() {
    let mut world = World::new();
    world.from(
        CARRIER,
        &invite(
            "c1",
            "v=0\r\no=- 1 1 IN IP4 1.2.3.4\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n",
        ),
    );
    let no = world.sent_to(CARRIER).pop().unwrap();
    assert!(no.starts_with("SIP/2.0 4"), "{no}");
    assert!(header(&no, "Warning").starts_with("399 "));
    assert_eq!(world.cdrs.len(), 1);
    assert!(POOL.iter().all(|p| world.sent_to(p).is_empty()));
    let ack = invite("c1", "").replace("INVITE", "ACK");
    world.from(CARRIER, &ack);
    world.assert_clean();
}

#[test]
fn an_answer_that_cannot_be_anchored_ends_the_call() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, inside) = at_pool(&mut world);
    world.from(
        &pool,
        &answer(&inside, &pool, "200 OK", "bob", "", "v=0\r\nrubbish"),
    );
    let sent = world.sent_to(&pool);
    let starts: Vec<_> = sent.iter().map(|t| t.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["ACK", "BYE"]);
    let no = world.sent_to(CARRIER).pop().unwrap();
    assert!(no.starts_with("SIP/2.0 4"), "{no}");
    assert_eq!(world.counter("answers_refused"), 1);
    assert_eq!(world.cdrs.len(), 1);
    world.assert_clean();
}

#[test]
fn options_and_what_else_is_for_ourselves() {
    let mut world = World::new();
    let request = |method: &str, extra: &str| {
        invite_from(STRANGER, "o", "o", "")
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
    assert!(ask(request("FOO", "")).starts_with("SIP/2.0 405"));
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
    let text = invite_from(STRANGER, "o", "o", "").replace("INVITE", "OPTIONS");
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
    world.from(CARRIER, &text);
    at_pool(&mut world);
}

#[test]
fn media_timeouts_begin_with_the_answer_and_not_while_it_rings() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, inside) = at_pool(&mut world);
    let early = answer(
        &inside,
        &pool,
        "183 Progress",
        "bob",
        "Require: 100rel\r\nRSeq: 1\r\n",
        &sdp("10.0.0.11", 20_000),
    );
    world.from(&pool, &early);
    let seen = world.sent_to(CARRIER).pop().unwrap();
    let dialog = Dialog {
        call_id: "c1".into(),
        tag: "bob".into(),
        pool: pool.clone(),
        seen_by_caller: uri(header(&seen, "Contact")).into(),
        seen_by_callee: String::new(),
    };
    world.from(
        CARRIER,
        &dialog.by_caller("UPDATE", "u", 2, "", &sdp("203.0.113.10", 40_010)),
    );
    let update = world.one_to(&pool);
    world.from(
        &pool,
        &answer(&update, &pool, "200 OK", "", "", &sdp("10.0.0.11", 20_000)),
    );
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 200"));
    let timeout = |world: &World| world.flows.values().next().unwrap().timeout_s;
    assert_eq!(timeout(&world), 0, "still ringing");
    world.from(&pool, &answer(&inside, &pool, "200 OK", "bob", "", ""));
    assert_eq!(timeout(&world), 60, "answered");
}

#[test]
fn what_the_media_sessions_let_through_is_counted() {
    let mut world = World::new();
    let offer = sdp("203.0.113.10", 40_000) + "m=audio 40002 TCP/RTP/AVP 8\r\n";
    world.from(CARRIER, &invite("c1", &offer));
    let (_, inside) = at_pool(&mut world);
    assert!(body(&inside).contains("m=audio 0 TCP/RTP/AVP"), "{inside}");
    assert_eq!(world.counter("sdp_media_disabled"), 1);
}

#[test]
fn a_challenged_bye_does_not_end_the_call_but_its_retry_does() {
    for status in ["401 Unauthorized", "407 Proxy Authentication Required"] {
        let mut world = World::new();
        let dialog = establish(&mut world, "c1");
        world.from(CARRIER, &dialog.by_caller("BYE", "b1", 2, "", ""));
        let bye = world.one_to(&dialog.pool);
        let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
        world.from(
            &dialog.pool,
            &answer(&bye, &dialog.pool, status, "", challenge, ""),
        );
        let seen = world.one_to(CARRIER);
        assert!(seen.starts_with(&format!("SIP/2.0 {status}")), "{seen}");
        assert_eq!(
            header(&seen, "Proxy-Authenticate"),
            "Digest realm=\"r\", nonce=\"n\""
        );
        assert!(world.cdrs.is_empty());
        assert_eq!((world.flows.len(), world.core.calls().count()), (1, 1));
        world.wait(secs(3));
        let credentials = "Proxy-Authorization: Digest username=\"u\"\r\n";
        world.from(CARRIER, &dialog.by_caller("BYE", "b2", 3, credentials, ""));
        let retry = world.one_to(&dialog.pool);
        assert_eq!(
            header(&retry, "Proxy-Authorization"),
            "Digest username=\"u\""
        );
        // The retry is on its way: the wait for it is over.
        world.wait(secs(31));
        assert!(world.cdrs.is_empty());
        world.from(
            &dialog.pool,
            &answer(&retry, &dialog.pool, "200 OK", "", "", ""),
        );
        assert_eq!(world.cdrs.len(), 1);
        assert_eq!(world.cdrs[0].cause, EndCause::Caller);
        assert_eq!(world.counter("byes_challenged"), 1);
        world.assert_clean();
        assert_eq!(world.cdrs.len(), 1);
        assert_eq!(world.counter("byes_not_retried"), 0);
    }
}

#[test]
fn a_challenge_that_nobody_meets_ends_the_call_all_the_same() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    world.wait(secs(10));
    let hung_up = world.now.wall_ms;
    world.from(
        &dialog.pool.clone(),
        &dialog.by_callee("BYE", "b1", 1, "", ""),
    );
    let bye = world.one_to(CARRIER);
    world.from(
        CARRIER,
        &answer(&bye, CARRIER, "401 Unauthorized", "", "", ""),
    );
    world.wait(secs(31));
    assert!(world.cdrs.is_empty());
    world.wait(secs(2));
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].cause, EndCause::Callee);
    assert_eq!(world.cdrs[0].end_ms, hung_up);
    assert_eq!(world.counter("byes_not_retried"), 1);
    assert_eq!(world.counter("byes_sent"), 0);
    world.assert_clean();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn byes_that_cross_make_one_cdr() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let pool = dialog.pool.clone();
    world.from(CARRIER, &dialog.by_caller("BYE", "b1", 2, "", ""));
    world.from(&pool, &dialog.by_callee("BYE", "b2", 1, "", ""));
    let (inside, outside) = (world.one_to(&pool), world.one_to(CARRIER));
    assert!(inside.starts_with("BYE") && outside.starts_with("BYE"));
    world.from(CARRIER, &answer(&outside, CARRIER, "200 OK", "", "", ""));
    world.from(&pool, &answer(&inside, &pool, "200 OK", "", "", ""));
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 200"));
    assert!(world.one_to(&pool).starts_with("SIP/2.0 200"));
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].cause, EndCause::Caller, "the first counts");
    world.assert_clean();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn strangers_who_know_a_dialog_cannot_touch_it() {
    const INTRUDER: &str = "10.0.0.99:5060";
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let before = world.flows.clone();
    let offer = sdp("203.0.113.99", 40_000);
    for (method, body) in [
        ("BYE", ""),
        ("INFO", ""),
        ("INVITE", &offer),
        ("UPDATE", &offer),
    ] {
        world.from(
            STRANGER,
            &dialog
                .by_caller(method, &format!("x{method}"), 9, "", body)
                .replace(CARRIER, STRANGER),
        );
        let no = world.one_to(STRANGER);
        assert!(no.starts_with("SIP/2.0 403"), "{no}");
        world.from(
            INTRUDER,
            &dialog
                .by_callee(method, &format!("y{method}"), 9, "", body)
                .replace(&dialog.pool, INTRUDER),
        );
        assert!(world.one_to(INTRUDER).starts_with("SIP/2.0 403"));
    }
    world.from(STRANGER, &dialog.by_caller("ACK", "xa", 9, "", ""));
    assert!(world.sent.is_empty(), "nothing passed: {:#?}", world.sent);
    assert_eq!(world.counter("in_dialog_forbidden"), 9);
    assert_eq!(world.counter("in_dialog_requests"), 0);
    assert_eq!(world.counter("in_dialog_sources_changed"), 0);
    assert_eq!((world.cdrs.len(), &world.flows), (0, &before));
    hang_up(&mut world, &dialog);
    world.assert_clean();
}

#[test]
fn a_strangers_cancel_cancels_nothing() {
    let mut world = World::new();
    let message = invite("c1", &sdp("203.0.113.10", 40_000));
    world.from(CARRIER, &message);
    let (pool, inside) = at_pool(&mut world);
    world.from(&pool, &answer(&inside, &pool, "180 Ringing", "bob", "", ""));
    world.sent.clear();
    let cancel = message.replace("INVITE", "CANCEL");
    for from in [STRANGER, "10.0.0.99:5060"] {
        world.from(from, &cancel);
        assert!(world.sent.pop().unwrap().text.starts_with("SIP/2.0 403"));
    }
    assert!(world.sent.is_empty());
    assert_eq!(world.counter("in_dialog_forbidden"), 2);
    world.from(CARRIER, &cancel);
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 200"));
    assert!(world.one_to(&pool).starts_with("CANCEL"));
}

#[test]
fn a_peer_behind_a_nat_is_found_again_after_a_rebinding() {
    const PRIVATE: &str = "192.168.1.5:5060";
    let mut world = World::new();
    world.from(
        "203.0.113.10:40001",
        &invite_from(PRIVATE, "c1", "i", &sdp("203.0.113.10", 40_000)),
    );
    let (pool, inside) = at_pool(&mut world);
    world.from(
        &pool,
        &answer(
            &inside,
            &pool,
            "200 OK",
            "bob",
            "",
            &sdp("10.0.0.11", 20_000),
        ),
    );
    let ok = world.sent_to(CARRIER).pop().unwrap();
    let dialog = Dialog {
        call_id: "c1".into(),
        tag: "bob".into(),
        pool: pool.clone(),
        seen_by_caller: uri(header(&ok, "Contact")).into(),
        seen_by_callee: uri(header(&inside, "Contact")).into(),
    };
    let said = |method: &str, cseq: u32| {
        let branch = format!("{method}{cseq}");
        dialog
            .by_caller(method, &branch, cseq, "", "")
            .replace(CARRIER, PRIVATE)
    };
    let ask = |world: &mut World, n: u32| {
        let branch = format!("q{n}");
        world.sent.clear();
        world.from(&pool, &dialog.by_callee("INFO", &branch, n, "", ""));
        let to = world
            .sent
            .iter()
            .find(|p| p.text.starts_with("INFO"))
            .map(|p| p.to.to_string());
        to.unwrap()
    };
    world.from("203.0.113.10:40001", &said("ACK", 1));
    assert_eq!(ask(&mut world, 1), "203.0.113.10:40001");
    // The NAT forgot the binding; the next request shows the new one.
    world.from("203.0.113.10:40777", &said("INFO", 5));
    assert_eq!(ask(&mut world, 2), "203.0.113.10:40777");
    assert_eq!(world.counter("in_dialog_sources_changed"), 1);
    // Another address of those that may call: of the trunk, here.
    world.from("203.0.113.50:40888", &said("INFO", 6));
    assert_eq!(ask(&mut world, 3), "203.0.113.50:40888");
    // What comes late, by the old way, changes nothing, and neither does a stranger.
    world.from("203.0.113.10:40777", &said("INFO", 4));
    world.from("203.0.113.99:40999", &said("INFO", 7));
    assert_eq!(ask(&mut world, 4), "203.0.113.50:40888");
    assert_eq!(world.counter("in_dialog_forbidden"), 1);
    // It is in the journal.
    let mut world = world.crash();
    world.dataplane_up();
    assert_eq!(ask(&mut world, 5), "203.0.113.50:40888");
}

#[test]
fn before_the_tables_are_read_unknown_sources_in_a_dialog_are_not_answered() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let mut world = world.crash_without_tables();
    world.dataplane_up();
    let bye = dialog.by_caller("BYE", "b", 2, "", "");
    world.from(TRUNK, &bye);
    assert!(world.sent.is_empty(), "{:#?}", world.sent);
    assert_eq!(world.counter("in_dialog_before_tables"), 1);
    world.input(tandem_call::Input::Tables(tables().into()));
    world.from(TRUNK, &bye);
    assert!(world.one_to(&dialog.pool).starts_with("BYE"));
    // The address that it was seen with needs no table.
    let mut world = world.crash_without_tables();
    world.dataplane_up();
    world.from(CARRIER, &dialog.by_caller("INFO", "j", 3, "", ""));
    assert!(world.one_to(&dialog.pool).starts_with("INFO"));
}

#[test]
fn a_late_answer_to_a_re_invite_is_acknowledged_and_ends_the_call() {
    for gives_up in [true, false] {
        let mut world = World::new();
        let dialog = establish(&mut world, "c1");
        let pool = dialog.pool.clone();
        world.from(
            CARRIER,
            &dialog.by_caller("INVITE", "re1", 2, "", &sdp("203.0.113.10", 40_002)),
        );
        let inside = world.one_to(&pool);
        world.from(&pool, &answer(&inside, &pool, "180 Ringing", "", "", ""));
        world.wait(secs(186));
        let seen = world.sent_to(CARRIER);
        assert!(
            seen.iter().any(|t| t.starts_with("SIP/2.0 408")),
            "{seen:#?}"
        );
        assert!(world.sent_to(&pool)[0].starts_with("CANCEL"));
        world.sent.clear();
        if gives_up {
            // What a 408 makes of a dialog.
            world.from(CARRIER, &dialog.by_caller("BYE", "bye", 3, "", ""));
            assert!(world.one_to(&pool).starts_with("BYE"));
        }
        let late = answer(&inside, &pool, "200 OK", "", "", &sdp("10.0.0.11", 20_000));
        world.from(&pool, &late);
        let sent = world.sent_to(&pool);
        assert_eq!(start(&sent[0]), format!("ACK sip:media@{pool} SIP/2.0"));
        assert_eq!(header(&sent[0], "CSeq"), "2 ACK");
        if gives_up {
            assert_eq!((sent.len(), world.counter("byes_sent")), (1, 0));
        } else {
            assert_eq!(start(&sent[1]), format!("BYE sip:media@{pool} SIP/2.0"));
            assert_eq!(header(&sent[1], "CSeq"), "3 BYE");
            assert!(world.one_to(CARRIER).starts_with("BYE"));
            assert_eq!(world.cdrs.len(), 1);
            assert_eq!(world.counter("late_answers"), 1);
        }
        world.from(&pool, &late);
        assert!(
            world.one_to(&pool).starts_with("ACK"),
            "each one gets its ACK"
        );
        world.assert_clean();
        assert_eq!(world.cdrs.len(), 1);
    }
}

#[test]
fn a_repeated_answer_to_a_re_invite_passes_and_so_does_its_ack() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let pool = dialog.pool.clone();
    world.from(
        &pool,
        &dialog.by_callee("INVITE", "re1", 1, "", &sdp("10.0.0.11", 20_002)),
    );
    let outside = world.one_to(CARRIER);
    assert!(world.one_to(&pool).starts_with("SIP/2.0 100"));
    let ok = answer(
        &outside,
        CARRIER,
        "200 OK",
        "",
        "",
        &sdp("203.0.113.10", 40_000),
    );
    world.from(CARRIER, &ok);
    let seen = world.one_to(&pool);
    assert!(seen.starts_with("SIP/2.0 200"));
    let flows = world.flows.clone();
    assert_eq!(
        flows.values().next().unwrap().b.remote,
        "10.0.0.11:20002".parse().ok()
    );
    // No ACK yet: the carrier repeats its answer, end to end.
    world.from(CARRIER, &ok);
    assert_eq!(world.one_to(&pool), seen);
    let ack = dialog.by_callee("ACK", "re1a", 1, "", "");
    world.from(&pool, &ack);
    let passed = world.one_to(CARRIER);
    assert_eq!(header(&passed, "CSeq"), "1 ACK");
    // It was lost: answer and ACK once more.
    world.from(CARRIER, &ok);
    assert_eq!(world.one_to(&pool), seen);
    world.from(&pool, &ack);
    assert_eq!(world.one_to(CARRIER), passed);
    assert_eq!(world.flows, flows);
    assert!(world.sent.is_empty());
}

#[test]
fn glare_is_passed_on_or_said_by_us_and_the_retry_works() {
    for method in ["INVITE", "UPDATE"] {
        let mut world = World::new();
        let dialog = establish(&mut world, "c1");
        let pool = dialog.pool.clone();
        let before = world.flows.clone();
        let inside_sdp = sdp("10.0.0.11", 20_002);
        // The far side's own 491: its request is on its way to us.
        world.from(
            CARRIER,
            &dialog.by_caller(method, "g1", 2, "", &sdp("203.0.113.10", 40_002)),
        );
        let inside = world.one_to(&pool);
        world.sent_to(CARRIER);
        // And here it is: both have an offer open.
        world.from(&pool, &dialog.by_callee(method, "g2", 1, "", &inside_sdp));
        let ours = world.sent_to(&pool).pop().unwrap();
        assert!(ours.starts_with("SIP/2.0 491"), "{ours}");
        assert!(world.sent_to(CARRIER).is_empty(), "not passed");
        let pending = answer(&inside, &pool, "491 Request Pending", "", "", "");
        world.from(&pool, &pending);
        let theirs = world.one_to(CARRIER);
        assert!(theirs.starts_with("SIP/2.0 491"), "{theirs}");
        assert_eq!(world.flows, before, "nothing was agreed");
        world.sent.clear();
        // After a while the callee tries again.
        world.from(&pool, &dialog.by_callee(method, "g3", 2, "", &inside_sdp));
        let outside = world
            .sent_to(CARRIER)
            .into_iter()
            .find(|t| t.starts_with(method))
            .unwrap();
        world.from(
            CARRIER,
            &answer(
                &outside,
                CARRIER,
                "200 OK",
                "",
                "",
                &sdp("203.0.113.10", 40_000),
            ),
        );
        let ok = world.sent_to(&pool).pop().unwrap();
        assert!(ok.starts_with("SIP/2.0 200"), "{ok}");
        assert_eq!(
            world.flows.values().next().unwrap().b.remote,
            "10.0.0.11:20002".parse().ok()
        );
        assert_eq!(world.core.calls().count(), 1);
    }
}

#[test]
fn a_silent_re_invite_ends_with_408_and_its_late_answer_is_acknowledged() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let pool = dialog.pool.clone();
    world.from(
        CARRIER,
        &dialog.by_caller("INVITE", "re1", 2, "", &sdp("203.0.113.10", 40_002)),
    );
    let inside = world.one_to(&pool);
    world.wait(secs(32));
    let seen = world.sent_to(CARRIER);
    assert!(
        seen.iter().any(|t| t.starts_with("SIP/2.0 408")),
        "{seen:#?}"
    );
    assert_eq!(world.counter("in_dialog_timeouts"), 1);
    world.wait(secs(10));
    world.sent.clear();
    world.from(
        &pool,
        &answer(&inside, &pool, "200 OK", "", "", &sdp("10.0.0.11", 20_000)),
    );
    let sent = world.sent_to(&pool);
    let starts: Vec<_> = sent.iter().map(|t| t.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["ACK", "BYE"]);
    world.assert_clean();
    assert_eq!(world.cdrs.len(), 1);
}
