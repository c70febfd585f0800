//! One SIP worker's rings of a session, those of all of the dataplane's workers together.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tandem_link::{Command, FromDataplane, SlotTable, ToDataplane, decode, encode};
use tandem_shm::{
    DatagramMeta, Doorbell, End, PayloadBuffer, PopError, PushError, Reader, Record, ShmError,
    attach, payload_buffer,
};

use crate::link::LinkError;

/// Commands that may wait for a worker of the dataplane that does not read its ring.
const MOST_WAITING: usize = 16_384;

/// What came through a ring.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "looked at and gone; boxing would cost an allocation"
)]
pub enum Incoming<'a> {
    /// SIP.
    Datagram(Arrival<'a>),
    /// An answer to [`Rings::command`].
    Message(FromDataplane),
}

/// A datagram that came through a ring.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// Index of the realm that it came in on, by the dataplane's word.
    pub realm: u16,
    /// Who sent it.
    pub source: SocketAddr,
    /// The address of ours that it came to.
    pub local: SocketAddr,
    /// When the dataplane read it: nanoseconds of `CLOCK_MONOTONIC`; 0 if it does not say.
    pub received_ns: u64,
    /// Its payload.
    pub bytes: &'a [u8],
}

/// One ring in each direction for each of the dataplane's workers. One SIP worker's: they may go to its
/// thread.
pub struct Rings {
    /// By the dataplane's worker.
    ways: Vec<Way>,
    slots: SlotTable,
    /// Commands whose end has not come back.
    unanswered: usize,
    doorbell: Doorbell,
    buffer: PayloadBuffer,
    /// The worker whose ring is read next, so that a busy one does not starve the others.
    turn: usize,
}

/// To and from one of the dataplane's workers.
struct Way {
    end: End,
    /// Commands that found no room.
    waiting: VecDeque<Vec<u8>>,
}

impl Way {
    /// Gives as many of the waiting commands as there is room for.
    fn catch_up(&mut self) -> Result<(), PushError> {
        while let Some(command) = self.waiting.front() {
            self.end.producer.push_message(command)?;
            self.waiting.pop_front();
        }
        Ok(())
    }
}

impl Rings {
    /// The rings of each SIP worker, as many as there are doorbells.
    pub(crate) fn attach(
        memory: OwnedFd,
        doorbells: Vec<OwnedFd>,
        (epoch, workers, slots): (u32, u16, &SlotTable),
    ) -> Result<Vec<Self>, ShmError> {
        let way = |end| Way {
            end,
            waiting: VecDeque::new(),
        };
        let rings = |Reader { ends, doorbell }| Self {
            ways: ends.into_iter().map(way).collect(),
            slots: slots.clone(),
            unanswered: 0,
            doorbell,
            buffer: payload_buffer(),
            turn: 0,
        };
        let readers = attach(memory, doorbells, epoch, workers)?;
        Ok(readers.into_iter().map(rings).collect())
    }

    /// Takes the next datagram or answer, from each worker in turn; none when all rings are empty. A ring
    /// whose content makes no sense is emptied, counted ([`Self::corrupt`]) and passed over.
    ///
    /// # Errors
    /// The session has ended, or is of no use: an answer cannot be read.
    pub fn receive(&mut self) -> Result<Option<Incoming<'_>>, LinkError> {
        let workers = self.ways.len();
        for _ in 0..workers {
            let worker = self.turn;
            self.turn = (self.turn + 1) % workers;
            let Some(way) = self.ways.get_mut(worker) else {
                continue;
            };
            match way.end.consumer.pop(&mut self.buffer) {
                Ok(Some((record, length))) => {
                    let bytes = self.buffer.get(..length).unwrap_or_default();
                    let Record::Datagram(meta) = record else {
                        let message =
                            decode(bytes).map_err(|e| LinkError::Protocol(e.to_string()))?;
                        if matches!(message, FromDataplane::Done { .. }) {
                            self.unanswered = self.unanswered.saturating_sub(1);
                        }
                        return Ok(Some(Incoming::Message(message)));
                    };
                    return Ok(Some(Incoming::Datagram(Arrival {
                        realm: meta.realm,
                        source: meta.source,
                        local: meta.destination,
                        received_ns: meta.timestamp_ns,
                        bytes,
                    })));
                }
                Ok(None) | Err(PopError::Corrupt) => {}
                Err(PopError::Fenced) => return Err(LinkError::Fenced),
            }
        }
        Ok(None)
    }

    /// Gives a command on a flow to the worker that owns its port ([`Command::port`]), and says which that is: a
    /// datagram that is sent by its ring after that finds it carried out. No bell rings for the answer.
    ///
    /// # Errors
    /// The session has ended, or the worker has not read for long.
    pub fn command(&mut self, seq: u64, command: Command) -> Result<u16, LinkError> {
        let worker = self.slots.owner(command.port().unwrap_or(0));
        let Some(way) = self.ways.get_mut(usize::from(worker)) else {
            let wrong = format!("there is no worker {worker}, which owns flows");
            return Err(LinkError::Protocol(wrong));
        };
        let messages = way.waiting.len();
        if messages >= MOST_WAITING {
            return Err(LinkError::Stalled { messages });
        }
        self.unanswered += 1;
        let message = encode(&ToDataplane::Command { seq, command });
        way.waiting.push_back(message);
        match way.catch_up() {
            Ok(()) | Err(PushError::Full) => Ok(worker),
            Err(PushError::Fenced) => Err(LinkError::Fenced),
            Err(error @ PushError::TooLong) => Err(LinkError::Protocol(error.to_string())),
        }
    }

    /// Commands whose end has not come back.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Whether commands wait for room: [`Self::flush`] tries again.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.ways.iter().any(|way| !way.waiting.is_empty())
    }

    /// The worker by whose ring datagrams to this destination go.
    #[must_use]
    pub fn worker_for(&self, destination: SocketAddr) -> u16 {
        let worker = spread(destination).checked_rem(self.ways.len());
        worker.and_then(|w| u16::try_from(w).ok()).unwrap_or(0)
    }

    /// Sends a datagram through a worker's ring, behind the commands that it was given. Datagrams to one destination
    /// keep their order.
    ///
    /// # Errors
    /// The ring did not take it.
    pub fn send(
        &mut self,
        realm: u16,
        local: SocketAddr,
        destination: SocketAddr,
        dscp: u8,
        bytes: &[u8],
    ) -> Result<(), PushError> {
        let worker = usize::from(self.worker_for(destination));
        let way = self.ways.get_mut(worker).ok_or(PushError::Fenced)?;
        way.catch_up()?;
        let meta = DatagramMeta {
            realm,
            source: local,
            destination,
            dscp,
            timestamp_ns: 0,
        };
        way.end.producer.push(&meta, bytes)
    }

    /// To be called after a batch of [`Self::send`] and [`Self::command`].
    pub fn flush(&mut self) {
        for way in &mut self.ways {
            // What stays is tried again.
            let _ = way.catch_up();
            way.end.producer.flush();
        }
    }

    /// Announces that the caller is about to poll the doorbell; whether it may sleep. Followed by
    /// [`Self::awake`] in either case.
    #[must_use]
    pub fn prepare_sleep(&self) -> bool {
        // Every ring is asked, so that every writer knows.
        self.ways
            .iter()
            .map(|way| way.end.consumer.prepare_sleep())
            .fold(true, |all, one| all & one)
    }

    /// The caller is awake. The bell falls silent if it `rang`: one that rings only now is heard with the next poll.
    pub fn awake(&self, rang: bool) {
        for way in &self.ways {
            way.end.consumer.awake();
        }
        if rang {
            self.doorbell.silence();
        }
    }

    /// Times that a ring's content made no sense.
    #[must_use]
    pub fn corrupt(&self) -> u64 {
        self.ways.iter().map(|way| way.end.consumer.corrupt()).sum()
    }

    /// Datagrams that the dataplane says it dropped because we were too slow.
    #[must_use]
    pub fn dropped_by_dataplane(&self) -> u64 {
        self.ways
            .iter()
            .map(|way| way.end.consumer.dropped_by_producer())
            .sum()
    }
}

impl AsFd for Rings {
    /// The doorbell's descriptor: poll for reading.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.doorbell.as_fd()
    }
}

impl std::fmt::Debug for Rings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rings")
            .field("workers", &self.ways.len())
            .finish_non_exhaustive()
    }
}

/// A number that spreads destinations over the workers.
fn spread(destination: SocketAddr) -> usize {
    let low = match destination.ip() {
        IpAddr::V4(ip) => u32::from_be_bytes(ip.octets()),
        IpAddr::V6(ip) => ip.octets().iter().fold(0u32, |sum, b| {
            sum.wrapping_mul(31).wrapping_add(u32::from(*b))
        }),
    };
    low.wrapping_add(u32::from(destination.port())) as usize
}
