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
        ..DefenceConfig::default()
    };
    Defence::new(config, [5; 16])
}

fn is_blocked(defence: &Defence, now: Duration, ip: IpAddr) -> bool {
    defence.blocks().contains(now, ip)
}

/// One request more than allowed.
fn flood(defence: &mut Defence, now: Duration, from: IpAddr) -> Option<Verdict> {
    let verdicts = (0..31).map(|_| defence.saw(now, from, Sight::Request));
    verdicts.last().unwrap()
}

#[test]
fn thirty_requests_pass_and_the_next_blocks_for_five_minutes() {
    let mut defence = small(64);
    let from = ip("198.51.100.1");
    for _ in 0..30 {
        assert_eq!(defence.saw(at(0), from, Sight::Request), None);
    }
    let source = Source::of(from);
    assert!(!is_blocked(&defence, at(0), from));
    let block = Block {
        reason: Reason::Rate,
        until: at(300),
    };
    let verdict = Verdict {
        source,
        block,
        displaced: None,
    };
    assert_eq!(defence.saw(at(0), from, Sight::Request), Some(verdict));
    assert_eq!(defence.saw(at(0), from, Sight::Request), None, "once");
    assert!(is_blocked(&defence, at(0), from));
    assert!(is_blocked(&defence, at(299), from));
    assert!(!is_blocked(&defence, at(300), from));
    assert!(!is_blocked(&defence, at(0), ip("198.51.100.2")));
    let listed: Vec<_> = defence.blocks().iter(at(10)).collect();
    assert_eq!(listed, [(source, block)]);
    assert_eq!(defence.blocks().iter(at(300)).count(), 0);
    // It begins anew.
    assert_eq!(defence.saw(at(300), from, Sight::Request), None);
}

#[test]
fn one_ipv6_host_cannot_change_its_address() {
    let mut defence = small(64);
    let from = |n: u16| ip(&format!("2001:db8:1:2::{n:x}"));
    let verdicts: Vec<_> = (0..31)
        .map(|n| defence.saw(at(0), from(n), Sight::Request))
        .collect();
    assert!(verdicts[30].is_some() && verdicts[29].is_none());
    assert!(is_blocked(&defence, at(1), from(99)));
    assert!(!is_blocked(&defence, at(1), ip("2001:db8:1:3::1")));
}

#[test]
fn scanners_and_failures_block_and_an_administrator_blocks_and_unblocks() {
    let mut defence = small(64);
    let [a, b, c] = ["198.51.100.1", "198.51.100.2", "198.51.100.3"].map(ip);
    assert!(defence.saw(at(0), a, Sight::Scanner).is_some());
    for n in 0..10 {
        assert_eq!(defence.saw(at(n), b, Sight::Failure), None);
    }
    assert!(defence.saw(at(10), b, Sight::Failure).is_some());
    let day = Duration::from_secs(86_400);
    defence.block(at(10), Source::of(c), Reason::Administrator, day);
    let reasons = [a, b, c].map(|ip| {
        let block = defence.blocks().of(at(10), Source::of(ip)).unwrap();
        block.reason.as_str()
    });
    assert_eq!(reasons, ["scanner", "failures", "administrator"]);
    assert!(is_blocked(&defence, at(86_000), c));
    assert!(defence.unblock(at(10), Source::of(b)));
    assert!(!defence.unblock(at(10), Source::of(b)));
    assert!(!is_blocked(&defence, at(10), b));
    // Ten a minute may fail, for as long as it likes.
    for n in 0..600 {
        assert_eq!(
            defence.saw(at(1000 + n * 7), b, Sight::Failure),
            None,
            "{n}"
        );
    }
}

#[test]
fn what_outlived_us_is_taken_over_once() {
    let mut defence = small(2);
    let a = ip("198.51.100.1");
    let source = Source::of(a);
    let seconds = Duration::from_secs;
    assert!(defence.take_over(at(0), source, seconds(100)).is_some());
    assert!(is_blocked(&defence, at(99), a) && !is_blocked(&defence, at(100), a));
    // A block that is there stays as it is.
    assert_eq!(defence.take_over(at(1), source, seconds(300)), None);
    assert!(!is_blocked(&defence, at(100), a));
}

#[test]
fn a_full_list_lets_the_oldest_go() {
    let mut defence = small(64);
    let source = |n: u32| IpAddr::from(n.to_be_bytes());
    for n in 0..64 {
        let verdict = flood(&mut defence, at(n.into()), source(n)).unwrap();
        assert_eq!(verdict.displaced, None);
    }
    // The oldest was unblocked and blocked again: it is the youngest now.
    assert!(defence.unblock(at(64), Source::of(source(0))));
    assert!(flood(&mut defence, at(64), source(0)).is_some());
    let verdict = flood(&mut defence, at(65), source(100)).unwrap();
    assert_eq!(verdict.displaced, Some(Source::of(source(1))));
    assert!(!is_blocked(&defence, at(65), source(1)));
    for n in [0, 2, 63, 100] {
        assert!(is_blocked(&defence, at(65), source(n)), "{n}");
    }
    // When they are over, nobody has to go.
    let verdict = flood(&mut defence, at(302), source(101)).unwrap();
    assert_eq!(verdict.displaced, None);
}

#[test]
fn without_a_time_nobody_is_blocked() {
    let config = DefenceConfig {
        block: Duration::ZERO,
        ..DefenceConfig::default()
    };
    let mut defence = Defence::new(config, [5; 16]);
    assert_eq!(flood(&mut defence, at(0), ip("192.0.2.1")), None);
    assert!(defence.blocks().is_empty());
}

proptest! {
    /// Memory stays within its bounds, and nobody is blocked for longer than said.
    #[test]
    fn bounds_hold_whatever_comes(
        steps in proptest::collection::vec((0_u64..400, 0_u8..40, 0_u8..5), 1..400),
    ) {
        let mut defence = small(16);
        let mut now = Duration::from_secs(1);
        for (pause, host, what) in steps {
            now += Duration::from_millis(pause * pause);
            let from = IpAddr::from([10, 0, 0, host]);
            let source = Source::of(from);
            match what {
                0 => { flood(&mut defence, now, from); }
                1 => { defence.saw(now, from, Sight::Scanner); }
                2 => { defence.saw(now, from, Sight::Failure); }
                3 => { defence.take_over(now, source, Duration::from_secs(pause)); }
                _ => { defence.unblock(now, source); }
            }
            let all: Vec<_> = defence.blocks().iter(now).collect();
            prop_assert!(all.len() <= 16);
            prop_assert!(all.iter().all(|(_, b)| b.until <= now + Duration::from_secs(400)));
        }
    }
}
