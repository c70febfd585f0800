//! What outlives a dead dataplane or a dead process.

use std::time::Duration;

use tandem_link::{Command, Cookie, Event, FlowId, Leg};
use tandem_policy::EndCause;

use super::hang_up;
use super::world::*;

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
fn a_call_that_comes_before_the_first_session_comes_again() {
    let mut world = World::new();
    world.input(tandem_call::Input::DataplaneDown);
    let mut world = world.crash();
    let invite = invite("c1", &sdp("203.0.113.10", 40_000));
    world.from(CARRIER, &invite);
    assert!(world.sent_to(CARRIER).is_empty());
    assert_eq!(world.counter("calls_left_for_later"), 1);
    world.wait(Duration::from_millis(500));
    world.dataplane_up();
    world.from(CARRIER, &invite);
    assert!(world.sent_to(CARRIER)[0].starts_with("SIP/2.0 100"));
    // Without any session, not for ever; nor after the first.
    let mut world = world.crash();
    world.input(tandem_call::Input::DataplaneDown);
    world.wait(Duration::from_millis(2_000));
    world.from(CARRIER, &invite);
    let no = world.sent_to(CARRIER).pop().unwrap();
    assert!(no.starts_with("SIP/2.0 503"), "{no}");
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
    assert!(world.cdrs.is_empty(), "its INVITE may come again");
    world.dataplane_up();
    world.wait(Duration::from_secs(3));
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].cause, EndCause::Local);
    world.assert_clean();
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn a_call_that_rang_ends_with_the_process_and_with_its_figures() {
    let mut world = World::new();
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    let (pool, inside) = at_pool(&mut world);
    let ringing = answer(&inside, &pool, "180 Ringing", "bob", "", "");
    world.from(&pool, &ringing);
    let rang = world.now.wall_ms;
    world.wait(Duration::from_secs(2));
    let mut world = world.crash();
    assert!(world.cdrs.is_empty(), "the dataplane has figures yet");
    world.dataplane_up();
    let cdr = world.cdrs.pop().unwrap();
    assert_eq!((cdr.ring_ms, cdr.answer_ms), (Some(rang), None));
    assert_eq!(cdr.cause, EndCause::Local);
    assert_eq!((cdr.attempts, cdr.tried.len()), (1, 1));
    assert!(!cdr.media_partial);
    // An INVITE with its Call-ID now would be a call of its own.
    world.assert_clean();
    assert!(world.cdrs.is_empty());
}

#[test]
fn an_invite_that_comes_again_after_the_process_died_is_the_same_call() {
    let mut world = World::new();
    let first = invite("c1", &sdp("203.0.113.10", 40_000));
    world.from(CARRIER, &first);
    let begin = world.now.wall_ms;
    let (key, _) = world
        .journal
        .iter()
        .next()
        .map(|(k, b)| (*k, b.len()))
        .unwrap();
    world.wait(Duration::from_millis(200));
    let mut world = world.crash();
    world.dataplane_up();
    world.wait(Duration::from_millis(300));
    world.from(CARRIER, &first);
    assert_eq!(world.counter("calls_resumed"), 1);
    let (pool, inside) = at_pool(&mut world);
    world.from(
        &pool,
        &answer(&inside, &pool, "486 Busy Here", "bob", "", ""),
    );
    world.assert_clean();
    assert_eq!(world.cdrs.len(), 1);
    let cdr = &world.cdrs[0];
    assert_eq!((cdr.start_ms, cdr.sip_code), (begin, 486));
    assert!(cdr.call_uuid.ends_with(&format!("{key:016x}")));
    let tried: Vec<_> = cdr.tried.iter().map(|t| t.code).collect();
    assert_eq!((cdr.attempts, tried), (1, vec![486]), "of this life");
}

#[test]
fn a_challenge_and_what_answers_it_are_one_call() {
    for crash in [false, true] {
        let mut world = World::new();
        let first = invite("c1", &sdp("203.0.113.10", 40_000));
        world.from(CARRIER, &first);
        let begin = world.now.wall_ms;
        let (pool, inside) = at_pool(&mut world);
        let challenge = "Proxy-Authenticate: Digest realm=\"x\", nonce=\"1\"\r\n";
        let no = answer(
            &inside,
            &pool,
            "407 Proxy Authentication Required",
            "bob",
            challenge,
            "",
        );
        world.from(&pool, &no);
        world.wait(Duration::from_millis(100));
        assert!(world.cdrs.is_empty());
        if crash {
            world = world.crash();
            world.dataplane_up();
        }
        world.sent_to(CARRIER);
        let again = first
            .replace("CSeq: 1 ", "CSeq: 2 ")
            .replace("z9hG4bK", "z9hG4bKx");
        assert_ne!(again, first);
        world.from(CARRIER, &again);
        let (pool, inside) = at_pool(&mut world);
        world.from(
            &pool,
            &answer(&inside, &pool, "404 Not Found", "bob", "", ""),
        );
        assert_eq!(world.cdrs.len(), 1, "crash: {crash}");
        let cdr = &world.cdrs[0];
        assert_eq!((cdr.start_ms, cdr.sip_code, cdr.attempts), (begin, 404, 2));
        assert_eq!(cdr.q850.map(|q| (q.cause, q.said)), Some((1, false)));
        world.assert_clean();
        assert_eq!(world.cdrs.len(), 1);
    }
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
    assert!(world.cdrs.is_empty(), "they still are");
    world.dataplane_up();
    assert_eq!(world.cdrs.len(), 1);
    assert_eq!(world.cdrs[0].cause, EndCause::Caller);
    world.assert_clean();
    assert_eq!(world.cdrs.len(), 1);
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
fn nobody_hears_that_a_call_is_over_before_the_journal_knows() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    world.from(CARRIER, &dialog.by_caller("BYE", "bye1", 2, "", ""));
    let bye = world.one_to(&dialog.pool);
    let ok = answer(&bye, &dialog.pool, "200 OK", "", "", "");
    let bytes = ok.as_bytes();
    let (path, source) = (tandem_call::Path::Realm(1), dialog.pool.parse().unwrap());
    let message = tandem_call::Input::Message {
        path,
        source,
        local: INSIDE.parse().unwrap(),
        waited: Duration::ZERO,
        bytes,
    };
    world.core.input(world.now, message);
    let (mut known, mut heard) = (false, false);
    while let Some(output) = world.core.output() {
        match output {
            tandem_call::Output::Journal { .. } => known = true,
            tandem_call::Output::Send { bytes, .. } => {
                assert!(known && bytes.starts_with(b"SIP/2.0 200"));
                heard = true;
            }
            _ => {}
        }
    }
    assert!(heard);
}
