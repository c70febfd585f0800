//! Load tests.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{BAD, BOLD, FAINT, GOOD, ODD, PLAIN, bar, heading, pieces, put, spark};
use super::split;
use super::table::{Cell, Table};
use crate::feed::LoadSecond;
use crate::model::{Load, Model, Phase, Screen};
use crate::text::brief;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let profiles = model.profiles.value().map_or(&[][..], Vec::as_slice);
    let height = (profiles.len() as u16 + 3).clamp(4, area.height / 2);
    let (top, bottom) = split(area, height);
    let how = match model.load.socket {
        true => "by the kernel's sockets",
        false => "by DPDK ports",
    };
    heading(buffer, top, 0, &format!("Load tests, {how} (k turns)"));
    let list = model.list(Screen::Load);
    let fit = usize::from(top.height.saturating_sub(3));
    let first = list.first(fit);
    let rows: Vec<Vec<Cell>> = profiles
        .iter()
        .skip(first)
        .take(fit)
        .map(|p| {
            let name = p.path.rsplit('/').next().unwrap_or(&p.path);
            vec![
                name.trim_end_matches(".toml").into(),
                p.about.clone().into(),
            ]
        })
        .collect();
    let table = Table {
        headings: &["profile", "what it is for"],
        selected: Some(list.selected),
        first,
        empty: match model.profiles.down() {
            Some((why, _)) => why,
            None => "none",
        },
    };
    table.draw(buffer, split(top, 1).1, &rows);
    run(&model.load, bottom, buffer);
}

fn run(load: &Load, area: Rect, buffer: &mut Buffer) {
    let name = load.profile.rsplit('/').next().unwrap_or_default();
    let title = match load.phase {
        Phase::None => "None has run since the console was started".to_owned(),
        Phase::Runs => format!("{name}: runs"),
        Phase::Ended(Some(0)) => format!("{name}: PASSED"),
        Phase::Ended(Some(1)) => format!("{name}: over, and not all was reached"),
        Phase::Ended(Some(code)) => format!("{name}: there was no run (exit code {code})"),
        Phase::Ended(None) => format!("{name}: ended by a signal"),
    };
    heading(buffer, area, 0, &title);
    let mut row = 1;
    if let Some(last) = load.seconds.back() {
        second(load, last, area, buffer);
        row = 8;
    }
    for criterion in &load.criteria {
        let (word, style) = match criterion.passed {
            true => ("kept ", GOOD),
            false => ("MISSED", BAD),
        };
        pieces(
            buffer,
            area,
            row,
            &[
                (&format!(" {word:<7}"), style),
                (&format!("{:<26} ", criterion.name), PLAIN),
                (
                    &format!("{}, limit {}", criterion.value, criterion.limit),
                    FAINT,
                ),
            ],
        );
        row += 1;
    }
    let room = usize::from(area.height.saturating_sub(row));
    let skip = load.said.len().saturating_sub(room);
    for line in load.said.iter().skip(skip) {
        put(buffer, area, (1, row), line, FAINT);
        row += 1;
    }
}

fn second(load: &Load, last: &LoadSecond, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width).saturating_sub(34);
    let part = last.at_s / (last.seconds.max(1) as f64);
    pieces(
        buffer,
        area,
        1,
        &[
            (" ", PLAIN),
            (&bar(part, width), GOOD),
            (&format!(" {:.0} of {} s", last.at_s, last.seconds), PLAIN),
        ],
    );
    pieces(
        buffer,
        area,
        2,
        &[
            (" calls up ", FAINT),
            (&last.calls_up.to_string(), BOLD),
            ("  in a second ", FAINT),
            (&brief(last.calls_per_s), BOLD),
            ("  failed ", FAINT),
            (
                &last.calls_failed.to_string(),
                if last.calls_failed > 0 { BAD } else { PLAIN },
            ),
            ("  registrations/s ", FAINT),
            (&brief(last.registrations_per_s), PLAIN),
            ("  flood/s ", FAINT),
            (&brief(last.flood_per_s), PLAIN),
        ],
    );
    pieces(
        buffer,
        area,
        3,
        &[
            (" media sent ", FAINT),
            (&brief(last.media_sent_per_s), PLAIN),
            ("/s  received ", FAINT),
            (&brief(last.media_received_per_s), PLAIN),
            ("/s  lost ", FAINT),
            (
                &last.media_lost.to_string(),
                if last.media_lost > 0 { BAD } else { PLAIN },
            ),
            (
                &format!(
                    "  p50 {:.1} us  p99.9 {:.1} us",
                    last.latency_p50_us, last.latency_p999_us
                ),
                PLAIN,
            ),
        ],
    );
    let busy = if last.busy_percent > 90.0 { ODD } else { PLAIN };
    put(
        buffer,
        area,
        (1, 4),
        &format!("generator busy {:.0} %", last.busy_percent),
        busy,
    );
    let width = usize::from(area.width).saturating_sub(14);
    let series = |of: fn(&LoadSecond) -> f64| -> Vec<u64> {
        load.seconds
            .iter()
            .map(|s| of(s).max(0.0).round() as u64)
            .collect()
    };
    for (row, name, values) in [
        (5, "calls/s", series(|s| s.calls_per_s)),
        (6, "media/s", series(|s| s.media_received_per_s)),
    ] {
        pieces(
            buffer,
            area,
            row,
            &[
                (&format!(" {name:<10}"), FAINT),
                (&spark(values.iter(), width), GOOD),
            ],
        );
    }
}
