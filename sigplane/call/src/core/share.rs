//! A node's work, shared by several cores: each has some shards of the Call-IDs and knows nothing of the
//! others' calls. What is no call's own, and what concerns all of them, one core tells the others
//! ([`crate::Output::Tell`], [`crate::Input::Told`]); a core that is alone tells nothing.
//!
//! - Calls are numbered so that their number says their shard ([`shard_of_key`]): flows and journal records
//!   find their core by it, however many cores there are by then.
//! - Each core has its part of the media ports. Another one may hold a port of it: that of a call from a
//!   life with another number of cores.
//! - The first core probes the targets; every core tells what failed.
//! - Each tells every now and then how many calls its targets have.
//! - Which core has a user's registrations is said by the shard of his address of record; the others ask it (`registrar`).
//! - Who has registered is told too (`bindings`, [`crate::Output::Registered`]).

use std::net::SocketAddr;
use std::time::Duration;

use tandem_policy::StateChange;
use tandem_sip::{SHARDS, ShardTable, shard};

use super::Core;
use super::registrar::Place;
use crate::io::{Now, Output, Path};
use crate::journal::HeldTarget;
use crate::media::PortNews;

/// A core's part of the node's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which of the workers this is, from 0.
    pub worker: u16,
    /// Which worker has which shard.
    pub shards: ShardTable,
}

impl Default for Share {
    /// All of it.
    fn default() -> Self {
        Self {
            worker: 0,
            shards: ShardTable::deal(1),
        }
    }
}

impl Share {
    /// Whether there are no others.
    #[must_use]
    pub const fn is_all(self) -> bool {
        self.shards.workers() == 1
    }

    /// Whether this shard is in it.
    #[must_use]
    pub const fn has(self, shard: u16) -> bool {
        self.shards.owner(shard) == self.worker
    }
}

/// The shard of the call (or of the flow with a user agent) that has this number: a cookie of the
/// dataplane's flows, a key of the journal.
#[must_use]
pub const fn shard_of_key(key: u64) -> u16 {
    (key % SHARDS as u64) as u16
}

/// What one core tells the others. Opaque to the shell, which brings it to [whom it is for](Self::to), in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News(pub(super) Item);

impl News {
    /// Whom it is for; none for all others.
    #[must_use]
    pub const fn to(&self) -> Option<u16> {
        match &self.0 {
            Item::WhereIs { owner, .. } => Some(*owner),
            Item::Found { worker, .. } => Some(*worker),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A target answered.
    Well {
        target: i64,
        server: SocketAddr,
        latency: Duration,
    },
    /// A server failed; with it the target, if that has no other.
    Ailing {
        target: i64,
        server: SocketAddr,
        target_too: bool,
        silent: bool,
    },
    /// Nobody is there, or the connection has ended.
    Unreachable {
        path: Path,
        destination: SocketAddr,
        closed: bool,
    },
    /// A worker has so many calls of a target's.
    Load {
        worker: u16,
        target: i64,
        calls: u64,
    },
    /// Where is this user of yours?
    WhereIs {
        owner: u16,
        worker: u16,
        id: u64,
        aor: Vec<u8>,
        method: Vec<u8>,
    },
    /// There.
    Found {
        worker: u16,
        id: u64,
        aor: Vec<u8>,
        places: Vec<Vec<Place>>,
    },
    /// The administrator said so of a target.
    Held(HeldTarget),
    /// Somebody holds a port of another's part, or gives it back.
    Port(PortNews),
}

/// Makes the numbers of calls: no other call of the node has or had the same.
#[derive(Debug)]
pub(super) struct Keys {
    /// The last one of each shard, without the shard.
    last: Vec<u64>,
    /// The last one of any shard in lives before.
    before: u64,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self {
            last: vec![0; usize::from(SHARDS)],
            before: 0,
        }
    }

    /// A number for what belongs to this shard: from the time, in 16 ms, so that it needs no memory of its
    /// own; the shard is in its lowest 12 bits. It has 52 bits until the year 2500 (see
    /// `media::Session`, which appends 12 for its flows).
    fn next(&mut self, wall_ms: u64, shard: u16) -> u64 {
        let shard = shard % SHARDS;
        let Some(last) = self.last.get_mut(usize::from(shard)) else {
            return 0;
        };
        *last = (wall_ms >> 4).max(*last + 1).max(self.before + 1);
        *last * u64::from(SHARDS) + u64::from(shard)
    }

    /// A life before this one gave out this number, and none that is above it by its time. A process is there again
    /// sooner than the time in a number moves on.
    pub(super) fn given_out(&mut self, key: u64) {
        self.before = self.before.max(key / u64::from(SHARDS));
    }

    /// A call with this number was there before.
    pub(super) fn seen(&mut self, key: u64) {
        if let Some(last) = self.last.get_mut(usize::from(shard_of_key(key))) {
            *last = (*last).max(key / u64::from(SHARDS));
        }
    }
}

impl Core {
    /// A number for what belongs to this shard.
    pub(super) fn new_key(&mut self, now: Now, shard: u16) -> u64 {
        self.keys.next(now.wall_ms, shard)
    }

    /// A Call-ID for a request of our own whose response shall come to us.
    pub(super) fn own_call_id(&mut self) -> String {
        let mut call_id = self.tokens.token();
        // One of as many as there are workers is ours; so many in vain have never been seen.
        for _ in 0..100_000 {
            if self.config.share.has(shard(call_id.as_bytes())) {
                break;
            }
            call_id = self.tokens.token();
        }
        call_id
    }

    /// Tells the others, if there are any.
    pub(super) fn tell(&mut self, item: Item) {
        if !self.config.share.is_all() {
            self.outputs.push_back(Output::Tell(News(item)));
        }
    }

    /// Tells the others what became of ports of theirs.
    pub(super) fn tell_ports(&mut self) {
        while let Some(news) = self.ports.news() {
            self.tell(Item::Port(news));
        }
    }

    /// Another core tells.
    pub(super) fn told(&mut self, now: Now, News(item): News) {
        match item {
            Item::Well {
                target,
                server,
                latency,
            } => {
                self.note_well(server);
                let _ = self.dispatcher.succeeded(target, latency);
            }
            Item::Ailing {
                target,
                server,
                target_too,
                silent,
            } => {
                self.note_ailing(now, server);
                if target_too {
                    let _ = self.dispatcher.failed(target, silent);
                }
            }
            Item::Unreachable {
                path,
                destination,
                closed,
            } => {
                self.unreachable(now, path, destination, closed);
                if closed {
                    self.connection_closed(path, destination);
                }
            }
            Item::Load {
                worker,
                target,
                calls,
            } => self.dispatcher.load_elsewhere(target, worker, calls),
            Item::WhereIs {
                worker,
                id,
                aor,
                method,
                ..
            } => self.where_is(now, worker, id, aor, &method),
            Item::Found {
                id, aor, places, ..
            } => self.found(now, id, aor, places),
            Item::Held(held) => self.hold(&held),
            Item::Port(news) => self.ports.told(news),
        }
    }

    /// A target's server answered: what comes of it is noted here and told.
    pub(super) fn target_well(&mut self, target: i64, server: SocketAddr, latency: Duration) {
        self.note_well(server);
        self.latencies.probe.record(latency);
        let change = self.dispatcher.succeeded(target, latency);
        self.note_change(change);
        self.tell(Item::Well {
            target,
            server,
            latency,
        });
    }

    /// A target's server failed, and with it perhaps the target: the same.
    pub(super) fn target_ailing(
        &mut self,
        now: Now,
        target: i64,
        server: SocketAddr,
        (target_too, silent): (bool, bool),
    ) {
        self.note_ailing(now, server);
        let mut change: Option<StateChange> = None;
        if target_too {
            change = self.dispatcher.failed(target, silent);
        }
        self.note_change(change);
        self.tell(Item::Ailing {
            target,
            server,
            target_too,
            silent,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_say_their_shard_ascend_and_fit() {
        let mut keys = Keys::new();
        let wall_ms = 1_800_000_000_000;
        let first = keys.next(wall_ms, 17);
        let second = keys.next(wall_ms, 17);
        let other = keys.next(wall_ms, 4_095);
        assert_eq!(
            [first, second, other].map(shard_of_key),
            [17, 17, 4_095],
            "{first:x}"
        );
        assert!(second > first && second < 1 << 52);
        let mut later = Keys::new();
        later.seen(second);
        assert!(later.next(0, 17) > second, "the clock was set back");
        assert_eq!(shard_of_key(later.next(wall_ms, 18)), 18);
        // A life that begins in the very moment in which the other one ended.
        let mut next = Keys::new();
        next.given_out(second);
        let fresh: Vec<u64> = [17, 17, 4_095]
            .map(|shard| next.next(wall_ms, shard))
            .into();
        assert!(
            fresh
                .iter()
                .all(|key| ![first, second, other].contains(key))
        );
        assert_eq!(
            fresh.iter().map(|key| shard_of_key(*key)).max(),
            Some(4_095)
        );
    }

    #[test]
    fn each_shard_is_in_one_share() {
        let shards = ShardTable::deal(3);
        for shard in 0..SHARDS {
            let has = (0..3).filter(|&worker| Share { worker, shards }.has(shard));
            assert_eq!(has.count(), 1);
        }
        assert!(Share::default().is_all() && Share::default().has(SHARDS - 1));
    }
}
