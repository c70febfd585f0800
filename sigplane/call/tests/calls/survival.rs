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
