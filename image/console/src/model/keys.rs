//! What each key does.

use super::{Known, Model, Question, Screen, Trace, Writing};
use crate::feed::{Effect, Level};
use crate::key::Key;
use crate::text::clean;

/// The longest text that can be written.
const LONGEST: usize = 256;
/// Rows that a page key goes.
const PAGE: isize = 10;

/// A key of a screen and what it does, for footer and help.
pub(crate) type Hint = (&'static str, &'static str);

impl Screen {
    /// Its own keys.
    pub(crate) const fn hints(self) -> &'static [Hint] {
        match self {
            Self::Overview => &[("1..9 0 L S", "screens"), ("Tab", "next")],
            Self::Ports => &[("/", "filter"), ("Up Dn", "drops")],
            Self::Cores => &[("Up Dn", "row")],
            Self::Calls => &[
                ("Enter", "follow"),
                ("c", "Call-ID"),
                ("x", "end call"),
                ("/", "filter"),
            ],
            Self::Media => &[("/", "filter"), ("Up Dn", "row")],
            Self::Targets => &[
                ("d", "drain"),
                ("e", "enable"),
                ("/", "filter"),
                ("Up Dn", "row"),
            ],
            Self::Users => &[("/", "search"), ("Up Dn", "row")],
            Self::Alarms => &[("Up Dn", "row")],
            Self::Logs => &[
                ("l", "level"),
                ("f", "follow"),
                ("/", "filter"),
                ("Up Dn", "row"),
            ],
            Self::System => &[],
            Self::Load => &[
                ("Enter", "start"),
                ("k", "sockets"),
                ("x", "stop"),
                ("Up Dn", "row"),
            ],
            Self::Setup => &[
                ("Left Right", "steps"),
                ("Up Dn", "field"),
                ("Enter", "on"),
                ("Tab", "leave"),
            ],
            Self::Ladder => &[
                ("Enter", "message"),
                ("f", "newest"),
                ("r", "again"),
                ("Up Dn", "row"),
            ],
        }
    }
}

/// The keys that work everywhere.
pub(crate) const EVERYWHERE: &[Hint] = &[("?", "help"), ("q", "back")];

impl Model {
    pub(super) fn key(&mut self, key: Key) -> Vec<Effect> {
        match key {
            Key::Redraw => return vec![Effect::Redraw],
            Key::Interrupt => return self.leave(),
            _ => {}
        }
        if self.question.is_some() {
            return self.answer(key);
        }
        if self.writing.is_some() {
            return self.write(key);
        }
        if self.help {
            // Any key closes it; those that name a screen show it.
            self.help = false;
            return match key {
                Key::Char(c) => self.show(c),
                _ => Vec::new(),
            };
        }
        if let Some(effects) = self.own_key(key) {
            return effects;
        }
        match key {
            Key::Char('?') => self.help = true,
            Key::Char('q') | Key::Esc => return self.back(),
            Key::Tab => self.screen = self.screen.turn(1),
            Key::BackTab => self.screen = self.screen.turn(Screen::tabs().len() - 1),
            Key::Char('/') if self.screen.has_filter() => {
                let now = self.filter(self.screen).to_owned();
                self.writing = Some((Writing::Filter, now));
            }
            Key::Up => self.go(-1),
            Key::Down => self.go(1),
            Key::PageUp => self.go(-PAGE),
            Key::PageDown => self.go(PAGE),
            Key::Home => self.go(isize::MIN),
            Key::End => self.go(isize::MAX),
            Key::Char(c) => return self.show(c),
            _ => {}
        }
        Vec::new()
    }

    fn show(&mut self, key: char) -> Vec<Effect> {
        if let Some(screen) = Screen::of(key) {
            self.screen = screen;
        }
        Vec::new()
    }

    /// Back to the screen before, and from the first one out.
    fn back(&mut self) -> Vec<Effect> {
        if let Some(filter) = self.filters.get_mut(self.screen.index())
            && !filter.is_empty()
        {
            filter.clear();
            return Vec::new();
        }
        match self.screen {
            Screen::Overview => self.leave(),
            Screen::Ladder => {
                self.screen = Screen::Calls;
                vec![Effect::Unfollow]
            }
            _ => {
                self.screen = Screen::Overview;
                Vec::new()
            }
        }
    }

    fn leave(&mut self) -> Vec<Effect> {
        let (title, text) = match self.is_login {
            true => (
                "Log in?",
                "The console ends and the machine asks for a name and a password. It comes back after that session.",
            ),
            false => (
                "Leave the console?",
                "Nothing that runs is ended by it, but for a load test started from here.",
            ),
        };
        if self.load.runs() || self.is_login {
            self.question = Some(Question {
                title: title.to_owned(),
                text: text.to_owned(),
                then: Effect::Quit,
            });
            return Vec::new();
        }
        vec![Effect::Quit]
    }

    fn answer(&mut self, key: Key) -> Vec<Effect> {
        match key {
            Key::Char('y' | 'Y') => self.question.take().map(|q| q.then).into_iter().collect(),
            Key::Char('n' | 'N' | 'q') | Key::Esc => {
                self.question = None;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn write(&mut self, key: Key) -> Vec<Effect> {
        let Some((what, mut text)) = self.writing.take() else {
            return Vec::new();
        };
        match key {
            Key::Esc => return Vec::new(),
            Key::Enter => return self.written(what, text),
            Key::Backspace => drop(text.pop()),
            Key::Char(c) if !c.is_control() && text.chars().count() < LONGEST => text.push(c),
            _ => {}
        }
        self.writing = Some((what, text));
        Vec::new()
    }

    fn written(&mut self, what: Writing, text: String) -> Vec<Effect> {
        match what {
            Writing::Filter => {
                if let Some(filter) = self.filters.get_mut(self.screen.index()) {
                    *filter = text;
                }
                let rows = self.row_count();
                let screen = self.screen;
                self.rows(screen, rows);
                Vec::new()
            }
            Writing::CallId if text.trim().is_empty() => Vec::new(),
            Writing::CallId => self.follow(text.trim().to_owned(), None),
        }
    }

    fn follow(&mut self, call_id: String, known: Option<Known>) -> Vec<Effect> {
        self.trace = Some(Trace::new(call_id.clone(), known));
        self.screen = Screen::Ladder;
        self.lists
            .get_mut(Screen::Ladder.index())
            .into_iter()
            .for_each(|list| list.selected = 0);
        vec![Effect::Follow(call_id)]
    }

    fn go(&mut self, by: isize) {
        if let Some(trace) = &mut self.trace
            && self.screen == Screen::Ladder
        {
            if let Some(line) = &mut trace.open {
                *line = line.saturating_add_signed(by).min(10_000);
                return;
            }
            if std::mem::take(&mut trace.follow) {
                let last = trace.messages.len().saturating_sub(1);
                if let Some(list) = self.lists.get_mut(Screen::Ladder.index()) {
                    list.selected = last;
                }
            }
        }
        let rows = self.row_count();
        if self.screen == Screen::Logs && self.logs.follow {
            // From the last line on.
            self.logs.follow = false;
            if let Some(list) = self.lists.get_mut(Screen::Logs.index()) {
                list.selected = rows.saturating_sub(1);
            }
        }
        if let Some(list) = self.lists.get_mut(self.screen.index()) {
            list.go(by, rows);
        }
    }

    /// A key that only this screen has; none when it has not.
    fn own_key(&mut self, key: Key) -> Option<Vec<Effect>> {
        let steers = matches!(
            (self.screen, key),
            (Screen::Calls, Key::Enter | Key::Char('x' | 'c'))
                | (Screen::Targets, Key::Char('d' | 'e'))
                | (Screen::Load, Key::Enter | Key::Char('x'))
        );
        if let Some(why) = self.may_not_steer()
            && steers
        {
            self.say(Err(why));
            return Some(Vec::new());
        }
        match (self.screen, key) {
            (Screen::Calls, Key::Enter) => {
                let calls = self.shown_calls();
                let call = calls.get(self.list(Screen::Calls).selected).copied()?;
                let (id, known) = (call.call_id.clone(), Known::from(call));
                Some(self.follow(id, Some(known)))
            }
            (Screen::Calls, Key::Char('c')) => {
                self.writing = Some((Writing::CallId, String::new()));
                Some(Vec::new())
            }
            (Screen::Calls, Key::Char('x')) => {
                let calls = self.shown_calls();
                let call = calls.get(self.list(Screen::Calls).selected).copied()?;
                self.question = Some(Question {
                    title: format!("End call {}?", call.key),
                    text: format!(
                        "From {} to {}: both sides get a BYE, or a refusal before the answer.",
                        clean(&call.from_uri),
                        clean(&call.to_uri)
                    ),
                    then: Effect::EndCall(call.key),
                });
                Some(Vec::new())
            }
            (Screen::Targets, Key::Char('d')) => {
                self.question = self.ask_target("draining");
                Some(Vec::new())
            }
            (Screen::Targets, Key::Char('e')) => {
                self.question = self.ask_target("active");
                Some(Vec::new())
            }
            (Screen::Logs, Key::Char('l')) => {
                self.logs.turn();
                let rows = self.row_count();
                self.rows(Screen::Logs, rows);
                let least = match self.logs.level {
                    Level::Debug => "everything",
                    Level::Info => "information and worse",
                    Level::Warning => "warnings and errors",
                    Level::Error => "errors alone",
                };
                self.say(Ok(format!("logs: {least}")));
                Some(Vec::new())
            }
            (Screen::Logs, Key::Char('f') | Key::End) => {
                self.logs.follow = true;
                Some(Vec::new())
            }
            (Screen::Ladder, _) => self.ladder_key(key),
            (Screen::Load, _) => self.load_key(key),
            (Screen::Setup, _) => self.setup_key(key),
            _ => None,
        }
    }

    fn ladder_key(&mut self, key: Key) -> Option<Vec<Effect>> {
        let trace = self.trace.as_mut()?;
        match key {
            Key::Enter if trace.open.is_none() && !trace.messages.is_empty() => {
                trace.open = Some(0);
                trace.follow = false;
            }
            Key::Enter | Key::Esc | Key::Char('q') if trace.open.is_some() => trace.open = None,
            Key::Char('f') => (trace.follow, trace.open) = (true, None),
            Key::Char('r') => {
                let (id, known) = (trace.call_id.clone(), trace.known.clone());
                return Some(self.follow(id, known));
            }
            _ => return None,
        }
        Some(Vec::new())
    }

    fn load_key(&mut self, key: Key) -> Option<Vec<Effect>> {
        match key {
            Key::Enter if self.load.runs() => {
                self.say(Err("a load test runs: stop it first".to_owned()));
            }
            Key::Enter => {
                let profiles = self.profiles.value()?;
                let profile = profiles.get(self.list(Screen::Load).selected)?;
                self.question = Some(Question {
                    title: format!("Start {}?", clean(&profile.path)),
                    text: "It sends calls, media or floods as its profile says: not into a network that carries calls of others."
                        .to_owned(),
                    then: Effect::StartLoad {
                        profile: profile.path.clone(),
                        socket: self.load.socket,
                    },
                });
            }
            Key::Char('k') => {
                self.load.socket = !self.load.socket;
                let how = match self.load.socket {
                    true => "by the kernel's sockets: SIP alone, without media",
                    false => "by DPDK ports",
                };
                self.say(Ok(format!("load tests: {how}")));
            }
            Key::Char('x') if self.load.runs() => {
                self.question = Some(Question {
                    title: "Stop the load test?".to_owned(),
                    text: "Its calls are ended, and it reports what it measured so far.".to_owned(),
                    then: Effect::StopLoad,
                });
            }
            Key::Char('x') => self.say(Err("no load test runs".to_owned())),
            _ => return None,
        }
        Some(Vec::new())
    }
}
