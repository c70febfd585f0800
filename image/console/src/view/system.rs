//! High availability, slots and versions, services.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{BAD, BOLD, FAINT, PLAIN, heading, pieces, put, state};
use super::split;
use super::table::{Cell, Table, styled};
use crate::model::Model;
use crate::text::age;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    heading(buffer, area, 0, "High availability");
    put(
        buffer,
        area,
        (1, 1),
        "none configured: this machine is alone",
        PLAIN,
    );
    heading(buffer, area, 3, "Slots and versions");
    let mut row = 4;
    let version = model.figures.value().map_or_else(
        || env!("CARGO_PKG_VERSION").to_owned() + " (of the console)",
        |f| f.info.version.clone(),
    );
    pieces(
        buffer,
        area,
        row,
        &[(" software ", FAINT), (&version, BOLD)],
    );
    row += 1;
    match (model.slots.value(), model.slots.down()) {
        (_, Some((why, _))) => {
            put(buffer, area, (1, row), &format!("image: {why}"), FAINT);
            row += 1;
        }
        (Some(slots), None) => {
            for (name, value) in slots.rows.iter().take(10) {
                pieces(
                    buffer,
                    area,
                    row,
                    &[(&format!(" {name:<14} "), FAINT), (value, PLAIN)],
                );
                row += 1;
            }
        }
        (None, None) => {
            put(buffer, area, (1, row), "asking ...", FAINT);
            row += 1;
        }
    }
    if let Some(f) = model.figures.value() {
        let text = format!(
            " signaling plane: node {}, process {}, up {}, {} SIP workers, state in {}",
            f.info.node,
            f.info.pid,
            age(f.status.uptime_s),
            f.info.sip_workers,
            f.info.state_dir
        );
        put(buffer, area, (0, row), &text, PLAIN);
        row += 1;
    }
    let (_, area) = split(area, row + 1);
    heading(buffer, area, 0, "Services");
    match (model.services.value(), model.services.down()) {
        (_, Some((why, _))) => drop(put(buffer, area, (1, 1), why, FAINT)),
        (Some(all), None) => {
            let rows: Vec<Vec<Cell>> = all
                .iter()
                .map(|s| {
                    let style = match s.state.starts_with("failed") {
                        true => BAD,
                        false => state(&s.state),
                    };
                    vec![
                        s.name.clone().into(),
                        styled(s.state.clone(), style),
                        s.restarts.clone().into(),
                    ]
                })
                .collect();
            let table = Table {
                headings: &["service", "state", ">restarts"],
                selected: None,
                first: 0,
                empty: "none",
            };
            table.draw(buffer, split(area, 1).1, &rows);
        }
        (None, None) => drop(put(buffer, area, (1, 1), "asking ...", FAINT)),
    }
}
