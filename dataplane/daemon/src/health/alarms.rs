//! What is wrong now, for people: each is in the log when it begins and ends, and the controller hears of it.

use std::collections::VecDeque;

use tandem_link::{Alarm, AlarmKind, Event};
use tracing::{info, warn};

use crate::clock;

/// Events that wait for a controller at most. What stands is told anew to each, so none is lost for good.
const WAITING: usize = 256;

/// All that is wrong.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    standing: Vec<Alarm>,
    events: VecDeque<Event>,
}

impl Alarms {
    /// Something is wrong; if it was already, it is only said anew when the text is another one.
    pub(crate) fn raise(&mut self, kind: AlarmKind, subject: &str, text: String) {
        let known = self.standing.iter_mut().find(|a| is(a, kind, subject));
        let alarm = match known {
            Some(alarm) if alarm.text == text => return,
            Some(alarm) => {
                alarm.text = text;
                alarm.clone()
            }
            None => {
                let alarm = Alarm {
                    kind,
                    subject: subject.to_owned(),
                    is_raised: true,
                    text,
                    since_ms: clock::wall() / 1_000_000,
                };
                self.standing.push(alarm.clone());
                alarm
            }
        };
        warn!("alarm: {}", alarm.text);
        self.push(alarm);
    }

    /// It is well again, if it was wrong.
    pub(crate) fn clear(&mut self, kind: AlarmKind, subject: &str, text: String) {
        let Some(place) = self.standing.iter().position(|a| is(a, kind, subject)) else {
            return;
        };
        let mut alarm = self.standing.remove(place);
        info!("alarm over: {text}");
        alarm.is_raised = false;
        alarm.text = text;
        alarm.since_ms = clock::wall() / 1_000_000;
        self.push(alarm);
    }

    /// How many stand.
    pub(crate) fn len(&self) -> usize {
        self.standing.len()
    }

    /// A controller is new: it hears of all that is wrong.
    pub(crate) fn tell_all(&mut self) {
        self.events = self.standing.iter().cloned().map(Event::Alarm).collect();
    }

    /// The next thing to tell the controller.
    pub(crate) fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn push(&mut self, alarm: Alarm) {
        if self.events.len() >= WAITING {
            self.events.pop_front();
        }
        self.events.push_back(Event::Alarm(alarm));
    }
}

fn is(alarm: &Alarm, kind: AlarmKind, subject: &str) -> bool {
    alarm.kind == kind && alarm.subject == subject
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(alarms: &mut Alarms) -> Vec<(bool, String)> {
        let events = std::iter::from_fn(|| alarms.event());
        events
            .filter_map(|event| match event {
                Event::Alarm(alarm) => Some((alarm.is_raised, alarm.text)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn each_change_is_told_once_and_what_stands_to_each_controller() {
        let mut alarms = Alarms::default();
        alarms.clear(AlarmKind::PortDown, "a", "a is up".into());
        for _ in 0..3 {
            alarms.raise(AlarmKind::PortDown, "a", "a is down".into());
        }
        alarms.raise(AlarmKind::PortDown, "b", "b is down".into());
        let told = drain(&mut alarms);
        assert_eq!(
            told,
            [(true, "a is down".into()), (true, "b is down".into())]
        );
        alarms.clear(AlarmKind::PortDown, "b", "b is up".into());
        alarms.tell_all();
        assert_eq!(drain(&mut alarms), [(true, "a is down".into())]);
        assert_eq!(alarms.len(), 1);
    }
}
