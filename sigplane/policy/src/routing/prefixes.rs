//! The longest prefix of a number: a trie whose nodes lie one after the other, level by level.
//!
//! A node has a bit for each symbol that goes on; the children lie together in the order of their bits, so the place of one is the
//! first one's and the number of bits below. The upper levels, which every search goes through, are a few cache lines.

use std::collections::VecDeque;

use super::Number;

/// A map from prefixes to values, immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefixes<T> {
    nodes: Vec<Node>,
    values: Vec<T>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    /// A bit for each symbol that goes on.
    children: u16,
    /// Where the first of them is.
    first: u32,
    /// Its value's place and one; 0 for none.
    value: u32,
}

impl<T> Prefixes<T> {
    /// From prefixes and their values, in any order. Of several with one prefix the first counts. Takes 12 bytes a node.
    #[must_use]
    pub fn new(mut entries: Vec<(Number, T)>) -> Self {
        entries.sort_by_key(|(prefix, _)| *prefix);
        entries.dedup_by(|(later, _), (first, _)| later == first);
        let (keys, values): (Vec<Number>, Vec<T>) = entries.into_iter().unzip();
        let mut nodes = Vec::new();
        // Where the keys of a node and below it are, and how many digits lead to it.
        let mut pending = VecDeque::from([(0..keys.len(), 0_usize)]);
        let mut given = 1_usize;
        while let Some((range, depth)) = pending.pop_front() {
            let below = keys.get(range.clone()).unwrap_or_default();
            let own = below.first().is_some_and(|k| k.digits().len() == depth);
            let mut begin = range.start + usize::from(own);
            let first = short(given);
            let mut children = 0;
            while let Some(rest) = keys.get(begin..range.end)
                && let Some(digit) = rest.first().and_then(|k| k.digits().get(depth))
            {
                let same = |k: &Number| k.digits().get(depth) == Some(digit);
                let end = begin + rest.partition_point(same);
                children |= bit(*digit);
                pending.push_back((begin..end, depth + 1));
                given += 1;
                begin = end;
            }
            nodes.push(Node {
                children,
                first,
                value: if own { short(range.start + 1) } else { 0 },
            });
        }
        nodes.shrink_to_fit();
        Self { nodes, values }
    }

    /// The value of the longest prefix of this number.
    #[must_use]
    pub fn longest(&self, number: &Number) -> Option<&T> {
        let mut node = self.nodes.first()?;
        let mut best = node.value;
        for digit in number.digits() {
            let bit = bit(*digit);
            if node.children & bit == 0 {
                break;
            }
            let before = (node.children & (bit - 1)).count_ones();
            node = self.nodes.get((node.first + before) as usize)?;
            if node.value != 0 {
                best = node.value;
            }
        }
        self.values.get((best as usize).checked_sub(1)?)
    }

    /// How many prefixes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// The bit of a symbol. Their order is that of ASCII, in which the keys are sorted.
const fn bit(digit: u8) -> u16 {
    match digit {
        b'#' => 1,
        b'*' => 1 << 1,
        _ => 1 << (2 + (digit.wrapping_sub(b'0') & 15)),
    }
}

/// As many nodes as there are digits of all rows of a table never come near the difference.
fn short(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        Number::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_longest_counts() {
        let rows = ["49", "4930", "", "1", "49301", "*", "#31#", "49"];
        let entries = rows.iter().enumerate().map(|(i, p)| (number(p), i));
        let prefixes = Prefixes::new(entries.collect());
        assert_eq!(prefixes.len(), 7);
        for (asked, row) in [
            ("4930123", 4),
            ("4930223", 1),
            ("4989", 0),
            ("48", 2),
            ("", 2),
            ("4", 2),
            ("12", 3),
            ("*9", 5),
            ("#31#1", 6),
            ("#31", 2),
        ] {
            assert_eq!(prefixes.longest(&number(asked)), Some(&row), "{asked}");
        }
        let none = Prefixes::<u8>::new(Vec::new());
        assert!(none.is_empty() && none.longest(&number("1")).is_none());
    }

    proptest! {
        #[test]
        fn as_one_who_looks_at_every_row(
            rows in prop::collection::vec("[0-3*#]{0,6}", 0..60),
            asked in prop::collection::vec("[0-4*#]{0,9}", 1..40),
        ) {
            let entries = rows.iter().map(|r| (number(r), r.as_str()));
            let prefixes = Prefixes::new(entries.collect());
            for text in &asked {
                let matching = rows.iter().filter(|r| text.starts_with(r.as_str()));
                let expected = matching.max_by_key(|r| r.len()).map(String::as_str);
                prop_assert_eq!(prefixes.longest(&number(text)).copied(), expected);
            }
        }
    }
}
