//! Tables for people: columns as wide as their widest cell, numbers to the right.

use std::fmt::Write as _;

/// Lays rows out under their headings. A heading that begins with `>` is a column of numbers.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
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
    for row in std::iter::once(&heading_row).chain(rows) {
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

fn name(heading: &str) -> &str {
    heading.strip_prefix('>').unwrap_or(heading)
}

#[cfg(test)]
mod tests {
    use super::*;

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
