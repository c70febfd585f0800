use super::*;
use crate::locate::Why;
use crate::target::TargetState;
use proptest::prelude::*;

const THRESHOLDS: Thresholds = Thresholds {
    failures: 3,
    successes: 2,
    probing: true,
};

fn row(id: i64, setid: u32, destination: &str) -> DispatcherRow {
    DispatcherRow {
        id,
        setid,
        destination: destination.into(),
        flags: 0,
        priority: 0,
        attrs: String::new(),
        description: String::new(),
    }
}

/// The order of a call whose request has these fields.
fn order(d: &mut Dispatcher, set: u32, call: &Call) -> Vec<i64> {
    let draw = Draw {
        call_id: call.call_id.as_bytes(),
        random: call.random,
    };
    d.order(set, draw, |field| match field {
        Field::CallId => call.call_id.clone().into_bytes(),
        Field::FromUri => call.from.clone().into_bytes(),
        Field::AuthUser => call.user.clone().into_bytes(),
        other => panic!("{other:?} was not expected"),
    })
}

#[derive(Clone, Default)]
struct Call {
    call_id: String,
    from: String,
    user: String,
    random: u64,
}

/// That of a call with the default algorithm.
fn ordered(d: &mut Dispatcher, call_id: &[u8]) -> Vec<i64> {
    let draw = Draw { call_id, random: 0 };
    d.order(1, draw, |field| {
        assert_eq!(*field, Field::CallId);
        call_id.to_vec()
    })
}

fn with(algorithm: &str, rows: &[DispatcherRow]) -> Dispatcher {
    let plan = Plan {
        algorithm: Algorithm::parse(algorithm, "").unwrap(),
        ..Plan::default()
    };
    let mut dispatcher = Dispatcher::new(THRESHOLDS, plan);
    assert_eq!(dispatcher.load(rows), []);
    dispatcher
}

/// How many of the calls each of the first four targets gets.
fn shares(d: &mut Dispatcher, calls: impl Iterator<Item = u64>, hold: bool) -> [u64; 4] {
    let mut shares = [0; 4];
    for n in calls {
        let call = Call {
            call_id: format!("call-{n}@example"),
            from: format!("sip:{}@example", n % 1_000),
            user: format!("{}", n % 1_000),
            // What a generator would give.
            random: n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7,
        };
        let first = order(d, 1, &call)[0];
        if hold {
            d.call_begins(first);
        }
        shares[usize::try_from(first).unwrap() - 1] += 1;
    }
    shares
}

fn pool(n: i64) -> Vec<DispatcherRow> {
    (1..=n)
        .map(|i| row(i, 1, &format!("sip:10.0.0.{i}:5060")))
        .collect()
}

fn dispatcher(rows: &[DispatcherRow]) -> Dispatcher {
    let mut dispatcher = Dispatcher::new(THRESHOLDS, Plan::default());
    assert_eq!(dispatcher.load(rows), []);
    dispatcher
}

#[test]
fn bad_rows_are_named_and_skipped() {
    let mut dispatcher = Dispatcher::new(THRESHOLDS, Plan::default());
    let bad = dispatcher.load(&[
        row(1, 1, "sip:fs1 example.net"),
        row(2, 1, "sip:10.0.0.2"),
        row(2, 1, "sip:10.0.0.3"),
    ]);
    assert_eq!(bad.iter().map(|b| b.id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(ordered(&mut dispatcher, b"x"), [2]);
    assert_eq!(
        bad[0].to_string().split(':').next(),
        Some("table dispatcher, id 1")
    );
}

#[test]
fn a_name_has_servers_when_it_was_looked_up() {
    let mut d = dispatcher(&[row(1, 1, "sip:pool.example"), row(2, 1, "sip:10.0.0.2")]);
    let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
    assert!(d.target(1).unwrap().servers(0).is_empty() && d.is_member(1, ip(2)));
    let located = |last: u8| {
        let host = Host::Address(ip(last));
        let wanted = Wanted::new(false, host, None, None).unwrap();
        Located::known(&wanted).unwrap()
    };
    let failure = |why| NotLocated {
        why,
        ttl: Duration::from_secs(1),
    };
    let has = |d: &Dispatcher, last: u8| d.is_member(1, ip(last));
    d.locate(1, Ok(located(7)));
    assert!(has(&d, 7) && d.target(1).unwrap().servers(0).len() == 1);
    d.locate(1, Ok(located(8)));
    assert!(has(&d, 8) && !has(&d, 7));
    // A silent DNS takes nothing away, one that says so does; a reload keeps what is known.
    d.locate(1, Err(failure(Why::Unanswered)));
    d.load(&[row(1, 1, "sip:pool.example")]);
    assert!(has(&d, 8) && !has(&d, 2));
    d.locate(1, Err(failure(Why::NoAddress)));
    assert!(!has(&d, 8));
}

#[test]
fn thresholds_take_a_target_out_and_bring_it_back() {
    let mut d = dispatcher(&pool(2));
    assert_eq!(d.failed(1, true), None);
    assert_eq!(d.failed(1, true), None);
    assert_eq!(d.failed(1, true), Some(StateChange::Deactivated));
    assert_eq!(d.failed(1, true), None);
    assert_eq!(ordered(&mut d, b"any"), [2]);
    let ms = Duration::from_millis;
    assert_eq!(d.succeeded(1, ms(4)), None);
    assert_eq!(
        d.failed(1, false),
        None,
        "one failure starts the count anew"
    );
    assert_eq!(d.succeeded(1, ms(4)), None);
    assert_eq!(d.succeeded(1, ms(6)), Some(StateChange::Activated));
    assert_eq!(ordered(&mut d, b"any").len(), 2);
    let latency = d.target(1).unwrap().latency;
    assert_eq!(
        (latency.timeouts, latency.last, latency.max),
        (4, Some(ms(6)), Some(ms(6)))
    );
}

#[test]
fn without_probing_failures_never_take_a_target_out() {
    let thresholds = Thresholds {
        probing: false,
        ..THRESHOLDS
    };
    let mut d = Dispatcher::new(thresholds, Plan::default());
    d.load(&pool(1));
    for _ in 0..10 {
        assert_eq!(d.failed(1, true), None);
    }
    assert_eq!(ordered(&mut d, b"x"), [1]);
}

#[test]
fn flags_are_kamailios() {
    let mut rows = pool(4);
    for (row, flags) in rows.iter_mut().zip([0, 1, 4, 8]) {
        row.flags = flags;
    }
    let mut d = dispatcher(&rows);
    let states: Vec<_> = d.targets().map(|t| t.state).collect();
    use TargetState::{Active, Disabled, Inactive, Probing};
    assert_eq!(states, [Active, Inactive, Disabled, Probing]);
    let mut order = ordered(&mut d, b"x");
    order.sort_unstable();
    assert_eq!(order, [1, 4]);
    assert!(d.is_member(1, "10.0.0.3".parse().unwrap()));
}

#[test]
fn a_reload_keeps_what_was_learned_unless_the_flags_changed() {
    let mut rows = pool(2);
    let mut d = dispatcher(&rows);
    for id in [1, 2] {
        for _ in 0..3 {
            d.failed(id, true);
        }
    }
    d.call_begins(1);
    rows[1].flags = 8;
    assert_eq!(d.load(&rows), []);
    assert_eq!(d.target(1).unwrap().state, TargetState::Inactive);
    assert_eq!(d.target(1).unwrap().calls, 1);
    assert_eq!(d.target(2).unwrap().state, TargetState::Probing);
    d.call_ends(1);
    d.call_ends(1);
    assert_eq!(d.target(1).unwrap().calls, 0);
}

#[test]
fn failover_goes_by_priority_after_the_hash() {
    let mut rows = pool(5);
    for row in &mut rows {
        row.priority = i32::try_from(row.id).unwrap();
    }
    let mut d = dispatcher(&rows);
    let order = ordered(&mut d, b"call");
    assert!(order[1..].windows(2).all(|w| w[0] > w[1]), "{order:?}");
}

#[test]
fn calls_spread_evenly() {
    let mut d = dispatcher(&pool(4));
    let mut counts = [0_u32; 4];
    for i in 0..4000 {
        let first = ordered(&mut d, format!("call-{i}@example").as_bytes())[0];
        counts[usize::try_from(first).unwrap() - 1] += 1;
    }
    assert!(counts.iter().all(|c| (850..1150).contains(c)), "{counts:?}");
}

proptest! {
    #[test]
    fn only_a_leaving_targets_calls_move(
        n in 2_i64..12, leaving in 1_i64..12, call_id in proptest::collection::vec(any::<u8>(), 1..40)
    ) {
        let leaving = (leaving - 1) % n + 1;
        let mut all = dispatcher(&pool(n));
        let mut rows = pool(n);
        rows.retain(|r| r.id != leaving);
        let mut fewer = dispatcher(&rows);
        let before = ordered(&mut all, &call_id);
        let after = ordered(&mut fewer, &call_id);
        prop_assert_eq!(before.len(), after.len() + 1);
        if before[0] == leaving {
            prop_assert_eq!(before[1], after[0]);
        } else {
            prop_assert_eq!(before[0], after[0]);
        }
    }

    #[test]
    fn the_order_holds_each_target_once(n in 1_i64..12, call_id: Vec<u8>) {
        let mut order = ordered(&mut dispatcher(&pool(n)), &call_id);
        order.sort_unstable();
        prop_assert_eq!(order, (1..=n).collect::<Vec<_>>());
    }
}

fn near(shares: [u64; 4], expected: [u64; 4]) {
    let close = |(share, expected): (u64, u64)| share.abs_diff(expected) <= expected / 6;
    assert!(
        shares.into_iter().zip(expected).all(close),
        "{shares:?}, not {expected:?}"
    );
}

#[test]
fn each_algorithm_spreads_ten_thousand_calls_with_one_target_lost_and_back() {
    let weights = [10, 20, 30, 40];
    let mut rows = pool(4);
    for (row, weight) in rows.iter_mut().zip(weights) {
        row.attrs = format!("weight={weight};rweight={weight}");
    }
    let even = [2_500; 4];
    let by_weight = [1_000, 2_000, 3_000, 4_000];
    for (algorithm, expected) in [
        ("call-id", even),
        ("from-uri", even),
        ("auth-user", even),
        ("round-robin", even),
        ("random", even),
        ("call-load", even),
        ("weight", by_weight),
        ("relative-weight", by_weight),
    ] {
        let mut d = with(algorithm, &rows);
        let loaded = algorithm == "call-load";
        near(shares(&mut d, 0..10_000, loaded), expected);
        for _ in 0..3 {
            d.failed(2, true);
        }
        let without = shares(&mut d, 10_000..20_000, loaded);
        assert_eq!(without[1], 0, "{algorithm}");
        let rest: u64 = expected.iter().sum::<u64>() - expected[1];
        let mut grown = expected.map(|n| n * 10_000 / rest);
        grown[1] = 0;
        near(without, grown);
        for _ in 0..2 {
            d.succeeded(2, Duration::from_millis(1));
        }
        let back = shares(&mut d, 20_000..30_000, loaded);
        if loaded {
            // It has fewer calls than the others until it has caught up with them.
            let loads: Vec<_> = d.targets().map(Target::load).collect();
            assert!(loads.iter().all(|l| *l == 7_500), "{loads:?}");
        } else {
            near(back, expected);
        }
    }
}

#[test]
fn exact_shares_where_turns_are_taken() {
    let mut rows = pool(3);
    for (row, weight) in rows.iter_mut().zip([5, 1, 0]) {
        row.attrs = format!("weight={weight}");
    }
    let mut d = with("weight", &rows);
    assert_eq!(shares(&mut d, 0..600, false), [500, 100, 0, 0]);
    let mut d = with("round-robin", &rows);
    let turns: Vec<_> = (0..5)
        .map(|_| order(&mut d, 1, &Call::default())[0])
        .collect();
    assert_eq!(turns, [1, 2, 3, 1, 2]);
    // Who has no weight is asked when the others fail, and where nobody has one all are equal.
    let mut d = with("weight", &rows);
    assert!(order(&mut d, 1, &Call::default()).contains(&3));
    let mut d = with("relative-weight", &pool(4));
    assert_eq!(shares(&mut d, 0..400, false), [100; 4]);
}

#[test]
fn priority_goes_to_the_highest_that_there_is() {
    let mut rows = pool(3);
    rows[1].priority = 5;
    let mut d = with("8", &rows);
    assert_eq!(shares(&mut d, 0..10, false), [0, 10, 0, 0]);
    d.set_state(2, TargetState::Disabled);
    let share = shares(&mut d, 0..1_000, false);
    assert!(share[0] > 400 && share[2] > 400, "equals share: {share:?}");
}

#[test]
fn a_hash_of_nothing_goes_round_robin() {
    let mut d = with("auth-user", &pool(3));
    let turns: Vec<_> = (0..4)
        .map(|_| order(&mut d, 1, &Call::default())[0])
        .collect();
    assert_eq!(turns, [1, 2, 3, 1]);
    let known = Call {
        user: "4711".into(),
        ..Call::default()
    };
    let first = order(&mut d, 1, &known)[0];
    assert!((0..9).all(|_| order(&mut d, 1, &known)[0] == first));
}

#[test]
fn a_full_target_gets_no_more_calls() {
    let mut rows = pool(2);
    rows[0].attrs = "maxload=3".into();
    let mut d = with("priority", &rows);
    d.call_begins(1);
    d.load_elsewhere(1, 7, 2);
    assert_eq!(order(&mut d, 1, &Call::default()), [2]);
    d.load_elsewhere(1, 7, 1);
    assert_eq!(order(&mut d, 1, &Call::default()).len(), 2);
    d.load_elsewhere(1, 7, 0);
    assert_eq!(d.target(1).unwrap().load(), 1);
}

#[test]
fn wrong_attributes_are_named_and_the_target_is_used() {
    let mut rows = pool(1);
    rows[0].attrs = "weight=much".into();
    let mut d = Dispatcher::new(THRESHOLDS, Plan::default());
    let bad = d.load(&rows);
    assert!(bad[0].reason.starts_with("attrs: weight=much"), "{bad:?}");
    assert_eq!(ordered(&mut d, b"x"), [1]);
}

#[test]
fn the_fallback_has_its_turn_when_nobody_takes_calls() {
    let set = |fallback| SetPlan {
        fallback,
        ..SetPlan::default()
    };
    let plan = Plan {
        sets: BTreeMap::from([(1, set(Some(2))), (2, set(Some(3))), (3, set(Some(1)))]),
        ..Plan::default()
    };
    let mut d = Dispatcher::new(THRESHOLDS, plan);
    let rows = [row(1, 1, "sip:10.0.0.1"), row(2, 3, "sip:10.0.0.2")];
    d.load(&rows);
    assert_eq!(ordered(&mut d, b"x"), [1]);
    d.set_state(1, TargetState::Draining);
    assert_eq!(ordered(&mut d, b"x"), [2]);
    d.set_state(2, TargetState::Disabled);
    assert!(ordered(&mut d, b"x").is_empty(), "in a circle");
    assert_eq!(d.reachable(1).take(3).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn the_administrators_word_outlives_probes_and_reloads_and_the_tables_word_ends_it() {
    let mut rows = pool(2);
    let mut d = dispatcher(&rows);
    assert!(d.set_state(1, TargetState::Draining) && !d.set_state(9, TargetState::Active));
    for _ in 0..5 {
        assert_eq!(d.succeeded(1, Duration::ZERO), None);
        assert_eq!(d.failed(1, true), None);
    }
    d.load(&rows);
    assert_eq!(d.target(1).unwrap().state, TargetState::Draining);
    // A new life knows it before it has read the table.
    let mut next = Dispatcher::new(THRESHOLDS, Plan::default());
    for (place, state) in d.held() {
        next.hold(place.clone(), *state);
    }
    next.load(&rows);
    assert_eq!(ordered(&mut next, b"x"), [2]);
    next.set_state(1, TargetState::Active);
    assert!(next.held().is_empty() && ordered(&mut next, b"x").len() == 2);
    rows[0].flags = 1;
    d.load(&rows);
    assert_eq!(d.target(1).unwrap().state, TargetState::Inactive);
}
