//! Every connection, and the ways to find one: by id, by peer, by deadline; and how many there are of each sort.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::connection::Connection;
use super::counters::Count;
use super::settings::StreamLimits;

/// Ids below are the listeners', in what epoll says.
pub(super) const FIRST: u64 = 1 << 16;

/// Connections.
#[derive(Debug)]
pub(super) struct Table {
    connections: HashMap<u64, Box<Connection>>,
    next: u64,
    aliases: BTreeSet<(u16, SocketAddr, u64)>,
    deadlines: BTreeSet<(Duration, u64)>,
    sources: HashMap<IpAddr, Source>,
    /// Half-open ones that are not exempt.
    half_open: usize,
    /// Accepted ones that are not exempt.
    common: usize,
}

/// What one source has.
#[derive(Debug, Default)]
struct Source {
    connections: usize,
    half_open: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            connections: HashMap::new(),
            next: FIRST,
            aliases: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            sources: HashMap::new(),
            half_open: 0,
            common: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.connections.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Connection)> {
        self.connections.iter().map(|(id, c)| (*id, c.as_ref()))
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Connection> {
        self.connections.get_mut(&id).map(Box::as_mut)
    }

    /// Whether one more may be accepted from a source; none: an exempt one.
    pub(super) fn admits(
        &self,
        source: Option<IpAddr>,
        limits: &StreamLimits,
    ) -> Result<(), Count> {
        if self.connections.len() >= limits.connections {
            return Err(Count::RefusedFull);
        }
        let Some(source) = source else {
            return Ok(());
        };
        if self.common >= limits.connections.saturating_sub(limits.reserved) {
            return Err(Count::RefusedFull);
        }
        if let Some(has) = self.sources.get(&source) {
            if has.connections >= limits.connections_per_source {
                return Err(Count::RefusedSource);
            }
            if has.half_open >= limits.half_open_per_source {
                return Err(Count::RefusedHalfOpenSource);
            }
        }
        if self.half_open >= limits.half_open {
            return Err(Count::RefusedHalfOpen);
        }
        Ok(())
    }

    /// The id that the next connection gets.
    pub(super) const fn next_id(&self) -> u64 {
        self.next
    }

    /// Takes a connection in, under [`Self::next_id`].
    pub(super) fn insert(&mut self, connection: Connection, limits: &StreamLimits) -> u64 {
        let id = self.next;
        self.next += 1;
        if let Some(source) = connection.source {
            let half_open = usize::from(connection.half_open);
            let has = self.sources.entry(source).or_default();
            has.connections += 1;
            has.half_open += half_open;
            self.half_open += half_open;
            self.common += 1;
        }
        self.aliases
            .insert((connection.listener, connection.peer, id));
        self.connections.insert(id, Box::new(connection));
        self.schedule(id, limits);
        id
    }

    /// Brings the counts and deadlines up to date after something happened on a connection.
    pub(super) fn update(&mut self, id: u64, limits: &StreamLimits) {
        if let Some(connection) = self.connections.get_mut(&id)
            && connection.half_open
            && connection.is_open()
        {
            connection.half_open = false;
            let source = connection.source;
            self.less_half_open(source);
        }
        self.schedule(id, limits);
    }

    /// Takes a connection out of what [`Self::find`] finds.
    pub(super) fn retire(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        self.aliases
            .remove(&(connection.listener, connection.peer, id));
        if std::mem::take(&mut connection.half_open) {
            let source = connection.source;
            self.less_half_open(source);
        }
    }

    /// Takes a connection out.
    pub(super) fn remove(&mut self, id: u64) -> Option<Box<Connection>> {
        self.retire(id);
        let connection = self.connections.remove(&id)?;
        if let Some(deadline) = connection.scheduled {
            self.deadlines.remove(&(deadline, id));
        }
        if let Some(source) = connection.source {
            self.common -= 1;
            if let Some(has) = self.sources.get_mut(&source) {
                has.connections -= 1;
                if has.connections == 0 {
                    self.sources.remove(&source);
                }
            }
        }
        Some(connection)
    }

    /// The newest connection of a listener with a peer that takes messages and that the filter likes.
    pub(super) fn find(
        &self,
        listener: u16,
        peer: SocketAddr,
        filter: impl Fn(&Connection) -> bool,
    ) -> Option<u64> {
        let of_peer = (listener, peer, 0)..=(listener, peer, u64::MAX);
        self.aliases
            .range(of_peer)
            .rev()
            .map(|(_, _, id)| *id)
            .find(|id| {
                let connection = self.connections.get(id);
                connection.is_some_and(|c| c.takes() && filter(c))
            })
    }

    /// The first deadline.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A connection whose deadline has come.
    pub(super) fn due(&mut self, now: Duration) -> Option<u64> {
        let (deadline, id) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.deadlines.pop_first();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.scheduled = None;
        }
        Some(id)
    }

    /// A deadline that comes later than it was is noticed when the earlier one comes: so nothing is moved for each
    /// message.
    fn schedule(&mut self, id: u64, limits: &StreamLimits) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let deadline = connection.deadline(limits);
        match connection.scheduled {
            Some(scheduled) if scheduled <= deadline => return,
            Some(scheduled) => self.deadlines.remove(&(scheduled, id)),
            None => false,
        };
        connection.scheduled = Some(deadline);
        self.deadlines.insert((deadline, id));
    }

    fn less_half_open(&mut self, source: Option<IpAddr>) {
        if let Some(source) = source {
            self.half_open -= 1;
            if let Some(has) = self.sources.get_mut(&source) {
                has.half_open -= 1;
            }
        }
    }
}
