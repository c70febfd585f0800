//! All that matters on one page.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{BAD, BOLD, FAINT, GOOD, ODD, PLAIN, bar, heading, pieces, put, spark};
use super::split;
use crate::model::{FLOWS_SHOWN, Model, total, worst_score};
use crate::text::{age, brief, clock};

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let (first_start, area) = match &model.credentials {
        Some(text) => {
            let rows = u16::try_from(written(text).count()).unwrap_or(1) + 1;
            split(area, rows)
        }
        None => split(area, 0),
    };
    if let Some(text) = &model.credentials {
        heading(
            buffer,
            first_start,
            0,
            "First start: write this down, S begins the set-up",
        );
        for (row, line) in (1..).zip(written(text)) {
            put(buffer, first_start, (1, row), line, BOLD);
        }
    }
    let Some(figures) = model.figures.value() else {
        let text = match model.figures.down() {
            Some(_) => {
                "Nothing is known yet: the signaling plane has not answered since the console was started."
            }
            None => "Asking the signaling plane ...",
        };
        put(buffer, area, (1, 1), text, PLAIN);
        put(
            buffer,
            area,
            (1, 3),
            "Logs (9), services and slots (0) and the set-up (S) need no daemon.",
            FAINT,
        );
        return;
    };
    let wide = area.width >= 120;
    let needed = if wide { 11 } else { 20 };
    let (area, below) = split(area, needed.min(area.height));
    if below.height >= 16 {
        let (pool, logs) = split(below, below.height / 2);
        super::targets::draw(model, pool, buffer);
        super::logs::draw(model, logs, buffer);
    }
    let (left, right) = if wide {
        let half = area.width / 2;
        (
            Rect {
                width: half - 1,
                ..area
            },
            Rect {
                x: area.x + half + 1,
                width: area.width - half - 1,
                ..area
            },
        )
    } else {
        split(area, 9)
    };
    alarms_and_calls(model, figures, left, buffer);
    rest(model, figures, right, buffer);
}

/// What is shown on the first start: its first lines that are not empty.
fn written(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim_end);
    lines.filter(|line| !line.is_empty()).take(6)
}

fn alarms_and_calls(
    model: &Model,
    figures: &crate::feed::Figures,
    area: Rect,
    buffer: &mut Buffer,
) {
    heading(buffer, area, 0, "Alarms");
    match figures.alarms.as_slice() {
        [] => drop(put(buffer, area, (1, 1), "none", GOOD)),
        [one, rest @ ..] => {
            let text = format!("since {} {}: {}", clock(one.since_ms), one.kind, one.text);
            put(buffer, area, (1, 1), &text, BAD);
            if !rest.is_empty() {
                let more = format!("and {} more: 8 shows them", rest.len());
                put(buffer, area, (1, 2), &more, BAD);
            }
        }
    }
    heading(buffer, area, 3, "Calls");
    let counts = figures.counts;
    pieces(
        buffer,
        area,
        4,
        &[
            (" now ", FAINT),
            (&counts.all.to_string(), BOLD),
            ("  ringing ", FAINT),
            (&counts.starting.to_string(), PLAIN),
            ("  answered ", FAINT),
            (&counts.ongoing.to_string(), PLAIN),
            ("  in a second: ", FAINT),
            (&brief(model.rates.calls_per_s), BOLD),
            (" begin, ", FAINT),
            (&brief(model.rates.answered_per_s), PLAIN),
            (" answered, ", FAINT),
            (
                &brief(model.rates.failed_per_s),
                if model.rates.failed_per_s > 0.0 {
                    ODD
                } else {
                    PLAIN
                },
            ),
            (" failed", FAINT),
        ],
    );
    let width = usize::from(area.width).saturating_sub(22);
    let history = &model.history;
    for (row, name, series) in [
        (5, "calls/s", &history.calls_per_s),
        (6, "calls", &history.calls),
        (7, "packets/s", &history.relayed_pps),
    ] {
        let most = series.iter().rev().take(width).max().copied().unwrap_or(0);
        pieces(
            buffer,
            area,
            row,
            &[
                (&format!(" {name:<10}"), FAINT),
                (&spark(series.iter(), width), GOOD),
                (&format!(" {:>8}", brief(most as f64)), FAINT),
            ],
        );
    }
}

fn rest(model: &Model, figures: &crate::feed::Figures, area: Rect, buffer: &mut Buffer) {
    heading(buffer, area, 0, "Media");
    let drops = brief(model.rates.drops_pps);
    pieces(
        buffer,
        area,
        1,
        &[
            (" flows ", FAINT),
            (&figures.status.flows.to_string(), BOLD),
            ("  relayed ", FAINT),
            (&brief(model.rates.relayed_pps), BOLD),
            (" packets/s  dropped ", FAINT),
            (
                &drops,
                if model.rates.drops_pps > 0.0 {
                    ODD
                } else {
                    PLAIN
                },
            ),
            ("/s  SIP ", FAINT),
            (&brief(model.rates.sip_pps), PLAIN),
            ("/s", FAINT),
        ],
    );
    let (text, style) = quality(model, figures.status.flows);
    put(buffer, area, (1, 2), &text, style);
    heading(buffer, area, 3, "Cores");
    let mut column = 1;
    for worker in &model.rates.workers {
        let text = format!(
            "{} {} {:>3.0} %   ",
            worker.index,
            bar(worker.busy_percent / 100.0, 10),
            worker.busy_percent
        );
        let style = if worker.busy_percent > 85.0 {
            BAD
        } else {
            PLAIN
        };
        if column + 20 > area.width {
            put(buffer, area, (column, 4), "...", FAINT);
            break;
        }
        column += put(buffer, area, (column, 4), &text, style);
    }
    if model.rates.workers.is_empty() {
        put(buffer, area, (1, 4), "no figures of the dataplane", FAINT);
    }
    heading(buffer, area, 5, "Pool");
    let status = &figures.status;
    let all = status.targets_active == status.targets && status.targets > 0;
    pieces(
        buffer,
        area,
        6,
        &[
            (
                &format!(
                    " {} of {} targets take calls",
                    status.targets_active, status.targets
                ),
                if all { GOOD } else { BAD },
            ),
            ("   registered users ", FAINT),
            (
                &model
                    .rates
                    .signaling("registered_users_now")
                    .map_or("-".to_owned(), |n| n.to_string()),
                PLAIN,
            ),
        ],
    );
    heading(buffer, area, 7, "System");
    let database = if status.database_up {
        ("up", GOOD)
    } else {
        ("DOWN", BAD)
    };
    let dataplane = match (status.dataplane_up, status.epoch) {
        (true, Some(epoch)) => (
            format!("up, session {epoch}, {} workers", status.workers),
            GOOD,
        ),
        _ => ("DOWN".to_owned(), BAD),
    };
    pieces(
        buffer,
        area,
        8,
        &[
            (" dataplane ", FAINT),
            (&dataplane.0, dataplane.1),
            ("  database ", FAINT),
            database,
            (&format!("  CDRs to write {}", status.cdrs_pending), FAINT),
        ],
    );
    pieces(
        buffer,
        area,
        9,
        &[
            (" version ", FAINT),
            (&status.version, PLAIN),
            ("  up ", FAINT),
            (&age(status.uptime_s), PLAIN),
            ("  HA none configured", FAINT),
        ],
    );
}

/// Loss and score of all flows that stand.
fn quality(model: &Model, flows: u64) -> (String, ratatui::style::Style) {
    if flows > FLOWS_SHOWN {
        let text = format!("loss and score: of more than {FLOWS_SHOWN} flows the metrics tell");
        return (text, FAINT);
    }
    let Some(all) = model.flows.value().filter(|all| !all.is_empty()) else {
        return ("loss and score: no flows".to_owned(), FAINT);
    };
    let legs = || all.iter().flat_map(|f| [&f.a, &f.b]);
    let lost = total(legs().map(|leg| leg.rtp.lost));
    let received = total(legs().map(|leg| leg.rtp.packets));
    let percent = lost as f64 * 100.0 / (lost as f64 + received as f64).max(1.0);
    let scores: Vec<u16> = legs().filter_map(|leg| leg.score).collect();
    let mean = scores.iter().map(|s| f64::from(*s)).sum::<f64>() / scores.len().max(1) as f64;
    let worst = all.iter().map(worst_score).min().unwrap_or(u16::MAX);
    let score = match scores.is_empty() {
        true => "no score".to_owned(),
        false => format!(
            "MOS mean {:.2}, worst {:.2}",
            mean / 100.0,
            f64::from(worst) / 100.0
        ),
    };
    let style = match worst {
        0..310 => BAD,
        310..360 => ODD,
        _ => PLAIN,
    };
    (format!("loss {percent:.2} %, {score}"), style)
}
