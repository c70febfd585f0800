//! Who is blocked when, and for how long.

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1000 + seconds)
}

fn small(sources: usize) -> Defence {
    let config = DefenceConfig {
        sources,
        trusted: Networks::new([(ip("192.0.2.0"), 24)]),
        ..DefenceConfig::default()
    };
    Defence::new(config, [5; 16])
}

#[test]
fn thirty_requests_pass_and_the_next_blocks_for_five_minutes() {
    let mut defence = small(64);
    let flood = ip("198.51.100.1");
    for _ in 0..30 {
        assert_eq!(defence.request(at(0), flood), Verdict::Pass);
    }
    let source = Source::of(flood);
    assert!(!defence.is_blocked(at(0), flood));
    assert_eq!(defence.request(at(0), flood), Verdict::Blocked(source));
    assert!(defence.is_blocked(at(0), flood));
    assert!(defence.is_blocked(at(299), flood));
    assert!(!defence.is_blocked(at(300), flood));
    assert!(!defence.is_blocked(at(0), ip("198.51.100.2")));
    let listed: Vec<_> = defence.blocked(at(10)).collect();
    let block = Block {
        reason: Reason::Rate,
        until: at(300),
    };
    assert_eq!(listed, [(source, block)]);
    assert_eq!(defence.blocked(at(300)).count(), 0);
    // It begins anew.
    assert_eq!(defence.request(at(300), flood), Verdict::Pass);
}

#[test]
fn one_ipv6_host_cannot_change_its_address() {
    let mut defence = small(64);
    let from = |n: u16| ip(&format!("2001:db8:1:2::{n:x}"));
    let verdicts: Vec<_> = (0..31).map(|n| defence.request(at(0), from(n))).collect();
    assert!(matches!(verdicts[30], Verdict::Blocked(_)));
    assert!(defence.is_blocked(at(1), from(99)));
    assert!(!defence.is_blocked(at(1), ip("2001:db8:1:3::1")));
}

#[test]
fn scanners_and_failures_block_and_an_administrator_unblocks() {
    let mut defence = small(64);
    let (a, b) = (ip("198.51.100.1"), ip("198.51.100.2"));
    assert_eq!(defence.user_agent(at(0), a, b"Linphone"), Verdict::Pass);
    assert!(matches!(
        defence.user_agent(at(0), a, b"friendly-scanner"),
        Verdict::Blocked(_)
    ));
    for n in 0..10 {
        assert_eq!(defence.failed(at(n), b), Verdict::Pass);
    }
    assert!(matches!(defence.failed(at(10), b), Verdict::Blocked(_)));
    let mut reasons: Vec<_> = defence.blocked(at(10)).map(|(_, b)| b.reason).collect();
    reasons.sort_by_key(|r| r.as_str());
    assert_eq!(reasons, [Reason::Failures, Reason::Scanner]);
    assert!(defence.unblock(at(10), Source::of(b)));
    assert!(!defence.unblock(at(10), Source::of(b)));
    assert!(!defence.is_blocked(at(10), b));
    // Ten a minute may fail, for as long as it likes.
    for n in 0..600 {
        assert_eq!(defence.failed(at(1000 + n * 7), b), Verdict::Pass, "{n}");
    }
}

#[test]
fn what_outlived_us_is_taken_over_but_not_beyond_its_time() {
    let mut defence = small(2);
    let [a, b, c] = ["198.51.100.1", "198.51.100.2", "198.51.100.3"].map(ip);
    assert!(defence.take_over(at(0), Source::of(a), Duration::from_secs(100)));
    assert!(defence.take_over(at(0), Source::of(b), Duration::from_secs(9_999)));
    assert!(!defence.take_over(at(0), Source::of(c), Duration::from_secs(100)));
    assert!(defence.is_blocked(at(99), a) && !defence.is_blocked(at(100), a));
    assert!(defence.is_blocked(at(299), b) && !defence.is_blocked(at(300), b));
    // A block that is there stays as it is.
    assert!(defence.take_over(at(1), Source::of(a), Duration::from_secs(300)));
    assert!(!defence.is_blocked(at(100), a));
}

#[test]
fn a_full_table_keeps_those_that_are_blocked_and_drops_the_rest_too() {
    let mut defence = small(64);
    let source = |n: u32| IpAddr::from(n.to_be_bytes());
    let flood = |defence: &mut Defence, n: u32, now| {
        (0..31)
            .map(|_| defence.request(now, source(n)))
            .last()
            .unwrap()
    };
    for n in 0..64 {
        assert!(matches!(flood(&mut defence, n, at(0)), Verdict::Blocked(_)));
    }
    assert_eq!(flood(&mut defence, 100, at(1)), Verdict::Full);
    assert_eq!(
        defence.request(at(1), source(100)),
        Verdict::Full,
        "still above its limit"
    );
    assert!((0..64).all(|n| defence.is_blocked(at(299), source(n))));
    // When they are over, there is room at once.
    assert!(matches!(
        flood(&mut defence, 101, at(300)),
        Verdict::Blocked(_)
    ));
    assert!(defence.blocked.len() <= 64);
}

#[test]
fn configured_networks_are_trusted() {
    let defence = small(64);
    assert!(defence.trusts(ip("192.0.2.200")));
    assert!(!defence.trusts(ip("198.51.100.1")));
}

proptest! {
    /// Memory stays within its bounds, and nobody is blocked for longer than said.
    #[test]
    fn bounds_hold_whatever_comes(
        steps in proptest::collection::vec((0_u64..400, 0_u8..40, 0_u8..4), 1..400),
    ) {
        let mut defence = small(16);
        let mut now = Duration::from_secs(1);
        for (pause, host, what) in steps {
            now += Duration::from_millis(pause * pause);
            let from = IpAddr::from([10, 0, 0, host]);
            if defence.is_blocked(now, from) {
                continue;
            }
            match what {
                0 => for _ in 0..31 { defence.request(now, from); },
                1 => { defence.user_agent(now, from, b"sipvicious"); }
                2 => { defence.failed(now, from); }
                _ => { defence.unblock(now, Source::of(from)); }
            }
            prop_assert!(defence.blocked.len() <= 16);
            prop_assert!(defence.blocked(now).all(|(_, b)| b.until <= now + Duration::from_secs(300)));
        }
    }
}
