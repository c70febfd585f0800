//! What is shown: the model in, a buffer drawn. Nothing here changes anything.

mod alarms;
mod calls;
mod cores;
mod frame;
mod help;
mod ladder;
mod load;
mod logs;
mod media;
mod overview;
mod paint;
mod ports;
mod setup;
mod system;
mod table;
mod targets;
mod users;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::look::{Look, fit};
use crate::model::{Model, Screen};

/// The smallest terminal that a screen fits into.
const SMALLEST: (u16, u16) = (72, 20);

/// Draws everything, fit for a terminal.
pub(crate) fn draw(model: &Model, look: Look, buffer: &mut Buffer) {
    let area = buffer.area;
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        frame::too_small(buffer, SMALLEST);
    } else {
        let body = frame::frame(model, buffer);
        match model.screen {
            Screen::Overview => overview::draw(model, body, buffer),
            Screen::Ports => ports::draw(model, body, buffer),
            Screen::Cores => cores::draw(model, body, buffer),
            Screen::Calls => calls::draw(model, body, buffer),
            Screen::Media => media::draw(model, body, buffer),
            Screen::Targets => targets::draw(model, body, buffer),
            Screen::Users => users::draw(model, body, buffer),
            Screen::Alarms => alarms::draw(model, body, buffer),
            Screen::Logs => logs::draw(model, body, buffer),
            Screen::System => system::draw(model, body, buffer),
            Screen::Load => load::draw(model, body, buffer),
            Screen::Setup => setup::draw(model, body, buffer),
            Screen::Ladder => ladder::draw(model, body, buffer),
        }
        frame::stale(model, body, buffer);
        help::draw(model, body, buffer);
        frame::question(model, body, buffer);
    }
    fit(buffer, look);
}

/// So many rows of an area from its top, and the rest.
fn split(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    (
        Rect {
            height: rows,
            ..area
        },
        Rect {
            y: area.y + rows,
            height: area.height - rows,
            ..area
        },
    )
}
