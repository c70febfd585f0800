//! Sources that the signaling plane has classified: a hash table of fixed size with linear probing, that nothing from a
//! network ever writes a source into.

use super::bucket::Bucket;
use super::source::{Seed, Source};
use crate::endpoint::Address;

/// The most trusted addresses, besides networks.
pub const TRUSTED_SOURCES: usize = 16_384;

/// Nanoseconds in a second.
const SECOND: u64 = 1_000_000_000;
/// No end.
pub(super) const FOREVER: u32 = u32::MAX;

/// A source: half a cache line.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    /// A trusted source's address, a registered one's prefix.
    key: Address,
    pub(super) bucket: Bucket,
    /// In seconds of the worker's clock.
    pub(super) until_s: u32,
    /// The full set that it was last named in, for trusted ones.
    generation: u16,
    pub(super) is_trusted: bool,
}

/// The table. Each place has a byte of the hash in an array of their own, so that a source that is not here is hardly
/// ever looked up in the large one: under a flood that array stays in the cache.
#[derive(Debug)]
pub(super) struct Known {
    /// 0 where nobody is.
    tags: Vec<u8>,
    /// Twice as many as there may be, so that a probe ends soon.
    entries: Vec<Entry>,
    trusted: usize,
    registered: usize,
    most_registered: usize,
    /// The current set; what is of an earlier one, and trusted, does not count.
    generation: u16,
    /// Where [`Known::sweep`] is.
    swept: usize,
    seed: Seed,
}

impl Known {
    /// With room for so many registered sources.
    pub(super) fn new(most_registered: usize, seed: Seed) -> Self {
        let places = 2 * (most_registered + TRUSTED_SOURCES).next_power_of_two();
        Self {
            tags: vec![0; places],
            entries: vec![Entry::default(); places],
            trusted: 0,
            registered: 0,
            most_registered,
            generation: 0,
            swept: 0,
            seed,
        }
    }

    /// A classified source. One whose address is trusted and whose /64 has registered users is trusted.
    #[inline]
    pub(super) fn get_mut(&mut self, now: u64, source: &Source) -> Option<&mut Entry> {
        let mut at = self.home(source.hash);
        let tag = tag(source.hash);
        let mut found = None;
        loop {
            match *self.tags.get(at)? {
                0 => break,
                t if t == tag => {
                    let entry = self.entries.get(at)?;
                    if entry.is_of(source) && self.counts(now, entry) {
                        found = Some(at);
                        if entry.is_trusted || entry.key == source.address {
                            break;
                        }
                    }
                }
                _ => {}
            }
            at = self.next(at);
        }
        self.entries.get_mut(found?)
    }

    #[inline]
    fn counts(&self, now: u64, entry: &Entry) -> bool {
        if entry.is_trusted {
            !is_before(entry.generation, self.generation)
        } else {
            entry.until_s == FOREVER || u64::from(entry.until_s) * SECOND > now
        }
    }

    /// A source is trusted, by the set with this number. Whether there was room.
    pub(super) fn trust(&mut self, source: &Source, generation: u16) -> bool {
        let at = match self.find(source.hash, &source.address) {
            Some(at) => at,
            None if self.trusted >= TRUSTED_SOURCES => return false,
            None => self.free_place(source.hash),
        };
        let before = self.entries.get(at).filter(|_| self.is_used(at));
        self.trusted += usize::from(!before.is_some_and(|e| e.is_trusted));
        self.registered -= usize::from(before.is_some_and(|e| !e.is_trusted));
        let bucket = before.map_or(Bucket::default(), |e| e.bucket);
        let entry = Entry {
            key: source.address,
            bucket,
            until_s: FOREVER,
            generation,
            is_trusted: true,
        };
        self.put(at, source.hash, entry);
        true
    }

    /// Somebody is registered there until then. Who is trusted stays so. Whether there was room.
    pub(super) fn register(&mut self, source: &Source, until: u64, newest: u16) -> bool {
        let until_s = u32::try_from(until.div_ceil(SECOND)).unwrap_or(FOREVER);
        let found = self.find(source.hash, &source.prefix);
        let before = found.and_then(|at| self.entries.get(at)).copied();
        if before.is_some_and(|e| e.is_trusted && !is_before(e.generation, newest)) {
            return true;
        }
        let was_registered = before.is_some_and(|e| !e.is_trusted);
        if !was_registered && self.registered >= self.most_registered {
            return false;
        }
        let at = found.unwrap_or_else(|| self.free_place(source.hash));
        self.registered += usize::from(!was_registered);
        self.trusted -= usize::from(before.is_some_and(|e| e.is_trusted));
        let entry = Entry {
            key: source.prefix,
            bucket: before.map_or(Bucket::default(), |e| e.bucket),
            until_s,
            generation: newest,
            is_trusted: false,
        };
        self.put(at, source.hash, entry);
        true
    }

    /// Nobody is registered there any more.
    pub(super) fn unregister(&mut self, source: &Source) {
        let found = self.find(source.hash, &source.prefix);
        if let Some(at) = found
            && self.entries.get(at).is_some_and(|e| !e.is_trusted)
        {
            self.free(at);
        }
    }

    /// Only what this set or a later one names is trusted from now on.
    pub(super) fn begin_generation(&mut self, generation: u16) {
        self.generation = generation;
    }

    /// Takes out what does not count any more: looks at so many places, and goes on there the next time.
    pub(super) fn sweep(&mut self, now: u64, places: usize) {
        for _ in 0..places {
            let at = self.swept;
            let over = self.is_used(at)
                && self
                    .entries
                    .get(at)
                    .is_some_and(|entry| !self.counts(now, entry));
            if over {
                // Who moves up to here is looked at next.
                self.free(at);
            } else {
                self.swept = self.next(at);
            }
        }
    }

    pub(super) fn places(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn trusted(&self) -> usize {
        self.trusted
    }

    pub(super) fn registered(&self) -> usize {
        self.registered
    }

    pub(super) fn most_registered(&self) -> usize {
        self.most_registered
    }

    /// Where an address is, whether it counts or not.
    fn find(&self, hash: u64, key: &Address) -> Option<usize> {
        let mut at = self.home(hash);
        while self.is_used(at) {
            if self.entries.get(at)?.key == *key {
                return Some(at);
            }
            at = self.next(at);
        }
        None
    }

    /// The next one where nobody is. There is always one, so this ends.
    fn free_place(&self, hash: u64) -> usize {
        let mut at = self.home(hash);
        while self.is_used(at) {
            at = self.next(at);
        }
        at
    }

    fn put(&mut self, at: usize, hash: u64, new: Entry) {
        if let (Some(entry), Some(place)) = (self.entries.get_mut(at), self.tags.get_mut(at)) {
            *entry = new;
            *place = tag(hash);
        }
    }

    /// Frees a place, and moves up who would not be found behind it any more.
    fn free(&mut self, place: usize) {
        let was_trusted = self.entries.get(place).is_some_and(|e| e.is_trusted);
        self.trusted -= usize::from(was_trusted);
        self.registered -= usize::from(!was_trusted);
        let (mut hole, mut at) = (place, self.next(place));
        while self.is_used(at)
            && let Some(entry) = self.entries.get(at).copied()
        {
            let hash = Source::new(self.seed, entry.key).hash;
            let from_home = at.wrapping_sub(self.home(hash)) & self.mask();
            if from_home >= at.wrapping_sub(hole) & self.mask() {
                self.put(hole, hash, entry);
                hole = at;
            }
            at = self.next(at);
        }
        if let Some(tag) = self.tags.get_mut(hole) {
            *tag = 0;
        }
    }

    #[inline]
    fn is_used(&self, at: usize) -> bool {
        self.tags.get(at).is_some_and(|tag| *tag != 0)
    }

    /// The table's size is a power of two.
    #[inline]
    fn mask(&self) -> usize {
        self.tags.len() - 1
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        hash as usize & self.mask()
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & self.mask()
    }
}

impl Entry {
    #[inline]
    fn is_of(&self, source: &Source) -> bool {
        self.key == source.address || (self.key == source.prefix && !self.is_trusted)
    }
}

/// The byte that stands for a hash. Other bits than those of its place.
#[inline]
const fn tag(hash: u64) -> u8 {
    (hash >> 56) as u8 | 1
}

/// Whether a set's number is that of an earlier one; they begin anew after 65,535.
#[inline]
const fn is_before(one: u16, other: u16) -> bool {
    one.wrapping_sub(other) >= 1 << 15
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    const SEED: [u8; 16] = [3; 16];

    fn source(ip: impl Into<IpAddr>) -> Source {
        Source::of(Seed::new(SEED), ip.into())
    }

    fn v4(n: u32) -> Source {
        source(Ipv4Addr::from(0x0a00_0000 + n))
    }

    fn text(ip: &str) -> Source {
        source(ip.parse::<IpAddr>().unwrap())
    }

    fn table(registered: usize) -> Known {
        Known::new(registered, Seed::new(SEED))
    }

    /// Whether it is trusted; none if it is unknown.
    fn class(table: &mut Known, now: u64, source: &Source) -> Option<bool> {
        table.get_mut(now, source).map(|e| e.is_trusted)
    }

    #[test]
    fn an_entry_is_half_a_cache_line() {
        assert_eq!(size_of::<Entry>(), 32);
    }

    #[test]
    fn a_registered_source_is_a_64_and_a_trusted_one_an_address() {
        let mut table = table(8);
        assert!(table.register(&text("2001:db8::5"), 10 * SECOND, 1));
        assert!(table.trust(&text("2001:db8::7"), 1));
        assert!(table.trust(&text("2001:db8:1::"), 1));
        for (address, expected) in [
            ("2001:db8::5", Some(false)),
            ("2001:db8::6", Some(false)),
            ("2001:db8::7", Some(true)),
            ("2001:db8:1::", Some(true)),
            ("2001:db8:1::1", None),
            ("192.0.2.1", None),
        ] {
            let is = class(&mut table, 0, &text(address));
            assert_eq!(is, expected, "{address}");
        }
        assert_eq!(class(&mut table, 10 * SECOND, &text("2001:db8::5")), None);
        table.unregister(&text("2001:db8::7"));
        table.unregister(&text("2001:db8:1::"));
        assert_eq!(class(&mut table, 0, &text("2001:db8::7")), Some(true));
        assert_eq!(class(&mut table, 0, &text("2001:db8::6")), None);
        assert_eq!(class(&mut table, 0, &text("2001:db8:1::")), Some(true));
    }

    #[test]
    fn a_full_set_ends_the_trust_of_those_it_leaves_out() {
        let mut table = table(8);
        for n in 0..4 {
            assert!(table.trust(&v4(n), 65_535));
        }
        assert!(table.register(&v4(9), 100 * SECOND, 65_535));
        table.begin_generation(65_535);
        // The next set comes, and a user is registered where somebody was trusted until then.
        assert!(table.trust(&v4(1), 0));
        assert!(table.register(&v4(2), 100 * SECOND, 0));
        assert!(table.register(&v4(1), 100 * SECOND, 0));
        assert_eq!(
            class(&mut table, 0, &v4(0)),
            Some(true),
            "until it is complete"
        );
        table.begin_generation(0);
        let classes = [0, 1, 2, 3, 9].map(|n| class(&mut table, 0, &v4(n)));
        assert_eq!(classes, [None, Some(true), Some(false), None, Some(false)]);
        assert_eq!((table.trusted(), table.registered()), (3, 2));
        table.sweep(0, 2 * table.places());
        assert_eq!((table.trusted(), table.registered()), (1, 2));
        table.sweep(100 * SECOND, 2 * table.places());
        assert_eq!((table.trusted(), table.registered()), (1, 0));
    }

    #[test]
    fn each_class_has_its_own_room() {
        let mut table = table(100);
        for n in 0..100 {
            assert!(table.register(&v4(n), SECOND, 1));
        }
        assert!(!table.register(&v4(100), SECOND, 1));
        assert!(table.register(&v4(99), 2 * SECOND, 1), "known");
        for n in 0..TRUSTED_SOURCES as u32 {
            assert!(table.trust(&v4(1_000 + n), 1));
        }
        assert!(!table.trust(&v4(500), 1));
        assert!(table.trust(&v4(1_000), 1), "known");
        assert_eq!(class(&mut table, 0, &v4(5)), Some(false));
        assert_eq!(class(&mut table, 0, &v4(1_005)), Some(true));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Trust(u8),
        Register(u8, u8),
        Unregister(u8),
        Sweep,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            any::<u8>().prop_map(Step::Trust),
            (any::<u8>(), 1..9u8).prop_map(|(n, until)| Step::Register(n, until)),
            any::<u8>().prop_map(Step::Unregister),
            Just(Step::Sweep),
        ];
        proptest::collection::vec(step, 0..800)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn it_knows_what_maps_would(steps in steps(), now in 0..9u64) {
            // Small, so that they run into each other.
            let mut table = Known {
                tags: vec![0; 1_024],
                entries: vec![Entry::default(); 1_024],
                ..table(512)
            };
            let address = |n: u8| source(Ipv6Addr::new(0x2001, 0xdb8, 0, n.into(), 0, 0, 0, 1));
            let (mut trusted, mut registered) = (HashMap::new(), HashMap::new());
            for step in steps {
                match step {
                    Step::Trust(n) => {
                        prop_assert!(table.trust(&address(n), 1));
                        trusted.insert(n, ());
                    }
                    Step::Register(n, until) => {
                        prop_assert!(table.register(&address(n), u64::from(until) * SECOND, 1));
                        registered.insert(n, u64::from(until));
                    }
                    Step::Unregister(n) => {
                        table.unregister(&address(n));
                        registered.remove(&n);
                    }
                    Step::Sweep => table.sweep(0, 1_024),
                }
            }
            prop_assert_eq!((table.trusted(), table.registered()), (trusted.len(), registered.len()));
            for n in 0..=u8::MAX {
                let expected = if trusted.contains_key(&n) {
                    Some(true)
                } else {
                    registered.get(&n).filter(|until| **until > now).map(|_| false)
                };
                prop_assert_eq!(class(&mut table, now * SECOND, &address(n)), expected);
            }
        }
    }
}
