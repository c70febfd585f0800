//! The timer table: which timer fires next.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use rustc_hash::FxHashMap;

/// Deadlines of timers, each timer at most once. Times are on the caller's monotonic clock.
#[derive(Clone, Debug)]
pub struct TimerTable<K> {
    order: BTreeSet<(Duration, K)>,
    /// Timers are named by numbers of our own: no peer can choose how they hash.
    deadlines: FxHashMap<K, Duration>,
}

impl<K> Default for TimerTable<K> {
    fn default() -> Self {
        Self {
            order: BTreeSet::new(),
            deadlines: FxHashMap::default(),
        }
    }
}

impl<K: Copy + Ord + Hash> TimerTable<K> {
    /// Sets a timer; one that was set already is moved.
    pub fn set(&mut self, timer: K, deadline: Duration) {
        match self.deadlines.insert(timer, deadline) {
            Some(before) if before == deadline => return,
            Some(before) => drop(self.order.remove(&(before, timer))),
            None => {}
        }
        self.order.insert((deadline, timer));
    }

    /// Takes a timer back. Nothing happens when it is not set.
    pub fn clear(&mut self, timer: K) {
        if let Some(deadline) = self.deadlines.remove(&timer) {
            self.order.remove(&(deadline, timer));
        }
    }

    /// Whether a timer is set.
    #[must_use]
    pub fn is_set(&self, timer: K) -> bool {
        self.deadlines.contains_key(&timer)
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        self.order.first().map(|(deadline, _)| *deadline)
    }

    /// Takes out the earliest timer that is due at `now`.
    pub fn expired(&mut self, now: Duration) -> Option<K> {
        let (deadline, timer) = *self.order.first()?;
        if deadline > now {
            return None;
        }
        self.order.pop_first();
        self.deadlines.remove(&timer);
        Some(timer)
    }

    /// Gives back what [`trim`] does.
    pub fn trim(&mut self) {
        trim(&mut self.deadlines);
    }

    /// How many timers are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

/// Gives back most of the room of a table that was far larger once: after a burst, one that is eight times
/// too large becomes one twice as large as it must be.
pub fn trim<K: Eq + Hash, V, S: BuildHasher>(table: &mut HashMap<K, V, S>) {
    if table.capacity() > SMALL && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2);
    }
}

/// Takes the next of a queue; one that was far longer once gives its room back when it is empty.
pub fn take<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let next = queue.pop_front();
    if next.is_none() && queue.capacity() > SMALL {
        *queue = VecDeque::new();
    }
    next
}

/// Entries for which no table is too large.
pub(crate) const SMALL: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_table_is_trimmed_when_it_is_far_too_large() {
        let filled = |count: u32| {
            let mut table = HashMap::with_capacity(10_000);
            table.extend((0..count).map(|n| (n, n)));
            let before = table.capacity();
            trim(&mut table);
            assert_eq!(table.len(), count as usize);
            (before, table.capacity())
        };
        let (before, after) = filled(3_000);
        assert_eq!(after, before);
        let (before, after) = filled(100);
        assert!(before >= 10_000 && after <= SMALL, "{after}");
    }

    #[test]
    fn a_long_queue_gives_its_room_back_when_it_is_empty() {
        let mut queue: VecDeque<usize> = (0..5_000).collect();
        assert!((0..5_000).all(|n| take(&mut queue) == Some(n)));
        assert_eq!(take(&mut queue), None);
        assert!(queue.capacity() <= SMALL, "{}", queue.capacity());
    }

    proptest! {
        #[test]
        fn timers_fire_once_in_order(
            sets in proptest::collection::vec((0_u8..20, 1_u64..100, any::<bool>()), 0..60)
        ) {
            let mut table = TimerTable::default();
            let mut expected: std::collections::BTreeMap<u8, Duration> = std::collections::BTreeMap::new();
            for (timer, at, set) in sets {
                if set {
                    table.set(timer, Duration::from_millis(at));
                    expected.insert(timer, Duration::from_millis(at));
                } else {
                    table.clear(timer);
                    expected.remove(&timer);
                }
                prop_assert_eq!(table.len(), expected.len());
            }
            let mut expected: Vec<_> = expected.into_iter().map(|(t, d)| (d, t)).collect();
            expected.sort_unstable();
            for (deadline, timer) in expected {
                prop_assert_eq!(table.next(), Some(deadline));
                prop_assert_eq!(table.expired(deadline.saturating_sub(Duration::from_nanos(1))), None);
                prop_assert_eq!(table.expired(deadline), Some(timer));
            }
            prop_assert!(table.is_empty());
        }
    }
}
