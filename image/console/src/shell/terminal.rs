//! The terminal: taken in raw mode, and given back however this ends.

use std::io::{self, IsTerminal as _, Stdout, stdin, stdout};
use std::panic;

use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::cursor::{MoveTo, Show, position};
use ratatui::crossterm::execute;
use ratatui::crossterm::style::ResetColor;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use ratatui::layout::Rect;
use ratatui::{TerminalOptions, Viewport};

use super::ConsoleError;

/// Columns and rows of a VT220.
const VT220: (u16, u16) = (80, 24);
/// Farther than any terminal is large.
const FAR: u16 = 998;

/// The terminal.
pub(super) struct Terminal {
    screen: Screen,
    /// Its size, where the kernel does not know it.
    fixed: Option<Rect>,
}

type Screen = ratatui::Terminal<CrosstermBackend<Stdout>>;

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
            let fixed = match size()? {
                (0, _) | (_, 0) => Some(asked()),
                _ => None,
            };
            let screen = screen(fixed)?;
            Ok(Self { screen, fixed })
        };
        open().map_err(|error| {
            restore();
            ConsoleError::Terminal(error)
        })
    }

    /// Draws a screen.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Buffer)) -> Result<(), ConsoleError> {
        let drawn = self.screen.draw(|frame| draw(frame.buffer_mut()));
        drawn.map(drop).map_err(ConsoleError::Terminal)
    }

    /// Forgets what is shown, so that all is drawn anew.
    pub(super) fn clear(&mut self) -> Result<(), ConsoleError> {
        // Not by the screen's own clear: it asks where the cursor is, and the answer would come as keys.
        self.screen = screen(self.fixed).map_err(ConsoleError::Terminal)?;
        Ok(())
    }

    /// Gives it back.
    pub(super) fn close(self) {
        drop(self.screen);
        restore();
    }
}

/// The size of a terminal that the kernel does not know, as behind a serial line: the cursor goes as far as it can, and the terminal says
/// where that is (ECMA-48, CPR). That of a VT220 where it does not say.
fn asked() -> Rect {
    let answer = execute!(stdout(), MoveTo(FAR, FAR)).and_then(|()| position());
    let (width, height) = answer.map_or(VT220, |(column, row)| (column + 1, row + 1));
    Rect::new(0, 0, width, height)
}

/// An empty screen, on which nothing is known to be.
fn screen(fixed: Option<Rect>) -> io::Result<Screen> {
    execute!(stdout(), Clear(ClearType::All))?;
    let backend = CrosstermBackend::new(stdout());
    match fixed {
        Some(area) => {
            let viewport = Viewport::Fixed(area);
            ratatui::Terminal::with_options(backend, TerminalOptions { viewport })
        }
        None => ratatui::Terminal::new(backend),
    }
}

/// Gives the terminal back; twice is no harm.
pub(super) fn restore() {
    // There is nobody left to tell of an error.
    let _ = execute!(stdout(), ResetColor, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}
