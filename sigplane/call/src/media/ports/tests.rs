use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use tandem_sip::ShardTable;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn realm(addresses: &[&str], ports: RangeInclusive<u16>) -> RealmMedia {
    RealmMedia {
        addresses: addresses.iter().map(|a| ip(a)).collect(),
        ports,
    }
}

fn want(realm: u16) -> Want {
    Want {
        realm,
        address: None,
        ipv4: true,
        strict: false,
    }
}

fn two_realms(workers: &[u16]) -> Ports {
    let realms = [
        realm(&["192.0.2.1", "2001:db8::1"], 30000..=30199),
        realm(&["10.0.0.1"], 40000..=40199),
    ];
    Ports::new(&realms, SlotTable::deal(workers), 7, Share::default())
}

#[test]
fn both_legs_have_one_owner_and_calls_alternate_between_workers() {
    let mut ports = two_realms(&[0, 1]);
    let mut owners = Vec::new();
    for _ in 0..10 {
        let [a, b] = ports.take_both(want(0), want(1), None).unwrap();
        assert_eq!(ports.owner(a), ports.owner(b));
        assert_eq!((a.port % 2, b.port % 2), (0, 0));
        owners.push(ports.owner(a));
    }
    assert_eq!(owners, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
    let [a, _] = ports.take_both(want(0), want(1), Some(1)).unwrap();
    assert_eq!(ports.owner(a), 1);
}

#[test]
fn the_wanted_family_and_address_come_first() {
    let mut ports = two_realms(&[0]);
    let v6 = Want {
        ipv4: false,
        ..want(0)
    };
    let [a, b] = ports
        .take_both(
            v6,
            Want {
                ipv4: false,
                ..want(1)
            },
            None,
        )
        .unwrap();
    assert_eq!((a.address, b.address), (ip("2001:db8::1"), ip("10.0.0.1")));
    assert!(
        ports
            .take_both(
                want(0),
                Want {
                    ipv4: false,
                    strict: true,
                    ..want(1)
                },
                None
            )
            .is_none()
    );
    assert_eq!(ports.usage(0).used, 1, "the first leg went back");
    let named = Want {
        address: Some(ip("2001:db8::1")),
        ..want(0)
    };
    assert_eq!(
        ports.take_both(named, want(1), None).unwrap()[0].address,
        ip("2001:db8::1")
    );
    assert_eq!(ports.address(0, false), Some(ip("2001:db8::1")));
    assert_eq!(ports.address(1, false), Some(ip("10.0.0.1")));
    assert_eq!(ports.address(9, true), None);
}

#[test]
fn a_full_pool_says_so_and_a_freed_port_waits_its_turn() {
    let mut ports = Ports::new(
        &[realm(&["10.0.0.1"], 30000..=30007)],
        SlotTable::deal(&[0]),
        1,
        Share::default(),
    );
    assert_eq!(ports.usage(0), Usage { used: 0, free: 4 });
    let [a, b] = ports.take_both(want(0), want(0), None).unwrap();
    ports.free(a);
    ports.free(a);
    assert_eq!(ports.usage(0), Usage { used: 1, free: 3 });
    let [c, d] = ports.take_both(want(0), want(0), None).unwrap();
    assert!(c != a && d != a, "the freed pair is the last in the queue");
    assert!(
        ports.take_both(want(0), want(0), None).is_none(),
        "one pair is left, two are wanted"
    );
    assert_eq!(ports.usage(0), Usage { used: 3, free: 1 });
    assert_eq!(ports.take_beside(want(0), b), Some(a));
    assert_eq!(ports.take_beside(want(0), b), None);
}

#[test]
fn ranges_at_the_edges() {
    for (ports, pairs) in [
        (65534..=65535, 1),
        (65535..=65535, 0),
        (1..=4, 1),
        (0..=65535, 32768),
    ] {
        let ports = Ports::new(
            &[realm(&["10.0.0.1"], ports)],
            SlotTable::deal(&[0]),
            1,
            Share::default(),
        );
        assert_eq!(
            ports.usage(0),
            Usage {
                used: 0,
                free: pairs
            }
        );
    }
}

#[test]
fn the_order_is_the_seeds() {
    let first = |seed| {
        let realms = [
            realm(&["10.0.0.1"], 30000..=39999),
            realm(&["10.0.0.2"], 30000..=39999),
        ];
        let mut ports = Ports::new(&realms, SlotTable::deal(&[0]), seed, Share::default());
        ports.take_both(want(0), want(1), None).unwrap()
    };
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
    assert_ne!(
        first(1)[0].port,
        first(1)[1].port,
        "the realms' orders differ"
    );
}

#[test]
fn reserved_ports_are_not_handed_out() {
    let mut ports = two_realms(&[0, 1]);
    let end = End {
        realm: 1,
        address: ip("10.0.0.1"),
        port: 40010,
    };
    assert!(ports.reserve(end));
    assert!(!ports.reserve(end), "taken");
    for bad in [
        End { port: 40011, ..end },
        End { port: 39998, ..end },
        End { port: 40200, ..end },
        End {
            address: ip("10.0.0.9"),
            ..end
        },
        End { realm: 7, ..end },
    ] {
        assert!(!ports.reserve(bad), "{bad:?}");
        ports.free(bad);
    }
    let mut seen = 0;
    while let Some([_, b]) = ports.take_both(want(0), want(1), None) {
        assert_ne!(b, end);
        seen += 1;
    }
    assert_eq!(seen, 99);
}

#[test]
fn another_table_of_owners_keeps_what_is_in_use() {
    let mut ports = two_realms(&[0]);
    let [a, b] = ports.take_both(want(0), want(1), None).unwrap();
    ports.set_slots(SlotTable::deal(&[3, 5]));
    assert_eq!(ports.usage(1), Usage { used: 1, free: 99 });
    let [c, d] = ports.take_both(want(0), want(1), Some(5)).unwrap();
    assert_eq!((ports.owner(c), ports.owner(d)), (5, 5));
    for end in [a, b, c, d] {
        ports.free(end);
    }
    assert_eq!(ports.usage(0), Usage { used: 0, free: 200 });
    assert_eq!(ports.usage(1), Usage { used: 0, free: 100 });
}

proptest! {
    #[test]
    fn no_pair_is_handed_out_twice(
        steps in proptest::collection::vec((0_u8..4, any::<prop::sample::Index>(), 0_u16..2, 0_u16..2), 1..300),
    ) {
        let mut ports = two_realms(&[0, 1, 2]);
        let all = [ports.usage(0), ports.usage(1)];
        let mut taken: Vec<End> = Vec::new();
        for (step, index, a, b) in steps {
            match step {
                0 | 1 => if let Some([x, y]) = ports.take_both(want(a), want(b), Some(a)) {
                    prop_assert_eq!(ports.owner(x), ports.owner(y));
                    taken.extend([x, y]);
                },
                2 if !taken.is_empty() => {
                    let end = taken.swap_remove(index.index(taken.len()));
                    ports.free(end);
                }
                2 => {}
                _ if a == b => ports.set_slots(SlotTable::deal(&[0, 1 + a])),
                _ => {
                    let end = End { realm: 1, address: ip("10.0.0.1"), port: 40000 + 2 * index.index(110) as u16 };
                    if ports.reserve(end) {
                        taken.push(end);
                    }
                }
            }
            let distinct: HashSet<_> = taken.iter().collect();
            prop_assert_eq!(distinct.len(), taken.len());
            let used: usize = [0, 1].iter().map(|r| ports.usage(*r).used).sum();
            prop_assert_eq!(used, taken.len());
        }
        for end in taken {
            ports.free(end);
        }
        prop_assert_eq!([ports.usage(0), ports.usage(1)], all);
    }
}

#[test]
fn cores_share_the_ports_and_each_has_some_of_every_owner() {
    for (workers, range) in [
        (1, 30000..=30199),
        (2, 30000..=39999),
        (3, 30000..=30199),
        (4, 30000..=65535),
    ] {
        let shards = ShardTable::deal(workers);
        let mut all = HashSet::new();
        let mut most = 0;
        for worker in 0..workers {
            let realms = [realm(&["10.0.0.1"], range.clone())];
            let share = Share { worker, shards };
            let mut ports = Ports::new(&realms, SlotTable::deal(&[0, 1]), 7, share);
            let free = ports.usage(0).free;
            most = most.max(free);
            assert!(
                free * 5 > most * 4,
                "{worker} of {workers}: {free} of {most}"
            );
            let mut owners = HashSet::new();
            while let Some([a, b]) = ports.take_both(want(0), want(0), None) {
                assert_eq!(ports.owner(a), ports.owner(b));
                owners.insert(ports.owner(a));
                assert!(all.insert(a.port) && all.insert(b.port), "two have it");
            }
            assert_eq!(owners.len(), 2, "{worker} of {workers}");
        }
        // Of each owner's ports of each core at most one is left over.
        let count = range.len() / 2;
        assert!(
            all.len() + 2 * usize::from(workers) >= count,
            "{} of {count}",
            all.len()
        );
    }
}

#[test]
fn a_port_of_another_cores_part_is_held_and_given_back() {
    let core = |worker, workers| {
        let shards = ShardTable::deal(workers);
        let realms = [realm(&["10.0.0.1"], 30000..=30199)];
        Ports::new(&realms, SlotTable::deal(&[0]), 7, Share { worker, shards })
    };
    // Every port is in use in the first life, of one core.
    let mut before = core(0, 1);
    let mut held = Vec::new();
    while let Some([a, b]) = before.take_both(want(0), want(0), None) {
        held.extend([a, b]);
    }
    // In the second, all of them are with the first of two.
    let (mut first, mut second) = (core(0, 2), core(1, 2));
    assert!(held.iter().all(|end| first.reserve(*end)));
    assert!(!first.reserve(held[0]));
    let mut told = 0;
    while let Some(news) = first.news() {
        second.told(news);
        told += 1;
    }
    assert_eq!(told, second.usage(0).used);
    assert_eq!((first.usage(0).free, second.usage(0).free), (0, 0));
    assert!(second.take_both(want(0), want(0), None).is_none());
    assert_eq!(
        second.news(),
        None,
        "its own ports are nobody else's business"
    );
    held.iter().for_each(|end| first.free(*end));
    held.iter().for_each(|end| first.free(*end));
    assert!(second.take_both(want(0), want(0), None).is_none());
    while let Some(news) = first.news() {
        // Who has no part in it does not take it for its own.
        core(0, 2).told(news);
        second.told(news);
    }
    assert_eq!(first.usage(0).used + second.usage(0).used, 0);
    let free = first.usage(0).free + second.usage(0).free;
    assert_eq!(free, held.len());
    assert!(second.take_both(want(0), want(0), None).is_some());
}

/// One address with two owners, pairs rest for five seconds.
fn resting(addresses: &[&str], ports: RangeInclusive<u16>) -> Ports {
    let realms = [realm(addresses, ports)];
    let mut ports = Ports::new(&realms, SlotTable::deal(&[0, 1]), 7, Share::default());
    ports.set_quarantine(Duration::from_secs(5));
    ports
}

#[test]
fn a_pair_rests_and_is_taken_early_only_when_nothing_else_is_left() {
    // Four pairs, two of each owner.
    let mut ports = resting(&["10.0.0.1"], 30000..=30007);
    let at = |ports: &mut Ports, ms| ports.at(Duration::from_millis(ms));
    at(&mut ports, 1);
    let [a, b] = ports.take_both(want(0), want(0), Some(0)).unwrap();
    ports.free(b);
    at(&mut ports, 2);
    ports.free(a);
    // Those of the owner that is asked for rest, so the other owner's go first.
    at(&mut ports, 5_000);
    let [c, d] = ports.take_both(want(0), want(0), Some(0)).unwrap();
    assert_eq!(ports.owner(c), 1);
    assert_eq!(ports.early(), 0);
    // Nothing else is left. The one that was freed first goes first.
    assert_eq!(ports.take_both(want(0), want(0), None), Some([b, a]));
    assert_eq!(ports.early(), 2);
    for end in [c, d, a, b] {
        ports.free(end);
    }
    // To the millisecond.
    at(&mut ports, 9_999);
    assert_eq!(ports.take_beside(want(0), c), Some(c));
    assert_eq!(ports.early(), 3);
    at(&mut ports, 10_000);
    assert_eq!(ports.take_beside(want(0), c), Some(d));
    assert_eq!(ports.early(), 3);
}

#[test]
fn a_pair_that_rests_does_not_change_the_family() {
    let mut ports = resting(&["10.0.0.1", "2001:db8::1"], 30000..=30007);
    let v4 = |ports: &mut Ports| {
        let both = ports.take_both(want(0), want(0), None).unwrap();
        both.map(|end| end.address.is_ipv4())
    };
    for _ in 0..2 {
        assert_eq!(v4(&mut ports), [true; 2]);
    }
    let all = |ports: &mut Ports| {
        let mut used = Vec::new();
        for port in (30000..30008).step_by(2) {
            let (realm, address) = (0, ip("10.0.0.1"));
            used.push(End {
                realm,
                address,
                port,
            });
        }
        used.into_iter().for_each(|end| ports.free(end));
    };
    all(&mut ports);
    assert_eq!(v4(&mut ports), [true; 2], "IPv6 has rested");
    assert_eq!(ports.early(), 2);
    assert_eq!(v4(&mut ports), [true; 2]);
    // No exhaustion while there is something: an end that may be of either family is.
    assert_eq!(v4(&mut ports), [false; 2]);
}

#[test]
fn calls_spread_over_the_addresses_of_each_family_and_over_owners() {
    let addresses = [
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
        "2001:db8::1",
        "2001:db8::2",
    ];
    let mut ports = resting(&addresses, 30000..=30999);
    let mut of_address = std::collections::HashMap::new();
    let mut of_owner = [0; 2];
    for n in 0..600 {
        let ipv4 = (n / 2) % 2 == 0;
        // As a session does it.
        let address = ports.address(0, ipv4);
        let own = Want {
            address,
            ipv4,
            strict: true,
            ..want(0)
        };
        let [a, b] = ports.take_both(own, own, None).unwrap();
        assert_eq!(a.address.is_ipv4(), ipv4);
        *of_address.entry(a.address).or_insert(0) += 1;
        assert_eq!((b.address, ports.owner(b)), (a.address, ports.owner(a)));
        of_owner[usize::from(ports.owner(a))] += 1;
    }
    assert_eq!(of_address.len(), 5);
    for (address, calls) in of_address {
        assert_eq!(
            calls,
            if address.is_ipv4() { 100 } else { 150 },
            "{address}"
        );
    }
    assert_eq!(of_owner, [300, 300]);
}

#[test]
fn another_table_of_owners_keeps_the_order_of_rest() {
    let mut ports = resting(&["10.0.0.1"], 30000..=30015);
    let mut taken = Vec::new();
    while let Some(both) = ports.take_both(want(0), want(0), None) {
        taken.extend(both);
    }
    for (n, end) in taken.iter().enumerate() {
        ports.at(Duration::from_millis(1 + n as u64));
        ports.free(*end);
    }
    ports.set_slots(SlotTable::deal(&[4]));
    let mut again = Vec::new();
    while let Some(both) = ports.take_both(want(0), want(0), None) {
        again.extend(both);
    }
    assert_eq!(again, taken);
}

proptest! {
    /// Beside a plain list: the oldest pair that is free is the next; early only when no owner has a rested one;
    /// none only when none is left.
    #[test]
    fn the_order_is_that_of_a_plain_list(
        steps in proptest::collection::vec((0_u8..3, any::<prop::sample::Index>(), 0_u64..3_000), 1..400),
    ) {
        const REST: u64 = 5_000;
        let mut ports = resting(&["10.0.0.1"], 30000..=30031);
        // By owner: the free ones with the time, first to last. Their first order is by chance.
        let mut free: [VecDeque<(Option<u64>, u16)>; 2] = [VecDeque::new(), VecDeque::new()];
        let mut taken: Vec<End> = Vec::new();
        while let Some(both) = ports.take_both(want(0), want(0), None) {
            taken.extend(both);
        }
        prop_assert_eq!(taken.len(), 16);
        let (mut now, mut early) = (1, 0);
        for (step, index, wait) in steps {
            now += wait;
            ports.at(Duration::from_millis(now));
            if step == 0 && !taken.is_empty() {
                let end = taken.swap_remove(index.index(taken.len()));
                ports.free(end);
                free[usize::from(ports.owner(end))].push_back((Some(now), end.port));
                continue;
            }
            if step == 1 && !taken.is_empty() {
                // A call that comes back holds one of those that are free.
                let at = index.index(16);
                let end = End { port: 30000 + 2 * at as u16, ..taken[0] };
                let owner = usize::from(ports.owner(end));
                let place = free[owner].iter().position(|(_, port)| *port == end.port);
                prop_assert_eq!(ports.reserve(end), place.is_some());
                if let Some(place) = place {
                    free[owner].remove(place);
                    taken.push(end);
                }
                continue;
            }
            let rested = |list: &VecDeque<(Option<u64>, u16)>| {
                list.iter().take(2).filter(|(freed, _)| freed.is_none_or(|f| f + REST <= now)).count()
            };
            let has_rested = free.iter().any(|list| rested(list) == 2);
            let has_any = free.iter().any(|list| list.len() >= 2);
            let got = ports.take_both(want(0), want(0), None);
            prop_assert_eq!(got.is_some(), has_any);
            if let Some(both) = got {
                let list = &mut free[usize::from(ports.owner(both[0]))];
                early += 2 - rested(list) as u64;
                prop_assert_eq!(rested(list) == 2, has_rested);
                for end in both {
                    prop_assert_eq!(list.pop_front().map(|(_, port)| port), Some(end.port));
                }
                taken.extend(both);
            }
            prop_assert_eq!(ports.early(), early);
        }
    }
}
