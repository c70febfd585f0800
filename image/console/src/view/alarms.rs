//! Alarms.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{BAD, GOOD, heading, put};
use super::split;
use super::table::{Cell, Table, place, styled};
use crate::model::{Model, Screen};
use crate::text::{age, date_time};

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let alarms = model.figures.value().map_or(&[][..], |f| &f.alarms);
    let fit = usize::from(area.height.saturating_sub(2));
    let list = model.list(Screen::Alarms);
    let first = list.first(fit);
    let title = format!("Alarms  {}", place(first, fit, alarms.len()));
    heading(buffer, area, 0, &title);
    if alarms.is_empty() {
        let (text, style) = match model.figures.value() {
            Some(_) => ("none", GOOD),
            None => ("nothing is known of alarms", BAD),
        };
        put(buffer, area, (1, 1), text, style);
        return;
    }
    let rows: Vec<Vec<Cell>> = alarms
        .iter()
        .skip(first)
        .take(fit)
        .map(|a| {
            vec![
                date_time(a.since_ms).into(),
                age(model.now.saturating_sub(a.since_ms) / 1_000).into(),
                styled(a.kind.clone(), BAD),
                a.subject.clone().into(),
                a.text.clone().into(),
            ]
        })
        .collect();
    let table = Table {
        headings: &["since (UTC)", ">for", "kind", "subject", "what"],
        selected: Some(list.selected),
        first,
        empty: "none",
    };
    table.draw(buffer, split(area, 1).1, &rows);
}
