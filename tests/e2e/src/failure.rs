//! Why the laboratory could not do something.

use std::fmt;

/// What went wrong, for people.
pub struct Failure(String);

/// A result of the laboratory.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure in one's own words.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// Puts what was being done before an error: `.map_err(Failure::while_("reading x"))`.
    pub fn while_<E: fmt::Display>(doing: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{doing}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// A test that unwraps shows the words, not a structure.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}
