//! Session descriptions (RFC 8866) as a proxy needs them: an index over the bytes, a view of the
//! media, and rewriting by splices that leaves every other byte alone.
//!
//! [`Sdp::parse`] checks a description once and refuses what it cannot be sure of: another reader
//! of the same bytes must not see an address that we did not. [`Sdp::rewrite`] puts our
//! addresses in place of the sender's.
#![forbid(unsafe_code)]

mod error;
mod lines;
mod rewrite;
mod value;
mod view;

#[cfg(test)]
mod tests;

pub use error::SdpError;
pub use rewrite::{MediaRewrite, Rewrite};
pub use value::{Direction, Host, Rtcp, Transport};
pub use view::{Limits, Media, Sdp};
