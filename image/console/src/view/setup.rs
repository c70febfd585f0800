//! The set-up; comes in a later step.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{PLAIN, put};
use crate::model::Model;

pub(super) fn draw(_model: &Model, area: Rect, buffer: &mut Buffer) {
    put(buffer, area, (1, 1), "tandemctl hw plan", PLAIN);
}
