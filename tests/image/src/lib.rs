//! The laboratory of the appliance's image: QEMU boots it, under BIOS or UEFI, and a test reads its serial console and runs
//! commands in it.
//!
//! The tests are ignored by `cargo test`, since they want an image; `make image-test` builds one and runs them. One
//! test by hand, with the image of `make image`:
//!
//! ```text
//! cargo test -p tandem-image-tests --test boot -- --ignored --exact bios --nocapture
//! ```
//!
//! A test begins with a disk of its own, made of the image:
//!
//! ```no_run
//! # fn main() -> tandem_image_tests::Result<()> {
//! use std::time::Duration;
//! use tandem_image_tests::{Disk, Firmware, Image, Machine, Options, patience};
//!
//! let image = Image::built()?;                    // target/image/tandem-VERSION.img, or $TANDEM_IMAGE
//! let disk = Disk::of(&image, 3 << 30)?;          // 3 GiB, sparse, gone with the value
//! disk.plant_shell()?;                            // a root shell on the second serial port
//! let mut machine = Machine::start(&disk, &Options { firmware: Firmware::Bios, ..Options::default() })?;
//! machine.console().wait_for("tandem login:", patience(120))?;
//! let found = machine.run("cat /etc/tandem-release", Duration::from_secs(20))?;
//! assert!(found.contains("VERSION="));
//! machine.cut_power()?;                           // as a power cut; the disk stays
//! machine.power_on()?;                            // the same disk again
//! # Ok(())
//! # }
//! ```
//!
//! - `run` is by [`Disk::plant_shell`]: a unit in the data partition, as an operator may preload one; so it also shows that data is
//!   used. A test that is about an untouched first boot, or about broken data, has the console alone.
//! - [`Options::arguments`] are more arguments for QEMU: ports, disks (`-drive if=virtio,format=raw,file=...` is how large files
//!   come in), an IOMMU.
//! - Whatever ends the test, QEMU ends with it: by drop, and if the process is killed by the kernel (`setpriv --pdeathsig`).
//! - QEMU emulates (TCG); `TANDEM_QEMU_ACCEL` names another way (`kvm`). Times are multiplied by `TANDEM_QEMU_PATIENCE`.
//! - What the console said is shown when a test fails, and kept in `target/image/consoles/`.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod console;
mod disk;
mod failure;
mod machine;

pub use console::{Console, patience};
pub use disk::{Disk, Image};
pub use failure::{Failure, Result};
pub use machine::{Firmware, Machine, Options};
