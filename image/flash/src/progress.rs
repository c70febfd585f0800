//! What happens, while it happens.

use serde::Serialize;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The image is read and checked.
    Check,
    /// The image is written.
    Write,
    /// The disk is read back.
    Verify,
}

impl Phase {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Check => "checking",
            Self::Write => "writing",
            Self::Verify => "verifying",
        }
    }
}

/// Who is told.
pub trait Progress {
    /// A phase of so many bytes begins.
    fn begin(&mut self, phase: Phase, total: u64);
    /// So many bytes of it are done.
    fn at(&mut self, done: u64);
    /// Something that is to be said meanwhile.
    fn say(&mut self, words: &str);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: Phase, _: u64) {}
    fn at(&mut self, _: u64) {}
    fn say(&mut self, _: &str) {}
}
