//! The allocator of our media ports.
//!
//! Ports go in pairs: RTP on the even one, RTCP on the odd one above. Both legs of a flow come
//! from the same owner, a worker of the dataplane ([`SlotTable`]). For each address and owner there is a queue of
//! free pairs, shuffled at the start; a pair is taken from its front and comes back to its end, so the
//! one that has rested longest is the next. A pair rests for a while before it is given out again, so that a late packet of an ended
//! call does not meet a new one; when nothing else is left, it is given out early, and counted. Taking, freeing and
//! reserving cost the same however many ports there are.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tandem_link::SlotTable;

use crate::core::Share;

mod pool;

use pool::{Pool, SplitMix};

/// What a realm has for media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmMedia {
    /// Our media addresses in it.
    pub addresses: Vec<IpAddr>,
    /// The media ports of each address: the first even, the last odd.
    pub ports: RangeInclusive<u16>,
}

/// How many port pairs (RTP and RTCP) of a realm are in use and free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// In use.
    pub used: usize,
    /// Free.
    pub free: usize,
}

/// One of our port pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct End {
    /// Its realm.
    pub(super) realm: u16,
    /// Its address.
    pub(super) address: IpAddr,
    /// Its RTP port: even.
    pub(super) port: u16,
}

/// What kind of pair is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// In this realm.
    pub realm: u16,
    /// On this address if possible.
    pub address: Option<IpAddr>,
    /// Of this family...
    pub ipv4: bool,
    /// ...and not of the other one.
    pub strict: bool,
}

/// How much is asked of a pair besides what is wanted, from the best to the last resort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// It has rested, and is of the wanted family if the realm has that at all.
    Rested,
    /// It is of the wanted family if the realm has that at all.
    Family,
    /// Nothing.
    Any,
}

/// Our media ports, all realms.
#[derive(Debug)]
pub struct Ports {
    realms: Vec<Vec<Pool>>,
    slots: SlotTable,
    /// The workers that own ports; positions in it name the pools' queues.
    owners: Vec<u16>,
    /// Whose turn it is.
    turn: usize,
    /// How long a pair rests.
    quarantine: Duration,
    /// The time.
    now: Duration,
    /// Pairs that were given out before they had rested.
    early: u64,
    news: VecDeque<PortNews>,
}

/// What another core has to know of a port of its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortNews {
    /// A call of ours, from a life with another number of cores, holds it.
    Taken(End),
    /// It does not any more.
    Freed(End),
}

impl Ports {
    /// All ports free. `seed` decides the order in which they are handed out; it should be
    /// unpredictable, so that strangers cannot guess the next call's ports. Of several cores each hands out
    /// those of its own share.
    #[must_use]
    pub fn new(realms: &[RealmMedia], slots: SlotTable, seed: u64, share: Share) -> Self {
        let owners = slots.workers();
        let mut random = SplitMix(seed);
        let realms = realms
            .iter()
            .map(|r| {
                r.addresses
                    .iter()
                    .map(|a| Pool::new(*a, &r.ports, &mut random, share))
                    .collect()
            })
            .collect();
        let mut ports = Self {
            realms,
            slots,
            owners,
            turn: 0,
            quarantine: Duration::ZERO,
            now: Duration::ZERO,
            early: 0,
            news: VecDeque::new(),
        };
        ports.deal();
        ports
    }

    /// How long a pair rests from now on, those that rest already included. None at first.
    pub const fn set_quarantine(&mut self, quarantine: Duration) {
        self.quarantine = quarantine;
    }

    /// Says the time, on any clock that only goes forward. It counts until it is said again.
    pub const fn at(&mut self, now: Duration) {
        self.now = now;
    }

    /// How many pairs were given out before they had rested, since nothing else was left.
    #[must_use]
    pub const fn early(&self) -> u64 {
        self.early
    }

    /// Takes another table of owners, of a dataplane that (re)started with other workers. Ports in
    /// use stay in use, even if a flow's two ports now have different owners: the dataplane refuses
    /// such a flow ([`tandem_link::CommandError::TwoOwners`]), and its call has to end.
    pub fn set_slots(&mut self, slots: SlotTable) {
        if slots != self.slots {
            self.owners = slots.workers();
            self.slots = slots;
            self.deal();
        }
    }

    /// How many pairs of a realm are in use and free; zeros for a realm that does not exist.
    #[must_use]
    pub fn usage(&self, realm: u16) -> Usage {
        let pools = self.realms.get(usize::from(realm)).into_iter().flatten();
        pools.fold(Usage::default(), |sum, pool| Usage {
            used: sum.used + pool.used_count(),
            free: sum.free + pool.count().saturating_sub(pool.used_count()),
        })
    }

    /// An address of the realm for a new call: of the wanted family if there is one; of several,
    /// the one with the fewest pairs in use.
    pub(super) fn address(&self, realm: u16, ipv4: bool) -> Option<IpAddr> {
        let pools = self.realms.get(usize::from(realm))?;
        let best = pools
            .iter()
            .min_by_key(|p| (p.address.is_ipv4() != ipv4, p.used_count()));
        best.map(|p| p.address)
    }

    /// Takes one pair for each leg, both of one owner: `owner` if it has them, else the next in
    /// turn that does. Pairs that have rested come before those of `owner`.
    pub fn take_both(&mut self, a: Want, b: Want, owner: Option<u16>) -> Option<[End; 2]> {
        let count = self.owners.len();
        let preferred = owner.and_then(|o| self.owners.iter().position(|w| *w == o));
        let turn = self.turn;
        for choice in [Choice::Rested, Choice::Family, Choice::Any] {
            let in_turn = (0..count).map(|i| (turn + i) % count);
            for queue in preferred.into_iter().chain(in_turn) {
                let Some((first, early)) = self.take(a, queue, choice) else {
                    continue;
                };
                if let Some((second, also)) = self.take(b, queue, choice) {
                    self.turn = (queue + 1) % count;
                    self.early += u64::from(early) + u64::from(also);
                    return Some([first, second]);
                }
                self.put_back(first, queue);
            }
        }
        None
    }

    /// Takes a pair of the same owner as `other`.
    pub(super) fn take_beside(&mut self, want: Want, other: End) -> Option<End> {
        let owner = self.slots.owner(other.port);
        let queue = self.owners.iter().position(|w| *w == owner)?;
        let mut choices = [Choice::Rested, Choice::Family, Choice::Any].into_iter();
        let (end, early) = choices.find_map(|choice| self.take(want, queue, choice))?;
        self.early += u64::from(early);
        Some(end)
    }

    /// The worker that owns a pair.
    pub(super) fn owner(&self, end: End) -> u16 {
        self.slots.owner(end.port)
    }

    /// The next thing to tell the other cores.
    pub(crate) fn news(&mut self) -> Option<PortNews> {
        self.news.pop_front()
    }

    /// Another core told of a port: if it is of our part, it is noted.
    pub(crate) fn told(&mut self, news: PortNews) {
        let (PortNews::Taken(end) | PortNews::Freed(end)) = news;
        let ours = self
            .locate(end)
            .is_some_and(|(pool, index)| pool.is_ours(index));
        match news {
            PortNews::Taken(end) if ours => drop(self.reserve(end)),
            PortNews::Freed(end) if ours => self.free(end),
            PortNews::Taken(_) | PortNews::Freed(_) => {}
        }
    }

    /// Gives a pair back. One that is not in use stays free.
    pub fn free(&mut self, end: End) {
        let owner = self.slots.owner(end.port);
        let queue = self.owners.iter().position(|w| *w == owner).unwrap_or(0);
        let now = self.now;
        let Some((pool, index)) = self.locate(end) else {
            return;
        };
        if pool.release(index) {
            if pool.is_ours(index) {
                pool.rest(index, queue, now);
            } else {
                self.news.push_back(PortNews::Freed(end));
            }
        }
    }

    /// Takes this very pair, of a call that comes back from the journal. Whether it could: it may
    /// be in use, or not ours any more.
    pub(super) fn reserve(&mut self, end: End) -> bool {
        let Some((pool, index)) = self.locate(end) else {
            return false;
        };
        let reserved = pool.reserve(index);
        if reserved && !pool.is_ours(index) {
            self.news.push_back(PortNews::Taken(end));
        }
        reserved
    }

    fn locate(&mut self, end: End) -> Option<(&mut Pool, usize)> {
        let pools = self.realms.get_mut(usize::from(end.realm))?;
        let pool = pools.iter_mut().find(|p| p.address == end.address)?;
        let index = pool.index(end.port)?;
        Some((pool, index))
    }

    /// Takes a pair of this queue: on the wanted address, else of the wanted family, else on the
    /// address with the most free pairs. Whether it has not rested yet comes with it.
    fn take(&mut self, want: Want, queue: usize, choice: Choice) -> Option<(End, bool)> {
        let (now, rest) = (self.now, self.quarantine);
        let has_rested = |p: &Pool| p.has_rested(queue, now, rest);
        let pools = self.realms.get_mut(usize::from(want.realm))?;
        // Who may be of either family, and names an address, wants that one's.
        let ipv4 = match want.address {
            Some(address) if !want.strict => address.is_ipv4(),
            _ => want.ipv4,
        };
        let is_family = |p: &Pool| p.address.is_ipv4() == ipv4;
        let has_family = pools.iter().any(is_family);
        let fits = |p: &&mut Pool| match choice {
            _ if want.strict && !is_family(p) => false,
            Choice::Rested | Choice::Family if has_family && !is_family(p) => false,
            Choice::Rested => has_rested(p),
            Choice::Family | Choice::Any => p.free(queue) > 0,
        };
        let pool = pools.iter_mut().filter(fits).max_by_key(|p| {
            (
                has_rested(p),
                want.address == Some(p.address),
                is_family(p),
                p.free(queue),
            )
        })?;
        let early = !has_rested(pool);
        let end = End {
            realm: want.realm,
            address: pool.address,
            port: pool.take(queue)?,
        };
        Some((end, early))
    }

    /// A pair that was taken a moment ago is the next of its queue again.
    fn put_back(&mut self, end: End, queue: usize) {
        if let Some((pool, index)) = self.locate(end)
            && pool.release(index)
        {
            pool.put_back(index, queue);
        }
    }

    /// Deals the free pairs out to the owners' queues, in the order in which they were freed.
    fn deal(&mut self) {
        for pool in self.realms.iter_mut().flatten() {
            pool.deal(&self.owners, |port| self.slots.owner(port));
        }
    }
}

#[cfg(test)]
mod tests;
