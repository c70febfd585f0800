//! Probing of the targets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

mod world;

use std::time::Duration;

use world::*;

fn probing() -> World {
    let mut config = config();
    config.dispatcher.probe_interval = Duration::from_secs(10);
    World::with(config)
}

fn state(world: &World, id: i64) -> &'static str {
    world.core.dispatcher().find(|t| t.id == id).unwrap().state
}

/// Answers the probes that are out; those of `silent` are not.
fn answer_probes(world: &mut World, silent: &str, status: &str) {
    for peer in [POOL[0], POOL[1], TRUNK] {
        for probe in world.sent_to(peer) {
            if peer != silent && probe.starts_with("OPTIONS") {
                world.from(peer, &answer(&probe, peer, status, "t", "", ""));
            }
        }
    }
}

#[test]
fn every_target_is_asked_from_our_address_of_its_side() {
    let mut world = probing();
    world.wait(Duration::ZERO);
    let inside = world.one_to(POOL[0]);
    assert_eq!(start(&inside), format!("OPTIONS sip:{} SIP/2.0", POOL[0]));
    assert!(header(&inside, "Via").starts_with("SIP/2.0/UDP 10.0.0.1:5060;"));
    let outside = world.one_to(TRUNK);
    assert!(header(&outside, "Via").starts_with("SIP/2.0/UDP 198.51.100.1:5060;"));
    assert_eq!(world.counter("probes_sent"), 3);
}

#[test]
fn silence_takes_a_target_out_and_answers_bring_it_back() {
    let mut world = probing();
    for round in 0..3 {
        assert_eq!(state(&world, 1), "active", "round {round}");
        world.wait(Duration::from_millis(20));
        answer_probes(&mut world, POOL[0], "200 OK");
        world.wait(Duration::from_millis(9_980));
    }
    assert_eq!(state(&world, 1), "inactive");
    assert_eq!(state(&world, 2), "active");
    assert_eq!(world.counter("targets_deactivated"), 1);
    let target = world.core.dispatcher().find(|t| t.id == 2).unwrap();
    assert_eq!(target.latency_last_us, Some(20_000));
    assert_eq!(world.core.dispatcher().next().unwrap().timeouts, 3);

    // Calls leave it alone.
    for i in 0..8 {
        world.sent.clear();
        let id = format!("c{i}");
        world.from(
            CARRIER,
            &invite_from(CARRIER, &id, &id, &sdp("203.0.113.10", 40_000)),
        );
        let (pool, inside) = at_pool(&mut world);
        assert_eq!(pool, POOL[1]);
        world.from(&pool, &answer(&inside, &pool, "486 Busy Here", "b", "", ""));
    }
    world.sent.clear();
    // The probes that were out meanwhile are lost; three answered ones follow.
    for _ in 0..4 {
        assert_eq!(state(&world, 1), "inactive");
        // A 404 shows that somebody is there.
        world.wait(Duration::from_millis(20));
        answer_probes(&mut world, "", "404 Not Found");
        world.wait(Duration::from_millis(9_980));
    }
    assert_eq!(state(&world, 1), "active");
    assert_eq!(world.counter("targets_activated"), 1);
}

#[test]
fn icmp_errors_and_5xx_are_failures() {
    let mut world = probing();
    for _ in 0..3 {
        world.wait(Duration::from_millis(20));
        world.unreachable(POOL[1]);
        answer_probes(&mut world, POOL[1], "503 No");
        world.wait(Duration::from_millis(9_980));
    }
    assert_eq!(state(&world, 1), "inactive");
    assert_eq!(state(&world, 2), "inactive");
    assert_eq!(world.counter("probes_failed"), 6);
    world.from(CARRIER, &invite("c", &sdp("203.0.113.10", 40_000)));
    assert!(
        world
            .sent_to(CARRIER)
            .pop()
            .unwrap()
            .starts_with("SIP/2.0 503")
    );
}

#[test]
fn a_target_that_leaves_the_table_is_not_asked_any_more() {
    let mut world = probing();
    world.wait(Duration::from_millis(1));
    let mut fewer = tables();
    fewer.dispatcher.truncate(1);
    fewer.dispatcher[0].destination = "sip:fs example net".into();
    world.input(tandem_call::Input::Tables(fewer.into()));
    assert_eq!(world.core.bad_rows().len(), 1);
    assert_eq!(world.counter("table_rows_refused"), 1);
    world.sent.clear();
    world.wait(Duration::from_secs(60));
    assert!(
        world
            .sent
            .iter()
            .all(|p| !p.text.starts_with("OPTIONS") || p.text.contains("CSeq: 1"))
    );
    world.sent.clear();
    world.wait(Duration::from_secs(60));
    assert!(world.sent.is_empty());
    world.input(tandem_call::Input::Tables(tables().into()));
    world.wait(Duration::ZERO);
    assert_eq!(world.sent.len(), 3);
}
