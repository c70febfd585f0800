//! A table of the file while it is read: which keys it has, which ones were asked for, and what
//! is wrong with them.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::mistake::Report;

/// One value with its place in the text.
pub(crate) type Value<'d> = Spanned<DeValue<'d>>;

/// A table of the file. An absent one reads as empty, so that every default applies.
pub(crate) struct Section<'d> {
    name: &'static str,
    table: Option<&'d DeTable<'d>>,
    /// Where the section begins.
    offset: usize,
    /// The keys that were asked for: any other is unknown.
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    pub(crate) fn new(name: &'static str, table: Option<&'d DeTable<'d>>, offset: usize) -> Self {
        Self {
            name,
            table,
            offset,
            known: Vec::new(),
        }
    }

    /// Its full key: `realm.tap`.
    pub(crate) fn key(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    /// Where a key's value is; the section's own place when it is absent.
    pub(crate) fn offset(&self, key: &str) -> usize {
        self.table
            .and_then(|t| t.get(key))
            .map_or(self.offset, |v| v.span().start)
    }

    /// Whether the file has the key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|t| t.contains_key(key))
    }

    /// A key's value as it stands in the file, if it is a string.
    pub(crate) fn text(&self, key: &str) -> Option<&'d str> {
        self.table
            .and_then(|t| t.get(key))
            .and_then(|v| v.get_ref().as_str())
    }

    /// A mistake about one of its keys.
    pub(crate) fn mistake(
        &self,
        report: &mut Report<'_>,
        key: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        report.add(self.offset(key), self.key(key), problem, remedy);
    }

    /// A key's value, whatever its type.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'d Value<'d>> {
        self.known.push(key);
        self.table.and_then(|t| t.get(key))
    }

    /// A key's value, whose absence is a mistake.
    pub(crate) fn required(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        example: &str,
    ) -> Option<&'d Value<'d>> {
        let value = self.value(key);
        if value.is_none() {
            let remedy = match self.table {
                Some(_) => format!("add a line such as `{example}`"),
                None => format!("add `[{}]` and below it `{example}`", self.name),
            };
            report.add(self.offset, self.key(key), "is missing", remedy);
        }
        value
    }

    /// An integer in `range`, or `default`.
    pub(crate) fn integer<T>(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        range: RangeInclusive<T>,
        default: T,
    ) -> T
    where
        T: TryFrom<i64> + Copy + PartialOrd + std::fmt::Display,
    {
        let full = self.key(key);
        self.value(key)
            .and_then(|v| integer(report, v, &full, range))
            .unwrap_or(default)
    }

    /// A string that is not empty, or `default`.
    pub(crate) fn string(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        default: &str,
    ) -> String {
        let full = self.key(key);
        let value = self.value(key).and_then(|v| string(report, v, &full));
        value.unwrap_or(default).to_owned()
    }

    /// An absolute path, or `default`.
    pub(crate) fn path(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        default: impl Into<PathBuf>,
    ) -> PathBuf {
        let full = self.key(key);
        let Some(text) = self.value(key).and_then(|v| string(report, v, &full)) else {
            return default.into();
        };
        let path = PathBuf::from(text);
        if !path.is_absolute() {
            self.mistake(
                report,
                key,
                format!("`{text}` depends on where the daemon is started"),
                format!(
                    "write an absolute path, such as `/{}`",
                    text.trim_start_matches("./")
                ),
            );
        }
        path
    }

    /// A list, each entry read by `entry`; entries with mistakes are left out. None when the key
    /// is absent or not a list.
    pub(crate) fn list<T>(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        mut entry: impl FnMut(&mut Report<'_>, &'d Value<'d>, &str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let full = self.key(key);
        let value = self.value(key)?;
        let Some(array) = value.get_ref().as_array() else {
            wrong_type(
                report,
                value,
                &full,
                "a list",
                "put it in square brackets: `[...]`",
            );
            return None;
        };
        Some(
            array
                .iter()
                .filter_map(|v| entry(report, v, &full))
                .collect(),
        )
    }

    /// The same, where an empty list is a mistake.
    pub(crate) fn some_list<T>(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        entry: impl FnMut(&mut Report<'_>, &'d Value<'d>, &str) -> Option<T>,
    ) -> Option<Vec<T>> {
        let before = report.len();
        let list = self.list(report, key, entry)?;
        if list.is_empty() && report.len() == before {
            self.mistake(
                report,
                key,
                "is empty",
                "name at least one, or remove the line",
            );
        }
        Some(list)
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(self, report: &mut Report<'_>) -> Self {
        for key in self.table.into_iter().flat_map(|t| t.keys()) {
            let name: &str = key.get_ref();
            if self.known.contains(&name) {
                continue;
            }
            let remedy = match nearest(name, &self.known) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("remove it; the keys here are {}", self.known.join(", ")),
            };
            report.add(
                key.span().start,
                self.key(name),
                "is not a known key",
                remedy,
            );
        }
        self
    }
}

/// Reads an integer in a range.
pub(crate) fn integer<T>(
    report: &mut Report<'_>,
    value: &Value<'_>,
    key: &str,
    range: RangeInclusive<T>,
) -> Option<T>
where
    T: TryFrom<i64> + Copy + PartialOrd + std::fmt::Display,
{
    let wanted = format!("a whole number from {} to {}", range.start(), range.end());
    let Some(integer) = value.get_ref().as_integer() else {
        wrong_type(
            report,
            value,
            key,
            "a whole number",
            &format!("write {wanted}, unquoted"),
        );
        return None;
    };
    let number = to_i64(integer)
        .and_then(|n| T::try_from(n).ok())
        .filter(|n| range.contains(n));
    if number.is_none() {
        report.add(
            value.span().start,
            key,
            format!("{integer} is out of range"),
            format!("write {wanted}"),
        );
    }
    number
}

/// Reads a string that is not empty.
pub(crate) fn string<'d>(
    report: &mut Report<'_>,
    value: &'d Value<'_>,
    key: &str,
) -> Option<&'d str> {
    let Some(text) = value.get_ref().as_str() else {
        wrong_type(report, value, key, "a string", "put it in double quotes");
        return None;
    };
    if text.trim().is_empty() {
        report.add(
            value.span().start,
            key,
            "is empty",
            "write a value, or remove the line",
        );
        return None;
    }
    Some(text)
}

/// Reports a value of another type.
pub(crate) fn wrong_type(
    report: &mut Report<'_>,
    value: &Value<'_>,
    key: &str,
    wanted: &str,
    remedy: &str,
) {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    };
    report.add(
        value.span().start,
        key,
        format!("is {found}, where {wanted} is needed"),
        remedy,
    );
}

fn to_i64(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// The known key that a mistyped one is most likely to be.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    // Case and separators first: `Media-Ports` is plainly `media_ports`.
    let plain = |s: &str| s.to_lowercase().replace(['-', '_', ' '], "");
    let close = known
        .iter()
        .map(|k| (distance(&plain(name), &plain(k)), *k));
    let (far, key) = close.min_by_key(|(far, _)| *far)?;
    (far <= 1 + key.len() / 4).then_some(key)
}

/// Edit distance with transpositions of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |line: &[usize], k: usize| line.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut cost = (at(&last, j) + usize::from(x != y))
                .min(at(&last, j + 1) + 1)
                .min(at(&row, j) + 1);
            let crossed = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if crossed {
                cost = cost.min(at(&before, j - 1) + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_key_and_nonsense_finds_none() {
        let known = ["media_ports", "tap", "vlan", "rx_workers"];
        assert_eq!(nearest("media_port", &known), Some("media_ports"));
        assert_eq!(nearest("Media-Ports", &known), Some("media_ports"));
        assert_eq!(nearest("tpa", &known), Some("tap"));
        assert_eq!(nearest("rx_wokrers", &known), Some("rx_workers"));
        assert_eq!(nearest("colour", &known), None);
    }
}
