//! From the INVITE to the answer, or to none: routing, failover, CANCEL, refusals.

use std::time::Duration;

use tandem_policy::EndCause;

use super::world::*;
use super::{assert_hides, secs};

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
fn a_cancel_that_comes_again_gets_the_same_answer() {
    let mut world = World::new();
    let message = invite("c1", &sdp("203.0.113.10", 40_000));
    world.from(CARRIER, &message);
    let (pool, inside) = at_pool(&mut world);
    let busy = answer(&inside, &pool, "486 Busy Here", "bob", "", "");
    world.from(&pool, &busy);
    assert_eq!(world.core.calls().count(), 0);
    world.sent_to(CARRIER);
    // The INVITE's transaction still waits for its ACK (RFC 3261 section 9.2).
    let cancel = message.replace("INVITE", "CANCEL");
    for _ in 0..2 {
        world.from(CARRIER, &cancel);
        assert!(world.one_to(CARRIER).starts_with("SIP/2.0 200"));
    }
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
    assert_eq!(header(&sent[1], "CSeq"), "1001 BYE");
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
