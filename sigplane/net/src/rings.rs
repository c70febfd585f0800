//! One SIP worker's rings of a session, those of all of the dataplane's workers together.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tandem_shm::{
    DatagramMeta, Doorbell, End, PayloadBuffer, PopError, PushError, Reader, ShmError, attach,
    payload_buffer,
};

use crate::link::LinkError;

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
    ends: Vec<End>,
    doorbell: Doorbell,
    buffer: PayloadBuffer,
    /// The worker whose ring is read next, so that a busy one does not starve the others.
    turn: usize,
}

impl Rings {
    /// The rings of each SIP worker, as many as there are doorbells.
    pub(crate) fn attach(
        memory: OwnedFd,
        doorbells: Vec<OwnedFd>,
        epoch: u32,
        workers: u16,
    ) -> Result<Vec<Self>, ShmError> {
        let rings = |Reader { ends, doorbell }| Self {
            ends,
            doorbell,
            buffer: payload_buffer(),
            turn: 0,
        };
        let readers = attach(memory, doorbells, epoch, workers)?;
        Ok(readers.into_iter().map(rings).collect())
    }

    /// Takes the next datagram, from each worker in turn; none when all rings are empty. A ring
    /// whose content makes no sense is emptied, counted ([`Self::corrupt`]) and passed over.
    ///
    /// # Errors
    /// The session has ended.
    pub fn receive(&mut self) -> Result<Option<Arrival<'_>>, LinkError> {
        let workers = self.ends.len();
        for _ in 0..workers {
            let worker = self.turn;
            self.turn = (self.turn + 1) % workers;
            let Some(end) = self.ends.get_mut(worker) else {
                continue;
            };
            match end.consumer.pop(&mut self.buffer) {
                Ok(Some((meta, length))) => {
                    return Ok(Some(Arrival {
                        realm: meta.realm,
                        source: meta.source,
                        local: meta.destination,
                        received_ns: meta.timestamp_ns,
                        bytes: self.buffer.get(..length).unwrap_or_default(),
                    }));
                }
                Ok(None) | Err(PopError::Corrupt) => {}
                Err(PopError::Fenced) => return Err(LinkError::Fenced),
            }
        }
        Ok(None)
    }

    /// Sends a datagram through a worker's ring. Datagrams to one destination keep their order.
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
        let worker = spread(destination)
            .checked_rem(self.ends.len())
            .unwrap_or(0);
        let end = self.ends.get_mut(worker).ok_or(PushError::Fenced)?;
        let meta = DatagramMeta {
            realm,
            source: local,
            destination,
            dscp,
            timestamp_ns: 0,
        };
        end.producer.push(&meta, bytes)
    }

    /// To be called after a batch of [`Self::send`].
    pub fn flush(&mut self) {
        for end in &mut self.ends {
            end.producer.flush();
        }
    }

    /// Announces that the caller is about to poll the doorbell; whether it may sleep. Followed by
    /// [`Self::awake`] in either case.
    #[must_use]
    pub fn prepare_sleep(&self) -> bool {
        // Every ring is asked, so that every writer knows.
        self.ends
            .iter()
            .map(|end| end.consumer.prepare_sleep())
            .fold(true, |all, one| all & one)
    }

    /// The caller is awake. The bell falls silent if it `rang`: one that rings only now is heard with the next poll.
    pub fn awake(&self, rang: bool) {
        for end in &self.ends {
            end.consumer.awake();
        }
        if rang {
            self.doorbell.silence();
        }
    }

    /// Times that a ring's content made no sense.
    #[must_use]
    pub fn corrupt(&self) -> u64 {
        self.ends.iter().map(|end| end.consumer.corrupt()).sum()
    }

    /// Datagrams that the dataplane says it dropped because we were too slow.
    #[must_use]
    pub fn dropped_by_dataplane(&self) -> u64 {
        self.ends
            .iter()
            .map(|end| end.consumer.dropped_by_producer())
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
            .field("workers", &self.ends.len())
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
