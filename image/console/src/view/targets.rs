//! Media servers and trunks.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{ODD, PLAIN, heading, state};
use super::split;
use super::table::{Cell, Table, place, styled};
use crate::model::{Model, Screen};
use crate::text::millis;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let targets = model.targets();
    let fit = usize::from(area.height.saturating_sub(2));
    let list = model.list(Screen::Targets);
    let first = list.first(fit);
    let title = format!("Targets  {}", place(first, fit, targets.len()));
    heading(buffer, area, 0, &title);
    let wide = area.width >= 120;
    let rows: Vec<Vec<Cell>> = targets
        .iter()
        .skip(first)
        .take(fit)
        .map(|t| {
            let mut row: Vec<Cell> = vec![
                t.set.to_string().into(),
                t.uri.clone().into(),
                styled(t.state.clone(), state(&t.state)),
                match t.max_load {
                    0 => t.calls.to_string().into(),
                    most => format!("{}/{most}", t.calls).into(),
                },
                millis(t.latency_last_us).into(),
                millis(t.latency_mean_us).into(),
                millis(t.latency_max_us).into(),
                styled(
                    t.failures.to_string(),
                    if t.failures > 0 { ODD } else { PLAIN },
                ),
                t.timeouts.to_string().into(),
            ];
            if wide {
                row.extend([
                    Cell::from(t.algorithm.clone()),
                    t.priority.to_string().into(),
                    t.live_calls
                        .map_or("-".to_owned(), |n| n.to_string())
                        .into(),
                    t.addresses.join(" ").into(),
                    t.description.clone().into(),
                ]);
            }
            row
        })
        .collect();
    let narrow: &[&str] = &[
        ">set", "target", "state", ">calls", ">last ms", ">mean", ">max", ">fails", ">silent",
    ];
    let all: Vec<&str> = narrow
        .iter()
        .copied()
        .chain([
            "algorithm",
            ">prio",
            ">its calls",
            "addresses",
            "description",
        ])
        .collect();
    let table = Table {
        headings: if wide { &all } else { narrow },
        selected: Some(list.selected),
        first,
        empty: match model.filter(Screen::Targets).is_empty() {
            true => "no targets: the table dispatcher is empty",
            false => "no target has this in it",
        },
    };
    table.draw(buffer, split(area, 1).1, &rows);
}
