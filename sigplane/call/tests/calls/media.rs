//! Offers and answers, flows, and what happens when media cannot or does not flow.

use tandem_link::Event;
use tandem_policy::EndCause;

use super::assert_hides;
use super::world::*;

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
    assert!(header(&no, "Warning").starts_with("399 198.51.100.1:5060 "));
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
    // By the address of ours that the caller knows.
    assert!(header(&no, "Warning").starts_with("399 198.51.100.1:5060 "));
    assert_eq!(world.counter("answers_refused"), 1);
    assert_eq!(world.cdrs.len(), 1);
    world.assert_clean();
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
fn a_re_invite_that_overtakes_an_ack_waits_for_its_answer() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let pool = dialog.pool.clone();
    world.from(CARRIER, &dialog.by_caller("INVITE", "r1", 2, "", ""));
    let inside = world.one_to(&pool);
    let offer = sdp("10.0.0.11", 20_002);
    world.from(&pool, &answer(&inside, &pool, "200 OK", "", "", &offer));
    world.sent.clear();
    let body = sdp("203.0.113.10", 40_004);
    world.from(CARRIER, &dialog.by_caller("INVITE", "r2", 3, "", &body));
    let refused = world.sent_to(CARRIER).pop().unwrap();
    assert!(refused.starts_with("SIP/2.0 491"), "{refused}");
    assert!(world.sent_to(&pool).is_empty());
    let body = sdp("203.0.113.10", 40_002);
    world.from(CARRIER, &dialog.by_caller("ACK", "a2", 2, "", &body));
    assert!(media_port(&world.one_to(&pool)) > 0, "the answer passes");
    world.from(CARRIER, &dialog.by_caller("INVITE", "r3", 4, "", &body));
    assert!(world.one_to(&pool).starts_with("INVITE"));
}
