//! SIP that waits for the dataplane. Commands go by the link's socket and SIP by the rings, so a datagram
//! could overtake the command that was given before it: a peer on the same link would answer with media
//! before its flow is there. A datagram therefore waits until every flow that was asked for before it is
//! installed, some ten microseconds to a millisecond, and never longer than [`PATIENCE`].

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// A dataplane that takes longer is overloaded or gone: the call shall not wait for that.
const PATIENCE: Duration = Duration::from_millis(20);

/// The datagrams that wait, in order.
#[derive(Debug)]
pub(super) struct Held<T> {
    /// Commands that the dataplane has not answered.
    open: BTreeSet<u64>,
    waiting: VecDeque<Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    /// The last command that was open when it came.
    after: u64,
    until: Duration,
    datagram: T,
}

impl<T> Held<T> {
    pub(super) const fn new() -> Self {
        Self {
            open: BTreeSet::new(),
            waiting: VecDeque::new(),
        }
    }

    /// A flow was asked for; sequence numbers ascend.
    pub(super) fn asked(&mut self, seq: u64) {
        self.open.insert(seq);
    }

    /// The dataplane answered.
    pub(super) fn answered(&mut self, seq: u64) {
        self.open.remove(&seq);
    }

    /// The session ended: there will be no answers.
    pub(super) fn session_ended(&mut self) {
        self.open.clear();
    }

    /// A datagram is to be sent: back at once if nothing has to happen before.
    pub(super) fn hold(&mut self, now: Duration, datagram: T) -> Option<T> {
        if self.open.is_empty() && self.waiting.is_empty() {
            return Some(datagram);
        }
        let after = self.open.last().copied().unwrap_or(0);
        self.waiting.push_back(Waiting {
            after,
            until: now + PATIENCE,
            datagram,
        });
        None
    }

    /// The next datagram whose time has come.
    pub(super) fn release(&mut self, now: Duration) -> Option<T> {
        let first = self.waiting.front()?;
        let done = self.open.first().is_none_or(|open| *open > first.after);
        if done || first.until <= now {
            self.waiting.pop_front().map(|w| w.datagram)
        } else {
            None
        }
    }

    /// When [`Self::release`] has something at the latest.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.waiting.front().map(|w| w.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    #[test]
    fn without_an_open_command_nothing_waits() {
        let mut held = Held::new();
        assert_eq!(held.hold(NOW, "a"), Some("a"));
        held.asked(1);
        held.answered(1);
        assert_eq!(held.hold(NOW, "b"), Some("b"));
        assert_eq!(held.next_timeout(), None);
    }

    #[test]
    fn a_datagram_waits_for_the_commands_before_it_and_not_for_those_behind() {
        let mut held = Held::new();
        held.asked(1);
        held.asked(2);
        assert_eq!(held.hold(NOW, "a"), None);
        held.asked(3);
        assert_eq!(held.hold(NOW, "b"), None);
        held.answered(2);
        assert_eq!(held.release(NOW), None);
        held.answered(1);
        assert_eq!((held.release(NOW), held.release(NOW)), (Some("a"), None));
        held.answered(3);
        assert_eq!((held.release(NOW), held.release(NOW)), (Some("b"), None));
    }

    #[test]
    fn order_is_kept_and_patience_ends() {
        let mut held = Held::new();
        held.asked(1);
        assert_eq!(held.hold(NOW, "a"), None);
        held.answered(1);
        assert_eq!(held.hold(NOW, "b"), None, "not before those that wait");
        assert_eq!(
            (held.release(NOW), held.release(NOW)),
            (Some("a"), Some("b"))
        );

        held.asked(2);
        assert_eq!(held.hold(NOW, "c"), None);
        let late = held.next_timeout().unwrap();
        assert_eq!(held.release(late), Some("c"));

        assert_eq!(held.hold(NOW, "d"), None);
        held.session_ended();
        assert_eq!(held.release(NOW), Some("d"));
    }
}
