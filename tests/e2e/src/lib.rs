//! The laboratory: three network namespaces wired to the dataplane's DPDK ports, the real daemons,
//! real phones and load generators, and the means to see what came through.
//!
//! [`Lab`] makes all of it and takes it away again, whatever ends the process. The end-to-end tests
//! in `tests/` and the `tandem-lab` command (`make demo`, `make lab`) are built on it.
#![forbid(unsafe_code)]

pub mod baresip;
pub mod browser;
pub mod capture;
pub mod cgroup;
pub mod ctl;
pub mod dns;
mod failure;
pub mod frame;
pub mod galera;
pub mod generator;
pub mod kamailio;
mod lab;
pub mod mariadb;
mod namespace;
mod options;
mod process;
pub mod registering;
pub mod road;
pub mod sip;
pub mod sipp;
pub mod tls;
pub mod topology;
mod trunk;
pub mod wait;
pub mod wav;

pub use failure::{Failure, Result};
pub use lab::{Lab, binary, scenario};
pub use namespace::Namespace;
pub use options::{Database, Options, Wires};
pub use process::Process;
