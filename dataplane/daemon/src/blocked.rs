//! Which sources are blocked, and until when: the control thread's copy of what every worker has. It
//! outlives controllers, tells them who is blocked, and takes out of the workers' tables what ends.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

use tandem_link::BlockedSource;
use tandem_relay::BLOCKED;

/// Nanoseconds in a millisecond.
const MILLISECOND: u64 = 1_000_000;

/// The blocked sources, by their first address. Times are the monotonic clock's nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    until: HashMap<IpAddr, u64>,
    ends: BTreeSet<(u64, IpAddr)>,
}

impl Blocked {
    /// A source is blocked from now on; answers until when, or none when as many are blocked as can be.
    pub(crate) fn block(&mut self, now: u64, source: IpAddr, left_ms: u64) -> Option<u64> {
        let until = now.saturating_add(left_ms.saturating_mul(MILLISECOND));
        let source = first(source);
        if self.until.len() >= BLOCKED && !self.until.contains_key(&source) {
            return None;
        }
        if let Some(before) = self.until.insert(source, until) {
            self.ends.remove(&(before, source));
        }
        self.ends.insert((until, source));
        Some(until)
    }

    /// A source is not blocked any more.
    pub(crate) fn unblock(&mut self, source: IpAddr) {
        let source = first(source);
        if let Some(until) = self.until.remove(&source) {
            self.ends.remove(&(until, source));
        }
    }

    /// A source whose time is over: it is to be taken out.
    pub(crate) fn ended(&self, now: u64) -> Option<IpAddr> {
        let (until, source) = self.ends.first()?;
        (*until <= now).then_some(*source)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.until.len()
    }

    /// Who is blocked.
    pub(crate) fn list(&self, now: u64) -> impl Iterator<Item = BlockedSource> {
        self.ends
            .iter()
            .filter(move |(until, _)| *until > now)
            .map(move |(until, source)| BlockedSource {
                source: *source,
                left_ms: (until - now).div_ceil(MILLISECOND),
            })
    }
}

/// The first address of a source: an IPv4 address itself, or that of an IPv6 /64.
fn first(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(blocked: &Blocked, now: u64) -> Vec<(String, u64)> {
        blocked
            .list(now)
            .map(|b| (b.source.to_string(), b.left_ms))
            .collect()
    }

    #[test]
    fn blocks_end_in_the_order_of_their_ends() {
        let ip = |text: &str| text.parse().unwrap();
        let mut blocked = Blocked::default();
        assert_eq!(
            blocked.block(0, ip("192.0.2.1"), 10),
            Some(10 * MILLISECOND)
        );
        blocked.block(0, ip("2001:db8::1"), 5);
        blocked.block(0, ip("2001:db8::2"), 20);
        blocked.block(0, ip("192.0.2.3"), 7);
        blocked.unblock(ip("192.0.2.3"));
        blocked.unblock(ip("192.0.2.9"));
        let expected = [("192.0.2.1".to_owned(), 10), ("2001:db8::".to_owned(), 20)];
        assert_eq!(list(&blocked, 0), expected);
        assert_eq!(blocked.ended(10 * MILLISECOND - 1), None);
        assert_eq!(blocked.ended(10 * MILLISECOND), Some(ip("192.0.2.1")));
        assert_eq!(
            list(&blocked, 10 * MILLISECOND).len(),
            1,
            "before it is taken out"
        );
        blocked.unblock(ip("192.0.2.1"));
        assert_eq!(blocked.len(), 1);
        assert_eq!(blocked.block(1, ip("2001:db8::"), u64::MAX), Some(u64::MAX));
        assert_eq!(blocked.ended(u64::MAX - 1), None);
    }
}
