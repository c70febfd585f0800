//! Sources that are not served.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// So many at a time. Who decides on blocks has no more either.
const MOST: usize = 65_536;

/// Who is blocked, and until when.
#[derive(Debug, Default)]
pub(super) struct Blocked(HashMap<IpAddr, Duration>);

impl Blocked {
    /// Blocks a source. Whether there was room for it.
    pub(super) fn insert(&mut self, now: Duration, source: IpAddr, until: Duration) -> bool {
        if self.0.len() >= MOST && !self.0.contains_key(&source) {
            self.0.retain(|_, until| now < *until);
            if self.0.len() >= MOST {
                return false;
            }
        }
        self.0.insert(source, until);
        true
    }

    pub(super) fn remove(&mut self, source: IpAddr) {
        self.0.remove(&source);
    }

    /// Whether a source is blocked now.
    pub(super) fn has(&mut self, now: Duration, source: IpAddr) -> bool {
        let until = self.0.get(&source).copied();
        let has = until.is_some_and(|until| now < until);
        if until.is_some() && !has {
            self.0.remove(&source);
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_ends_with_its_time_and_there_are_not_more_than_fit() {
        let at = |n: u32| IpAddr::from(n.to_be_bytes());
        let second = Duration::from_secs(1);
        let mut blocked = Blocked::default();
        for n in 0..65_536 {
            assert!(blocked.insert(Duration::ZERO, at(n), second));
        }
        assert!(blocked.has(Duration::ZERO, at(7)));
        assert!(!blocked.insert(Duration::ZERO, at(65_536), second), "full");
        assert!(blocked.insert(Duration::ZERO, at(7), second * 2), "longer");
        assert!(!blocked.has(second, at(8)));
        assert!(
            blocked.insert(second, at(65_536), second * 2),
            "those that are over go"
        );
        assert!(blocked.has(second, at(7)) && blocked.has(second, at(65_536)));
        blocked.remove(at(7));
        assert!(!blocked.has(second, at(7)));
    }
}
