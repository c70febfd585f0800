//! Disks as they are written and read back: past the kernel's cache, so that what counts as written is on the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, PosixFadviseAdvice};

use crate::source::PIECE;

/// What an image is written to.
pub trait Target {
    /// In bytes.
    fn size(&self) -> u64;

    /// Writes all of it. Place and length are multiples of 512.
    ///
    /// # Errors
    /// The disk's.
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads all of it, from the disk itself.
    ///
    /// # Errors
    /// The disk's.
    fn read(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Asks the disk to make zeros of it, if it can do so faster than by writing. It is read afterwards, so nothing is
    /// believed.
    fn discard(&mut self, at: u64, len: u64);

    /// Returns when all that was written is on the disk.
    ///
    /// # Errors
    /// The disk's.
    fn sync(&mut self) -> io::Result<()>;
}

/// Alignment of memory for direct access; no disk wants more.
const ALIGNED: usize = 4_096;

/// Where direct access is not to be had: so many bytes wait in memory for the disk at most.
const DIRTY: u64 = 16 << 20;

/// A disk, or a file that stands for one.
#[derive(Debug)]
pub struct Device {
    file: File,
    size: u64,
    is_direct: bool,
    dirty: u64,
    memory: Vec<u8>,
}

/// How to open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To be written: nobody else may use it.
    Exclusive,
    /// To be read.
    Read,
}

impl Device {
    /// A block device with this major and minor number.
    ///
    /// # Errors
    /// It cannot be opened, is none, or is another one.
    pub fn disk(path: &Path, number: &str, access: Access) -> io::Result<Self> {
        let device = Self::open(path, access)?;
        let metadata = device.file.metadata()?;
        if !metadata.file_type().is_block_device() {
            return Err(io::Error::other("not a disk"));
        }
        let number_now = number_of(metadata.rdev());
        if number_now != number {
            return Err(io::Error::other(format!(
                "it is device {number_now}, and was {number} when it was chosen"
            )));
        }
        Ok(device)
    }

    /// A file that stands for a disk.
    ///
    /// # Errors
    /// It cannot be opened, or is none.
    pub fn file(path: &Path, access: Access) -> io::Result<Self> {
        let device = Self::open(path, access)?;
        match device.file.metadata()?.is_file() {
            true => Ok(device),
            false => Err(io::Error::other("not a file")),
        }
    }

    fn open(path: &Path, access: Access) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true);
        // On a block device O_EXCL without O_CREAT means: fail if it is mounted, swap or held, and
        // keep it from becoming so (open(2)).
        let exclusive = match access {
            Access::Exclusive => {
                options.write(true);
                libc::O_EXCL
            }
            Access::Read => 0,
        };
        let direct = options
            .custom_flags(exclusive | libc::O_DIRECT | libc::O_CLOEXEC)
            .open(path);
        let (mut file, is_direct) = match direct {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                let file = options
                    .custom_flags(exclusive | libc::O_CLOEXEC)
                    .open(path)?;
                (file, false)
            }
            other => (other?, true),
        };
        let size = file.seek(io::SeekFrom::End(0))?;
        Ok(Self {
            file,
            size,
            is_direct,
            dirty: 0,
            memory: vec![0; PIECE + ALIGNED],
        })
    }

    /// Runs with aligned memory, and without direct access if that is refused.
    fn aligned<T>(
        &mut self,
        len: usize,
        mut run: impl FnMut(&File, &mut [u8]) -> io::Result<T>,
    ) -> io::Result<T> {
        let skip = self.memory.as_ptr().align_offset(ALIGNED);
        let memory = skip
            .checked_add(len)
            .and_then(|end| self.memory.get_mut(skip..end));
        let memory = memory.ok_or_else(|| io::Error::other("too much at once"))?;
        match run(&self.file, memory) {
            Err(e) if self.is_direct && e.raw_os_error() == Some(libc::EINVAL) => {
                let flags = nix::fcntl::fcntl(&self.file, FcntlArg::F_GETFL)?;
                let flags = OFlag::from_bits_truncate(flags) & !OFlag::O_DIRECT;
                nix::fcntl::fcntl(&self.file, FcntlArg::F_SETFL(flags))?;
                self.is_direct = false;
                run(&self.file, memory)
            }
            other => other,
        }
    }
}

impl Target for Device {
    fn size(&self) -> u64 {
        self.size
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut at = at;
        for part in bytes.chunks(PIECE) {
            self.aligned(part.len(), |file, memory| {
                memory.copy_from_slice(part);
                file.write_all_at(memory, at)
            })?;
            at += part.len() as u64;
            if !self.is_direct {
                self.dirty += part.len() as u64;
                if self.dirty >= DIRTY {
                    self.file.sync_data()?;
                    self.dirty = 0;
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut at = at;
        for part in bytes.chunks_mut(PIECE) {
            if !self.is_direct {
                // What the kernel has of it in memory goes: it is read from the disk.
                let len = part.len() as i64;
                let advice = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
                nix::fcntl::posix_fadvise(&self.file, at as i64, len, advice)?;
            }
            self.aligned(part.len(), |file, memory| {
                file.read_exact_at(memory, at)?;
                part.copy_from_slice(memory);
                Ok(())
            })?;
            at += part.len() as u64;
        }
        Ok(())
    }

    fn discard(&mut self, at: u64, len: u64) {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let _ = nix::fcntl::fallocate(&self.file, flags, at as i64, len as i64);
    }

    fn sync(&mut self) -> io::Result<()> {
        self.dirty = 0;
        self.file.sync_all()
    }
}

/// Major and minor as sysfs writes them.
#[must_use]
pub fn number_of(device: u64) -> String {
    let (major, minor) = (libc::major(device), libc::minor(device));
    format!("{major}:{minor}")
}
