//! The state of the console, and how it changes: an event and the time in, effects out.

mod keys;
mod list;
mod load;
mod logs;
mod rates;
mod screen;
mod setup;
mod source;
mod trace;

pub(crate) use keys::{EVERYWHERE, Hint};
pub(crate) use list::List;
pub(crate) use load::{Load, Phase};
pub(crate) use logs::Logs;
pub(crate) use rates::{History, PortRates, Rates, total};
pub(crate) use screen::Screen;
pub(crate) use setup::{Field, Setup, Step};
pub(crate) use source::Source;
pub(crate) use trace::{Known, Trace, TraceState};

use tandem_admin::{Call, Flow, Registration, SetStateParams, Target};

use crate::feed::{Effect, Feed, Figures, Found, LoadProfile, Service, Slots, Wants};
use crate::key::Key;

/// Flows are asked for up to here: a list of more would keep both planes busy for a picture that nobody can read.
pub(crate) const FLOWS_SHOWN: u64 = 5_000;

/// What happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A key.
    Key(Key),
    /// News of a source.
    Feed(Box<Feed>),
    /// An effect is done: what is to be said of it.
    Done(Result<String, String>),
    /// Time passes.
    Tick,
}

/// A question that has to be answered before something is done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Question {
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) then: Effect,
}

/// A line of text that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// The filter of the screen.
    Filter,
    /// A Call-ID to follow.
    CallId,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Unix milliseconds.
    pub(crate) now: u64,
    pub(crate) screen: Screen,
    pub(crate) figures: Source<Box<Figures>>,
    pub(crate) rates: Rates,
    pub(crate) history: History,
    pub(crate) calls: Source<Found<Call>>,
    pub(crate) users: Source<Found<Registration>>,
    pub(crate) flows: Source<Vec<Flow>>,
    pub(crate) services: Source<Vec<Service>>,
    pub(crate) slots: Source<Slots>,
    pub(crate) profiles: Source<Vec<LoadProfile>>,
    pub(crate) logs: Logs,
    pub(crate) load: Load,
    pub(crate) setup: Setup,
    pub(crate) trace: Option<Trace>,
    pub(crate) credentials: Option<String>,
    /// Where each list is.
    pub(crate) lists: [List; Screen::ALL.len()],
    /// What each list is filtered by.
    pub(crate) filters: [String; Screen::ALL.len()],
    pub(crate) question: Option<Question>,
    pub(crate) writing: Option<(Writing, String)>,
    pub(crate) help: bool,
    /// What is said of the last thing done, and until when.
    pub(crate) said: Option<(Result<String, String>, u64)>,
    /// Leaving it means logging in: it is the machine's own screen.
    pub(crate) is_login: bool,
}

impl Model {
    /// Takes an event at a time.
    pub(crate) fn update(&mut self, now: u64, event: Event) -> Vec<Effect> {
        self.now = now;
        self.said.take_if(|(_, until)| *until <= now);
        match event {
            Event::Key(key) => self.key(key),
            Event::Feed(feed) => self.feed(*feed),
            Event::Done(said) => {
                self.say(said);
                Vec::new()
            }
            Event::Tick => self.setup_tick(),
        }
    }

    /// What the sources are to look at.
    pub(crate) fn wants(&self) -> Wants {
        let few = self
            .figures
            .value()
            .is_some_and(|f| f.status.flows <= FLOWS_SHOWN);
        Wants {
            calls: (self.screen == Screen::Calls).then(|| self.filter(Screen::Calls).to_owned()),
            users: (self.screen == Screen::Users).then(|| self.filter(Screen::Users).to_owned()),
            flows: few && matches!(self.screen, Screen::Overview | Screen::Media),
            system: self.screen == Screen::System,
            load: self.screen == Screen::Load,
        }
    }

    /// The filter of a screen.
    pub(crate) fn filter(&self, screen: Screen) -> &str {
        self.filters.get(screen.index()).map_or("", |f| f.as_str())
    }

    /// The list of a screen.
    pub(crate) fn list(&self, screen: Screen) -> List {
        self.lists.get(screen.index()).cloned().unwrap_or_default()
    }

    /// The targets that the filter lets through.
    pub(crate) fn targets(&self) -> Vec<&Target> {
        let filter = self.filter(Screen::Targets);
        let all = self.figures.value().map_or(&[][..], |f| &f.targets);
        all.iter()
            .filter(|t| {
                has(
                    filter,
                    &[
                        &t.uri,
                        &t.state,
                        &t.description,
                        &t.duid,
                        &t.set.to_string(),
                    ],
                )
            })
            .collect()
    }

    /// The calls that are shown.
    pub(crate) fn shown_calls(&self) -> Vec<&Call> {
        let filter = self.filter(Screen::Calls);
        let all = self.calls.value().map_or(&[][..], |f| &f.items);
        all.iter().filter(|c| call_has(c, filter)).collect()
    }

    /// The users that are shown.
    pub(crate) fn shown_users(&self) -> Vec<&Registration> {
        let filter = self.filter(Screen::Users);
        let all = self.users.value().map_or(&[][..], |f| &f.items);
        all.iter().filter(|u| user_has(u, filter)).collect()
    }

    /// Why nothing may be changed from here: whoever stands before the machine has not said who he is. Until the first login he has read the
    /// password on this very screen.
    fn may_not_steer(&self) -> Option<String> {
        (self.is_login && self.credentials.is_none()).then(|| {
            "this screen only shows: log in (q), then `tandemctl console` steers, too".to_owned()
        })
    }

    fn say(&mut self, said: Result<String, String>) {
        let stays = if said.is_ok() { 5_000 } else { 10_000 };
        self.said = Some((said, self.now.saturating_add(stays)));
    }

    fn feed(&mut self, feed: Feed) -> Vec<Effect> {
        let now = self.now;
        match feed {
            Feed::Figures(Ok(figures)) => {
                self.rates.look(&figures);
                self.history.look(&self.rates, &figures);
                let rows = figures.targets.len();
                self.figures.take(now, Ok(figures));
                self.rows(Screen::Targets, rows);
            }
            Feed::Figures(Err(why)) => {
                self.history.gap();
                self.figures.take(now, Err(why));
            }
            Feed::Calls(got) => {
                self.calls.take(now, got);
                self.rows(Screen::Calls, self.shown_calls().len());
            }
            Feed::Users(got) => {
                self.users.take(now, got);
                self.rows(Screen::Users, self.shown_users().len());
            }
            Feed::Flows(got) => self.flows.take(now, got),
            Feed::Services(got) => self.services.take(now, got),
            Feed::Slots(got) => self.slots.take(now, got),
            Feed::Profiles(got) => {
                let rows = got.as_ref().map_or(0, Vec::len);
                self.profiles.take(now, got);
                self.rows(Screen::Load, rows);
            }
            Feed::Trace(news) => {
                if let Some(trace) = &mut self.trace {
                    trace.take(now, news);
                }
            }
            Feed::Log(lines) => self.logs.take(lines),
            Feed::LogSource(got) => self.logs.source = Some(got),
            Feed::Load(news) => self.load.take(news),
            Feed::Credentials(text) => self.credentials = text,
            Feed::Machine(got) => return self.setup.take_machine(got),
            Feed::Setup(news) => {
                self.setup.progress(news, now);
                return vec![Effect::Redraw];
            }
        }
        Vec::new()
    }

    /// A list has so many rows now.
    fn rows(&mut self, screen: Screen, rows: usize) {
        if let Some(list) = self.lists.get_mut(screen.index()) {
            list.rows(rows);
        }
    }

    /// How many rows the screen's list has.
    pub(crate) fn row_count(&self) -> usize {
        match self.screen {
            Screen::Calls => self.shown_calls().len(),
            Screen::Users => self.shown_users().len(),
            Screen::Targets => self.targets().len(),
            Screen::Media => self.shown_flows().len(),
            Screen::Ports => self.shown_drops().len(),
            Screen::Cores => self.rates.workers.len(),
            Screen::Alarms => self.figures.value().map_or(0, |f| f.alarms.len()),
            Screen::Logs => self.logs.shown(self.filter(Screen::Logs)).len(),
            Screen::Load => self.profiles.value().map_or(0, Vec::len),
            Screen::Ladder => self.trace.as_ref().map_or(0, |t| t.messages.len()),
            Screen::Overview | Screen::System | Screen::Setup => 0,
        }
    }

    /// What is dropped, as far as the filter lets it through.
    pub(crate) fn shown_drops(&self) -> Vec<&(String, f64, u64)> {
        let filter = self.filter(Screen::Ports);
        let all = self.rates.drops.iter();
        all.filter(|(name, ..)| has(filter, &[name])).collect()
    }

    /// Flows that the filter lets through, the worst first.
    pub(crate) fn shown_flows(&self) -> Vec<&Flow> {
        let filter = self.filter(Screen::Media);
        let mut flows: Vec<&Flow> = self
            .flows
            .value()
            .map_or(&[][..], Vec::as_slice)
            .iter()
            .filter(|f| {
                let peer = |leg: &tandem_admin::FlowLeg| {
                    leg.latched
                        .or(leg.remote)
                        .map_or(String::new(), |a| a.to_string())
                };
                has(
                    filter,
                    &[
                        &f.id.to_string(),
                        &f.call.to_string(),
                        &peer(&f.a),
                        &peer(&f.b),
                        &f.kind,
                    ],
                )
            })
            .collect();
        flows.sort_by_key(|f| (worst_score(f), f.id));
        flows
    }

    /// The target that is selected.
    fn selected_target(&self) -> Option<&Target> {
        let targets = self.targets();
        targets.get(self.list(Screen::Targets).selected).copied()
    }

    /// Asks whether a target is to have another state.
    fn ask_target(&self, state: &str) -> Option<Question> {
        let target = self.selected_target()?;
        let (title, text) = match state {
            "draining" => (
                "Drain",
                "It gets no new calls; those that it has end by themselves. This lasts until it is enabled, also through restarts.",
            ),
            _ => (
                "Enable",
                "It gets new calls again, as long as its probes are answered.",
            ),
        };
        Some(Question {
            title: format!(
                "{title} {} of set {}?",
                crate::text::clean(&target.uri),
                target.set
            ),
            text: text.to_owned(),
            then: Effect::SetTarget(SetStateParams {
                target: target.id.to_string(),
                set: Some(target.set),
                state: state.to_owned(),
            }),
        })
    }
}

/// The score of a flow's worse direction, in hundredths; the greatest number where there is none.
pub(crate) fn worst_score(flow: &Flow) -> u16 {
    [flow.a.score, flow.b.score]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(u16::MAX)
}

/// Whether any of the texts has the filter in it, however it is written.
pub(crate) fn has(filter: &str, texts: &[&str]) -> bool {
    if filter.is_empty() {
        return true;
    }
    let filter = filter.to_lowercase();
    texts
        .iter()
        .any(|text| text.to_lowercase().contains(&filter))
}

/// Whether a call has the filter in it.
pub(crate) fn call_has(call: &Call, filter: &str) -> bool {
    let Call {
        call_id,
        from_uri,
        to_uri,
        source,
        target,
        state,
        ..
    } = call;
    has(filter, &[call_id, from_uri, to_uri, source, target, state])
}

/// Whether a user has the filter in it.
pub(crate) fn user_has(user: &Registration, filter: &str) -> bool {
    has(filter, &[&user.aor])
        || user
            .contacts
            .iter()
            .any(|c| has(filter, &[&c.contact, &c.received, &c.user_agent]))
}
