//! Sources whose SIP is dropped: a hash table of fixed size with linear probing. Asked for every SIP
//! datagram; asking costs nothing while nobody is blocked, and a flood of a blocked source touches one
//! cache line of it.

use std::net::IpAddr;

use crate::endpoint::Address;
use crate::police::source::{Seed, Source};

/// The most sources that are blocked at a time.
pub const BLOCKED: usize = 65_536;

/// A source's prefix.
type Key = Address;

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// All zeros in a place that is free: nobody sends from `::/64`.
    key: Key,
    /// Nanoseconds, on the worker's clock.
    until: u64,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Blocked {
    /// Twice as many as may be blocked, so that a probe ends soon.
    entries: Vec<Entry>,
    count: usize,
    seed: Seed,
}

impl Blocked {
    /// Nobody is blocked. With an unpredictable seed nobody can choose addresses that share a place.
    pub(crate) fn new(seed: Seed) -> Self {
        Self::with_capacity(BLOCKED, seed)
    }

    fn with_capacity(sources: usize, seed: Seed) -> Self {
        Self {
            entries: vec![Entry::default(); 2 * sources.next_power_of_two()],
            count: 0,
            seed,
        }
    }

    /// Whether a source is blocked.
    #[inline]
    pub(crate) fn contains(&self, now: u64, source: &Source) -> bool {
        self.count != 0 && self.until(source).is_some_and(|until| until > now)
    }

    /// Blocks a source until then. Whether there was room.
    pub(crate) fn insert(&mut self, now: u64, source: IpAddr, until: u64) -> bool {
        let source = Source::of(self.seed, source);
        let key = source.prefix;
        if key == Key::default() {
            return true;
        }
        let is_full = |table: &Self| table.count >= table.entries.len() / 2;
        if is_full(self) && self.until(&source).is_none() {
            self.clear_ended(now);
            if is_full(self) {
                return false;
            }
        }
        let place = self.place(&source);
        if let Some(entry) = self.entries.get_mut(place) {
            self.count += usize::from(entry.key != key);
            *entry = Entry { key, until };
        }
        true
    }

    /// Lets a source be heard again.
    pub(crate) fn remove(&mut self, source: IpAddr) {
        let source = Source::of(self.seed, source);
        let (key, place) = (source.prefix, self.place(&source));
        if key != Key::default() && self.entries.get(place).is_some_and(|e| e.key == key) {
            self.free(place);
        }
    }

    fn until(&self, source: &Source) -> Option<u64> {
        let entry = self.entries.get(self.place(source))?;
        (entry.key == source.prefix).then_some(entry.until)
    }

    /// Where a source is, or would be. There is always a free place, so this ends.
    fn place(&self, source: &Source) -> usize {
        let mut place = self.home(source);
        while let Some(entry) = self.entries.get(place)
            && entry.key != source.prefix
            && entry.key != Key::default()
        {
            place = self.next(place);
        }
        place
    }

    fn home(&self, source: &Source) -> usize {
        source.hash as usize & self.mask()
    }

    fn next(&self, place: usize) -> usize {
        (place + 1) & self.mask()
    }

    /// The table's size is a power of two.
    fn mask(&self) -> usize {
        self.entries.len() - 1
    }

    /// Frees a place, and moves up who would not be found behind it any more.
    fn free(&mut self, place: usize) {
        self.count -= 1;
        let (mut hole, mut at) = (place, self.next(place));
        while let Some(entry) = self.entries.get(at).copied()
            && entry.key != Key::default()
        {
            let source = Source::new(self.seed, entry.key);
            let from_home = at.wrapping_sub(self.home(&source)) & self.mask();
            if from_home >= at.wrapping_sub(hole) & self.mask() {
                if let Some(empty) = self.entries.get_mut(hole) {
                    *empty = entry;
                }
                hole = at;
            }
            at = self.next(at);
        }
        if let Some(empty) = self.entries.get_mut(hole) {
            *empty = Entry::default();
        }
    }

    /// Frees what has ended. Only when the table is full: the control thread takes out what ends.
    fn clear_ended(&mut self, now: u64) {
        let mut place = 0;
        while let Some(entry) = self.entries.get(place) {
            if entry.key != Key::default() && entry.until <= now {
                // Who moved up to here is looked at next.
                self.free(place);
            } else {
                place += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn blocks(table: &Blocked, now: u64, address: IpAddr) -> bool {
        table.contains(now, &Source::of(table.seed, address))
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_prefix() {
        let mut table = Blocked::new(Seed::new([7; 16]));
        assert!(table.insert(0, ip("192.0.2.1"), 10));
        assert!(table.insert(0, ip("2001:db8:0:1::5"), 10));
        for (address, blocked) in [
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8:0:1:ffff::1", true),
            ("2001:db8:0:2::5", false),
            ("::", false),
        ] {
            assert_eq!(blocks(&table, 9, ip(address)), blocked, "{address}");
            assert!(!blocks(&table, 10, ip(address)), "{address}: it is over");
        }
        table.remove(ip("192.0.2.1"));
        table.remove(ip("192.0.2.9"));
        table.remove(ip("::"));
        assert!(!blocks(&table, 0, ip("192.0.2.1")));
        assert!(blocks(&table, 0, ip("2001:db8:0:1::")));
    }

    #[test]
    fn a_full_table_takes_no_more_but_what_it_has_until_some_have_ended() {
        let mut table = Blocked::new(Seed::new([1; 16]));
        let address = |n: usize| IpAddr::from(Ipv4Addr::from(0x0a00_0000 + n as u32));
        for n in 0..BLOCKED {
            let until = if n % 2 == 0 { 10 } else { 20 };
            assert!(table.insert(0, address(n), until));
        }
        assert!(!table.insert(9, address(BLOCKED), 30));
        assert!(table.insert(9, address(1), 30), "known");
        assert!(table.insert(10, address(BLOCKED), 30), "half are over");
        for n in 0..=BLOCKED {
            assert_eq!(blocks(&table, 10, address(n)), n % 2 == 1 || n == BLOCKED);
        }
        assert_eq!(table.count, BLOCKED / 2 + 1);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16, u64),
        Remove(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..400u16, 0..100u64).prop_map(|(n, until)| Step::Insert(n, until)),
            (0..400u16).prop_map(Step::Remove),
        ];
        proptest::collection::vec(step, 0..600)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn it_blocks_what_a_map_would(steps in steps(), seed: [u8; 16], now in 0..100u64) {
            let address = |n: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, n, 1, 2, 3, n));
            // Nearly as many as it holds: they run into each other.
            let mut table = Blocked::with_capacity(400, Seed::new(seed));
            let mut expected = HashMap::new();
            for step in steps {
                match step {
                    Step::Insert(n, until) => {
                        prop_assert!(table.insert(0, address(n), until));
                        expected.insert(n, until);
                    }
                    Step::Remove(n) => {
                        table.remove(address(n));
                        expected.remove(&n);
                    }
                }
            }
            for n in 0..400 {
                let is = expected.get(&n).is_some_and(|until| *until > now);
                prop_assert_eq!(blocks(&table, now, address(n)), is, "{}", n);
            }
            prop_assert_eq!(table.count, expected.len());
        }
    }
}
