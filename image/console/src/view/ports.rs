//! Ports, queues, and what is dropped.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{BAD, FAINT, GOOD, ODD, PLAIN, heading, put, spark};
use super::split;
use super::table::{Cell, Table, place, styled};
use crate::model::{Model, Screen};
use crate::text::brief;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let ports = &model.rates.ports;
    let wide = area.width >= 110;
    let rows: Vec<Vec<Cell>> = ports
        .iter()
        .map(|p| {
            let link = match p.up {
                Some(true) if !matches!(p.state.as_str(), "" | "running") => {
                    styled(p.state.clone(), BAD)
                }
                Some(true) => styled("up", GOOD),
                Some(false) => styled("DOWN", BAD),
                None => styled("-", FAINT),
            };
            let mut row = vec![
                p.name.clone().into(),
                link,
                brief(p.rx_pps).into(),
                brief(p.rx_mbps).into(),
                brief(p.tx_pps).into(),
                brief(p.tx_mbps).into(),
                styled(
                    brief(p.lost_pps),
                    if p.lost_pps > 0.0 { BAD } else { PLAIN },
                ),
                p.lost.to_string().into(),
                format!("{}/{}", p.rx_queues, p.tx_queues).into(),
            ];
            if wide {
                row.extend([
                    Cell::from(if p.steered { "by the card" } else { "by us" }),
                    p.node.map_or("-".to_owned(), |n| n.to_string()).into(),
                    p.speed.map_or("-".to_owned(), |s| s.to_string()).into(),
                ]);
            }
            row
        })
        .collect();
    heading(buffer, area, 0, "Ports, in a second");
    let (_, area) = split(area, 1);
    let height = (rows.len() as u16 + 2).min(area.height / 2).max(3);
    let (top, area) = split(area, height);
    let all: &[&str] = &[
        "port", "link", ">rx pps", ">rx Mbps", ">tx pps", ">tx Mbps", ">lost/s", ">lost",
        ">queues", "steering", ">node",
    ];
    let table = Table {
        headings: all.get(..if wide { 12 } else { 9 }).unwrap_or(all),
        selected: None,
        first: 0,
        empty: "no figures of the dataplane",
    };
    table.draw(buffer, top, &rows);
    let of = |p: &crate::model::PortRates| {
        let queue = |(index, (worker, pps)): (usize, &(u16, Option<f64>))| {
            let pps = pps.map_or("-".to_owned(), brief);
            format!("{} {index} (worker {worker}): {pps}", p.name)
        };
        p.queues.iter().enumerate().map(queue).collect::<Vec<_>>()
    };
    let queues: Vec<String> = ports.iter().flat_map(of).collect();
    let rows = (queues.len().div_ceil(per_row(area.width)) as u16).min(area.height / 3);
    let (top, area) = split(area, if queues.is_empty() { 0 } else { rows + 2 });
    if !queues.is_empty() {
        heading(buffer, top, 0, "Receive queues, packets in a second");
        let each = top.width / per_row(area.width) as u16;
        for (index, text) in queues.iter().enumerate() {
            let column = (index % per_row(area.width)) as u16 * each;
            let row = (index / per_row(area.width)) as u16 + 1;
            if row <= rows {
                put(buffer, top, (column + 1, row), text, PLAIN);
            }
        }
    }
    drops(model, area, buffer);
}

fn per_row(width: u16) -> usize {
    usize::from(width / 38).max(1)
}

fn drops(model: &Model, area: Rect, buffer: &mut Buffer) {
    let all = model.shown_drops();
    let fit = usize::from(area.height.saturating_sub(2));
    let first = model.list(Screen::Ports).first(fit);
    let title = format!("Dropped, by reason  {}", place(first, fit, all.len()));
    heading(buffer, area, 0, &title);
    let (_, area) = split(area, 1);
    let rows: Vec<Vec<Cell>> = all
        .iter()
        .skip(first)
        .take(fit)
        .map(|(name, rate, value)| {
            let style = if *rate > 0.0 { ODD } else { PLAIN };
            vec![
                styled(name.trim_start_matches("drop_").replace('_', " "), style),
                styled(brief(*rate), style),
                value.to_string().into(),
                styled(name.clone(), FAINT),
            ]
        })
        .collect();
    let table = Table {
        headings: &["reason", ">in a second", ">since the start", "counter"],
        selected: Some(model.list(Screen::Ports).selected),
        first,
        empty: "nothing has been dropped",
    };
    table.draw(buffer, area, &rows);
    if area.width >= 150 {
        let side = Rect {
            x: area.x + 100,
            width: area.width - 100,
            ..area
        };
        put(
            buffer,
            side,
            (0, 0),
            "drops a second, the last minutes",
            FAINT,
        );
        let line = spark(model.history.drops_pps.iter(), usize::from(side.width));
        put(buffer, side, (0, 1), &line, ODD);
    }
}
