//! Another configuration while calls are being set up, up, and ending: none of them notices.

use tandem_call::{Conference, CoreConfig, Input, Share, Tables};
use tandem_policy::{Algorithm, Plan, SetPlan, TargetState};

use super::*;

/// The pool's other set.
const OTHER: &str = "10.0.0.21:5060";
/// The other trunk, and a carrier of the other group.
const OTHER_TRUNK: &str = "203.0.113.60:5060";
const OTHER_CARRIER: &str = "203.0.113.11:5060";

fn both_tables() -> Tables {
    let mut tables = tables();
    for (id, setid, at) in [(9, 2, OTHER), (10, 101, OTHER_TRUNK)] {
        let mut row = tables.dispatcher[0].clone();
        (row.id, row.setid, row.destination) = (id, setid, format!("sip:{at}"));
        tables.dispatcher.push(row);
    }
    let mut row = tables.address[0].clone();
    (row.id, row.grp, row.ip_addr) = (2, 2, "203.0.113.11".into());
    tables.address.push(row);
    tables
}

fn world() -> World {
    World::with_tables(config(), both_tables())
}

/// Where all new calls go elsewhere, by other rules.
fn moved() -> CoreConfig {
    let mut config = config();
    config.routing.pool_set = 2;
    config.routing.trunk_set = 101;
    config.routing.carrier_group = 2;
    config.t1 = Duration::from_millis(250);
    config.limits.vias = 20;
    config.media.dscp = 34;
    config.server = "other".into();
    config
}

fn take(world: &mut World, config: CoreConfig) {
    let taken = world.counter("configs_taken");
    world.core.can_take(&config).unwrap();
    world.input(Input::Config(Box::new(config)));
    assert_eq!(world.counter("configs_taken"), taken + 1);
}

fn new_call(world: &mut World, source: &str, id: &str) {
    let text = invite_from(source, id, &format!("i{id}"), &sdp("203.0.113.10", 40_000));
    world.from(source, &text);
}

#[test]
fn a_call_being_set_up_goes_on_where_it_is_and_the_next_one_goes_elsewhere() {
    let mut world = world();
    let text = invite_from(CARRIER, "c1", "i1", &sdp("203.0.113.10", 40_000));
    world.from(CARRIER, &text);
    let (pool, inside) = at_pool(&mut world);
    world.sent.clear();
    take(&mut world, moved());
    // Its transactions live: a copy of the INVITE makes no second call, silence repeats ours.
    world.from(CARRIER, &text);
    assert!(world.sent_to(OTHER).is_empty());
    world.sent.clear();
    world.wait(Duration::from_millis(600));
    assert!(world.one_to(&pool).starts_with("INVITE"));
    let ip = pool.split(':').next().unwrap();
    let ringing = answer(&inside, &pool, "180 Ringing", "bob", "", "");
    world.from(&pool, &ringing);
    assert!(world.one_to(CARRIER).starts_with("SIP/2.0 180"));
    let ok = answer(&inside, &pool, "200 OK", "bob", "", &sdp(ip, 20_000));
    world.from(&pool, &ok);
    let ok = world.one_to(CARRIER);
    let dialog = Dialog {
        call_id: "c1".into(),
        tag: "bob".into(),
        seen_by_caller: uri(header(&ok, "Contact")).into(),
        seen_by_callee: uri(header(&inside, "Contact")).into(),
        pool: pool.clone(),
    };
    world.from(CARRIER, &dialog.by_caller("ACK", "a1", 1, "", ""));
    assert!(world.one_to(&pool).starts_with("ACK"));
    // The media that it has is what it had.
    assert!(world.flows.values().all(|flow| flow.a.dscp == 46));

    new_call(&mut world, OTHER_CARRIER, "c2");
    assert!(world.one_to(OTHER).starts_with("INVITE"));
    assert!(world.flows.values().any(|flow| flow.a.dscp == 34));
    world.sent.clear();
    // Who was a carrier may call no more, and hangs up all the same.
    new_call(&mut world, CARRIER, "c3");
    let no = world.one_to(CARRIER);
    assert!(start(&no).contains(" 403 "), "{no}");
    assert_eq!(header(&no, "Server"), "other");
    hang_up(&mut world, &dialog);
    assert_eq!(world.cdrs.len(), 1);
}

#[test]
fn a_call_in_setup_fails_over_to_the_target_that_it_was_given() {
    let mut world = world();
    new_call(&mut world, CARRIER, "c1");
    let (pool, _) = at_pool(&mut world);
    take(&mut world, moved());
    world.sent.clear();
    world.wait(secs(2));
    let other = POOL.into_iter().find(|p| *p != pool).unwrap();
    let inside = world.sent_to(other).pop().unwrap();
    assert!(inside.starts_with("INVITE"), "{inside}");
    let ok = answer(&inside, other, "200 OK", "bob", "", &sdp("10.0.0.12", 2));
    world.from(other, &ok);
    let answered = world.sent_to(CARRIER).pop().unwrap();
    assert!(answered.starts_with("SIP/2.0 200"), "{answered}");
}

#[test]
fn calls_that_are_up_end_from_either_side_and_their_ends_stay_trusted() {
    let mut world = world();
    let dialogs: Vec<Dialog> = (0..40)
        .map(|n| establish(&mut world, &format!("c{n}")))
        .collect();
    take(&mut world, moved());
    world.sights.clear();
    for (n, dialog) in dialogs.iter().enumerate() {
        if n % 2 == 0 {
            hang_up(&mut world, dialog);
            continue;
        }
        let bye = dialog.by_callee("BYE", &format!("b{n}"), 7, "", "");
        world.from(&dialog.pool, &bye);
        let bye = world.one_to(CARRIER);
        assert!(bye.starts_with("BYE"), "{bye}");
        world.from(CARRIER, &answer(&bye, CARRIER, "200 OK", "", "", ""));
        assert!(world.one_to(&dialog.pool).starts_with("SIP/2.0 200"));
    }
    assert_eq!(world.cdrs.len(), 40);
    // More than a stranger may send: those who could call are not strangers as long as their calls last.
    assert_eq!(world.sights, []);
    assert!(world.core.trusts("203.0.113.10".parse().unwrap()));
    assert!(world.core.trusts("203.0.113.50".parse().unwrap()));
    world.wait(secs(13 * 3_600));
    assert!(!world.core.trusts("203.0.113.10".parse().unwrap()));
    assert!(world.core.trusts("203.0.113.11".parse().unwrap()));
    world.assert_clean();
}

#[test]
fn there_and_back_is_as_if_nothing_had_been() {
    let mut world = world();
    let dialog = establish(&mut world, "c1");
    for _ in 0..200 {
        take(&mut world, moved());
        take(&mut world, config());
    }
    assert_eq!(world.core.config(), &config());
    let next = establish(&mut world, "c2");
    hang_up(&mut world, &dialog);
    hang_up(&mut world, &next);
    world.wait(secs(13 * 3_600));
    world.assert_clean();
}

#[test]
fn what_is_made_of_sockets_and_ports_is_not_taken() {
    let mut world = world();
    let dialog = establish(&mut world, "c1");
    let mut realms = moved();
    realms.realms[0].media_ports = 40_000..=40_199;
    let node = CoreConfig { node: 8, ..moved() };
    let share = Share {
        worker: 1,
        ..Share::default()
    };
    let share = CoreConfig { share, ..moved() };
    for (config, part) in [(realms, "realms"), (node, "node"), (share, "share")] {
        assert_eq!(world.core.can_take(&config), Err(part));
        world.input(Input::Config(Box::new(config)));
    }
    assert_eq!(world.counter("configs_unfit"), 3);
    assert_eq!(world.core.config(), &super::world::config());
    hang_up(&mut world, &dialog);
    world.assert_clean();
}

#[test]
fn states_that_were_set_and_loads_outlive_another_plan() {
    let mut world = world();
    let dialogs: Vec<Dialog> = (0..8)
        .map(|n| establish(&mut world, &format!("c{n}")))
        .collect();
    world
        .core
        .set_target_state(world.now, 1, TargetState::Draining);
    let seen = |world: &World| -> Vec<_> {
        let targets = world.core.dispatcher();
        targets.map(|t| (t.id, t.state, t.calls)).collect()
    };
    let before = seen(&world);
    let mut config = config();
    config.dispatcher.plan = Plan {
        algorithm: Algorithm::parse("round-robin", "").unwrap(),
        sets: [(
            1,
            SetPlan {
                algorithm: Algorithm::parse("call-load", "").unwrap(),
                fallback: Some(2),
            },
        )]
        .into(),
    };
    config.routing.conference = Some(Conference {
        set: 2,
        prefix: "100".into(),
    });
    take(&mut world, config);
    assert_eq!(seen(&world), before);
    let targets = world.core.dispatcher();
    assert!(
        targets
            .filter(|t| t.set == 1)
            .all(|t| t.algorithm == "call-load")
    );
    // A conference by now.
    new_call(&mut world, CARRIER, "c9");
    assert!(world.one_to(OTHER).starts_with("INVITE"));
    for dialog in &dialogs {
        hang_up(&mut world, dialog);
    }
    assert!(
        seen(&world)
            .iter()
            .all(|(id, _, calls)| *calls == u64::from(*id == 9))
    );
}

#[test]
fn probes_follow_their_interval_at_once_and_what_they_took_out_comes_back_without_them() {
    let mut slow = config();
    slow.dispatcher.probe_interval = secs(3_600);
    let mut world = World::with_tables(slow.clone(), both_tables());
    world.wait(secs(5));
    world.sent.clear();
    let quick = |every| {
        let mut config = slow.clone();
        config.dispatcher.probe_interval = every;
        config.dispatcher.probe_failures = 2;
        config
    };
    take(&mut world, quick(secs(5)));
    world.wait(secs(16));
    let state = |world: &World, id| world.core.dispatcher().find(|t| t.id == id).unwrap().state;
    assert!(world.counter("probes_timed_out") >= 6);
    assert_eq!(
        (state(&world, 1), state(&world, 3)),
        ("inactive", "inactive")
    );
    assert_eq!(state(&world, 9), "active", "nobody routes to it");
    world
        .core
        .set_target_state(world.now, 2, TargetState::Disabled);
    take(&mut world, quick(Duration::ZERO));
    assert_eq!((state(&world, 1), state(&world, 2)), ("active", "disabled"));
    let probes = world.counter("probes_sent");
    world.wait(secs(100));
    assert_eq!(world.counter("probes_sent"), probes);
    assert_eq!(world.core.next_timeout(), None);
    // A set that is routed to now is probed now.
    let mut other = quick(secs(5));
    other.routing.pool_set = 2;
    take(&mut world, other);
    world.wait(Duration::ZERO);
    assert!(world.one_to(OTHER).starts_with("OPTIONS"));
    // One worker probes for all.
    let share = Share {
        worker: 1,
        shards: tandem_call::ShardTable::deal(2),
    };
    let mut world = World::with_tables(CoreConfig { share, ..config() }, both_tables());
    take(
        &mut world,
        CoreConfig {
            share,
            ..quick(secs(5))
        },
    );
    world.wait(secs(20));
    assert_eq!(world.counter("probes_sent"), 0);
}

#[test]
fn limits_and_who_is_trusted_count_for_the_next_message() {
    let mut world = world();
    let dialog = establish(&mut world, "c1");
    let mut config = config();
    config.limits.headers = 16;
    config.max_calls = 1;
    config.guard.trusted =
        tandem_policy::defence::Networks::new([("203.0.113.99".parse().unwrap(), 32)]);
    let stranger = "203.0.113.99".parse().unwrap();
    world.input(Input::Block {
        source: tandem_policy::defence::Source::of(stranger),
        left: secs(300),
    });
    take(&mut world, config);
    assert!(world.core.trusts(stranger));
    assert_eq!(world.pardons.len(), 1, "who is trusted now is heard again");
    new_call(&mut world, CARRIER, "c2");
    let full = world.sent_to(CARRIER).pop().unwrap();
    assert!(start(&full).contains(" 503 "), "{full}");
    let lines = "X-A: 1\r\n".repeat(16);
    let text = dialog.by_caller("INFO", "long", 9, &lines, "");
    world.from(CARRIER, &text);
    let long = world.one_to(CARRIER);
    assert!(start(&long).contains(" 400 "), "{long}");
    hang_up(&mut world, &dialog);
}
