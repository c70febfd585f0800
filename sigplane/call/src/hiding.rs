//! Topology hiding: what the carrier side must not see of the inside, and what it sees instead.
//!
//! Via, Route, Record-Route and Contact need nothing of this room: each side sees our own alone. Here
//! is the rest:
//!
//! - [`keys`]: the keys, and Call-IDs as tokens that only they undo
//! - [`flow`]: tokens of the same kind for the ways to registered user agents
//! - [`references`]: Call-IDs in the values of other headers
//! - [`scrub`]: addresses in text
//! - [`splice`]: a message with some values changed
//! - [`outward`]: all that together, for a message to the carrier side

mod flow;
mod keys;
mod outward;
mod references;
mod scrub;
mod splice;

pub use flow::{Flow, OpenedFlow};
pub use keys::{KeyFault, KeyId, KeyRing, Opened};

pub(crate) use keys::Sealed;
pub(crate) use outward::Outward;
pub(crate) use references::{in_uris, in_value, refers};
pub(crate) use scrub::Scrub;
pub(crate) use splice::{Change, Others, splice};

/// What is hidden from the carrier side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HidingConfig {
    /// Whether anything is. Calls whose Call-ID is hidden already stay as they are.
    pub enabled: bool,
    /// The keys of Call-IDs. Without any, Call-IDs pass as they are.
    pub keys: Option<KeyRing>,
    /// `Server` and `User-Agent` do not pass.
    pub hide_software: bool,
    /// Headers that do not pass; one that ends with `*` stands for all that begin so. Case does not
    /// matter.
    pub strip_headers: Vec<String>,
    /// Names of the inside in lower case: hosts, and domains with all below them.
    pub domains: Vec<String>,
}

impl HidingConfig {
    /// Nothing is hidden.
    #[must_use]
    pub const fn off() -> Self {
        Self {
            enabled: false,
            keys: None,
            hide_software: false,
            strip_headers: Vec::new(),
            domains: Vec::new(),
        }
    }

    /// Whether a header of this name does not pass.
    fn strips(&self, name: &[u8]) -> bool {
        self.strip_headers
            .iter()
            .any(|s| match s.strip_suffix('*') {
                Some(begin) => name
                    .get(..begin.len())
                    .is_some_and(|n| n.eq_ignore_ascii_case(begin.as_bytes())),
                None => name.eq_ignore_ascii_case(s.as_bytes()),
            })
    }
}
