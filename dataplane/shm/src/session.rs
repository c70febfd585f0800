//! A session's memory, made by the dataplane and mapped by its controller.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use thiserror::Error;

use crate::doorbell::Doorbell;
use crate::layout::{EPOCH_WORD, FENCED, MAGIC, MAGIC_WORD, SHAPE_WORD, Shape, Way};
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

/// One worker's rings, as one of the two planes holds them.
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
    doorbell: Doorbell,
}

impl Session {
    /// Makes the memory of session `epoch` (not 0) with rings of `ring_bytes` (a power of two) for
    /// each worker, and the dataplane's ends of them, by worker.
    ///
    /// # Errors
    /// The system's refusal, or impossible measures.
    pub fn create(epoch: u32, workers: u16, ring_bytes: u32) -> Result<(Self, Vec<End>), ShmError> {
        let shape = Shape {
            workers,
            ring_bytes,
        };
        if !shape.is_valid() || u64::from(epoch) == FENCED {
            return Err(ShmError::Shape);
        }
        let fd = memory::create(shape.total_words())?;
        let mapping = Arc::new(Mapping::new(&fd, shape.total_words())?);
        let header = [
            (MAGIC_WORD, MAGIC),
            (SHAPE_WORD, shape.encode()),
            (EPOCH_WORD, u64::from(epoch)),
        ];
        for (at, value) in header {
            mapping
                .words()
                .get(at)
                .ok_or(ShmError::Shape)?
                .store(value, Ordering::Release);
        }
        let doorbell = Doorbell::new()?;
        let ends = ends(&mapping, shape, epoch, &Plane::Data(doorbell.clone()));
        Ok((
            Self {
                fd,
                mapping,
                doorbell,
            },
            ends,
        ))
    }

    /// The memory's descriptor, for the controller.
    #[must_use]
    pub fn memory_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The doorbell's descriptor, for the controller.
    #[must_use]
    pub fn doorbell_fd(&self) -> BorrowedFd<'_> {
        self.doorbell.as_fd()
    }

    /// Ends the session: every push and pop in it, of either plane, answers `Fenced` from now on.
    /// The bell rings, so that a sleeping controller notices.
    pub fn fence(&self) {
        if let Some(word) = self.mapping.words().get(EPOCH_WORD) {
            word.store(FENCED, Ordering::SeqCst);
        }
        self.doorbell.ring();
    }
}

/// Maps the session's memory in the controller. Gives its ends of the rings, by worker, and the
/// doorbell to sleep on.
///
/// # Errors
/// The memory is not what the welcome announced.
pub fn attach(
    memory: OwnedFd,
    doorbell: OwnedFd,
    epoch: u32,
    workers: u16,
) -> Result<(Vec<End>, Doorbell), ShmError> {
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
    let shape = Shape::decode(header(SHAPE_WORD)).ok_or(ShmError::Version)?;
    if shape.workers != workers || shape.total_words() != words {
        return Err(ShmError::Shape);
    }
    if header(EPOCH_WORD) != u64::from(epoch) {
        return Err(ShmError::Epoch);
    }
    Ok((
        ends(&mapping, shape, epoch, &Plane::Signaling),
        Doorbell::from_fd(doorbell),
    ))
}

/// Whose ends.
enum Plane {
    Data(Doorbell),
    Signaling,
}

fn ends(mapping: &Arc<Mapping>, shape: Shape, epoch: u32, plane: &Plane) -> Vec<End> {
    let (out, back, doorbell) = match plane {
        Plane::Data(doorbell) => (Way::ToController, Way::ToDataplane, Some(doorbell.clone())),
        Plane::Signaling => (Way::ToDataplane, Way::ToController, None),
    };
    let ring = |worker, way| Ring::new(Arc::clone(mapping), shape, worker, way, epoch);
    (0..shape.workers)
        .map(|worker| End {
            producer: Producer::new(ring(worker, out), doorbell.clone()),
            consumer: Consumer::new(ring(worker, back)),
        })
        .collect()
}
