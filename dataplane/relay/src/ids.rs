//! Flow pairs by name: a hash table of fixed size with linear probing. It never grows and is never hashed anew, as
//! that would keep the packets waiting.

use tandem_link::FlowId;

/// The table. It holds places only; whose they are the caller says.
#[derive(Debug)]
pub(crate) struct Ids {
    /// Places plus 1, 0 for none. At most half of the entries are taken, so a probe ends soon.
    entries: Vec<u32>,
}

impl Ids {
    /// For at most so many flow pairs.
    pub(crate) fn new(limit: usize) -> Self {
        let entries = limit.saturating_mul(2).next_power_of_two().max(2);
        Self {
            entries: vec![0; entries],
        }
    }

    /// The place of a flow pair; `name` says whose a place is.
    pub(crate) fn find(&self, id: FlowId, name: impl Fn(u32) -> Option<FlowId>) -> Option<u32> {
        let at = self.entry(id, name)?;
        self.entries.get(at)?.checked_sub(1)
    }

    /// Adds a flow pair that is not there yet.
    pub(crate) fn insert(&mut self, id: FlowId, place: u32) {
        let mut at = self.home(id);
        while self.entries.get(at).is_some_and(|entry| *entry != 0) {
            at = self.next(at);
        }
        if let Some(entry) = self.entries.get_mut(at) {
            *entry = place + 1;
        }
    }

    /// Takes a flow pair out, and moves up who would not be found behind it any more.
    pub(crate) fn remove(
        &mut self,
        id: FlowId,
        name: impl Fn(u32) -> Option<FlowId>,
    ) -> Option<u32> {
        let mut hole = self.entry(id, &name)?;
        let place = self.entries.get(hole)?.checked_sub(1)?;
        let mut at = self.next(hole);
        while let Some(entry) = self.entries.get(at).copied().filter(|entry| *entry != 0) {
            let home = name(entry - 1).map_or(at, |id| self.home(id));
            let from_home = at.wrapping_sub(home) & self.mask();
            if from_home >= at.wrapping_sub(hole) & self.mask() {
                self.set(hole, entry);
                hole = at;
            }
            at = self.next(at);
        }
        self.set(hole, 0);
        Some(place)
    }

    /// Writes to all of its memory, so that the kernel has to find it now. It is empty then.
    pub(crate) fn clear(&mut self) {
        self.entries.fill(0);
    }

    fn entry(&self, id: FlowId, name: impl Fn(u32) -> Option<FlowId>) -> Option<usize> {
        let mut at = self.home(id);
        loop {
            let place = self.entries.get(at)?.checked_sub(1)?;
            if name(place) == Some(id) {
                return Some(at);
            }
            at = self.next(at);
        }
    }

    fn set(&mut self, at: usize, entry: u32) {
        if let Some(place) = self.entries.get_mut(at) {
            *place = entry;
        }
    }

    /// Fibonacci hashing: the controller counts its flows, and neighbouring numbers fall far apart.
    fn home(&self, FlowId(id): FlowId) -> usize {
        (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & self.mask()
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & self.mask()
    }

    /// The number of entries is a power of two.
    fn mask(&self) -> usize {
        self.entries.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn it_finds_what_a_map_would(
            steps in proptest::collection::vec((0u64..24, any::<bool>()), 0..300), stride: u64,
        ) {
            // As full as it gets; the names are near and far.
            let (mut ids, mut names, mut map) = (Ids::new(24), [None; 24], HashMap::new());
            for (n, add) in steps {
                let id = FlowId(n.wrapping_mul(stride | 1));
                let name = |place: u32| names[place as usize];
                prop_assert_eq!(ids.find(id, name), map.get(&id).copied());
                match map.get(&id) {
                    None if add => {
                        let place = names.iter().position(Option::is_none).unwrap();
                        names[place] = Some(id);
                        map.insert(id, place as u32);
                        ids.insert(id, place as u32);
                    }
                    Some(_) if !add => {
                        let place = ids.remove(id, name);
                        prop_assert_eq!(place, map.remove(&id));
                        names[place.unwrap() as usize] = None;
                    }
                    _ => {}
                }
            }
            for n in 0..24u64 {
                let id = FlowId(n.wrapping_mul(stride | 1));
                prop_assert_eq!(ids.find(id, |place| names[place as usize]), map.get(&id).copied());
            }
        }
    }
}
