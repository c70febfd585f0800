//! Calls at rest are kept small, and are whole as soon as anybody says something.

use super::world::*;
use super::{hang_up, secs};

/// How many calls rest, of how many.
fn resting(world: &World) -> (usize, usize) {
    let now = world.core.footprint();
    (now.resting, now.calls)
}

#[test]
fn a_call_rests_when_its_transactions_are_gone_and_wakes_for_requests() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    assert_eq!(resting(&world), (0, 1));
    world.wait(secs(33));
    assert_eq!(resting(&world), (1, 1));
    let (calls, flows) = (world.core.calls().collect::<Vec<_>>(), world.flows.clone());
    assert_eq!((calls.len(), calls[0].flows.len()), (1, 1));
    assert_eq!(resting(&world), (1, 1), "whoever lists calls wakes none");

    // A stranger's request is looked up, and changes nothing.
    let bye = dialog.by_caller("BYE", "x", 2, "", "");
    world.from("203.0.113.99:5060", &bye);
    assert!(world.one_to("203.0.113.99:5060").starts_with("SIP/2.0 403"));
    assert_eq!(resting(&world), (1, 1));

    let info = dialog.by_callee("INFO", "i", 1, "", "");
    world.from(&dialog.pool.clone(), &info);
    let passed = world.one_to(CARRIER);
    assert_eq!(start(&passed), "INFO sip:user@203.0.113.10:5060 SIP/2.0");
    assert_eq!(resting(&world), (0, 1));
    world.from(CARRIER, &answer(&passed, CARRIER, "200 OK", "", "", ""));
    assert!(world.one_to(&dialog.pool).starts_with("SIP/2.0 200"));
    world.wait(secs(33));
    assert_eq!(resting(&world), (1, 1));
    assert_eq!(world.core.calls().collect::<Vec<_>>(), calls);
    assert_eq!(world.flows, flows);

    hang_up(&mut world, &dialog);
    assert_eq!(world.cdrs.len(), 1);
    world.assert_clean();
}

#[test]
fn the_dataplane_gets_the_flows_of_calls_at_rest_again() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    world.wait(secs(33));
    let flows = world.flows.clone();
    world.dataplane_restarts();
    assert_eq!(world.flows, flows);
    assert_eq!(resting(&world), (1, 1));
    hang_up(&mut world, &dialog);
    assert!(world.flows.is_empty());
    world.assert_clean();
}

#[test]
fn calls_from_the_journal_rest_at_once() {
    let mut world = World::new();
    let dialog = establish(&mut world, "c1");
    let mut world = world.crash();
    assert_eq!(resting(&world), (1, 1));
    world.dataplane_up();
    assert_eq!(resting(&world), (1, 1));
    hang_up(&mut world, &dialog);
    assert_eq!(world.cdrs.len(), 1);
    world.assert_clean();
}
