//! How the workers keep up.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{BAD, ODD, PLAIN, bar, heading};
use super::split;
use super::table::{Cell, Table, place, styled};
use crate::model::{Model, Screen};
use crate::text::brief;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let workers = &model.rates.workers;
    let sip = &model.rates.sip_workers;
    let below = (sip.len() as u16 + 3).min(area.height / 2);
    let (top, bottom) = split(area, area.height - below);
    let fit = usize::from(top.height.saturating_sub(2));
    let list = model.list(Screen::Cores);
    let first = list.first(fit);
    let title = format!(
        "Workers of the dataplane, in a second  {}",
        place(first, fit, workers.len())
    );
    heading(buffer, top, 0, &title);
    let us = |us: Option<f64>| us.map_or("-".to_owned(), |us| format!("{us:.1}"));
    let width = if area.width >= 120 { 40 } else { 10 };
    let rows: Vec<Vec<Cell>> = workers
        .iter()
        .skip(first)
        .take(fit)
        .map(|w| {
            let style = match w.busy_percent {
                b if b > 85.0 => BAD,
                b if b > 60.0 => ODD,
                _ => PLAIN,
            };
            vec![
                w.index.to_string().into(),
                styled(bar(w.busy_percent / 100.0, width), style),
                styled(format!("{:.0}", w.busy_percent), style),
                brief(w.relayed_pps).into(),
                brief(w.handed_off_pps).into(),
                us(w.p50_us).into(),
                us(w.p99_us).into(),
                styled(w.gaps.to_string(), if w.gaps > 0 { ODD } else { PLAIN }),
                w.all_gaps.to_string().into(),
                format!("{:.1}", w.longest_gap_ms).into(),
            ]
        })
        .collect();
    let table = Table {
        headings: &[
            ">worker",
            "",
            ">busy %",
            ">pps",
            ">handed",
            ">p50 us",
            ">p99 us",
            ">gaps",
            ">all",
            ">longest ms",
        ],
        selected: Some(list.selected),
        first,
        empty: "no figures of the dataplane",
    };
    table.draw(buffer, split(top, 1).1, &rows);
    heading(buffer, bottom, 0, "SIP workers");
    let rows: Vec<Vec<Cell>> = sip
        .iter()
        .enumerate()
        .map(|(index, (calls, messages))| {
            vec![
                index.to_string().into(),
                calls.to_string().into(),
                brief(*messages).into(),
            ]
        })
        .collect();
    let table = Table {
        headings: &[">worker", ">calls", ">messages/s"],
        selected: None,
        first: 0,
        empty: "no figures of the signaling plane",
    };
    table.draw(buffer, split(bottom, 1).1, &rows);
}
