//! The pairs of one address: which are in use, and the queues of those that are free.
//!
//! A queue is a doubly linked list through the table of pairs, so that a pair can leave it from
//! anywhere, in constant time.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::time::Duration;

use tandem_link::SLOTS;

use crate::core::Share;

/// No pair, no queue. There are at most 32,768 pairs.
const NONE: u16 = u16::MAX;

/// The pairs of one address.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) address: IpAddr,
    /// The first RTP port.
    first: u16,
    /// By `(port - first) / 2`: all of them, since calls may come back from the journal with ports of
    /// another core's part.
    pairs: Vec<Pair>,
    /// Of our part: how many are in use, and how many there are.
    used_count: usize,
    count: usize,
    share: Share,
    /// Pairs in a block, as a power of two: blocks are dealt out to the cores in turn.
    block: u32,
    /// The free pairs of each owner.
    queues: Vec<Queue>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    /// When it was freed; none if it never was. In milliseconds above 0.
    freed: Option<NonZeroU64>,
    /// Its neighbours in its queue.
    before: u16,
    behind: u16,
    /// The queue that it is in.
    queue: u16,
    used: bool,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    front: u16,
    back: u16,
    len: usize,
}

impl Queue {
    const EMPTY: Self = Self {
        front: NONE,
        back: NONE,
        len: 0,
    };
}

impl Pool {
    /// All pairs in one queue, in an order by chance.
    pub(super) fn new(
        address: IpAddr,
        range: &RangeInclusive<u16>,
        random: &mut SplitMix,
        share: Share,
    ) -> Self {
        let first = range
            .start()
            .checked_next_multiple_of(2)
            .unwrap_or(*range.end());
        let all = (first..*range.end()).step_by(2).len();
        let pair = Pair {
            freed: None,
            before: NONE,
            behind: NONE,
            queue: NONE,
            used: false,
        };
        let mut pool = Self {
            address,
            first,
            pairs: vec![pair; all],
            used_count: 0,
            count: 0,
            share,
            block: block(all, share),
            queues: vec![Queue::EMPTY],
        };
        let mut ours: Vec<usize> = (0..all).filter(|index| pool.is_ours(*index)).collect();
        for i in (1..ours.len()).rev() {
            ours.swap(i, random.below(i + 1));
        }
        pool.count = ours.len();
        ours.into_iter().for_each(|index| pool.append(index, 0));
        pool
    }

    /// Of our part: how many are in use.
    pub(super) const fn used_count(&self) -> usize {
        self.used_count
    }

    /// Of our part: how many there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// How many pairs of a queue are free.
    pub(super) fn free(&self, queue: usize) -> usize {
        self.queues.get(queue).map_or(0, |queue| queue.len)
    }

    /// Whether the next pair of a queue was freed so long ago, or never used.
    pub(super) fn has_rested(&self, queue: usize, now: Duration, rest: Duration) -> bool {
        let front = self.queues.get(queue).map(|queue| queue.front);
        let pair = front.and_then(|front| self.pairs.get(usize::from(front)));
        let since = milliseconds(now).checked_sub(milliseconds(rest));
        let rested = |freed: NonZeroU64| since.is_some_and(|since| freed.get() - 1 <= since);
        pair.is_some_and(|pair| pair.freed.is_none_or(rested))
    }

    /// Where a pair is in the table, if it is one.
    pub(super) fn index(&self, port: u16) -> Option<usize> {
        let index = usize::from(port.checked_sub(self.first)? / 2);
        (port.is_multiple_of(2) && index < self.pairs.len()).then_some(index)
    }

    /// Whether a pair is of our part.
    pub(super) fn is_ours(&self, index: usize) -> bool {
        let workers = usize::from(self.share.shards.workers());
        (index >> self.block) % workers == usize::from(self.share.worker)
    }

    /// Takes the next pair of a queue: its RTP port.
    pub(super) fn take(&mut self, queue: usize) -> Option<u16> {
        let index = usize::from(self.queues.get(queue)?.front);
        self.pairs.get(index)?;
        self.unlink(index);
        self.occupy(index);
        // Below 32,768.
        let index = u16::try_from(index).ok()?;
        Some(self.first + 2 * index)
    }

    /// Takes this pair out of its queue. Whether it could: it may be in use.
    pub(super) fn reserve(&mut self, index: usize) -> bool {
        let is_free = self.pairs.get(index).is_some_and(|pair| !pair.used);
        if is_free {
            self.unlink(index);
            self.occupy(index);
        }
        is_free
    }

    /// A pair is not in use any more. Whether it was.
    pub(super) fn release(&mut self, index: usize) -> bool {
        let Some(pair) = self.pairs.get_mut(index) else {
            return false;
        };
        let was = std::mem::replace(&mut pair.used, false);
        if was && self.is_ours(index) {
            self.used_count -= 1;
        }
        was
    }

    /// A pair that was released is the last of a queue.
    pub(super) fn rest(&mut self, index: usize, queue: usize, now: Duration) {
        if let Some(pair) = self.pairs.get_mut(index) {
            pair.freed = NonZeroU64::new(milliseconds(now).saturating_add(1));
        }
        self.append(index, queue);
    }

    /// A pair that was released is the next of a queue.
    pub(super) fn put_back(&mut self, index: usize, queue: usize) {
        let front = self.queues.get(queue).map_or(NONE, |queue| queue.front);
        self.link(index, queue, NONE, front);
    }

    /// Deals the free pairs out to the owners' queues, in the order in which they were freed.
    pub(super) fn deal(&mut self, owners: &[u16], owner: impl Fn(u16) -> u16) {
        let mut order = Vec::with_capacity(self.count - self.used_count);
        for queue in &self.queues {
            let mut at = queue.front;
            while let Some(pair) = self.pairs.get(usize::from(at)) {
                order.push((pair.freed, at));
                at = pair.behind;
            }
        }
        // Stable: those never used stay shuffled.
        order.sort_by_key(|(freed, _)| *freed);
        self.queues = vec![Queue::EMPTY; owners.len()];
        for (_, index) in order {
            let owner = owner(self.first + 2 * index);
            let queue = owners.iter().position(|o| *o == owner).unwrap_or(0);
            self.append(index.into(), queue);
        }
    }

    fn occupy(&mut self, index: usize) {
        if let Some(pair) = self.pairs.get_mut(index) {
            pair.used = true;
        }
        if self.is_ours(index) {
            self.used_count += 1;
        }
    }

    fn append(&mut self, index: usize, queue: usize) {
        let back = self.queues.get(queue).map_or(NONE, |queue| queue.back);
        self.link(index, queue, back, NONE);
    }

    fn link(&mut self, index: usize, queue: usize, before: u16, behind: u16) {
        let number = u16::try_from(queue).unwrap_or(NONE);
        let own = u16::try_from(index).unwrap_or(NONE);
        if let Some(pair) = self.pairs.get_mut(index) {
            (pair.before, pair.behind, pair.queue) = (before, behind, number);
        }
        self.join(queue, before, own);
        self.join(queue, own, behind);
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.len += 1;
        }
    }

    /// Takes a pair out of the queue that it is in, if it is in one.
    fn unlink(&mut self, index: usize) {
        let Some(pair) = self.pairs.get_mut(index) else {
            return;
        };
        let queue = usize::from(std::mem::replace(&mut pair.queue, NONE));
        let (before, behind) = (pair.before, pair.behind);
        let Some(len) = self.queues.get_mut(queue).map(|queue| &mut queue.len) else {
            return;
        };
        *len -= 1;
        self.join(queue, before, behind);
    }

    /// Makes two pairs neighbours; none on one side is an end of the queue.
    fn join(&mut self, queue: usize, before: u16, behind: u16) {
        let Some(queue) = self.queues.get_mut(queue) else {
            return;
        };
        match self.pairs.get_mut(usize::from(before)) {
            Some(pair) => pair.behind = behind,
            None => queue.front = behind,
        }
        match self.pairs.get_mut(usize::from(behind)) {
            Some(pair) => pair.before = before,
            None => queue.back = before,
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The size of blocks: that of the dataplane's slots if there are enough of them, so that every core has
/// the same of each of the dataplane's workers; less in a small range.
fn block(pairs: usize, share: Share) -> u32 {
    let wanted = 8 * usize::from(share.shards.workers());
    let fits = |block: &u32| pairs >> block >= wanted;
    (1..=SLOTS.ilog2()).rev().find(fits).unwrap_or(0)
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough to shuffle with.
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // The remainder is below `limit`, a usize; a limit of 0 does not occur.
        usize::try_from(z % (limit as u64).max(1)).unwrap_or(0)
    }
}
