//! Self-defence: who asks too much is not heard for a while, and what we cannot do in time is refused
//! while refusing is still cheap.
//!
//! [`Defence`] knows single sources: their request rate, their failed attempts, what they call
//! themselves; [`Blocks`] is the list of those that are not heard. [`Overload`] knows none: it sees how long new calls wait to be read. Both are machines
//! without a clock; memory is bounded, and each question takes constant time whatever a flood brings.

mod blocks;
mod emergency;
mod meter;
mod overload;
mod refused;
mod scanner;
mod shield;
mod source;

pub use blocks::{Block, Blocks, Reason};
pub use emergency::EmergencyNumbers;
pub use meter::Limit;
pub use overload::{Admission, Caller, Overload, OverloadConfig};
pub use refused::Refused;
pub use scanner::{SCANNERS, Scanners};
pub use shield::{Defence, DefenceConfig, Sight, Verdict};
pub use source::{Networks, Source};
