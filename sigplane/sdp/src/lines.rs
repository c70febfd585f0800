//! The line index.

use std::ops::Range;

use crate::error::SdpError;

/// One line, as positions in the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its type: a lower-case letter.
    pub(crate) kind: u8,
    /// Where it begins.
    pub(crate) start: usize,
    /// Where its line end (CRLF or LF) begins; the end of the bytes when it has none.
    pub(crate) end: usize,
    /// Where the next line begins.
    pub(crate) next: usize,
}

impl Line {
    /// Where its value is, behind `<type>=`.
    pub(crate) const fn value(&self) -> Range<usize> {
        self.start + 2..self.end
    }
}

/// Finds the lines. Empty lines are accepted only at the end, where some senders leave them.
pub(crate) fn index(bytes: &[u8]) -> Result<Vec<Line>, SdpError> {
    let mut lines = Vec::with_capacity(32);
    let mut start = 0;
    let mut blank: Option<usize> = None;
    for (number, raw) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let next = start + raw.len();
        let text = raw.strip_suffix(b"\n").unwrap_or(raw);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        match (text, blank) {
            ([], _) => blank = blank.or(Some(number + 1)),
            // A blank line in the middle would end the description for some readers, not for all.
            (_, Some(line)) => return Err(SdpError::BadLine { line }),
            // Some readers take a lone CR for a line end and would find an address behind it.
            ([kind, b'=', value @ ..], None)
                if kind.is_ascii_lowercase() && !value.iter().any(|b| matches!(b, 0 | b'\r')) =>
            {
                lines.push(Line {
                    kind: *kind,
                    start,
                    end: start + text.len(),
                    next,
                });
            }
            _ => return Err(SdpError::BadLine { line: number + 1 }),
        }
        start = next;
    }
    Ok(lines)
}

/// The bytes of a range; none of them when it is out of bounds (it never is: ranges come from the
/// index of the same bytes).
pub(crate) fn slice(bytes: &[u8], range: Range<usize>) -> &[u8] {
    bytes.get(range).unwrap_or_default()
}

/// The words of a range, separated by spaces, as ranges.
pub(crate) fn words(bytes: &[u8], range: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = range.start;
    slice(bytes, range)
        .split(|b| *b == b' ')
        .filter_map(move |word| {
            let start = at;
            at += word.len() + 1;
            (!word.is_empty()).then_some(start..start + word.len())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_line_ends_and_a_missing_last_one() {
        let lines = index(b"v=0\r\ns=-\nt=0 0").unwrap();
        let spans: Vec<_> = lines
            .iter()
            .map(|l| (l.kind, l.start, l.end, l.next))
            .collect();
        assert_eq!(spans, [(b'v', 0, 3, 5), (b's', 5, 8, 9), (b't', 9, 14, 14)]);
    }

    #[test]
    fn blank_lines_only_at_the_end() {
        assert_eq!(index(b"v=0\r\n\r\n\n").unwrap().len(), 1);
        assert_eq!(
            index(b"v=0\r\n\r\ns=-\r\n"),
            Err(SdpError::BadLine { line: 2 })
        );
    }

    #[test]
    fn what_is_no_line() {
        for bad in [
            &b"v=0\r\nc\r\n"[..],
            b"v=0\r\nC=IN",
            b"v=0\r\ns=a\rc=b",
            b"v=0\r\ns=a\0b",
            b"v=0\n s=-",
        ] {
            assert_eq!(index(bad), Err(SdpError::BadLine { line: 2 }), "{bad:?}");
        }
    }

    #[test]
    fn words_skip_runs_of_spaces() {
        let found: Vec<_> = words(b"m=a  b c ", 2..9).collect();
        assert_eq!(found, [2..3, 5..6, 7..8]);
    }
}
