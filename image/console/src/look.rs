//! What a terminal can show, and a buffer made fit for it.
//!
//! Views draw with colours, lines and blocks as if every terminal had them. [`fit`] is the last thing that happens to a buffer: it
//! takes colours away where there are none, turns lines into ASCII where there is no UTF-8, and leaves no cell with a character that could
//! do more than stand there.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use crate::text::is_plain;

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Colours.
    pub(crate) colour: bool,
    /// UTF-8, lines and blocks.
    pub(crate) unicode: bool,
}

impl Look {
    /// What TERM, the locale and NO_COLOR say. An unknown terminal gets what all of them understand.
    pub(crate) fn of(term: &str, locale: &str, no_color: bool) -> Self {
        let locale = locale.to_ascii_lowercase();
        let utf8 = locale.contains("utf-8") || locale.contains("utf8");
        let plain = term.is_empty() || term == "dumb" || term.starts_with("vt");
        Self {
            colour: !no_color && !plain && !term.ends_with("-m") && !term.ends_with("-mono"),
            unicode: utf8 && !plain,
        }
    }
}

/// Makes a buffer fit for a terminal.
pub(crate) fn fit(buffer: &mut Buffer, look: Look) {
    for cell in &mut buffer.content {
        let mut chars = cell.symbol().chars();
        let symbol = match (chars.next(), chars.next()) {
            (Some(c), None) if is_plain(c) => match look.unicode {
                true => c,
                false => ascii(c),
            },
            // Behind a wide character.
            (None, _) => ' ',
            _ => '?',
        };
        cell.set_char(symbol);
        if !look.colour {
            cell.fg = Color::Reset;
            cell.bg = Color::Reset;
            cell.modifier
                .remove(Modifier::DIM | Modifier::ITALIC | Modifier::SLOW_BLINK);
        }
    }
    if !look.unicode {
        return;
    }
    // What stands behind a wide character is hidden by it: it must be a space.
    let width = usize::from(buffer.area.width);
    if width == 0 {
        return;
    }
    for row in buffer.content.chunks_mut(width) {
        let mut hidden = false;
        let last = row.len().saturating_sub(1);
        for (column, cell) in row.iter_mut().enumerate() {
            if hidden {
                cell.set_char(' ');
                hidden = false;
            } else if crate::text::columns(cell.symbol()) == 2 {
                if column == last {
                    cell.set_char('~');
                } else {
                    hidden = true;
                }
            }
        }
    }
}

/// A character's likeness in ASCII.
fn ascii(c: char) -> char {
    match c {
        ' '..='~' => c,
        '─' | '━' | '═' | '╌' => '-',
        '│' | '┃' | '║' => '|',
        '┌'..='╬' | '╭'..='╰' => '+',
        '▁' | '▂' => '_',
        '▃' | '▄' => '.',
        '▅' | '▆' => ':',
        '▇' => '|',
        '░' => '.',
        '█' | '▐' | '▌' => '#',
        '▶' | '►' | '→' => '>',
        '◀' | '◄' | '←' => '<',
        '▲' | '↑' => '^',
        '▼' | '↓' => 'v',
        '●' | '■' => '*',
        '·' => '.',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn terminals_get_what_they_have() {
        let of = |term: &str, locale: &str, no: bool| {
            let look = Look::of(term, locale, no);
            (look.colour, look.unicode)
        };
        assert_eq!(of("xterm-256color", "C.UTF-8", false), (true, true));
        assert_eq!(of("xterm-256color", "C.UTF-8", true), (false, true));
        assert_eq!(of("linux", "C", false), (true, false));
        assert_eq!(of("vt220", "de_DE.utf8", false), (false, false));
        assert_eq!(of("dumb", "C.UTF-8", false), (false, false));
        assert_eq!(of("", "", false), (false, false));
    }

    #[test]
    fn without_unicode_and_colour_there_is_neither() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 1));
        buffer.set_string(0, 0, "┌─┤█▃ü日", Style::new().fg(Color::Red));
        fit(
            &mut buffer,
            Look {
                colour: false,
                unicode: false,
            },
        );
        let shown: String = buffer.content.iter().map(|c| c.symbol()).collect();
        assert_eq!(shown, "+-+#.?? ");
        assert!(buffer.content.iter().all(|c| c.fg == Color::Reset));
    }

    proptest! {
        #[test]
        fn no_cell_does_more_than_stand_there(texts in proptest::collection::vec(any::<String>(), 4), unicode in any::<bool>()) {
            let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 4));
            for (y, text) in (0..).zip(&texts) {
                for (x, c) in (0..12).zip(text.chars()) {
                    if let Some(cell) = buffer.cell_mut((x, y)) {
                        cell.set_symbol(&format!("{c}\u{301}\x1b"));
                        if y % 2 == 0 { cell.set_char(c); }
                    }
                }
            }
            fit(&mut buffer, Look { colour: true, unicode });
            for cell in &buffer.content {
                let chars: Vec<char> = cell.symbol().chars().collect();
                prop_assert_eq!(chars.len(), 1);
                prop_assert!(is_plain(chars[0]));
                prop_assert!(unicode || chars[0].is_ascii());
            }
        }
    }
}
