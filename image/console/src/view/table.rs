//! Tables: columns as wide as they need, the widest give way first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::paint::{self, BAR, BOLD, FAINT};
use crate::text::{clean, columns, cut};

/// A cell.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

/// A cell with a style of its own.
pub(super) fn styled(text: impl Into<String>, style: Style) -> Cell {
    Cell {
        text: clean(&text.into()),
        style,
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        styled(text, Style::new())
    }
}

/// A table.
pub(super) struct Table<'a> {
    /// The columns' names; `>` before one puts it to the right.
    pub(super) headings: &'a [&'a str],
    /// Which row is selected; none for a table that is only looked at.
    pub(super) selected: Option<usize>,
    /// Where the first shown row is, of how many.
    pub(super) first: usize,
    /// What is said when there are no rows.
    pub(super) empty: &'a str,
}

impl Table<'_> {
    /// Draws the rows that are shown; `rows` are those from `first` on.
    pub(super) fn draw(&self, buffer: &mut Buffer, area: Rect, rows: &[Vec<Cell>]) {
        let fit = usize::from(area.height.saturating_sub(1));
        let shown = rows.get(..rows.len().min(fit)).unwrap_or_default();
        // The first column has the mark of the selected row, for terminals that cannot show it otherwise.
        let margin = u16::from(self.selected.is_some());
        let widths = self.widths(usize::from(area.width.saturating_sub(margin)), shown);
        let place = |text: &str, width: usize, name: &str| {
            let text = cut(text, width);
            let blank = " ".repeat(width.saturating_sub(columns(&text)));
            match name.starts_with('>') {
                true => blank + &text,
                false => text + &blank,
            }
        };
        let mut column = margin;
        for (name, width) in self.headings.iter().zip(&widths) {
            let text = place(name.trim_start_matches('>'), *width, name);
            paint::put(buffer, area, (column, 0), &text, BOLD);
            column = column.saturating_add(*width as u16 + 2);
        }
        if shown.is_empty() {
            paint::put(buffer, area, (0, 1), self.empty, FAINT);
        }
        for (index, row) in shown.iter().enumerate() {
            let y = index as u16 + 1;
            let is_selected = self.selected == Some(self.first + index);
            let mut column = margin;
            for ((cell, width), name) in row.iter().zip(&widths).zip(self.headings) {
                let text = place(&cell.text, *width, name);
                paint::put(buffer, area, (column, y), &text, cell.style);
                column = column.saturating_add(*width as u16 + 2);
            }
            if is_selected {
                paint::put(buffer, area, (0, y), "►", Style::new());
                let line = Rect {
                    y: area.y + y,
                    height: 1,
                    ..area
                };
                buffer.set_style(line, BAR);
            }
        }
    }

    fn widths(&self, room: usize, rows: &[Vec<Cell>]) -> Vec<usize> {
        let natural = |(index, name): (usize, &&str)| {
            let cells = rows.iter().filter_map(|row| row.get(index));
            let widest = cells.map(|cell| columns(&cell.text)).max().unwrap_or(0);
            widest.max(columns(name.trim_start_matches('>')))
        };
        let mut widths: Vec<usize> = self.headings.iter().enumerate().map(natural).collect();
        let gaps = widths.len().saturating_sub(1) * 2;
        while widths.iter().sum::<usize>() + gaps > room {
            match widths.iter_mut().max() {
                Some(widest) if *widest > 1 => *widest -= 1,
                _ => break,
            }
        }
        widths
    }
}

/// Where a list of so many rows is: `11 to 20 of 35`.
pub(super) fn place(first: usize, fit: usize, rows: usize) -> String {
    match rows {
        0 => String::new(),
        rows if rows <= fit => format!("{rows}"),
        rows => format!("{} to {} of {rows}", first + 1, (first + fit).min(rows)),
    }
}
