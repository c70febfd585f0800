//! A source: what it said last, and since when it says nothing.

use crate::feed::Got;

/// What is known of a source.
#[derive(Clone, Debug)]
pub(crate) struct Source<T> {
    last: Option<(T, u64)>,
    down: Option<(String, u64)>,
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self {
            last: None,
            down: None,
        }
    }
}

impl<T> Source<T> {
    /// It said something, or it did not.
    pub(crate) fn take(&mut self, now: u64, got: Got<T>) {
        match got {
            Ok(value) => {
                self.last = Some((value, now));
                self.down = None;
            }
            Err(why) => {
                let since = self.down.take().map_or(now, |(_, since)| since);
                self.down = Some((why, since));
            }
        }
    }

    /// The last value, however old.
    pub(crate) fn value(&self) -> Option<&T> {
        self.last.as_ref().map(|(value, _)| value)
    }

    /// When it was said, in Unix milliseconds.
    pub(crate) fn taken(&self) -> Option<u64> {
        self.last.as_ref().map(|(_, at)| *at)
    }

    /// Why it says nothing now, and since when.
    pub(crate) fn down(&self) -> Option<(&str, u64)> {
        self.down
            .as_ref()
            .map(|(why, since)| (why.as_str(), *since))
    }

    /// Whether it has not said anything yet, neither good nor bad.
    pub(crate) fn is_awaited(&self) -> bool {
        self.last.is_none() && self.down.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_stays_and_the_silence_has_a_beginning() {
        let mut source = Source::default();
        assert!(source.is_awaited());
        source.take(10, Ok(7));
        source.take(20, Err("gone".to_owned()));
        source.take(30, Err("refused".to_owned()));
        assert_eq!((source.value(), source.taken()), (Some(&7), Some(10)));
        assert_eq!(source.down(), Some(("refused", 20)));
        source.take(40, Ok(8));
        assert_eq!((source.value(), source.down()), (Some(&8), None));
    }
}
