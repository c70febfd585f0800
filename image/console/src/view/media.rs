//! The media of the calls in progress.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tandem_admin::{Flow, FlowLeg};

use super::paint::{BAD, FAINT, GOOD, ODD, PLAIN, heading};
use super::split;
use super::table::{Cell, Table, place, styled};
use crate::model::{FLOWS_SHOWN, Model, Screen};
use crate::text::brief;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let flows = model.shown_flows();
    // Two rows for each.
    let fit = usize::from(area.height.saturating_sub(2) / 2).max(1);
    let list = model.list(Screen::Media);
    let first = list.first(fit);
    let title = format!(
        "Media flows, the worst first  {}",
        place(first, fit, flows.len())
    );
    heading(buffer, area, 0, &title);
    let wide = area.width >= 110;
    let rows: Vec<Vec<Cell>> = flows
        .iter()
        .skip(first)
        .take(fit)
        .flat_map(|f| [leg(f, &f.a, true, wide), leg(f, &f.b, false, wide)])
        .collect();
    let many = model
        .figures
        .value()
        .is_some_and(|f| f.status.flows > FLOWS_SHOWN);
    let table = Table {
        headings: match wide {
            true => &[
                "from",
                "peer",
                ">loss %",
                ">jitter ms",
                ">MOS",
                ">rtt ms",
                ">last",
                ">call",
                "kind",
                ">packets",
                ">heard loss %",
                ">worker",
            ],
            false => &[
                "from",
                "peer",
                ">loss %",
                ">jitter ms",
                ">MOS",
                ">rtt ms",
                ">last",
            ],
        },
        selected: None,
        first: 0,
        empty: if many {
            "too many flows for a list: tandemctl calls, and the metrics, tell of each call's quality"
        } else {
            "no media flows"
        },
    };
    let below = split(area, 1).1;
    table.draw(buffer, below, &rows);
    let at = (list.selected - first.min(list.selected)) * 2;
    if at < rows.len() {
        let line = Rect {
            y: below.y + at as u16 + 1,
            height: 2.min(below.height.saturating_sub(at as u16 + 1)),
            ..below
        };
        buffer.set_style(line, super::paint::BAR);
    }
}

fn leg(flow: &Flow, leg: &FlowLeg, caller: bool, wide: bool) -> Vec<Cell> {
    let rtp = leg.rtp;
    let loss = rtp.lost as f64 * 100.0 / (rtp.lost as f64 + rtp.packets as f64).max(1.0);
    let loss_style = match loss {
        l if l >= 1.0 => BAD,
        l if l > 0.0 => ODD,
        _ => PLAIN,
    };
    let score = leg.score.map_or_else(
        || styled("-", FAINT),
        |s| {
            let style = match s {
                0..310 => BAD,
                310..360 => ODD,
                _ => GOOD,
            };
            styled(format!("{:.2}", f64::from(s) / 100.0), style)
        },
    );
    let last = match (flow.idle, rtp.last_seen_ms) {
        (true, _) => styled("SILENT", BAD),
        (false, Some(ms)) => format!("{} ms", brief(ms as f64)).into(),
        (false, None) => styled("never", ODD),
    };
    let once = |text: String| if caller { text } else { String::new() };
    let mut row: Vec<Cell> = vec![
        if caller { "caller" } else { "callee" }.into(),
        leg.latched
            .or(leg.remote)
            .map_or("-".to_owned(), |a| a.to_string())
            .into(),
        styled(format!("{loss:.2}"), loss_style),
        format!("{:.1}", leg.stream.jitter_us as f64 / 1e3).into(),
        score,
        leg.report
            .and_then(|r| r.round_trip_us)
            .map_or("-".to_owned(), |us| format!("{:.1}", f64::from(us) / 1e3))
            .into(),
        last,
    ];
    if wide {
        let heard = leg.report.map_or("-".to_owned(), |r| {
            format!("{:.1}", f64::from(r.fraction_lost) * 100.0 / 256.0)
        });
        row.extend([
            Cell::from(once(flow.call.to_string())),
            once(flow.kind.clone()).into(),
            rtp.packets.to_string().into(),
            heard.into(),
            once(flow.worker.to_string()).into(),
        ]);
    }
    row
}
