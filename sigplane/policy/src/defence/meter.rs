//! How much each of many sources did lately: a table of fixed size.

use std::time::Duration;

use siphasher::sip::SipHasher13;

use super::source::Source;

/// Parts of a window. What is counted is what fell into the last so many parts, the present one
/// included: at most the window's time, at least seven eighths of it.
const PARTS: usize = 8;
/// Sources that share a place in the table.
const WAYS: usize = 8;

/// So many in so long a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many are allowed; 0 is no limit.
    pub events: u32,
    /// In any such time.
    pub window: Duration,
}

/// Counts events of sources in a sliding window. A source that keeps within the limit is never said to
/// be above it; one with more events than allowed in seven eighths of the window always is, unless it
/// was forgotten: of the sources that share a full place, the one that did least goes. Addresses that send
/// once therefore displace one another, and none that sends again before as many others came as the table
/// holds.
#[derive(Debug)]
pub(super) struct Meter {
    limit: Limit,
    /// Nanoseconds of a part of the window.
    part: u64,
    seed: [u8; 16],
    /// [`WAYS`] by [`WAYS`], allocated at the first event.
    entries: Vec<Entry>,
    places: usize,
    /// Whose turn it is to go.
    turn: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    source: Option<Source>,
    /// The part that `counts` was last moved to.
    part: u64,
    counts: [u16; PARTS],
}

/// Nanoseconds of a part of a window.
fn part_of(window: Duration) -> u64 {
    let nanos = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
    (nanos / PARTS as u64).max(1)
}

impl Meter {
    /// For `sources` sources at most. The seed must be unpredictable: who knows which sources share a
    /// place could displace others on purpose.
    pub(super) fn new(limit: Limit, sources: usize, seed: [u8; 16]) -> Self {
        Self {
            limit,
            part: part_of(limit.window),
            seed,
            entries: Vec::new(),
            places: (sources / WAYS).max(1).next_power_of_two(),
            turn: 0,
        }
    }

    /// Another limit. What was counted in another window counts no more.
    pub(super) fn set(&mut self, limit: Limit) {
        if limit.window != self.limit.window {
            self.part = part_of(limit.window);
            self.entries.clear();
        }
        self.limit = limit;
    }

    /// Counts an event. Whether the source is above its limit now.
    pub(super) fn count(&mut self, now: Duration, source: Source) -> bool {
        if self.limit.events == 0 {
            return false;
        }
        let part = self.part_at(now);
        let limit = self.limit.events;
        let Some(entry) = self.entry(source, part) else {
            return false;
        };
        entry.move_to(part);
        if let Some(count) = entry.counts.get_mut(slot(part)) {
            *count = count.saturating_add(1);
        }
        entry.sum() > limit
    }

    /// Forgets what a source did.
    pub(super) fn forget(&mut self, source: Source) {
        let place = self.place(source);
        let entries = self.entries.chunks_exact_mut(WAYS).nth(place);
        for entry in entries.unwrap_or_default() {
            if entry.source == Some(source) {
                *entry = Entry::default();
            }
        }
    }

    fn part_at(&self, now: Duration) -> u64 {
        u64::try_from(now.as_nanos()).unwrap_or(u64::MAX) / self.part
    }

    fn place(&self, source: Source) -> usize {
        let hash = SipHasher13::new_with_key(&self.seed).hash(&source.number().to_le_bytes());
        // A power of two.
        usize::try_from(hash).unwrap_or(0) & (self.places - 1)
    }

    /// The source's entry, made if need be in the place of the one that did least lately.
    fn entry(&mut self, source: Source, part: u64) -> Option<&mut Entry> {
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); self.places * WAYS];
        }
        let place = self.place(source);
        let entries = self.entries.chunks_exact_mut(WAYS).nth(place)?;
        if let Some(known) = entries.iter().position(|e| e.source == Some(source)) {
            return entries.get_mut(known);
        }
        for entry in &mut *entries {
            entry.move_to(part);
        }
        // Of equals not always the same one, or it alone would change hands.
        self.turn = self.turn.wrapping_add(1);
        let least = (0..WAYS)
            .map(|way| (way + self.turn) % WAYS)
            .min_by_key(|way| entries.get(*way).map(|e| (e.source.is_some(), e.sum())))?;
        let least = entries.get_mut(least)?;
        *least = Entry {
            source: Some(source),
            part,
            counts: [0; PARTS],
        };
        Some(least)
    }
}

impl Entry {
    /// Drops the parts that are past.
    fn move_to(&mut self, part: u64) {
        let gone = part.saturating_sub(self.part);
        if gone >= PARTS as u64 {
            self.counts = [0; PARTS];
        } else {
            for past in self.part + 1..=self.part + gone {
                if let Some(count) = self.counts.get_mut(slot(past)) {
                    *count = 0;
                }
            }
        }
        self.part = self.part.max(part);
    }

    fn sum(&self) -> u32 {
        self.counts.iter().map(|c| u32::from(*c)).sum()
    }
}

fn slot(part: u64) -> usize {
    usize::try_from(part % PARTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    const WINDOW: Duration = Duration::from_secs(2);

    fn meter(sources: usize) -> Meter {
        let limit = Limit {
            events: 30,
            window: WINDOW,
        };
        Meter::new(limit, sources, [3; 16])
    }

    fn source(n: u32) -> Source {
        Source::of(Ipv4Addr::from_bits(n).into())
    }

    #[test]
    fn the_thirty_first_in_a_window_is_above_the_limit() {
        let mut meter = meter(64);
        let now = Duration::from_secs(100);
        assert!((0..30).all(|_| !meter.count(now, source(1))));
        assert!(!meter.count(now, source(2)), "another one's is its own");
        assert!(meter.count(now, source(1)));
        meter.forget(source(1));
        assert!(!meter.count(now, source(1)));
        let mut never = Meter::new(
            Limit {
                events: 0,
                window: WINDOW,
            },
            64,
            [0; 16],
        );
        assert!((0..1000).all(|_| !never.count(now, source(1))));
    }

    #[test]
    fn a_flood_of_new_sources_does_not_displace_one_that_sends_often() {
        let mut meter = meter(64);
        let mut above = 0;
        for round in 0..40_u32 {
            let now = Duration::from_millis(u64::from(round) * 20);
            above += u32::from(meter.count(now, source(1)));
            for n in 0..16 {
                assert!(!meter.count(now, source(10 + round * 16 + n)));
            }
        }
        // Its first one may have been displaced.
        assert!(above >= 7, "{above}");
        assert_eq!(meter.entries.len(), 64, "memory stays");
    }

    /// Those that send once go in turn: with a place that is full of them, one that comes again before as many others
    /// came is still known.
    #[test]
    fn who_sends_again_in_time_is_not_forgotten_for_those_who_send_once() {
        let limit = Limit {
            events: 1,
            window: WINDOW,
        };
        for others in 0..WAYS as u32 {
            let mut meter = Meter::new(limit, WAYS, [3; 16]);
            let now = Duration::from_secs(1);
            // A full place, and turns that stand anywhere.
            for n in 0..WAYS as u32 + others {
                meter.count(now, source(1_000 + n));
            }
            assert!(!meter.count(now, source(1)));
            for n in 0..WAYS as u32 - 1 {
                assert!(!meter.count(now, source(2_000 + n)));
            }
            assert!(meter.count(now, source(1)), "{others}");
        }
    }

    proptest! {
        /// The exact sliding window is the judge.
        #[test]
        fn never_above_within_the_limit_and_always_beyond(
            gaps in proptest::collection::vec(0_u64..300, 1..200),
        ) {
            let mut meter = meter(64);
            let mut times: Vec<u64> = Vec::new();
            let mut at = 5_000;
            for gap in gaps {
                at += gap;
                times.push(at);
                let within = |window: u64| times.iter().filter(|t| **t + window > at).count();
                let above = meter.count(Duration::from_millis(at), source(1));
                if within(2_000) <= 30 {
                    prop_assert!(!above);
                }
                if within(1_750) > 30 {
                    prop_assert!(above);
                }
            }
        }
    }
}
