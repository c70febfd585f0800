//! What can go wrong: the place, what was expected and found, the remedy, and an exit code for scripts.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a disk was not written, or is not what it should be.
#[derive(Debug, Error)]
pub enum Error {
    /// A file or a device that cannot be opened, read or written.
    #[error("{}: {doing}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What was tried.
        doing: String,
        /// Why not.
        error: io::Error,
    },
    /// The image is not what its checksum says, ends too early, or is no image at all.
    #[error("{}: {problem}", path.display())]
    Image {
        /// Its file.
        path: PathBuf,
        /// What is wrong, with the place.
        problem: String,
    },
    /// A range of the image has another checksum than the block map says.
    #[error(
        "{}: bytes {start} to {last} are damaged: SHA-256 expected {expected}, found {found}",
        path.display()
    )]
    Range {
        /// The image.
        path: PathBuf,
        /// The first byte of the range.
        start: u64,
        /// Its last byte.
        last: u64,
        /// By the block map.
        expected: String,
        /// By what was read.
        found: String,
    },
    /// No SHA256SUMS, no signature, or a wrong one.
    #[error("{}: {problem}", path.display())]
    Trust {
        /// The file that cannot be trusted.
        path: PathBuf,
        /// Why.
        problem: String,
        /// Whether `--unsigned` would let it pass: nothing is there, rather than something wrong.
        is_missing: bool,
    },
    /// The disk may not be written.
    #[error("{disk}: {}", problems.join("; "))]
    Refused {
        /// Its name.
        disk: String,
        /// Every reason.
        problems: Vec<String>,
        /// What to do about it.
        remedy: String,
    },
    /// What was read back is not what was written.
    #[error("{disk}: bytes {start} to {last} are not what was written: {problem}")]
    Verify {
        /// The disk.
        disk: String,
        /// The first byte.
        start: u64,
        /// The last byte.
        last: u64,
        /// How it differs.
        problem: String,
    },
    /// A disk differs from an image.
    #[error("{disk} is not what {image} has: {problem}")]
    Differs {
        /// The disk.
        disk: String,
        /// The image.
        image: String,
        /// Where.
        problem: String,
    },
    /// The name was not typed.
    #[error("{0}")]
    NotConfirmed(String),
    /// What is to be put onto the disk for its first boot is not well-formed.
    #[error("{}: {problem}", path.display())]
    Preload {
        /// Its file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// Somebody pressed Ctrl-C or ended the process.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// An error of a file or device.
    #[must_use]
    pub fn io(path: &Path, doing: impl Into<String>, error: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            doing: doing.into(),
            error,
        }
    }

    /// An image that is not good.
    #[must_use]
    pub fn image(path: &Path, problem: impl Into<String>) -> Self {
        Self::Image {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }

    /// For programs: a word that stays the same.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { error, .. } if is_denied(error) => "no_permission",
            Self::Io { error, .. } if is_gone(error) => "disk_failed",
            Self::Io { .. } => "io",
            Self::Image { .. } | Self::Range { .. } => "image_damaged",
            Self::Trust { .. } => "image_untrusted",
            Self::Refused { .. } => "disk_refused",
            Self::Verify { .. } => "not_as_written",
            Self::Differs { .. } => "differs",
            Self::NotConfirmed(_) => "not_confirmed",
            Self::Preload { .. } => "preload",
            Self::Interrupted => "interrupted",
        }
    }

    /// The exit code: 1 input and output, 3 the image, 4 the disk is refused, 5 not as written, 6 not confirmed, 7 no
    /// permission, 8 what is to be preloaded, 130 interrupted. (2 is a wrong command line.)
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Io { error, .. } if is_denied(error) => 7,
            Self::Io { .. } => 1,
            Self::Image { .. } | Self::Range { .. } | Self::Trust { .. } => 3,
            Self::Refused { .. } => 4,
            Self::Verify { .. } | Self::Differs { .. } => 5,
            Self::NotConfirmed(_) => 6,
            Self::Preload { .. } => 8,
            Self::Interrupted => 130,
        }
    }

    /// What to do now.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Io { error, .. } if is_denied(error) => {
                "run it as root, for instance with sudo".into()
            }
            Self::Io { error, .. } => io_remedy(error).into(),
            Self::Image { .. } | Self::Range { .. } => "download the image again".into(),
            Self::Trust {
                is_missing: true, ..
            } => "download it from where the image is from; --unsigned goes on without, and nothing then says who made the image".into(),
            Self::Trust { .. } => {
                "do not use this image: download all of its files again from where you trust them".into()
            }
            Self::Refused { remedy, .. } => remedy.clone(),
            Self::Verify { .. } => {
                "the disk or its cable is bad, or its size is not true: use another one".into()
            }
            Self::Differs { .. } => "write the image again if it should be there unchanged".into(),
            Self::NotConfirmed(_) => {
                "type the disk's name as `tandem-flash list` shows it, or give --yes-erase NAME".into()
            }
            Self::Preload { .. } => "mend the file; nothing was written".into(),
            Self::Interrupted => "start it again when you like".into(),
        }
    }
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// What the kernel says of a device that is broken or not there any more.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EIO | libc::ENODEV | libc::ENXIO | libc::ENOMEDIUM | libc::EREMOTEIO)
    )
}

fn io_remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EIO | libc::EREMOTEIO) => {
            "the disk did not answer or has a bad place: plug it in again, at another port, or use another disk"
        }
        Some(libc::ENODEV | libc::ENXIO | libc::ENOMEDIUM) => {
            "the disk is gone: plug it in again and look at its name with `tandem-flash list`"
        }
        Some(libc::EBUSY) => {
            "something uses the disk: see `tandem-flash list`, unmount it or stop what holds it"
        }
        Some(libc::ENOSPC | libc::EFBIG | libc::EDQUOT) => {
            "there is no room: the disk is smaller than it says, or the file system under a file is full"
        }
        Some(libc::EROFS) => "it is read-only: look for a switch at the stick or the adapter",
        Some(libc::ENOENT) => "look at the path",
        _ => "see what the kernel says: dmesg | tail",
    }
}

/// What a disk is after something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing was written to it.
    Untouched,
    /// Its partition table is erased and it holds a part of the image: it does not boot, what it had is lost.
    NotBootable,
    /// All is written and was verified, but the boot sector's last write was not acknowledged.
    Unknown,
    /// The image is on it whole.
    Complete,
}

impl State {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Untouched => "Nothing was written to the disk.",
            Self::NotBootable => {
                "The disk has no partition table now and does not boot; what was on it is lost. Writing it again mends it."
            }
            Self::Unknown => {
                "All of the image is on the disk and was read back, but its boot sector may not be whole. Write it again."
            }
            Self::Complete => "The image is on the disk whole.",
        }
    }
}

/// An error, and what it left the disk as.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong.
    pub error: Error,
    /// What the disk is now.
    pub state: State,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            state: State::Untouched,
        }
    }
}
