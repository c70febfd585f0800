//! Keys, and signals: both in threads of their own.

use std::thread;

use ratatui::crossterm::event::{Event as Terminal, KeyEventKind, read};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Hub, key, terminal};
use crate::model::Event;

pub(super) fn start(hub: &Hub) {
    let keys = hub.clone();
    thread::spawn(move || {
        loop {
            let event = match read() {
                Ok(Terminal::Key(event)) if event.kind != KeyEventKind::Release => {
                    key(event).map_or(Event::Tick, Event::Key)
                }
                // Another size: what is drawn next has it.
                Ok(_) => Event::Tick,
                // The terminal is gone: nobody looks.
                Err(_) => leave(),
            };
            if keys.events.send(event).is_err() {
                return;
            }
        }
    });
    if let Ok(mut signals) = Signals::new([SIGHUP, SIGINT, SIGTERM]) {
        thread::spawn(move || {
            if signals.forever().next().is_some() {
                leave();
            }
        });
    }
}

/// Gives the terminal back and ends.
fn leave() -> ! {
    terminal::restore();
    std::process::exit(0)
}
