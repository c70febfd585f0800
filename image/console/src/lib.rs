//! The console: what an operator sees on the machine's own screen, on its serial line, and over SSH.
//!
//! A pure model takes one event and the time, and returns effects; pure views draw it into a buffer; a thin shell
//! around both has the terminal and a thread for each source. No view waits for a source: what does not answer is
//! shown as it was last, with its time.
//!
//! Whatever text comes from outside (SIP, logs, names), a cell of the screen has one harmless character
//! ([`look`](mod@look) sees to it last).
#![forbid(unsafe_code)]

mod feed;
mod issue;
mod key;
mod look;
mod model;
mod picture;
mod shell;
mod text;
mod view;

pub use picture::{PictureError, pictures};
pub use shell::{ConsoleError, Options, run};

#[cfg(test)]
mod tests;
