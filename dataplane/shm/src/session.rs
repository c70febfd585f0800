//! A session's memory, made by the dataplane and mapped by its controller.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use thiserror::Error;

use crate::doorbell::Doorbell;
use crate::layout::{EPOCH_WORD, FENCED, MAGIC, MAGIC_WORD, READERS_WORD, SHAPE_WORD, Shape, Way};
use crate::memory::{self, Mapping};
use crate::ring::{Consumer, Producer, Ring};

/// Why a session's memory could not be made or mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ShmError {
    /// The system refused.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Its answer.
        error: Errno,
    },
    /// Measures that no session has.
    #[error("the ring memory has impossible measures")]
    Shape,
    /// The memory could shrink under us.
    #[error("the ring memory is not sealed")]
    NotSealed,
    /// Not our memory, or of another version: the two planes were not updated together.
    #[error("the ring memory is of another version: update both planes together")]
    Version,
    /// Another session's memory, or one that has been fenced meanwhile.
    #[error("the ring memory belongs to another session")]
    Epoch,
}

/// The two rings between a worker of the dataplane and a reader, as one of the two planes holds them.
#[derive(Debug)]
pub struct End {
    /// To the other plane.
    pub producer: Producer,
    /// From the other plane.
    pub consumer: Consumer,
}

/// The dataplane's hold on a session.
#[derive(Debug)]
pub struct Session {
    fd: OwnedFd,
    mapping: Arc<Mapping>,
    doorbells: Vec<Doorbell>,
}

/// A reader's part of a session: the controller may have several, each with a thread of its own.
#[derive(Debug)]
pub struct Reader {
    /// Its ends of the rings, by worker.
    pub ends: Vec<End>,
    /// Rung when something is in one of them.
    pub doorbell: Doorbell,
}

impl Session {
    /// Makes the memory of session `epoch` (not 0) with rings of `ring_bytes` (a power of two)
    /// between each worker and each reader, and the dataplane's ends of them: for each worker a list by
    /// reader.
    ///
    /// # Errors
    /// The system's refusal, or impossible measures.
    pub fn create(
        epoch: u32,
        workers: u16,
        readers: u16,
        ring_bytes: u32,
    ) -> Result<(Self, Vec<Vec<End>>), ShmError> {
        let shape = Shape {
            workers,
            readers,
            ring_bytes,
        };
        if !shape.is_valid() || u64::from(epoch) == FENCED {
            return Err(ShmError::Shape);
        }
        let fd = memory::create(shape.total_words())?;
        let mapping = Arc::new(Mapping::new(&fd, shape.total_words())?);
        let [shape_word, readers_word] = shape.encode();
        let header = [
            (MAGIC_WORD, MAGIC),
            (SHAPE_WORD, shape_word),
            (READERS_WORD, readers_word),
            (EPOCH_WORD, u64::from(epoch)),
        ];
        for (at, value) in header {
            mapping
                .words()
                .get(at)
                .ok_or(ShmError::Shape)?
                .store(value, Ordering::Release);
        }
        let doorbells: Vec<Doorbell> = (0..readers)
            .map(|_| Doorbell::new())
            .collect::<Result<_, _>>()?;
        let by_reader = |worker| {
            let end = |(reader, bell): (u16, &Doorbell)| {
                let way = (Way::ToController, Way::ToDataplane);
                end(&mapping, shape, epoch, (worker, reader), way, Some(bell))
            };
            (0..).zip(&doorbells).map(end).collect()
        };
        let ends = (0..workers).map(by_reader).collect();
        Ok((
            Self {
                fd,
                mapping,
                doorbells,
            },
            ends,
        ))
    }

    /// The memory's descriptor, for the controller.
    #[must_use]
    pub fn memory_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The doorbells' descriptors, by reader, for the controller.
    pub fn doorbell_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.doorbells.iter().map(AsFd::as_fd)
    }

    /// Ends the session: every push and pop in it, of either plane, answers `Fenced` from now on.
    /// The bells ring, so that readers that sleep notice.
    pub fn fence(&self) {
        if let Some(word) = self.mapping.words().get(EPOCH_WORD) {
            word.store(FENCED, Ordering::SeqCst);
        }
        self.doorbells.iter().for_each(Doorbell::ring);
    }
}

/// Maps the session's memory in the controller, whose readers are as many as there are doorbells. Gives
/// each reader's part.
///
/// # Errors
/// The memory is not what the welcome announced.
pub fn attach(
    memory: OwnedFd,
    doorbells: Vec<OwnedFd>,
    epoch: u32,
    workers: u16,
) -> Result<Vec<Reader>, ShmError> {
    let words = memory::sealed_words(&memory)?;
    let mapping = Arc::new(Mapping::new(&memory, words)?);
    let header = |at: usize| {
        mapping
            .words()
            .get(at)
            .map_or(0, |w| w.load(Ordering::Acquire))
    };
    if header(MAGIC_WORD) != MAGIC {
        return Err(ShmError::Version);
    }
    // Read once: what is checked is what is used.
    let shape =
        Shape::decode([header(SHAPE_WORD), header(READERS_WORD)]).ok_or(ShmError::Version)?;
    if shape.workers != workers
        || usize::from(shape.readers) != doorbells.len()
        || shape.total_words() != words
    {
        return Err(ShmError::Shape);
    }
    if header(EPOCH_WORD) != u64::from(epoch) {
        return Err(ShmError::Epoch);
    }
    let way = (Way::ToDataplane, Way::ToController);
    let part = |(reader, bell): (u16, OwnedFd)| Reader {
        ends: (0..workers)
            .map(|worker| end(&mapping, shape, epoch, (worker, reader), way, None))
            .collect(),
        doorbell: Doorbell::from_fd(bell),
    };
    Ok((0..).zip(doorbells).map(part).collect())
}

/// The ends between a worker and a reader, of the plane that has these ways out and back.
fn end(
    mapping: &Arc<Mapping>,
    shape: Shape,
    epoch: u32,
    pair: (u16, u16),
    (out, back): (Way, Way),
    doorbell: Option<&Doorbell>,
) -> End {
    let ring = |way| Ring::new(Arc::clone(mapping), shape, pair, way, epoch);
    End {
        producer: Producer::new(ring(out), doorbell.cloned()),
        consumer: Consumer::new(ring(back)),
    }
}
