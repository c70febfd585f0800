//! SIP and the commands to the dataplane that it depends on: a peer on the same link would answer with media
//! before its flow is there. A datagram that goes by the ring of the flow's owner goes behind the command. One that goes
//! by another ring or by the kernel waits until the flow is installed, some ten microseconds to a millisecond, and never
//! longer than [`PATIENCE`]; and so does what comes after it, since peers expect a call's messages in their order.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// A dataplane that takes longer is overloaded or gone: the call shall not wait for that.
const PATIENCE: Duration = Duration::from_millis(20);

/// No bell rings for an answer: it is looked for so often while something waits for it.
const LOOK: Duration = Duration::from_micros(200);

/// The datagrams that wait, in order.
#[derive(Debug)]
pub(super) struct Held<T> {
    /// Commands that the dataplane has not answered.
    open: BTreeSet<u64>,
    behind: Behind,
    waiting: VecDeque<Waiting<T>>,
}

/// Whose flows were asked for in the batch at hand.
#[derive(Clone, Copy, Debug)]
enum Behind {
    Nobody,
    Worker(u16),
    Several,
}

/// How a datagram would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// By the ring of this worker of the dataplane.
    Ring(u16),
    Kernel,
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
            behind: Behind::Nobody,
            waiting: VecDeque::new(),
        }
    }

    /// What comes now was caused by something else.
    pub(super) fn next_batch(&mut self) {
        self.behind = Behind::Nobody;
    }

    /// A worker of the dataplane was asked for a flow; sequence numbers ascend.
    pub(super) fn asked(&mut self, seq: u64, worker: u16) {
        self.open.insert(seq);
        self.behind = match self.behind {
            Behind::Nobody => Behind::Worker(worker),
            Behind::Worker(one) if one == worker => self.behind,
            Behind::Worker(_) | Behind::Several => Behind::Several,
        };
    }

    /// The dataplane answered.
    pub(super) fn answered(&mut self, seq: u64) {
        self.open.remove(&seq);
    }

    /// The session ended: there will be no answers.
    pub(super) fn session_ended(&mut self) {
        self.open.clear();
        self.next_batch();
    }

    /// A datagram is to be sent: back at once if nothing has to happen before.
    pub(super) fn hold(&mut self, now: Duration, by: By, datagram: T) -> Option<T> {
        let follows = match (by, self.behind) {
            (By::Ring(_), Behind::Nobody) => true,
            (By::Ring(ring), Behind::Worker(worker)) => ring == worker,
            (By::Ring(_), Behind::Several) => false,
            (By::Kernel, _) => self.open.is_empty(),
        };
        if follows && self.waiting.is_empty() {
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

    /// When to look for answers that something waits for.
    pub(super) fn next_timeout(&self, now: Duration) -> Option<Duration> {
        self.waiting.front().map(|w| w.until.min(now + LOOK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1);

    fn held() -> Held<&'static str> {
        Held::new()
    }

    #[test]
    fn without_an_open_command_nothing_waits() {
        let mut held = held();
        assert_eq!(held.hold(NOW, By::Kernel, "a"), Some("a"));
        held.asked(1, 0);
        held.answered(1);
        assert_eq!(held.hold(NOW, By::Kernel, "b"), Some("b"));
        assert_eq!(held.next_timeout(NOW), None);
    }

    #[test]
    fn a_datagram_by_the_owners_ring_follows_the_command() {
        let mut held = held();
        assert_eq!(held.hold(NOW, By::Ring(0), "a"), Some("a"));
        held.asked(1, 3);
        held.asked(2, 3);
        assert_eq!(held.hold(NOW, By::Ring(3), "b"), Some("b"));
        held.next_batch();
        assert_eq!(held.hold(NOW, By::Ring(0), "c"), Some("c"));
    }

    #[test]
    fn by_another_ring_it_waits_and_nothing_overtakes_it() {
        let mut held = held();
        assert_eq!(held.hold(NOW, By::Ring(0), "180"), Some("180"));
        held.asked(1, 1);
        assert_eq!(held.hold(NOW, By::Ring(0), "200"), None);
        held.next_batch();
        assert_eq!(held.hold(NOW, By::Ring(0), "BYE"), None, "behind the 200");
        assert_eq!(held.release(NOW), None);
        held.answered(1);
        assert_eq!(
            (held.release(NOW), held.release(NOW)),
            (Some("200"), Some("BYE"))
        );
        held.asked(2, 0);
        held.asked(3, 1);
        assert_eq!(held.hold(NOW, By::Ring(1), "several owners"), None);
    }

    #[test]
    fn a_datagram_waits_for_the_commands_before_it_and_not_for_those_behind() {
        let mut held = held();
        held.asked(1, 0);
        held.asked(2, 0);
        assert_eq!(held.hold(NOW, By::Kernel, "a"), None);
        held.asked(3, 0);
        assert_eq!(held.hold(NOW, By::Kernel, "b"), None);
        held.answered(2);
        assert_eq!(held.release(NOW), None);
        held.answered(1);
        assert_eq!((held.release(NOW), held.release(NOW)), (Some("a"), None));
        held.answered(3);
        assert_eq!((held.release(NOW), held.release(NOW)), (Some("b"), None));
    }

    #[test]
    fn order_is_kept_and_patience_ends() {
        let mut held = held();
        held.asked(1, 0);
        assert_eq!(held.hold(NOW, By::Kernel, "a"), None);
        held.answered(1);
        let late = held.hold(NOW, By::Kernel, "b");
        assert_eq!(late, None, "not before those that wait");
        assert_eq!(
            (held.release(NOW), held.release(NOW)),
            (Some("a"), Some("b"))
        );

        held.asked(2, 0);
        assert_eq!(held.hold(NOW, By::Kernel, "c"), None);
        assert_eq!(held.next_timeout(NOW), Some(NOW + LOOK));
        assert_eq!(held.release(NOW + LOOK), None);
        let late = NOW + PATIENCE;
        assert_eq!(held.next_timeout(late), Some(late));
        assert_eq!(held.release(late), Some("c"));

        assert_eq!(held.hold(NOW, By::Kernel, "d"), None);
        held.session_ended();
        assert_eq!(held.release(NOW), Some("d"));
    }
}
