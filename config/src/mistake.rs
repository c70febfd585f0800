//! What is wrong with a configuration, and the list that it is gathered in.

use std::fmt;

/// One mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// The line, from 1. For something that is missing, the line of the section it belongs to.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The key, with its section: `dataplane.workers`. Empty for text that is not TOML.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

impl std::error::Error for Mistake {}

/// Every mistake of one text.
pub(crate) struct Report<'t> {
    text: &'t str,
    mistakes: Vec<Mistake>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            mistakes: Vec::new(),
        }
    }

    /// Adds a mistake at a byte offset of the text.
    pub(crate) fn add(
        &mut self,
        offset: usize,
        key: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (line, column) = position(self.text, offset);
        self.mistakes.push(Mistake {
            line,
            column,
            key: key.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        });
    }

    /// How many there are so far.
    pub(crate) fn len(&self) -> usize {
        self.mistakes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// The line that an offset is on, to point from one mistake to another place.
    pub(crate) fn line(&self, offset: usize) -> usize {
        position(self.text, offset).0
    }

    /// The mistakes in the order of the file.
    pub(crate) fn into_sorted(mut self) -> Vec<Mistake> {
        self.mistakes.sort();
        self.mistakes.dedup();
        self.mistakes
    }
}

/// Line and column (in characters) of a byte offset, both from 1.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_one_and_in_characters() {
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("a\nb", 2), (2, 1));
        assert_eq!(position("é = 1", 3), (1, 3));
        assert_eq!(position("é", 1), (1, 1), "inside of a character");
        assert_eq!(position("a", 99), (1, 2), "behind the end");
    }
}
