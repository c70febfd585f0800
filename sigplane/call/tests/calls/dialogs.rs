//! Inside of a call: BYE and its challenges, re-INVITE, who may speak, peers that move.

use tandem_policy::EndCause;

use super::world::*;
use super::{assert_hides, hang_up, secs};

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

#[test]
fn a_session_that_is_not_refreshed_ends() {
    let mut world = World::new();
    world.from(CARRIER, &invite("s1", &sdp("203.0.113.10", 40_000)));
    let (pool, inside) = at_pool(&mut world);
    let expires = "Session-Expires: 1800;refresher=uac\r\n";
    let ok = answer(
        &inside,
        &pool,
        "200 OK",
        "bob",
        expires,
        &sdp("10.0.0.11", 20_000),
    );
    world.from(&pool, &ok);
    let ok = world.sent_to(CARRIER).pop().unwrap();
    assert_eq!(header(&ok, "Session-Expires"), "1800;refresher=uac");
    let dialog = Dialog {
        call_id: "s1".into(),
        tag: "bob".into(),
        seen_by_caller: uri(header(&ok, "Contact")).into(),
        seen_by_callee: uri(header(&inside, "Contact")).into(),
        pool: pool.clone(),
    };
    world.from(CARRIER, &dialog.by_caller("ACK", "ack", 1, "", ""));
    world.sent.clear();
    world.wait(secs(1_700));
    // A refresh, and a new life of the process in the next interval.
    world.from(CARRIER, &dialog.by_caller("UPDATE", "u", 2, expires, ""));
    let update = world.one_to(&pool);
    world.from(&pool, &answer(&update, &pool, "200 OK", "", expires, ""));
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 200"));
    world.wait(secs(900));
    let mut world = world.crash();
    world.dataplane_up();
    world.wait(secs(920));
    assert!(world.sent.is_empty());
    world.wait(secs(20));
    for side in [pool.as_str(), CARRIER] {
        let bye = world.sent_to(side).remove(0);
        assert!(bye.starts_with("BYE"), "{bye}");
        assert!(header(&bye, "Reason").contains("not refreshed"));
        world.from(side, &answer(&bye, side, "200 OK", "", "", ""));
    }
    assert_eq!(world.cdrs[0].cause, EndCause::SessionExpired);
    world.assert_clean();
}
