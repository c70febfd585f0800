//! Pictures of screens: a recorded run, shown again and drawn as SVG and as text.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use crate::feed::Feed;
use crate::key::Key;
use crate::look::Look;
use crate::model::{Event, Model, Screen};
use crate::view::draw;

/// Columns and rows of a picture.
const SIZE: (u16, u16) = (100, 30);
/// Pixels of a cell.
const CELL: (u16, u16) = (9, 18);

/// Why there is no picture.
#[derive(Debug)]
pub struct PictureError(String);

impl std::fmt::Display for PictureError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PictureError {}

/// Draws the screens of a recorded run into a folder; gives the files' names.
///
/// # Errors
/// When the recording cannot be read, has nothing in it, or a picture cannot be written.
pub fn pictures(recording: &Path, folder: &Path) -> Result<Vec<String>, PictureError> {
    let failed =
        |path: &Path, error: std::io::Error| PictureError(format!("{}: {error}", path.display()));
    let text = fs::read_to_string(recording).map_err(|error| failed(recording, error))?;
    let mut model = Model::default();
    let mut last = 0;
    for (number, line) in (1..).zip(text.lines()) {
        let (now, feed): (u64, Feed) = serde_json::from_str(line).map_err(|error| {
            PictureError(format!("{}: line {number}: {error}", recording.display()))
        })?;
        if matches!(feed, Feed::Trace(crate::feed::TraceNews::Started(_)))
            && let Some(call) = model.calls.value().and_then(|found| found.items.first())
        {
            let (id, known) = (call.call_id.clone(), call.into());
            model.trace = Some(crate::model::Trace::new(id, Some(known)));
        }
        let _ = model.update(now, Event::Feed(Box::new(feed)));
        last = now;
    }
    if last == 0 {
        return Err(PictureError(format!(
            "{}: it is empty",
            recording.display()
        )));
    }
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let mut written = Vec::new();
    for screen in Screen::ALL {
        model.screen = screen;
        model.help = false;
        if screen == Screen::Ladder && model.trace.is_none() {
            continue;
        }
        // As a person sees it who has just come to it.
        let _ = model.update(last, Event::Key(Key::Redraw));
        let mut buffer = Buffer::empty(Rect::new(0, 0, SIZE.0, SIZE.1));
        let look = Look {
            colour: true,
            unicode: true,
        };
        draw(&model, look, &mut buffer);
        let name = format!("console-{}.svg", screen.tab().to_lowercase());
        let path = folder.join(&name);
        fs::write(&path, svg(&buffer)).map_err(|error| failed(&path, error))?;
        written.push(name);
    }
    Ok(written)
}

/// A buffer as SVG.
fn svg(buffer: &Buffer) -> String {
    let (width, height) = (buffer.area.width, buffer.area.height);
    let (w, h) = (width * CELL.0, height * CELL.1);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" font-family=\"monospace\" font-size=\"15\">\n<rect width=\"{w}\" height=\"{h}\" fill=\"#101418\"/>\n"
    );
    for (y, row) in (0_u16..).zip(buffer.content.chunks(usize::from(width.max(1)))) {
        let mut from = 0;
        while let Some(first) = row.get(from) {
            // Cells that look the same are one piece.
            let same = |cell: &&Cell| look_of(cell) == look_of(first);
            let length = row.iter().skip(from).take_while(same).count();
            let piece: String = row
                .iter()
                .skip(from)
                .take(length)
                .map(Cell::symbol)
                .collect();
            piece_of(
                &mut out,
                &piece,
                look_of(first),
                (from as u16, y, length as u16),
            );
            from += length;
        }
    }
    out + "</svg>\n"
}

type PieceLook = (&'static str, &'static str, bool);

/// Its colours, in front and behind, and whether it is bold.
fn look_of(cell: &Cell) -> PieceLook {
    let front = match cell.fg {
        Color::Red => "#ff6b6b",
        Color::Green => "#7ddc8a",
        Color::Yellow => "#f2cf5b",
        Color::Cyan => "#6fd3e0",
        Color::DarkGray => "#8a949e",
        _ => "#e6eaee",
    };
    let bold = cell.modifier.contains(Modifier::BOLD);
    match cell.modifier.contains(Modifier::REVERSED) {
        true => ("#101418", front, bold),
        false => (front, "", bold),
    }
}

fn piece_of(out: &mut String, text: &str, look: PieceLook, (x, y, length): (u16, u16, u16)) {
    let (front, behind, bold) = look;
    let (px, py, pw) = (x * CELL.0, y * CELL.1, length * CELL.0);
    if !behind.is_empty() {
        let _ = writeln!(
            out,
            "<rect x=\"{px}\" y=\"{py}\" width=\"{pw}\" height=\"{}\" fill=\"{behind}\"/>",
            CELL.1
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let weight = if bold { " font-weight=\"bold\"" } else { "" };
    let _ = writeln!(
        out,
        "<text x=\"{px}\" y=\"{}\" fill=\"{front}\" textLength=\"{pw}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\"{weight}>{escaped}</text>",
        py + 14
    );
}
