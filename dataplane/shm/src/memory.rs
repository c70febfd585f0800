//! The mapping: a memfd as a slice of atomic words. The crate's only unsafe code.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::sys::stat::fstat;
use nix::unistd::ftruncate;

use crate::ShmError;

/// Nobody can change the size under a mapping (which would be a SIGBUS), nor undo that.
fn wanted_seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL
}

/// A sealed memfd of `words` zeroed words.
pub(crate) fn create(words: usize) -> Result<OwnedFd, ShmError> {
    let step = |what| move |error| ShmError::System { what, error };
    let fd = memfd_create(
        c"tandem-rings",
        MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
    )
    .map_err(step("memfd_create"))?;
    let bytes = i64::try_from(words * 8).map_err(|_| ShmError::Shape)?;
    ftruncate(&fd, bytes).map_err(step("ftruncate"))?;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(wanted_seals())).map_err(step("sealing the ring memory"))?;
    Ok(fd)
}

/// Size in words of a memfd that came from the other end, after a check of its seals.
pub(crate) fn sealed_words(fd: &OwnedFd) -> Result<usize, ShmError> {
    let seals = fcntl(fd, FcntlArg::F_GET_SEALS).map_err(|error| ShmError::System {
        what: "reading the ring memory's seals",
        error,
    })?;
    if !SealFlag::from_bits_truncate(seals).contains(wanted_seals()) {
        return Err(ShmError::NotSealed);
    }
    let stat = fstat(fd).map_err(|error| ShmError::System {
        what: "fstat",
        error,
    })?;
    let bytes = usize::try_from(stat.st_size).map_err(|_| ShmError::Shape)?;
    if bytes == 0 || !bytes.is_multiple_of(4096) {
        return Err(ShmError::Shape);
    }
    Ok(bytes / 8)
}

/// A mapped memory of atomic words; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the memory belongs to the mapping until it is dropped and is reached only as
// `&[AtomicU64]`, which is itself Send and Sync. Needed since a raw pointer is neither.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `words` words of a sealed memfd, shared, readable and writable.
    pub(crate) fn new(fd: impl AsFd, words: usize) -> Result<Self, ShmError> {
        let length = words
            .checked_mul(8)
            .and_then(NonZeroUsize::new)
            .ok_or(ShmError::Shape)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: no address is asked for, so no existing mapping is replaced. Needed: there is
        // no safe way to map memory that another process shares.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, fd, 0) }
            .map_err(|error| ShmError::System {
                what: "mmap",
                error,
            })?;
        Ok(Self {
            start: start.cast(),
            words,
        })
    }

    /// The memory.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `start` is page-aligned and valid for `words` words until drop; the file is
        // sealed against shrinking, so no page of it goes away. Every bit pattern is a valid
        // AtomicU64, and what the other process writes at the same time is seen through atomic
        // loads only. Needed to reach mapped memory at all.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `new` mapped; `words` borrows from self, so nobody
        // holds a reference any more. Needed to give the memory back.
        let _ = unsafe { munmap(self.start.cast(), self.words * 8) };
    }
}
