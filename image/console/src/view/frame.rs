//! What is around every screen: the title, the tabs, what a source does not say, the keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget as _};

use super::paint::{BAD, BAR, BOLD, FAINT, GOOD, ODD, PLAIN, pieces, put, right};
use crate::model::{Model, Screen, Writing};
use crate::text::{age, clock, wrap};

/// Draws it, and gives what is left in the middle.
pub(super) fn frame(model: &Model, buffer: &mut Buffer) -> Rect {
    let area = buffer.area;
    title(model, area, buffer);
    tabs(model, area, buffer);
    footer(model, area, buffer);
    let mut body = Rect {
        y: area.y + 2,
        height: area.height - 4,
        ..area
    };
    if let Some((why, since)) = model.figures.down() {
        let figures = match model.figures.taken() {
            Some(at) => format!("; below: figures of {}", clock(at)),
            None => String::new(),
        };
        let text = format!(
            " signaling plane: not reachable since {}, trying again ({why}){figures}",
            clock(since)
        );
        put(buffer, body, (0, 0), &text, BAD);
        body = super::split(body, 1).1;
    } else if let Some(figures) = model.figures.value()
        && !figures.status.dataplane_up
    {
        put(
            buffer,
            body,
            (0, 0),
            " dataplane: no session: calls cannot be set up; its figures are missing below",
            BAD,
        );
        body = super::split(body, 1).1;
    }
    body
}

fn title(model: &Model, area: Rect, buffer: &mut Buffer) {
    let line = Rect { height: 1, ..area };
    buffer.set_style(line, BAR);
    let who = match model.figures.value() {
        Some(f) => format!(" Tandem {}  node {}", f.info.version, f.info.node),
        None => " Tandem".to_owned(),
    };
    let used = put(buffer, area, (0, 0), &who, BAR);
    let planes = if model.figures.is_awaited() {
        "asking the signaling plane".to_owned()
    } else if model.figures.down().is_some() {
        "SIGNALING DOWN".to_owned()
    } else {
        match model.figures.value() {
            Some(f) if !f.status.dataplane_up => "DATAPLANE DOWN".to_owned(),
            Some(f) => match f.alarms.len() {
                0 => format!("up {}  no alarms", age(f.status.uptime_s)),
                n => format!("up {}  ALARMS: {n}", age(f.status.uptime_s)),
            },
            None => String::new(),
        }
    };
    put(buffer, area, (used + 4, 0), &planes, BAR);
    right(buffer, area, 0, &format!("{} UTC ", clock(model.now)), BAR);
}

fn tabs(model: &Model, area: Rect, buffer: &mut Buffer) {
    let roomy = area.width >= 110;
    let mut column = 0;
    for screen in Screen::tabs() {
        let here =
            model.screen == *screen || (model.screen == Screen::Ladder && *screen == Screen::Calls);
        let text = match roomy {
            true => format!(" {} {} ", screen.key(), screen.tab()),
            false => format!("{}{}", screen.key(), screen.tab()),
        };
        let style = if here { BAR } else { PLAIN };
        column += put(buffer, area, (column, 1), &text, style) + 1;
    }
}

fn footer(model: &Model, area: Rect, buffer: &mut Buffer) {
    let last = Rect {
        y: area.y + area.height - 2,
        height: 2,
        ..area
    };
    if let Some((what, text)) = &model.writing {
        let what = match what {
            Writing::Filter => "Filter",
            Writing::CallId => "Call-ID to follow",
        };
        // The end of what is being written is what matters.
        let room = usize::from(area.width).saturating_sub(what.len() + 4);
        let skip = text.chars().count().saturating_sub(room);
        let tail: String = text.chars().skip(skip).collect();
        pieces(
            buffer,
            last,
            0,
            &[(what, BOLD), (": ", BOLD), (&tail, PLAIN), ("_", ODD)],
        );
        pieces(
            buffer,
            last,
            1,
            &[
                ("Enter", BOLD),
                (" take  ", PLAIN),
                ("Esc", BOLD),
                (" leave", PLAIN),
            ],
        );
        return;
    }
    match &model.said {
        Some((Ok(text), _)) => drop(put(buffer, last, (0, 0), text, GOOD)),
        Some((Err(text), _)) => drop(put(buffer, last, (0, 0), text, BAD)),
        None => {
            let filter = model.filter(model.screen);
            if !filter.is_empty() {
                let text = format!("filter: {filter}  (q takes it away)");
                put(buffer, last, (0, 0), &text, ODD);
            }
        }
    }
    let mut column = 0;
    let hints = model.screen.hints().iter();
    for (key, does) in hints.chain(crate::model::EVERYWHERE) {
        column += put(buffer, last, (column, 1), key, BOLD) + 1;
        column += put(buffer, last, (column, 1), does, FAINT) + 2;
    }
}

/// What is shown of figures that are old is faint.
pub(super) fn stale(model: &Model, body: Rect, buffer: &mut Buffer) {
    let own = matches!(
        model.screen,
        Screen::Logs | Screen::System | Screen::Load | Screen::Setup
    );
    if model.figures.down().is_some() && !own {
        buffer.set_style(body, FAINT);
    }
}

/// A question in the middle.
pub(super) fn question(model: &Model, body: Rect, buffer: &mut Buffer) {
    let Some(question) = &model.question else {
        return;
    };
    let width = body.width.saturating_sub(4).min(66);
    let room = usize::from(width.saturating_sub(4));
    let mut lines: Vec<_> = wrap(&question.title, room)
        .into_iter()
        .map(|line| (line, BOLD))
        .collect();
    lines.push((String::new(), PLAIN));
    lines.extend(wrap(&question.text, room).into_iter().map(|l| (l, PLAIN)));
    lines.push((String::new(), PLAIN));
    lines.push(("y yes    n no".to_owned(), BOLD));
    window(body, width, &lines, buffer);
}

/// A window in the middle of an area with lines in it.
pub(super) fn window(
    area: Rect,
    width: u16,
    lines: &[(String, ratatui::style::Style)],
    buffer: &mut Buffer,
) {
    let height = (lines.len() as u16).saturating_add(2).min(area.height);
    let window = Rect {
        x: area.x + area.width.saturating_sub(width) / 2,
        y: area.y + area.height.saturating_sub(height) / 2,
        width,
        height,
    };
    Clear.render(window, buffer);
    ratatui::widgets::Block::bordered().render(window, buffer);
    let inside = Rect {
        x: window.x + 2,
        y: window.y + 1,
        width: width.saturating_sub(4),
        height: height.saturating_sub(2),
    };
    for (row, (text, style)) in lines.iter().enumerate() {
        put(buffer, inside, (0, row as u16), text, *style);
    }
}

/// The terminal has not enough room.
pub(super) fn too_small(buffer: &mut Buffer, (width, height): (u16, u16)) {
    let area = buffer.area;
    let text = format!(
        "This terminal has {} columns and {} rows; the console needs {width} and {height}. Make it larger, or press q to leave.",
        area.width, area.height
    );
    for (row, line) in wrap(&text, usize::from(area.width)).iter().enumerate() {
        put(buffer, area, (0, row as u16), line, PLAIN);
    }
}
