//! Calls in progress.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{FAINT, heading, put, state};
use super::split;
use super::table::{Cell, Table, place, styled};
use crate::model::{Model, Screen};
use crate::text::stopwatch;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let calls = model.shown_calls();
    let fit = usize::from(area.height.saturating_sub(2));
    let list = model.list(Screen::Calls);
    let first = list.first(fit);
    let all = model.figures.value().map_or(0, |f| f.counts.all);
    let found = model.calls.value();
    let more = match found {
        Some(found) if found.more && found.filter.is_empty() => format!(", the first of {all}"),
        Some(found) if found.more => format!(", the first of those in {} calls", found.looked_at),
        Some(found) if !found.filter.is_empty() => format!(", of {}", found.looked_at),
        _ => String::new(),
    };
    let title = format!("Calls  {}{more}", place(first, fit, calls.len()));
    heading(buffer, area, 0, &title);
    let wide = area.width >= 120;
    let rows: Vec<Vec<Cell>> = calls
        .iter()
        .skip(first)
        .take(fit)
        .map(|c| {
            let lasts = model.now.saturating_sub(c.answer_ms.unwrap_or(c.start_ms)) / 1_000;
            let mut row: Vec<Cell> = vec![
                if c.direction == "inbound" {
                    "in"
                } else {
                    "out"
                }
                .into(),
                styled(c.state.clone(), state(&c.state)),
                stopwatch(lasts).into(),
                short(&c.from_uri).into(),
                short(&c.to_uri).into(),
                short(&c.target).into(),
            ];
            if wide {
                row.extend([
                    Cell::from(c.source.clone()),
                    c.flows.len().to_string().into(),
                    c.key.to_string().into(),
                    c.call_id.clone().into(),
                ]);
            }
            row
        })
        .collect();
    let headings: &[&str] = if wide {
        &[
            "dir", "state", ">time", "from", "to", "target", "source", ">flows", ">call", "Call-ID",
        ]
    } else {
        &["dir", "state", ">time", "from", "to", "target"]
    };
    let table = Table {
        headings,
        selected: Some(list.selected),
        first,
        empty: match (found, model.calls.down()) {
            (Some(found), _) if !found.filter.is_empty() => "no call has this in it",
            (Some(_), _) => "no calls",
            (None, Some(_)) => "nothing is known of calls",
            (None, None) => "asking ...",
        },
    };
    table.draw(buffer, split(area, 1).1, &rows);
    if let (Some((why, _)), None) = (model.calls.down(), model.figures.down()) {
        put(buffer, area, (1, 3), why, FAINT);
    }
}

/// A URI without its scheme.
fn short(uri: &str) -> &str {
    uri.strip_prefix("sip:")
        .or_else(|| uri.strip_prefix("sips:"))
        .unwrap_or(uri)
}
