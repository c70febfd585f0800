//! Tables for people: columns as wide as their widest cell, numbers to the right.

use std::fmt::Write as _;

/// Lays rows out under their headings. A heading that begins with `>` is a column of numbers.
///
/// Control characters are escaped: a stranger's From must not steer an administrator's terminal.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| printable(cell)).collect())
        .collect();
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let cells = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|c| c.chars().count());
            cells
                .chain([name(heading).chars().count()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    let heading_row: Vec<String> = headings.iter().map(|h| name(h).to_uppercase()).collect();
    for row in std::iter::once(&heading_row).chain(&rows) {
        let mut line = String::new();
        for ((cell, width), heading) in row.iter().zip(&widths).zip(headings) {
            let _ = if heading.starts_with('>') {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

pub(crate) fn printable(cell: &str) -> String {
    cell.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let plain = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

fn name(heading: &str) -> &str {
    heading.strip_prefix('>').unwrap_or(heading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_steered() {
        let rows = [vec!["a\u{1b}[2J\nb".into()]];
        assert_eq!(table(&["x"], &rows), "X\na\\u{1b}[2J\\nb\n");
    }

    #[test]
    fn numbers_stand_to_the_right_and_nothing_trails() {
        let rows = [
            vec!["a".into(), "5".into()],
            vec!["long".into(), "1234".into()],
        ];
        assert_eq!(
            table(&["name", ">n"], &rows),
            "NAME     N\na        5\nlong  1234\n"
        );
    }
}
