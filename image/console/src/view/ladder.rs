//! One call as a ladder.

use std::net::SocketAddr;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{BAD, BAR, BOLD, FAINT, GOOD, ODD, PLAIN, heading, pieces, put};
use super::split;
use crate::feed::Message;
use crate::model::{Model, Screen, Trace, TraceState};
use crate::text::{clean, clock, columns, cut, short_address};

/// Columns of the time.
const TIME: u16 = 9;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let Some(trace) = &model.trace else {
        return;
    };
    let (state, style) = match &trace.state {
        TraceState::Asked => ("asking ...".to_owned(), FAINT),
        TraceState::Runs(until) => (format!("followed until {}", clock(*until)), GOOD),
        TraceState::Ended(why) => (format!("not followed any more: {why} (r again)"), ODD),
    };
    pieces(
        buffer,
        area,
        0,
        &[("Call-ID ", FAINT), (&trace.call_id, BOLD)],
    );
    put(buffer, area, (0, 1), &state, style);
    let mut row = 2;
    if let Some(known) = &trace.known {
        let answered = known.answer_ms.map_or("not answered".to_owned(), |at| {
            format!(
                "200 after {:.1} s",
                at.saturating_sub(known.start_ms) as f64 / 1e3
            )
        });
        let text = format!(
            "INVITE {}, {answered}, {}, from {} to {} at {}",
            clock(known.start_ms),
            known.state,
            known.from,
            known.to,
            known.target
        );
        put(buffer, area, (0, row), &text, PLAIN);
        row += 1;
    }
    if trace.missed > 0 {
        let text = format!("{} more messages have no room here", trace.missed);
        put(buffer, area, (0, row), &text, BAD);
        row += 1;
    }
    let (_, area) = split(area, row);
    let selected = match trace.follow {
        true => trace.messages.len().saturating_sub(1),
        false => model.list(Screen::Ladder).selected,
    };
    match trace.open.zip(trace.messages.get(selected)) {
        Some((from, message)) => open(message, from, area, buffer),
        None => ladder(trace, selected, area, buffer),
    }
}

/// One message in full.
fn open(message: &Message, from: usize, area: Rect, buffer: &mut Buffer) {
    let way = if message.sent { "to" } else { "from" };
    let title = format!(
        "{} {} {way} {} by port {}",
        clock(message.time_ns / 1_000_000),
        message.title,
        message.peer,
        message.port
    );
    heading(buffer, area, 0, &title);
    let last = message.lines.len().saturating_sub(1);
    for (row, line) in (1..area.height).zip(message.lines.iter().skip(from.min(last))) {
        put(buffer, area, (1, row), line, PLAIN);
    }
}

/// Where everybody stands: the columns of the lines, and their names.
fn lines(trace: &Trace, width: u16) -> (Vec<(u16, String)>, Vec<SocketAddr>, usize) {
    let (left, right) = trace.sides();
    // What there is no room for stands together at the outer line of its side.
    let most = usize::from(width.saturating_sub(TIME) / 24).max(2);
    let lefts = left.len().clamp(1, (most / 2).max(1));
    let rights = right.len().clamp(1, most.saturating_sub(lefts).max(1));
    let all = lefts + 1 + rights;
    let step = width.saturating_sub(TIME + 12) / (all as u16 - 1).max(1);
    let name = |peers: &[SocketAddr], index: usize, shown: usize| match peers.get(index) {
        None => "-".to_owned(),
        Some(peer) if index + 1 == shown && peers.len() > shown => {
            format!("{} +{}", short_address(*peer), peers.len() - shown)
        }
        Some(peer) => short_address(*peer),
    };
    let mut names = Vec::new();
    for index in 0..lefts {
        names.push(name(&left, index, lefts));
    }
    names.push("Tandem".to_owned());
    for index in 0..rights {
        names.push(name(&right, index, rights));
    }
    let places = names
        .into_iter()
        .enumerate()
        .map(|(index, name)| (TIME + 6 + index as u16 * step, name))
        .collect();
    let order: Vec<SocketAddr> = left.into_iter().chain(right).collect();
    (places, order, lefts)
}

fn ladder(trace: &Trace, selected: usize, area: Rect, buffer: &mut Buffer) {
    let (places, order, lefts) = lines(trace, area.width);
    for (column, name) in &places {
        let half = (columns(name) / 2) as u16;
        put(buffer, area, (column.saturating_sub(half), 0), name, BOLD);
    }
    let (_, area) = split(area, 1);
    if trace.messages.is_empty() {
        let text = match trace.state {
            TraceState::Ended(_) => "no messages were seen",
            _ => "waiting for its next message ...",
        };
        put(buffer, area, (1, 1), text, FAINT);
        return;
    }
    let fit = usize::from(area.height).max(1);
    let first = match trace.follow {
        true => trace.messages.len().saturating_sub(fit),
        false => selected / fit * fit,
    };
    let begin = trace.messages.first().map_or(0, |m| m.time_ns);
    let left_count = trace.sides().0.len();
    let middle = places.get(lefts).map_or(0, |(column, _)| *column);
    for (index, message) in trace.messages.iter().enumerate().skip(first).take(fit) {
        let row = (index - first) as u16;
        let at = order.iter().position(|peer| *peer == message.peer);
        // Whoever has no line of his own stands at the last one of his side.
        let line = match at {
            Some(at) if at < left_count => at.min(lefts - 1),
            Some(at) => (lefts + 1 + at - left_count).min(places.len().saturating_sub(1)),
            None => places.len().saturating_sub(1),
        };
        let far = places.get(line).map_or(0, |(column, _)| *column);
        for (column, _) in &places {
            put(buffer, area, (*column, row), "│", FAINT);
        }
        let seconds = message.time_ns.saturating_sub(begin) as f64 / 1e9;
        put(buffer, area, (0, row), &format!("{seconds:>8.3}"), FAINT);
        arrow(message, (middle, far, row), area, buffer);
        if index == selected {
            let at = Rect {
                y: area.y + row,
                height: 1,
                ..area
            };
            buffer.set_style(at, BAR);
        }
    }
}

/// An arrow between us and a peer, with the message's name on it.
fn arrow(message: &Message, (us, peer, row): (u16, u16, u16), area: Rect, buffer: &mut Buffer) {
    let (from, to) = (us.min(peer), us.max(peer));
    let inside = usize::from(to.saturating_sub(from + 1));
    if inside < 4 {
        return;
    }
    let to_the_right = message.sent == (peer > us);
    let sdp = if message.sdp { " sdp" } else { "" };
    let retitled = clean(&format!(" {}{sdp} ", message.title));
    let label = cut(&retitled, inside.saturating_sub(2));
    let dashes = inside.saturating_sub(columns(&label) + 1);
    let (before, behind) = ("─".repeat(dashes / 2), "─".repeat(dashes - dashes / 2));
    let line = match to_the_right {
        true => format!("{before}{label}{behind}►"),
        false => format!("◄{before}{label}{behind}"),
    };
    let style = match message.title.as_bytes().first() {
        Some(b'4'..=b'6') => BAD,
        Some(b'1'..=b'3') => GOOD,
        _ => PLAIN,
    };
    put(buffer, area, (from + 1, row), &cut(&line, inside), style);
}
