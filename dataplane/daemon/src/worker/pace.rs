//! How a worker keeps up: how long packets are here, how much of its time its turns take, and how long it was away.
//!
//! Packets come in at a turn's begin and are sent by its end, so a turn's length is the longest that any of its packets was here. Only the
//! worker writes; whoever asks reads what is there.

use std::sync::Arc;

use crate::counters::Counter;

/// A worker that does not come round for so long was away: the kernel took its core, or a turn had too much to do.
pub(crate) const GAP_NS: u64 = 1_000_000;

/// Steps of a doubling.
const STEPS: usize = 8;
/// The first bound: all that is below it is one bucket.
const LEAST_BITS: u32 = 8;
/// Doublings from 256 ns to 2.1 s.
const DOUBLINGS: usize = 23;
/// Buckets: one below the first bound, and one above the last.
const BUCKETS: usize = DOUBLINGS * STEPS + 2;

/// What a worker wrote of itself.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Pace {
    latency: [Counter; BUCKETS],
    /// Turns longer than [`GAP_NS`].
    pub(crate) gaps: Counter,
    /// The longest of them in nanoseconds.
    pub(crate) longest_gap_ns: Counter,
    /// Packets that were relayed.
    pub(crate) relayed: Counter,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            latency: std::array::from_fn(|_| Counter::default()),
            gaps: Counter::default(),
            longest_gap_ns: Counter::default(),
            relayed: Counter::default(),
        }
    }
}

impl Pace {
    /// Buckets with something in them: the bound that they reach up to, in nanoseconds, and the packets in them.
    pub(crate) fn latency(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let all = self.latency.iter().enumerate();
        all.map(|(index, count)| (bound(index), count.value()))
            .filter(|(_, count)| *count > 0)
    }
}

/// The worker's end of it.
pub(crate) struct Pacer {
    pace: Arc<Pace>,
    relayed: u64,
}

impl Pacer {
    pub(crate) fn new(pace: Arc<Pace>) -> Self {
        Self { pace, relayed: 0 }
    }

    /// A turn took so long, with what was behind it; since the start the relay has relayed so many packets.
    #[inline]
    pub(crate) fn turn(&mut self, took_ns: u64, relayed: u64) {
        let packets = relayed.wrapping_sub(self.relayed);
        if packets > 0 {
            self.relayed = relayed;
            self.pace.relayed.add(packets);
            if let Some(bucket) = self.pace.latency.get(bucket(took_ns)) {
                bucket.add(packets);
            }
        }
        if took_ns > GAP_NS {
            self.gap(took_ns);
        }
    }

    #[cold]
    fn gap(&mut self, took_ns: u64) {
        self.pace.gaps.add(1);
        if took_ns > self.pace.longest_gap_ns.value() {
            self.pace.longest_gap_ns.set(took_ns);
        }
    }
}

/// How often at most gaps are told of.
const TELL_NS: u64 = 10_000_000_000;

/// Looks after the workers' gaps, for people.
#[derive(Debug, Default)]
pub(crate) struct GapWatch {
    told: Vec<u64>,
    next: u64,
}

impl GapWatch {
    /// The worker with the most gaps since the last time, their number, and the longest of all its gaps in nanoseconds; none if there are none, or
    /// if it was just told.
    pub(crate) fn news<'p>(
        &mut self,
        now: u64,
        paces: impl Iterator<Item = &'p Pace>,
    ) -> Option<(usize, u64, u64)> {
        if now < self.next {
            return None;
        }
        let mut most = None;
        for (worker, pace) in paces.enumerate() {
            if self.told.len() <= worker {
                self.told.resize(worker + 1, 0);
            }
            let told = self.told.get_mut(worker)?;
            let gaps = pace.gaps.value();
            let news = gaps.saturating_sub(*told);
            *told = gaps;
            if news > 0 && most.is_none_or(|(_, most, _)| news > most) {
                most = Some((worker, news, pace.longest_gap_ns.value()));
            }
        }
        if most.is_some() {
            self.next = now.saturating_add(TELL_NS);
        }
        most
    }
}

/// The bucket of a time: eight in each doubling, so that a bound is at most an eighth above what it stands for.
#[inline]
fn bucket(ns: u64) -> usize {
    let bits = 63 - (ns | 1).leading_zeros();
    match bits.checked_sub(LEAST_BITS) {
        None => 0,
        Some(doubling) => {
            let step = (ns >> (bits - 3)) as usize & (STEPS - 1);
            (doubling as usize * STEPS + step + 1).min(BUCKETS - 1)
        }
    }
}

/// What a bucket's times are below.
fn bound(index: usize) -> u64 {
    let Some(index) = index.checked_sub(1) else {
        return 1 << LEAST_BITS;
    };
    let (doubling, step) = (index / STEPS, index % STEPS);
    let first = 1u64 << (LEAST_BITS as usize + doubling);
    first + (first >> 3) * (step as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_late_as_their_turn_is_long() {
        let pace = Arc::new(Pace::default());
        let mut pacer = Pacer::new(Arc::clone(&pace));
        pacer.turn(3_000, 32);
        pacer.turn(3_000, 32);
        pacer.turn(100, 33);
        pacer.turn(5_000_000, 34);
        pacer.turn(2_000_000, 34);
        pacer.turn(u64::MAX, 35);
        let all: Vec<_> = pace.latency().collect();
        assert_eq!(all[0], (256, 1));
        assert_eq!(all[1], (3_072, 32));
        assert!((5_000_000..5_700_000).contains(&all[2].0), "{all:?}");
        assert_eq!((all.len(), pace.relayed.value()), (4, 35));
        assert_eq!(
            (pace.gaps.value(), pace.longest_gap_ns.value()),
            (3, u64::MAX)
        );
    }

    #[test]
    fn a_bound_is_close_above_its_times() {
        let mut ns = 256u64;
        while ns < 2_000_000_000 {
            let above = bound(bucket(ns));
            assert!(ns < above && above <= ns + ns / 8 + 1, "{ns} {above}");
            assert!(bucket(ns - 1) <= bucket(ns));
            ns += 1 + ns / 37;
        }
    }

    #[test]
    fn gaps_are_told_at_times() {
        let pace = Pace::default();
        let mut watch = GapWatch::default();
        assert_eq!(watch.news(0, [&pace].into_iter()), None);
        pace.gaps.add(2);
        pace.longest_gap_ns.set(7_000_000);
        assert_eq!(watch.news(1, [&pace].into_iter()), Some((0, 2, 7_000_000)));
        pace.gaps.add(1);
        assert_eq!(watch.news(2, [&pace].into_iter()), None);
        assert_eq!(
            watch.news(1 + TELL_NS, [&pace].into_iter()),
            Some((0, 1, 7_000_000))
        );
        assert_eq!(watch.news(3 * TELL_NS, [&pace].into_iter()), None);
    }
}
