//! Requests that were refused without any state but this: what comes of them again is refused again.
//! Without it a caller who was told to go away could find that a copy of his request, which
//! waited in the queue behind it, is served after all.

use std::collections::HashSet;
use std::time::Duration;

use siphasher::sip::SipHasher13;

use super::blocks::Keys;

/// Hashes of keys, in two generations: those of now and those of before. A key is remembered for at
/// least the time that its copies may come in, unless there are too many.
#[derive(Debug)]
pub struct Refused {
    keep: Duration,
    most: usize,
    seed: [u8; 16],
    young: HashSet<u64, Keys>,
    old: HashSet<u64, Keys>,
    /// When the young become the old.
    until: Duration,
}

impl Refused {
    /// Nothing was refused. Keys are kept for `keep`, twice `most` of them. The seed must be unpredictable.
    #[must_use]
    pub fn new(keep: Duration, most: usize, seed: [u8; 16]) -> Self {
        let empty = || HashSet::with_hasher(Keys(seed));
        Self {
            keep,
            most,
            seed,
            young: empty(),
            old: empty(),
            until: Duration::ZERO,
        }
    }

    /// What is refused from now on is remembered for so long.
    pub const fn set_keep(&mut self, keep: Duration) {
        self.keep = keep;
    }

    /// A request was refused.
    pub fn insert(&mut self, now: Duration, key: &[&[u8]]) {
        self.turn(now);
        if self.young.len() >= self.most {
            let empty = self.empty();
            self.old = std::mem::replace(&mut self.young, empty);
        }
        self.young.insert(self.hash(key));
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    /// Whether it was refused lately.
    pub fn contains(&mut self, now: Duration, key: &[&[u8]]) -> bool {
        if self.is_empty() {
            return false;
        }
        self.turn(now);
        let hash = self.hash(key);
        self.young.contains(&hash) || self.old.contains(&hash)
    }

    fn turn(&mut self, now: Duration) {
        if now < self.until {
            return;
        }
        let late = now >= self.until.saturating_add(self.keep);
        let empty = self.empty();
        self.old = std::mem::replace(&mut self.young, empty);
        if late {
            self.old = self.empty();
        }
        self.until = now.saturating_add(self.keep);
    }

    fn empty(&self) -> HashSet<u64, Keys> {
        HashSet::with_hasher(Keys(self.seed))
    }

    fn hash(&self, key: &[&[u8]]) -> u64 {
        use std::hash::{Hash as _, Hasher as _};
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        // With their lengths, so that no two keys run together into the same bytes.
        key.iter().for_each(|part| part.hash(&mut hasher));
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_key_is_remembered_for_its_time_and_not_for_long() {
        let mut refused = Refused::new(at(32), 100, [1; 16]);
        assert!(!refused.contains(at(5), &[b"a", b"b"]));
        refused.insert(at(10), &[b"a", b"b"]);
        for now in [10, 20, 42, 60] {
            assert!(refused.contains(at(now), &[b"a", b"b"]), "{now}");
            assert!(!refused.contains(at(now), &[b"ab"]));
        }
        assert!(!refused.contains(at(100), &[b"a", b"b"]));
        refused.insert(at(200), &[b"c"]);
        assert!(
            !refused.contains(at(500), &[b"c"]),
            "both generations are over"
        );
    }

    #[test]
    fn of_too_many_the_oldest_go() {
        let mut refused = Refused::new(at(32), 100, [1; 16]);
        let key = |n: u32| n.to_be_bytes();
        for n in 0..1000 {
            refused.insert(at(1), &[&key(n)]);
        }
        assert!(refused.young.len() + refused.old.len() <= 200);
        assert!((900..1000).all(|n| refused.contains(at(1), &[&key(n)])));
        assert!(!refused.contains(at(1), &[&key(0)]));
    }
}
