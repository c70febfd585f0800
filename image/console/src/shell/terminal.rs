//! The terminal: taken in raw mode, and given back however this ends.

use std::io::{self, IsTerminal as _, Stdout, stdin, stdout};
use std::panic;

use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::style::ResetColor;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::ConsoleError;

/// The terminal.
pub(super) struct Terminal(ratatui::Terminal<CrosstermBackend<Stdout>>);

impl Terminal {
    /// Takes it.
    pub(super) fn open() -> Result<Self, ConsoleError> {
        if !stdin().is_terminal() || !stdout().is_terminal() {
            return Err(ConsoleError::NoTerminal);
        }
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
        enable_raw_mode().map_err(ConsoleError::Terminal)?;
        let open = || -> io::Result<_> {
            execute!(stdout(), EnterAlternateScreen)?;
            let mut terminal = ratatui::Terminal::new(CrosstermBackend::new(stdout()))?;
            terminal.clear()?;
            Ok(terminal)
        };
        open().map(Self).map_err(|error| {
            restore();
            ConsoleError::Terminal(error)
        })
    }

    /// Draws a screen.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Buffer)) -> Result<(), ConsoleError> {
        let drawn = self.0.draw(|frame| draw(frame.buffer_mut()));
        drawn.map(drop).map_err(ConsoleError::Terminal)
    }

    /// Forgets what is shown, so that all is drawn anew.
    pub(super) fn clear(&mut self) -> Result<(), ConsoleError> {
        self.0.clear().map_err(ConsoleError::Terminal)
    }

    /// Gives it back.
    pub(super) fn close(self) {
        drop(self.0);
        restore();
    }
}

/// Gives the terminal back; twice is no harm.
pub(super) fn restore() {
    // There is nobody left to tell of an error.
    let _ = execute!(stdout(), ResetColor, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}
