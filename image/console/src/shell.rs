//! The thin shell around the model: the terminal, a thread for each source, and what effects do.

mod actions;
mod apply;
mod client;
mod figures;
mod keyboard;
mod lists;
mod load;
mod logs;
pub(crate) mod machine;
mod process;
mod system;
mod terminal;
mod trace;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::feed::{Effect, Feed, Wants};
use crate::key::Key;
use crate::look::Look;
use crate::model::{Event, Model};
use crate::view::draw;
use terminal::Terminal;

/// How long nothing may happen before the screen is looked at again: its clock goes on.
const TICK: Duration = Duration::from_millis(500);

/// Where everything is.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// The management socket of tandem-sigplane
    #[arg(long, value_name = "PATH", default_value = "/run/tandem/admin.sock")]
    pub socket: PathBuf,
    /// The configuration that the set-up writes
    #[arg(long, value_name = "FILE", default_value = "/etc/tandem/tandem.toml")]
    pub configuration: PathBuf,
    /// A log file to be shown, instead of the journal; may be given several times
    #[arg(long, value_name = "FILE")]
    pub log: Vec<PathBuf>,
    /// The load tests
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = "/usr/share/tandem-load/profiles"
    )]
    pub load: PathBuf,
    /// Where `tandem-load` and `tandemctl` are [default: beside this program, else in PATH]
    #[arg(long, value_name = "FOLDER")]
    pub programs: Option<PathBuf>,
    /// ASCII alone, whatever TERM and the locale say
    #[arg(long)]
    pub ascii: bool,
    /// The machine's own screen: leaving the console leads to the login
    #[arg(long)]
    pub login: bool,
    /// Write down all that is seen, for pictures
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// The root of what the set-up looks at and writes
    #[arg(long, value_name = "FOLDER", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// Why the console could not be shown.
#[derive(Debug)]
pub enum ConsoleError {
    /// There is no terminal.
    NoTerminal,
    /// The terminal broke.
    Terminal(io::Error),
    /// The recording cannot be written.
    Record(PathBuf, io::Error),
}

impl std::fmt::Display for ConsoleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoTerminal => f.write_str(
                "there is no terminal here: over SSH ask for one with `ssh -t`; for programs there is `tandemctl --json`",
            ),
            Self::Terminal(error) => write!(f, "the terminal: {error}"),
            Self::Record(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ConsoleError {}

/// What the threads of the sources share.
#[derive(Clone)]
pub(crate) struct Hub {
    options: Arc<Options>,
    wants: Arc<Mutex<Wants>>,
    events: Sender<Event>,
}

impl Hub {
    /// What is to be looked at now.
    fn wants(&self) -> Wants {
        self.wants
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// News; false when nobody listens any more.
    fn feed(&self, feed: Feed) -> bool {
        self.events.send(Event::Feed(Box::new(feed))).is_ok()
    }

    fn done(&self, said: Result<String, String>) {
        // Nobody listens any more when the console ends.
        let _ = self.events.send(Event::Done(said));
    }
}

/// Shows the console until it is left.
///
/// # Errors
/// Without a terminal, or when it breaks.
pub fn run(options: &Options) -> Result<(), ConsoleError> {
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .map(var)
        .find(|v| !v.is_empty())
        .unwrap_or_default();
    let mut look = Look::of(&var("TERM"), &locale, !var("NO_COLOR").is_empty());
    look.unicode &= !options.ascii;
    let record = match &options.record {
        Some(path) => {
            Some(File::create(path).map_err(|error| ConsoleError::Record(path.clone(), error))?)
        }
        None => None,
    };
    let mut terminal = Terminal::open()?;
    let (events, inbox) = channel();
    let hub = Hub {
        options: Arc::new(options.clone()),
        wants: Arc::default(),
        events,
    };
    keyboard::start(&hub);
    figures::start(&hub);
    lists::start(&hub);
    logs::start(&hub);
    system::start(&hub);
    machine::start(&hub);
    let shown = show(&hub, &inbox, look, &mut terminal, record);
    terminal.close();
    shown
}

fn show(
    hub: &Hub,
    inbox: &Receiver<Event>,
    look: Look,
    terminal: &mut Terminal,
    mut record: Option<File>,
) -> Result<(), ConsoleError> {
    let mut model = Model {
        is_login: hub.options.login,
        now: now_ms(),
        ..Model::default()
    };
    let mut actions = actions::Actions::new(hub);
    let mut is_new = true;
    loop {
        if is_new {
            terminal.draw(|buffer| draw(&model, look, buffer))?;
        }
        let first = match inbox.recv_timeout(TICK) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => Event::Tick,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        // Whatever has come meanwhile is shown at once.
        let more = std::iter::from_fn(|| inbox.try_recv().ok()).take(500);
        for event in std::iter::once(first).chain(more) {
            let now = now_ms();
            if let (Some(file), Event::Feed(feed)) = (&mut record, &event) {
                let line = serde_json::to_string(&(now, feed)).unwrap_or_default();
                // A full disk is no reason to end.
                let _ = writeln!(file, "{line}");
            }
            for effect in model.update(now, event) {
                match effect {
                    Effect::Quit => return Ok(()),
                    Effect::Redraw => terminal.clear()?,
                    other => actions.carry_out(other),
                }
            }
        }
        let wants = model.wants();
        *hub.wants.lock().unwrap_or_else(PoisonError::into_inner) = wants;
        is_new = true;
    }
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A program of ours: beside this one, or wherever PATH has it.
fn program(options: &Options, name: &str) -> PathBuf {
    let beside = || std::env::current_exe().ok()?.parent().map(|p| p.join(name));
    let place = match &options.programs {
        Some(folder) => Some(folder.join(name)),
        None => beside(),
    };
    place
        .filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from(name))
}

/// Key events of the terminal.
fn key(code: ratatui::crossterm::event::KeyEvent) -> Option<Key> {
    use ratatui::crossterm::event::{KeyCode, KeyModifiers};
    let control = code.modifiers.contains(KeyModifiers::CONTROL);
    Some(match code.code {
        KeyCode::Char('c') if control => Key::Interrupt,
        KeyCode::Char('l') if control => Key::Redraw,
        KeyCode::Char('h') if control => Key::Backspace,
        KeyCode::Char(_) if control => return None,
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Esc,
        KeyCode::Backspace | KeyCode::Delete => Key::Backspace,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}
