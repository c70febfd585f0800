//! The controller alone, and in front of a server with a queue.

use std::collections::{BinaryHeap, VecDeque};

use super::*;

const MS: u64 = 1_000_000;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn controller() -> Overload {
    Overload::new(OverloadConfig::default())
}

#[test]
fn a_burst_is_no_overload_and_a_standing_queue_is() {
    let mut overload = controller();
    // A stall of 300 ms, and what had piled up is read at once.
    for at in 0..90 {
        overload.observe(ms(1000 + at), ms(300));
        assert_eq!(
            overload.admit(ms(1000 + at), Caller::Trusted, ms(300)),
            Admission::Serve
        );
    }
    overload.observe(ms(1091), ms(9));
    for at in 1092..1192 {
        assert!(!overload.is_overloaded());
        overload.observe(ms(at), ms(11));
    }
    overload.observe(ms(1192), ms(11));
    assert!(overload.is_overloaded());
    assert!(matches!(
        overload.admit(ms(1192), Caller::Trusted, ms(11)),
        Admission::Refuse { .. }
    ));
    assert_eq!(
        overload.admit(ms(1192), Caller::Trusted, ms(10)),
        Admission::Serve
    );
    // It lasts until an interval without any wait.
    overload.observe(ms(1250), ms(1));
    overload.observe(ms(1300), ms(11));
    overload.observe(ms(1301), ms(1));
    overload.observe(ms(1400), ms(1));
    assert!(overload.is_overloaded());
    overload.observe(ms(1401), ms(1));
    assert!(!overload.is_overloaded());
}

#[test]
fn two_late_messages_with_nothing_between_them_are_no_queue() {
    let mut overload = controller();
    overload.observe(ms(1_000), ms(50));
    overload.observe(ms(60_000), ms(50));
    assert!(!overload.is_overloaded());
    for at in 0..=100 {
        overload.observe(ms(60_001 + at), ms(50));
    }
    assert!(overload.is_overloaded());
    overload.observe(ms(70_000), ms(50));
    assert!(!overload.is_overloaded(), "the queue was gone meanwhile");
}

#[test]
fn callers_are_told_different_times() {
    let mut overload = controller();
    for at in 0..=100 {
        overload.observe(ms(1_000 + at), ms(50));
    }
    let mut told: Vec<u32> = (0..12)
        .map(
            |_| match overload.admit(ms(1_100), Caller::Trusted, ms(50)) {
                Admission::Refuse { retry_after } => retry_after,
                Admission::Serve => 0,
            },
        )
        .collect();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, [5, 6, 7, 8, 9, 10]);
}

#[test]
fn strangers_are_refused_first_and_trusted_callers_only_when_no_stranger_was_served_lately() {
    let mut overload = controller();
    overload.served(ms(1_000), Caller::Stranger);
    for at in 0..=1_200 {
        overload.observe(ms(1_000 + at), ms(11));
        let is_trusted =
            |overload: &Overload, now| overload.refuses(ms(now), Caller::Trusted, ms(11));
        // A second after the last stranger it is the trusted callers themselves who make the queue.
        assert_eq!(is_trusted(&overload, 1_000 + at), at >= 1_000, "{at}");
    }
    let strangers = |overload: &mut Overload, waited| {
        overload.admit(ms(2_200), Caller::Stranger, ms(waited)) == Admission::Serve
    };
    assert!(!strangers(&mut overload, 6));
    assert!(overload.refuses(ms(2_200), Caller::Trusted, ms(11)));
    assert!(strangers(&mut overload, 5));
    assert!(!overload.refuses(ms(2_200), Caller::Trusted, ms(11)));
}

#[test]
fn a_target_of_zero_turns_it_off() {
    let mut overload = Overload::new(OverloadConfig {
        target: Duration::ZERO,
        ..OverloadConfig::default()
    });
    for at in 0..1000 {
        overload.observe(ms(at), ms(5000));
        assert_eq!(
            overload.admit(ms(at), Caller::Trusted, ms(5000)),
            Admission::Serve
        );
    }
}

/// A server that works off one message after the other. A call is an INVITE, and 200 ms and 400 ms later
/// two more messages of its dialog, each of which costs a millisecond; so 333 calls a second can be
/// served. A refused call costs `refusal`.
fn goodput(per_second: u64, refusal: u64, controlled: bool) -> (u64, u64) {
    const SECONDS: u64 = 20;
    let mut overload = controller();
    let mut arrivals: BinaryHeap<std::cmp::Reverse<(u64, u8)>> = (0..per_second * SECONDS)
        .map(|n| std::cmp::Reverse((n * 1000 * MS / per_second, 0)))
        .collect();
    let (mut now, mut done, mut longest) = (0, 0, 0);
    let mut queue = VecDeque::new();
    while now < SECONDS * 1000 * MS {
        while let Some(std::cmp::Reverse((at, part))) = arrivals.peek().copied()
            && at <= now
        {
            arrivals.pop();
            queue.push_back((at, part));
        }
        let Some((at, part)) = queue.pop_front() else {
            now = arrivals.peek().map_or(u64::MAX, |next| next.0.0);
            continue;
        };
        let waited = Duration::from_nanos(now - at);
        overload.observe(Duration::from_nanos(now), waited);
        if part == 0
            && controlled
            && overload.admit(Duration::from_nanos(now), Caller::Trusted, waited)
                != Admission::Serve
        {
            now += refusal;
            continue;
        }
        now += MS;
        // The first second is for the queue to be noticed.
        let late = now > 2_000 * MS;
        longest = longest.max(if late { (now - at) / MS } else { 0 });
        match part {
            2 if late => done += 1,
            2 => {}
            part => arrivals.push(std::cmp::Reverse((now + 200 * MS, part + 1))),
        }
    }
    (done / (SECONDS - 2), longest)
}

#[test]
fn goodput_stays_at_the_peak_whatever_is_offered() {
    let (peak, _) = goodput(330, MS / 50, true);
    assert!(peak > 325, "{peak}");
    for factor in [2, 5, 10] {
        let (calls, longest) = goodput(333 * factor, MS / 50, true);
        assert!(calls * 10 >= peak * 9, "{factor}: {calls} of {peak}");
        assert!(longest < 500, "{factor}: {longest} ms");
    }
    // Without control, everything waits without end.
    let (_, longest) = goodput(333 * 5, MS / 50, false);
    assert!(longest > 5_000, "{longest}");
}
