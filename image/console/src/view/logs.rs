//! The logs.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{BAD, BAR, FAINT, ODD, PLAIN, heading, pieces, put};
use super::split;
use super::table::place;
use crate::feed::Level;
use crate::model::{Model, Screen};
use crate::text::clock;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let logs = &model.logs;
    let lines = logs.shown(model.filter(Screen::Logs));
    let fit = usize::from(area.height.saturating_sub(1));
    let list = model.list(Screen::Logs);
    let (first, selected) = match logs.follow {
        true => (lines.len().saturating_sub(fit), None),
        false => (list.first(fit), Some(list.selected)),
    };
    let from = match &logs.source {
        Some(Ok(from)) => from.clone(),
        Some(Err(why)) => format!("none now: {why}"),
        None => "looking for them ...".to_owned(),
    };
    let how = if logs.follow {
        "following"
    } else {
        "f follows"
    };
    let title = format!("Logs, {from}  {}  {how}", place(first, fit, lines.len()));
    heading(buffer, area, 0, &title);
    let (_, area) = split(area, 1);
    for (index, line) in lines.iter().skip(first).take(fit).enumerate() {
        let row = index as u16;
        let (level, style) = match line.level {
            Level::Debug => ("debug", FAINT),
            Level::Info => ("info ", PLAIN),
            Level::Warning => ("WARN ", ODD),
            Level::Error => ("ERROR", BAD),
        };
        let time = match line.time_ms {
            0 => "        ".to_owned(),
            ms => clock(ms),
        };
        let unit = line.unit.trim_start_matches("tandem-");
        pieces(
            buffer,
            area,
            row,
            &[
                (&time, FAINT),
                (" ", PLAIN),
                (level, style),
                (&format!(" {unit:<9.9} "), FAINT),
                (&line.text, style),
            ],
        );
        if selected == Some(first + index) {
            let at = Rect {
                y: area.y + row,
                height: 1,
                ..area
            };
            buffer.set_style(at, BAR);
        }
    }
    if lines.is_empty() {
        put(buffer, area, (1, 0), "no lines", FAINT);
    }
}
