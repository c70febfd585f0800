//! How many connections there are, in all and by source.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tandem_policy::defence::Source;

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    All,
    Source,
}

pub(super) struct Limits {
    most: u32,
    most_of_source: u32,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    all: u32,
    sources: HashMap<Source, u32>,
}

impl Limits {
    pub(super) fn new(most: u32, most_of_source: u32) -> Self {
        Self {
            most,
            most_of_source,
            open: Mutex::default(),
        }
    }

    /// Takes a place; a [`Place`] gives it back.
    pub(super) fn enter(&self, source: Source) -> Result<(), Full> {
        let mut open = self.open();
        if open.all >= self.most {
            return Err(Full::All);
        }
        let of_source = open.sources.entry(source).or_default();
        if *of_source >= self.most_of_source {
            return Err(Full::Source);
        }
        *of_source += 1;
        open.all += 1;
        Ok(())
    }

    fn leave(&self, source: Source) {
        let mut open = self.open();
        open.all = open.all.saturating_sub(1);
        if let Some(of_source) = open.sources.get_mut(&source) {
            *of_source = of_source.saturating_sub(1);
            if *of_source == 0 {
                open.sources.remove(&source);
            }
        }
    }

    /// Connections now.
    pub(super) fn now(&self) -> u64 {
        self.open().all.into()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that was taken, until it is dropped.
pub(super) struct Place<'a> {
    limits: &'a Limits,
    source: Source,
}

impl<'a> Place<'a> {
    pub(super) fn new(limits: &'a Limits, source: Source) -> Self {
        Self { limits, source }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.limits.leave(self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_in_all_and_by_source_and_come_back() {
        let source = |n| Source::of([192, 0, 2, n].into());
        let limits = Limits::new(3, 2);
        assert_eq!(limits.enter(source(1)), Ok(()));
        assert_eq!(limits.enter(source(1)), Ok(()));
        assert_eq!(limits.enter(source(1)), Err(Full::Source));
        assert_eq!(limits.enter(source(2)), Ok(()));
        assert_eq!(limits.enter(source(3)), Err(Full::All));
        drop(Place::new(&limits, source(1)));
        assert_eq!(limits.now(), 2);
        assert_eq!(limits.enter(source(3)), Ok(()));
        drop(Place::new(&limits, source(2)));
        assert_eq!(limits.open().sources.len(), 2, "who has left is forgotten");
    }
}
