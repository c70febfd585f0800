//! The allocator of our media ports.
//!
//! Ports go in pairs: RTP on the even one, RTCP on the odd one above. Both legs of a flow come
//! from the same owner, a worker of the dataplane ([`SlotTable`]). For each address and owner there is a queue of
//! free pairs, shuffled at the start; a pair is taken from its front and comes back to its end, so
//! that a late packet of an ended call does not meet a new one. Taking and freeing cost the
//! same however many ports there are.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use tandem_link::{SLOTS, SlotTable};

use crate::core::Share;

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
pub(crate) struct End {
    /// Its realm.
    pub(super) realm: u16,
    /// Its address.
    pub(super) address: IpAddr,
    /// Its RTP port: even.
    pub(super) port: u16,
}

/// What kind of pair is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    /// In this realm.
    pub(super) realm: u16,
    /// On this address if possible.
    pub(super) address: Option<IpAddr>,
    /// Of this family...
    pub(super) ipv4: bool,
    /// ...and not of the other one.
    pub(super) strict: bool,
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
            news: VecDeque::new(),
        };
        ports.deal();
        ports
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
            used: sum.used + pool.used_count,
            free: sum.free + pool.count.saturating_sub(pool.used_count),
        })
    }

    /// An address of the realm for a new call: of the wanted family if there is one; of several,
    /// the one with the fewest pairs in use.
    pub(super) fn address(&self, realm: u16, ipv4: bool) -> Option<IpAddr> {
        let pools = self.realms.get(usize::from(realm))?;
        let best = pools
            .iter()
            .min_by_key(|p| (p.address.is_ipv4() != ipv4, p.used_count));
        best.map(|p| p.address)
    }

    /// Takes one pair for each leg, both of one owner: `owner` if it has them, else the next in
    /// turn that does.
    pub(super) fn take_both(&mut self, a: Want, b: Want, owner: Option<u16>) -> Option<[End; 2]> {
        let count = self.owners.len();
        let preferred = owner.and_then(|o| self.owners.iter().position(|w| *w == o));
        let turn = self.turn;
        let in_turn = (0..count).map(|i| (turn + i) % count);
        for queue in preferred.into_iter().chain(in_turn) {
            let Some(first) = self.take(a, queue) else {
                continue;
            };
            if let Some(second) = self.take(b, queue) {
                self.turn = (queue + 1) % count;
                return Some([first, second]);
            }
            self.free(first);
        }
        None
    }

    /// Takes a pair of the same owner as `other`.
    pub(super) fn take_beside(&mut self, want: Want, other: End) -> Option<End> {
        let owner = self.slots.owner(other.port);
        let queue = self.owners.iter().position(|w| *w == owner)?;
        self.take(want, queue)
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
    pub(super) fn free(&mut self, end: End) {
        let owner = self.slots.owner(end.port);
        let queue = self.owners.iter().position(|w| *w == owner).unwrap_or(0);
        let Some((pool, index)) = self.locate(end) else {
            return;
        };
        if pool
            .used
            .get_mut(index)
            .is_some_and(|used| std::mem::replace(used, false))
        {
            if !pool.is_ours(index) {
                return self.news.push_back(PortNews::Freed(end));
            }
            pool.used_count -= 1;
            if let Some(queue) = pool.free.get_mut(queue) {
                queue.push_back(end.port);
            }
        }
    }

    /// Takes this very pair, of a call that comes back from the journal. Whether it could: it may
    /// be in use, or not ours any more. Costs a pass over the free pairs of its queue.
    pub(super) fn reserve(&mut self, end: End) -> bool {
        let Some((pool, index)) = self.locate(end) else {
            return false;
        };
        let Some(used) = pool.used.get_mut(index).filter(|used| !**used) else {
            return false;
        };
        *used = true;
        if !pool.is_ours(index) {
            self.news.push_back(PortNews::Taken(end));
            return true;
        }
        pool.used_count += 1;
        for queue in &mut pool.free {
            if let Some(at) = queue.iter().position(|p| *p == end.port) {
                queue.remove(at);
            }
        }
        true
    }

    fn locate(&mut self, end: End) -> Option<(&mut Pool, usize)> {
        let pools = self.realms.get_mut(usize::from(end.realm))?;
        let pool = pools.iter_mut().find(|p| p.address == end.address)?;
        let index = usize::from(end.port.checked_sub(pool.first)? / 2);
        (end.port.is_multiple_of(2) && index < pool.used.len()).then_some((pool, index))
    }

    /// Takes a pair of this queue: on the wanted address, else of the wanted family, else on the
    /// address with the most free pairs.
    fn take(&mut self, want: Want, queue: usize) -> Option<End> {
        let free = |pool: &Pool| pool.free.get(queue).map_or(0, VecDeque::len);
        let pool = self
            .realms
            .get_mut(usize::from(want.realm))?
            .iter_mut()
            .filter(|p| free(p) > 0 && (!want.strict || p.address.is_ipv4() == want.ipv4))
            .max_by_key(|p| {
                (
                    want.address == Some(p.address),
                    p.address.is_ipv4() == want.ipv4,
                    free(p),
                )
            })?;
        let port = pool.free.get_mut(queue)?.pop_front()?;
        if let Some(used) = pool.used.get_mut(usize::from((port - pool.first) / 2)) {
            *used = true;
            pool.used_count += 1;
        }
        Some(End {
            realm: want.realm,
            address: pool.address,
            port,
        })
    }

    /// Deals the free pairs out to the owners' queues, in the order in which they are.
    fn deal(&mut self) {
        for pool in self.realms.iter_mut().flatten() {
            let ports: Vec<u16> = pool.free.drain(..).flatten().collect();
            pool.free = self
                .owners
                .iter()
                .map(|o| {
                    ports
                        .iter()
                        .copied()
                        .filter(|p| self.slots.owner(*p) == *o)
                        .collect()
                })
                .collect();
        }
    }
}

/// The pairs of one address.
#[derive(Debug)]
struct Pool {
    address: IpAddr,
    /// The first RTP port.
    first: u16,
    /// By `(port - first) / 2`: all of them, since calls may come back from the journal with ports of
    /// another core's part.
    used: Vec<bool>,
    /// Of our part: how many are in use, and how many there are.
    used_count: usize,
    count: usize,
    share: Share,
    /// Pairs in a block, as a power of two: blocks are dealt out to the cores in turn.
    block: u32,
    /// The free RTP ports of each owner.
    free: Vec<VecDeque<u16>>,
}

impl Pool {
    fn new(
        address: IpAddr,
        range: &RangeInclusive<u16>,
        random: &mut SplitMix,
        share: Share,
    ) -> Self {
        let first = range
            .start()
            .checked_next_multiple_of(2)
            .unwrap_or(*range.end());
        let all = (first..*range.end()).step_by(2);
        let mut pool = Self {
            address,
            first,
            used: vec![false; all.len()],
            used_count: 0,
            count: 0,
            share,
            block: block(all.len(), share),
            free: Vec::new(),
        };
        let ours = all.enumerate().filter(|(index, _)| pool.is_ours(*index));
        let mut ports: Vec<u16> = ours.map(|(_, port)| port).collect();
        for i in (1..ports.len()).rev() {
            ports.swap(i, random.below(i + 1));
        }
        pool.count = ports.len();
        pool.free = vec![ports.into()];
        pool
    }

    /// Whether a pair is of our part.
    fn is_ours(&self, index: usize) -> bool {
        let workers = usize::from(self.share.shards.workers());
        (index >> self.block) % workers == usize::from(self.share.worker)
    }
}

/// The size of blocks: that of the dataplane's slots if there are enough of them, so that every core has
/// the same of each of the dataplane's workers; less in a small range.
fn block(pairs: usize, share: Share) -> u32 {
    let wanted = 8 * usize::from(share.shards.workers());
    let fits = |block: &u32| pairs >> block >= wanted;
    (1..=SLOTS.ilog2()).rev().find(fits).unwrap_or(0)
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough to shuffle with.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // The remainder is below `limit`, a usize; a limit of 0 does not occur.
        usize::try_from(z % (limit as u64).max(1)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
