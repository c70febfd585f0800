//! Which target gets a call: algorithms, conferences, fallbacks, and the administrator's word.

use std::time::Duration;

use tandem_call::{Conference, CoreConfig, Input, ShardTable, Share, Tables};
use tandem_policy::{Algorithm, Plan, SetPlan, TargetState};

use super::hang_up;
use super::world::*;

/// A world whose pool shares its calls like this.
fn sharing(algorithm: &str, expression: &str) -> World {
    let mut config = config();
    config.dispatcher.plan = Plan {
        algorithm: Algorithm::parse(algorithm, expression).unwrap(),
        ..Plan::default()
    };
    World::with(config)
}

/// Who gets this INVITE.
fn taker(world: &mut World, text: &str) -> String {
    world.from(CARRIER, text);
    at_pool(world).0
}

/// The n-th call, with these header lines.
fn nth(n: u32, lines: &str) -> String {
    invite_from(CARRIER, &format!("c{n}"), &format!("b{n}"), "")
        .replace("Max-Forwards:", &format!("{lines}Max-Forwards:"))
}

#[test]
fn what_a_request_says_decides() {
    for (algorithm, expression, line) in [
        ("expression", "$hdr(X-Account)", "X-Account: "),
        (
            "auth-user",
            "",
            "Proxy-Authorization: Digest realm=\"x\", username=\"",
        ),
        ("expression", "$ua", "User-Agent: "),
    ] {
        let mut world = sharing(algorithm, expression);
        let end = if algorithm == "auth-user" { "\"" } else { "" };
        let mut takers = std::collections::BTreeMap::<u32, String>::new();
        for n in 0..64 {
            let account = n % 16;
            let text = nth(n, &format!("{line}{account}{end}\r\n"));
            let to = taker(&mut world, &text);
            let known = takers.entry(account).or_insert_with(|| to.clone());
            assert_eq!(*known, to, "{algorithm} {expression} {account}");
        }
        let first = takers.values().filter(|to| *to == POOL[0]).count();
        assert!((1..16).contains(&first), "{algorithm}: {takers:?}");
    }
}

#[test]
fn the_parts_of_a_request_are_found() {
    for expression in [
        "$ci", "$fu", "$fU", "$fd", "$tu", "$tU", "$td", "$ru", "$rU", "$rd", "$si",
    ] {
        let mut world = sharing("expression", expression);
        let varies = expression == "$ci";
        let takers: Vec<_> = (0..40).map(|n| taker(&mut world, &nth(n, ""))).collect();
        let all_one = takers.iter().all(|to| *to == takers[0]);
        assert_eq!(all_one, !varies, "{expression}");
    }
}

#[test]
fn the_fewest_calls_get_the_next_one() {
    let mut world = sharing("call-load", "");
    let first = establish(&mut world, "c1");
    let second = establish(&mut world, "c2");
    assert_ne!(first.pool, second.pool);
    hang_up(&mut world, &first);
    for n in 3..6 {
        let next = establish(&mut world, &format!("c{n}"));
        assert_eq!(next.pool, first.pool);
        hang_up(&mut world, &next);
    }
}

#[test]
fn conferences_have_a_set_of_their_own_and_a_fallback() {
    let mut config = config();
    config.routing.conference = Some(Conference {
        set: 7,
        prefix: "conf".into(),
    });
    let set = SetPlan {
        algorithm: Algorithm::parse("expression", "$rU").unwrap(),
        fallback: Some(1),
    };
    config.dispatcher.plan.sets.insert(7, set);
    let mut tables = tables();
    let mut room = tables.dispatcher[0].clone();
    (room.id, room.setid, room.destination) = (9, 7, "sip:10.0.0.70:5060".into());
    tables.dispatcher.push(room);
    let mut world = World::with_tables(config, tables);
    let to = |user: &str, n| {
        let text = nth(n, "");
        let (line, rest) = text.split_once("\r\n").unwrap();
        let uri = line.split(' ').nth(1).unwrap();
        let line = line.replace(uri, &format!("sip:{user}@{OUTSIDE}"));
        format!("{line}\r\n{rest}")
    };
    world.from(CARRIER, &to("Conf-4711", 1));
    assert!(world.one_to("10.0.0.70:5060").starts_with("INVITE"));
    world.from(CARRIER, &to("con", 2));
    at_pool(&mut world);
    // Its members are ours: they may call out.
    let out = invite_from("10.0.0.70:5060", "c3", "b3", "");
    world.from("10.0.0.70:5060", &out);
    assert!(world.one_to(TRUNK).starts_with("INVITE"));
    assert!(
        world
            .core
            .set_target_state(world.now, 9, TargetState::Disabled)
    );
    world.from(CARRIER, &to("conf-4711", 4));
    at_pool(&mut world);
}

#[test]
fn a_drain_takes_no_new_calls_and_cuts_none_and_outlives_the_process() {
    let mut world = World::new();
    let dialogs: Vec<Dialog> = (0..8)
        .map(|n| establish(&mut world, &format!("c{n}")))
        .collect();
    let state = |world: &World, id| {
        let mut targets = world.core.dispatcher();
        let target = targets.find(|t| t.id == id).unwrap();
        (target.state, target.calls)
    };
    let (_, had) = state(&world, 1);
    assert!((1..8).contains(&had), "{had}");
    assert!(
        world
            .core
            .set_target_state(world.now, 1, TargetState::Draining)
    );
    assert!(
        !world
            .core
            .set_target_state(world.now, 77, TargetState::Draining)
    );
    world.input(Input::Timer);
    for n in 10..30 {
        let next = establish(&mut world, &format!("c{n}"));
        assert_eq!(next.pool, POOL[1]);
        hang_up(&mut world, &next);
    }
    let mut world = world.crash();
    world.dataplane_up();
    assert_eq!(state(&world, 1), ("draining", had));
    for dialog in &dialogs {
        hang_up(&mut world, dialog);
    }
    assert_eq!(state(&world, 1), ("draining", 0));
    assert!(
        world
            .core
            .set_target_state(world.now, 1, TargetState::Active)
    );
    world.input(Input::Timer);
    world.assert_clean();
    assert_eq!(state(&world.crash(), 1), ("active", 0));
}

#[test]
fn another_word_in_the_table_ends_the_administrators() {
    let mut world = World::new();
    world
        .core
        .set_target_state(world.now, 1, TargetState::Disabled);
    world.input(Input::Timer);
    assert_eq!(world.journal.len(), 1);
    let mut changed = tables();
    changed.dispatcher[0].flags = 8;
    world.input(Input::Tables(std::sync::Arc::new(changed)));
    assert!(world.journal.is_empty());
    let mut targets = world.core.dispatcher();
    assert_eq!(targets.find(|t| t.id == 1).unwrap().state, "probing");
}

#[test]
fn workers_tell_each_other_how_many_calls_a_target_has() {
    let full = Tables {
        dispatcher: tables()
            .dispatcher
            .into_iter()
            .map(|row| tandem_policy::DispatcherRow {
                attrs: "maxload=1".into(),
                ..row
            })
            .collect(),
        ..tables()
    };
    let worker = |worker| {
        let share = Share {
            worker,
            shards: ShardTable::deal(2),
        };
        let config = CoreConfig { share, ..config() };
        World::with_tables(config, full.clone())
    };
    let (mut one, mut other) = (worker(0), worker(1));
    let first = taker(&mut one, &nth(1, ""));
    one.wait(Duration::from_millis(100));
    for news in std::mem::take(&mut one.news) {
        other.input(Input::Told(news));
    }
    let second = taker(&mut other, &nth(2, ""));
    assert_ne!(first, second);
    other.wait(Duration::from_millis(100));
    for news in std::mem::take(&mut other.news) {
        one.input(Input::Told(news));
    }
    one.from(CARRIER, &nth(3, ""));
    let no = one.sent_to(CARRIER).pop().unwrap();
    assert!(no.starts_with("SIP/2.0 503"), "{no}");
    // What the first worker was told by the administrator the other ones hear in the next life.
    one.core.set_target_state(one.now, 1, TargetState::Disabled);
    one.input(Input::Timer);
    let one = one.crash();
    assert!(!one.news.is_empty());
    for news in one.news {
        other.input(Input::Told(news));
    }
    let mut targets = other.core.dispatcher();
    assert_eq!(targets.find(|t| t.id == 1).unwrap().state, "disabled");
}
