//! Next hops that are asked for: the kernel is to resolve them and keep them so.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// How long an unresolved next hop is not asked for again, in nanoseconds.
const RETRY: u64 = 1_000_000_000;
/// Next hops remembered; above that all are forgotten and asked for again when used.
const REMEMBERED: usize = 4096;

/// What was asked for, and what is still to be fetched.
#[derive(Debug)]
pub(crate) struct Hops {
    asked: HashMap<(u16, IpAddr), u64>,
    waiting: VecDeque<(u16, IpAddr)>,
}

impl Hops {
    pub(crate) fn new() -> Self {
        Self {
            asked: HashMap::with_capacity(REMEMBERED),
            waiting: VecDeque::with_capacity(REMEMBERED),
        }
    }

    /// A next hop is used for the first time since the snapshot changed.
    pub(crate) fn used(&mut self, now: u64, realm: u16, neighbour: IpAddr) {
        if !self.asked.contains_key(&(realm, neighbour)) {
            self.ask(now, realm, neighbour);
        }
    }

    /// A next hop is missing.
    pub(crate) fn missing(&mut self, now: u64, realm: u16, neighbour: IpAddr) {
        let asked = self.asked.get(&(realm, neighbour));
        if asked.is_none_or(|&at| now.saturating_sub(at) >= RETRY) {
            self.ask(now, realm, neighbour);
        }
    }

    fn ask(&mut self, now: u64, realm: u16, neighbour: IpAddr) {
        if self.asked.len() >= REMEMBERED || self.waiting.len() >= REMEMBERED {
            self.asked.clear();
            self.waiting.clear();
        }
        self.asked.insert((realm, neighbour), now);
        self.waiting.push_back((realm, neighbour));
    }

    /// As if it had never been asked for, if nobody has fetched it yet.
    pub(crate) fn forget(&mut self, realm: u16, neighbour: IpAddr) {
        self.asked.remove(&(realm, neighbour));
        self.waiting.retain(|hop| *hop != (realm, neighbour));
    }

    pub(crate) fn next(&mut self) -> Option<(u16, IpAddr)> {
        self.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_hop_is_asked_for_once_and_a_missing_one_every_second() {
        let (mut hops, ip) = (Hops::new(), IpAddr::from([192, 0, 2, 1]));
        hops.used(0, 1, ip);
        hops.used(9 * RETRY, 1, ip);
        assert_eq!((hops.next(), hops.next()), (Some((1, ip)), None));
        hops.missing(RETRY - 1, 1, ip);
        assert_eq!(hops.next(), None);
        hops.missing(RETRY, 1, ip);
        assert_eq!((hops.next(), hops.next()), (Some((1, ip)), None));
    }

    #[test]
    fn a_flood_of_next_hops_stays_bounded() {
        let mut hops = Hops::new();
        for n in 0..3 * REMEMBERED as u32 {
            hops.missing(0, 0, IpAddr::from(n.to_be_bytes()));
        }
        assert!(hops.asked.len() <= REMEMBERED && hops.waiting.len() <= REMEMBERED);
    }
}
