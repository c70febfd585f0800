//! Small things that views draw with.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use crate::text::{clean, columns, cut};

pub(super) const PLAIN: Style = Style::new();
pub(super) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const FAINT: Style = Style::new().fg(Color::DarkGray);
pub(super) const GOOD: Style = Style::new().fg(Color::Green);
pub(super) const ODD: Style = Style::new().fg(Color::Yellow);
pub(super) const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
pub(super) const BAR: Style = Style::new().add_modifier(Modifier::REVERSED);
pub(super) const HEADING: Style = Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD);

/// Writes a text at a place of an area, cut to it; gives the columns used.
pub(super) fn put(
    buffer: &mut Buffer,
    area: Rect,
    (column, row): (u16, u16),
    text: &str,
    style: Style,
) -> u16 {
    if row >= area.height || column >= area.width {
        return 0;
    }
    let room = usize::from(area.width - column);
    let text = cut(&clean(text), room);
    buffer.set_stringn(area.x + column, area.y + row, &text, room, style);
    u16::try_from(columns(&text)).unwrap_or(room as u16)
}

/// Writes pieces of a line one after the other.
pub(super) fn pieces(buffer: &mut Buffer, area: Rect, row: u16, pieces: &[(&str, Style)]) -> u16 {
    let mut column = 0;
    for (text, style) in pieces {
        column += put(buffer, area, (column, row), text, *style);
    }
    column
}

/// Writes a text so that it ends at the area's right.
pub(super) fn right(buffer: &mut Buffer, area: Rect, row: u16, text: &str, style: Style) {
    let width = u16::try_from(columns(text)).unwrap_or(u16::MAX);
    let column = area.width.saturating_sub(width);
    put(buffer, area, (column, row), text, style);
}

/// A heading with a line behind it.
pub(super) fn heading(buffer: &mut Buffer, area: Rect, row: u16, text: &str) {
    if row >= area.height {
        return;
    }
    let used = put(buffer, area, (0, row), text, HEADING) + 1;
    let rest = usize::from(area.width.saturating_sub(used));
    put(buffer, area, (used, row), &"─".repeat(rest), FAINT);
}

/// A bar of so many columns for a part of 1.
pub(super) fn bar(part: f64, width: usize) -> String {
    let part = if part.is_finite() {
        part.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let full = (part * width as f64).round() as usize;
    "█".repeat(full.min(width)) + &"░".repeat(width.saturating_sub(full))
}

/// The steps of a sparkline.
const STEPS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// The last values as one row: the greatest is full. A value above 0 is always seen.
pub(super) fn spark<'a>(values: impl DoubleEndedIterator<Item = &'a u64>, width: usize) -> String {
    let mut last: Vec<u64> = values.rev().take(width).copied().collect();
    last.reverse();
    let most = last.iter().copied().max().unwrap_or(0);
    let step = |value: u64| {
        if most == 0 || value == 0 {
            return " ";
        }
        let step = value.saturating_mul(8).div_ceil(most).clamp(1, 8);
        let index = usize::try_from(step - 1).unwrap_or(0);
        STEPS.get(index).copied().unwrap_or(" ")
    };
    let line: String = last.into_iter().map(step).collect();
    format!("{line:>width$}")
}

/// A state's style.
pub(super) fn state(text: &str) -> Style {
    match text {
        "active" | "up" | "confirmed" | "active (running)" => GOOD,
        "inactive" | "down" | "DOWN" => BAD,
        "draining" | "probing" | "setup" | "ending" => ODD,
        "disabled" => FAINT,
        _ => PLAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_sparklines_have_their_width() {
        assert_eq!(bar(0.5, 4), "██░░");
        assert_eq!(bar(f64::NAN, 2), "░░");
        assert_eq!(spark([0, 1, 4, 8].iter(), 5), "  ▁▄█");
        assert_eq!(spark([9, 0, u64::MAX].iter(), 2), " ▁");
    }
}
