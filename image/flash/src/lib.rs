//! Writes the appliance's image to a disk, and proves that it is there.
//!
//! The way of an image: [`trust`] checks the signature of the checksums beside it, [`inspect()`] reads it to its end
//! before anything is written, [`refuse`] says which of the [`disks`] may not be written, [`job`] fits the partition table to the disk,
//! and [`engine`] writes, reads back, and makes the disk bootable last. [`install`] makes an image of the
//! stick that the appliance runs from; [`compare`] is for later.
#![forbid(unsafe_code)]

pub mod bmap;
pub mod compare;
pub mod digest;
pub mod disks;
pub mod engine;
mod error;
pub mod fat;
pub mod gpt;
mod inspect;
pub mod install;
pub mod job;
pub mod layout;
pub mod preload;
pub mod progress;
pub mod refuse;
pub mod source;
pub mod sums;
pub mod target;
pub mod trust;

pub use error::{Error, Failure, State};
pub use inspect::{Inspected, Kind, inspect};

/// Where programs are looked for: with the administrator's, which `su` leaves out.
#[must_use]
pub fn path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
