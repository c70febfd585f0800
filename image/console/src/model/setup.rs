//! The set-up of a machine: hardware, ports, addresses, name and key, summary. It can be left at any step and taken up again.

mod files;
mod form;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Model, Screen};
use crate::feed::{Effect, Got, Machine, SetupNews, Wishes};
use crate::key::Key;
use crate::text::clean;

pub(crate) use form::Field;

/// From one drawing anew to the next.
const REDRAW_MS: u64 = 3_000;

/// A step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    #[default]
    Hardware,
    Ports,
    Addresses,
    Name,
    Summary,
    Done,
}

impl Step {
    /// All of them, in their order.
    pub(crate) const ALL: [Self; 6] = [
        Self::Hardware,
        Self::Ports,
        Self::Addresses,
        Self::Name,
        Self::Summary,
        Self::Done,
    ];

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hardware => "Hardware",
            Self::Ports => "Ports",
            Self::Addresses => "Addresses",
            Self::Name => "Name and key",
            Self::Summary => "Summary",
            Self::Done => "Done",
        }
    }

    fn next(self) -> Self {
        Self::ALL.get(self as usize + 1).copied().unwrap_or(self)
    }

    fn before(self) -> Self {
        let at = (self as usize).saturating_sub(1);
        Self::ALL.get(at).copied().unwrap_or(self)
    }
}

/// What a port is to be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PortRole {
    Carrier,
    Core,
    /// The link to the other machine of a pair; it stays the kernel's, and there is nothing to configure yet.
    Pair,
    Management,
}

impl PortRole {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Carrier => "carrier",
            Self::Core => "core",
            Self::Pair => "HA link",
            Self::Management => "management",
        }
    }
}

/// What is kept of an unfinished set-up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Draft {
    step: Step,
    roles: BTreeMap<String, PortRole>,
    fields: BTreeMap<Field, String>,
}

/// The set-up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    pub(crate) step: Step,
    pub(crate) machine: Option<Got<Box<Machine>>>,
    /// What the operator chose, by the ports' addresses; the plan has the rest.
    pub(crate) roles: BTreeMap<String, PortRole>,
    pub(crate) fields: BTreeMap<Field, String>,
    /// The field or the row that is selected.
    pub(crate) at: usize,
    /// Mistakes of what would be written.
    pub(crate) mistakes: Vec<String>,
    pub(crate) news: Option<SetupNews>,
    /// When its last step was drawn anew, Unix milliseconds.
    drawn_ms: u64,
    /// Whether the draft was looked for.
    is_taken_up: bool,
}

impl Setup {
    /// The machine was looked at.
    pub(crate) fn take_machine(&mut self, got: Got<Box<Machine>>) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Ok(machine) = &got
            && !std::mem::replace(&mut self.is_taken_up, true)
            && let Some(draft) = &machine.draft
            && let Ok(draft) = serde_json::from_str::<Draft>(draft)
        {
            // What was looked at is the plan without them.
            if !draft.roles.is_empty() {
                effects.push(Effect::Plan(wishes_of(&draft.roles)));
            }
            self.roles = draft.roles;
            self.fields = draft.fields;
            self.step = match draft.step {
                Step::Done => Step::Summary,
                step => step,
            };
        }
        self.machine = Some(got);
        self.check();
        effects
    }

    /// Something was written, or not.
    pub(crate) fn progress(&mut self, news: SetupNews, now: u64) {
        self.news = Some(news);
        self.drawn_ms = now;
        self.step = Step::Done;
    }

    /// The role of a port: what the operator says, else what the plan does.
    pub(crate) fn role(&self, address: &str) -> String {
        if let Some(role) = self.roles.get(address) {
            return role.name().to_owned();
        }
        let planned = self.plan().and_then(|plan| {
            let mut roles = plan.roles.iter();
            roles.find(|(port, _)| port == address).map(|(_, r)| r)
        });
        planned.map_or("-".to_owned(), |role| format!("{role} (proposed)"))
    }

    /// The plan, if there is one.
    pub(crate) fn plan(&self) -> Option<&crate::feed::MachinePlan> {
        self.machine.as_ref()?.as_ref().ok()?.plan.as_ref().ok()
    }

    /// The operator's choice, for the planner.
    pub(crate) fn wishes(&self) -> Wishes {
        wishes_of(&self.roles)
    }

    /// What a field has.
    pub(crate) fn field(&self, field: Field) -> &str {
        self.fields.get(&field).map_or("", String::as_str)
    }

    /// What is kept of it.
    pub(crate) fn draft(&self) -> String {
        let draft = Draft {
            step: self.step,
            roles: self.roles.clone(),
            fields: self.fields.clone(),
        };
        serde_json::to_string(&draft).unwrap_or_default()
    }

    /// Looks for mistakes in what would be written.
    fn check(&mut self) {
        self.mistakes = self.find_mistakes();
    }

    fn ports(&self) -> Vec<String> {
        match &self.machine {
            Some(Ok(machine)) => machine.ports.iter().map(|p| p.address.clone()).collect(),
            _ => Vec::new(),
        }
    }

    fn rows(&self) -> usize {
        match self.step {
            Step::Ports => self.ports().len(),
            Step::Addresses | Step::Name => Field::of(self.step).len(),
            Step::Hardware => self
                .plan()
                .map_or(0, |plan| plan.reasons.len() + plan.shortfalls.len()),
            Step::Summary => self.mistakes.len() + 40,
            Step::Done => 0,
        }
    }

    /// A key of the set-up; none when it is not its own.
    pub(super) fn key(&mut self, key: Key) -> Option<Vec<Effect>> {
        let fields = Field::of(self.step);
        if let Some(field) = fields.get(self.at).copied() {
            match key {
                Key::Char(c) if !c.is_control() => {
                    let text = self.fields.entry(field).or_default();
                    if text.chars().count() < field.longest() {
                        text.push(c);
                    }
                    self.check();
                    return Some(Vec::new());
                }
                Key::Backspace => {
                    self.fields.entry(field).or_default().pop();
                    self.check();
                    return Some(Vec::new());
                }
                _ => {}
            }
        }
        match key {
            Key::Up => self.at = self.at.saturating_sub(1),
            Key::Down => self.at = (self.at + 1).min(self.rows().saturating_sub(1)),
            Key::PageDown => self.at = (self.at + 10).min(self.rows().saturating_sub(1)),
            Key::PageUp => self.at = self.at.saturating_sub(10),
            Key::Right | Key::Enter if self.step < Step::Summary => {
                // Enter goes from field to field first.
                if key == Key::Enter && self.at + 1 < fields.len() {
                    self.at += 1;
                    return Some(Vec::new());
                }
                return Some(self.turn(self.step.next()));
            }
            Key::Left if self.step > Step::Hardware => {
                return Some(self.turn(self.step.before()));
            }
            Key::Char(c) if self.step == Step::Ports => return self.port_key(c),
            _ => return None,
        }
        Some(Vec::new())
    }

    fn turn(&mut self, step: Step) -> Vec<Effect> {
        (self.step, self.at) = (step, 0);
        self.check();
        vec![Effect::KeepDraft(self.draft())]
    }

    fn port_key(&mut self, key: char) -> Option<Vec<Effect>> {
        let role = match key {
            'c' => Some(PortRole::Carrier),
            'k' => Some(PortRole::Core),
            'h' => Some(PortRole::Pair),
            'm' => Some(PortRole::Management),
            'n' => None,
            'b' => {
                let Some(Ok(machine)) = &self.machine else {
                    return Some(Vec::new());
                };
                let port = machine.ports.get(self.at)?;
                return Some(vec![Effect::Blink(port.interface.clone())]);
            }
            _ => return None,
        };
        let address = self.ports().get(self.at)?.clone();
        match role {
            Some(role) => {
                self.roles.retain(|_, r| *r != role);
                self.roles.insert(address, role);
            }
            None => drop(self.roles.remove(&address)),
        }
        Some(vec![
            Effect::Plan(self.wishes()),
            Effect::KeepDraft(self.draft()),
        ])
    }
}

fn wishes_of(roles: &BTreeMap<String, PortRole>) -> Wishes {
    let all = |role: PortRole| {
        let ports = roles.iter().filter(move |(_, r)| **r == role);
        ports.map(|(address, _)| address.clone())
    };
    let one = |role: PortRole| all(role).next().unwrap_or_default();
    Wishes {
        carrier: one(PortRole::Carrier),
        core: one(PortRole::Core),
        management: one(PortRole::Management),
        spare: all(PortRole::Pair).collect(),
    }
}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (*self as usize).partial_cmp(&(*other as usize))
    }
}

impl Model {
    /// What the set-up starts writes to the machine's console, on which this may be shown: the last step is drawn anew each few seconds.
    pub(super) fn setup_tick(&mut self) -> Vec<Effect> {
        let is_shown = self.screen == Screen::Setup && self.setup.step == Step::Done;
        let is_due = self.now.saturating_sub(self.setup.drawn_ms) >= REDRAW_MS;
        if !is_shown || self.setup.news.is_none() || !is_due {
            return Vec::new();
        }
        self.setup.drawn_ms = self.now;
        vec![Effect::Redraw]
    }

    /// A key on the set-up's screen.
    pub(super) fn setup_key(&mut self, key: Key) -> Option<Vec<Effect>> {
        if let Some(why) = self.may_not_steer()
            && matches!(key, Key::Char('w' | 'b') | Key::Enter | Key::Right)
        {
            self.say(Err(why));
            return Some(Vec::new());
        }
        if self.setup.step == Step::Summary && matches!(key, Key::Char('w') | Key::Enter) {
            if !self.setup.mistakes.is_empty() {
                self.say(Err("there are mistakes: Left goes back to them".to_owned()));
                return Some(Vec::new());
            }
            self.question = Some(super::Question {
                title: "Write this?".to_owned(),
                text: "The files that are there are kept beside the new ones (.before). The dataplane and the signaling plane start anew: calls that \
                       are up end."
                    .to_owned(),
                then: Effect::Apply(Box::new(self.setup.files())),
            });
            return Some(Vec::new());
        }
        if let Key::Char('b') = key
            && self.setup.step == Step::Ports
            && let Some(Ok(machine)) = &self.setup.machine
            && let Some(port) = machine.ports.get(self.setup.at)
            && port.interface.is_empty()
        {
            let text = format!(
                "{}: its light cannot blink, since DPDK has it already",
                clean(&port.address)
            );
            self.say(Err(text));
            return Some(Vec::new());
        }
        self.setup.key(key)
    }
}
