//! Finds transactions by what messages say. A table of keys that refers to where they are kept anyway: an entry is a
//! hash and a number, so growing it moves little and hashes nothing again.

use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;

use crate::table::SMALL;

/// Numbers by keys that are kept elsewhere. What peers choose is hashed with a key of ours.
#[derive(Debug, Default)]
pub(crate) struct Names<I> {
    table: HashTable<(u64, I)>,
    hasher: RandomState,
}

impl<I: Copy + Eq> Names<I> {
    pub(crate) fn new() -> Self {
        Self {
            table: HashTable::new(),
            hasher: RandomState::new(),
        }
    }

    /// The number of the key that `is_it`.
    pub(crate) fn find(&self, key: &impl Hash, is_it: impl Fn(I) -> bool) -> Option<I> {
        let hash = self.hasher.hash_one(key);
        let found = self.table.find(hash, |(_, id)| is_it(*id))?;
        Some(found.1)
    }

    /// Gives the key this number; the one that `is_it` so far loses it.
    pub(crate) fn insert(&mut self, key: &impl Hash, id: I, is_it: impl Fn(I) -> bool) {
        let hash = self.hasher.hash_one(key);
        match self.table.find_mut(hash, |(_, id)| is_it(*id)) {
            Some(entry) => entry.1 = id,
            None => {
                self.table
                    .insert_unique(hash, (hash, id), |(hash, _)| *hash);
            }
        }
    }

    /// Takes the key away if it still has this number.
    pub(crate) fn remove(&mut self, key: &impl Hash, id: I) {
        let hash = self.hasher.hash_one(key);
        if let Ok(entry) = self.table.find_entry(hash, |(_, other)| *other == id) {
            entry.remove();
        }
    }

    /// Gives back most of the room that it needed once: see [`crate::trim`].
    pub(crate) fn trim(&mut self) {
        if self.table.capacity() > SMALL && self.table.len() < self.table.capacity() / 8 {
            self.table
                .shrink_to(self.table.len() * 2, |(hash, _)| *hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_number_and_loses_it_only_with_that() {
        let mut names = Names::new();
        let nobody = |_: u64| false;
        names.insert(&"a", 1, nobody);
        names.insert(&"b", 2, nobody);
        assert_eq!(names.find(&"a", |id| id == 1), Some(1));
        assert_eq!(names.find(&"a", nobody), None);
        names.insert(&"a", 3, |id| id == 1);
        assert_eq!(names.find(&"a", |_| true), Some(3));
        names.remove(&"a", 1);
        assert_eq!(names.find(&"a", |_| true), Some(3), "another's by now");
        names.remove(&"a", 3);
        assert_eq!(names.find(&"a", |_| true), None);
        assert_eq!(names.find(&"b", |_| true), Some(2));
    }

    #[test]
    fn room_is_given_back() {
        let mut names = Names::new();
        for id in 0..20_000_u64 {
            names.insert(&id, id, |_| false);
        }
        let large = names.table.capacity();
        for id in 0..19_990_u64 {
            names.remove(&id, id);
        }
        names.trim();
        assert!(names.table.capacity() < large / 8);
        assert_eq!(names.find(&19_995_u64, |id| id == 19_995), Some(19_995));
    }
}
