//! Notices links that come and go, and queues that stall.

/// A receive queue that is full and takes nothing out for so long has stalled, in nanoseconds.
const RX_STALL: u64 = 2_000_000_000;

/// So has a transmit queue that takes nothing.
const TX_STALL: u64 = 1_000_000_000;

/// A port that was restarted and has nothing to do for so long is well.
const PROVED: u64 = 10_000_000_000;

/// What is to be seen of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Whether it has a link, if that can be told.
    pub(crate) up: Option<bool>,
    /// Packets received, and packets lost since a receive queue was full.
    pub(crate) received: u64,
    pub(crate) missed: u64,
    /// Packets sent.
    pub(crate) sent: u64,
    /// For how long the slowest transmit queue has taken nothing, in nanoseconds.
    pub(crate) refused: u64,
}

/// What a look at a port found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The link is there, or gone; the first time it is seen too.
    Link { up: bool },
    /// Packets are lost since the receive queue is full, but none are received.
    RxStalled,
    /// The transmit queue takes nothing.
    TxStalled,
    /// Both queues move.
    Flows,
}

/// One port.
#[derive(Debug, Default)]
pub(crate) struct PortWatch {
    up: Option<bool>,
    /// How often the link has changed.
    changes: u64,
    received: u64,
    /// Lost since packets were received, from this on.
    missed: u64,
    /// When packets were received the last time, or none were lost.
    moved: u64,
    /// Since when a queue has stalled.
    stalled: Option<u64>,
    /// Since when it has no link.
    down: Option<u64>,
    /// It was restarted since it had stalled, then: nothing has gone through it since.
    proving: Option<u64>,
    /// It was restarted since the last look: its counts may have begun anew.
    begins: bool,
    sent: u64,
}

impl PortWatch {
    /// How often the link has come and gone.
    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether a queue has stalled.
    pub(crate) const fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    /// For how long a queue has been stalled, in nanoseconds.
    pub(crate) fn stalled_for(&self, now: u64) -> Option<u64> {
        let since = self.stalled.filter(|_| self.proving.is_none())?;
        Some(now.saturating_sub(since))
    }

    /// For how long it has had no link, in nanoseconds.
    pub(crate) fn down_for(&self, now: u64) -> Option<u64> {
        Some(now.saturating_sub(self.down?))
    }

    /// The port was restarted: its queues are empty, and have to show that they move.
    pub(crate) fn restarted(&mut self, now: u64) {
        self.moved = now;
        self.begins = true;
        self.proving = self.stalled.map(|_| now);
    }

    /// Looks at the port, at this time in nanoseconds.
    pub(crate) fn look(&mut self, now: u64, seen: Seen) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Some(up) = seen.up
            && self.up != Some(up)
        {
            self.changes += u64::from(self.up.is_some());
            self.up = Some(up);
            self.down = (!up).then_some(now);
            self.moved = now;
            found.push(Finding::Link { up });
        }
        let is_down = self.up == Some(false);
        let begins = std::mem::take(&mut self.begins);
        let moves = !begins && (seen.received, seen.sent) != (self.received, self.sent);
        if begins || is_down || seen.received != self.received || seen.missed == self.missed {
            self.moved = now;
            self.missed = seen.missed;
        }
        (self.received, self.sent) = (seen.received, seen.sent);
        let rx = now.saturating_sub(self.moved) >= RX_STALL;
        let tx = !is_down && seen.refused >= TX_STALL;
        let stalls = rx || tx;
        let since = self.proving.filter(|_| !moves);
        let is_proved = since.is_none_or(|since| now.saturating_sub(since) >= PROVED);
        match self.stalled {
            None if stalls => self.stalled = Some(now),
            // The restart has not helped.
            Some(_) if stalls && self.proving.is_some() => self.stalled = Some(now),
            Some(_) if !stalls && is_proved => {
                self.stalled = None;
                self.proving = None;
                found.push(Finding::Flows);
                return found;
            }
            _ => return found,
        }
        self.proving = None;
        found.extend(rx.then_some(Finding::RxStalled));
        found.extend(tx.then_some(Finding::TxStalled));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn seen(received: u64, missed: u64) -> Seen {
        Seen {
            up: Some(true),
            received,
            missed,
            sent: 0,
            refused: 0,
        }
    }

    #[test]
    fn a_link_is_told_first_and_at_each_change() {
        let mut watch = PortWatch::default();
        let mut told = Vec::new();
        for (n, up) in (0..).zip([
            None,
            Some(false),
            Some(false),
            Some(true),
            Some(true),
            None,
            Some(false),
        ]) {
            let seen = Seen { up, ..seen(0, 0) };
            told.extend(watch.look(n * 200 * MS, seen));
        }
        let link = |up| Finding::Link { up };
        assert_eq!(told, [link(false), link(true), link(false)]);
        assert_eq!(watch.changes(), 2);
    }

    #[test]
    fn a_receive_queue_that_loses_and_takes_nothing_has_stalled() {
        let mut watch = PortWatch::default();
        watch.look(0, seen(5, 0));
        // Losses with packets are overload, no stall.
        for n in 1..20 {
            assert_eq!(watch.look(n * 200 * MS, seen(5 + n, 100 * n)), []);
        }
        let mut told = Vec::new();
        for n in 20..40 {
            told.extend(
                watch
                    .look(n * 200 * MS, seen(24, 100 * n))
                    .into_iter()
                    .map(|f| (n, f)),
            );
        }
        assert_eq!(told, [(29, Finding::RxStalled)]);
        assert_eq!(watch.look(8_000 * MS, seen(25, 4_000)), [Finding::Flows]);
        // Silence is no stall.
        for n in 41..90 {
            assert_eq!(watch.look(n * 200 * MS, seen(25, 4_000)), []);
        }
    }

    #[test]
    fn a_port_that_was_restarted_has_to_show_that_it_flows() {
        let mut watch = PortWatch::default();
        let look = |watch: &mut PortWatch, ms: u64, sent, refused| {
            let seen = Seen {
                sent,
                refused: refused * MS,
                ..seen(0, 0)
            };
            watch.look(ms * MS, seen)
        };
        look(&mut watch, 0, 500, 0);
        assert_eq!(look(&mut watch, 1_000, 500, 1_000), [Finding::TxStalled]);
        assert_eq!(watch.stalled_for(4_000 * MS), Some(3_000 * MS));
        watch.restarted(4_000 * MS);
        assert_eq!(watch.stalled_for(5_000 * MS), None, "it is given time");
        // The driver's counts begin anew, which is no packet.
        assert_eq!(look(&mut watch, 4_200, 0, 0), []);
        assert!(watch.is_stalled());
        // It did not help.
        assert_eq!(look(&mut watch, 5_400, 0, 1_000), [Finding::TxStalled]);
        assert_eq!(watch.stalled_for(6_400 * MS), Some(1_000 * MS));
        watch.restarted(9_000 * MS);
        assert_eq!(look(&mut watch, 9_200, 0, 0), []);
        assert_eq!(look(&mut watch, 9_400, 1, 0), [Finding::Flows]);
        assert!(!watch.is_stalled());
        // Nothing to do for long is well, too.
        assert_eq!(look(&mut watch, 20_000, 1, 1_000), [Finding::TxStalled]);
        watch.restarted(23_000 * MS);
        assert_eq!(look(&mut watch, 32_900, 1, 0), []);
        assert_eq!(look(&mut watch, 33_000, 1, 0), [Finding::Flows]);
    }

    #[test]
    fn a_transmit_queue_that_takes_nothing_has_stalled_but_not_without_a_link() {
        let mut watch = PortWatch::default();
        watch.look(0, seen(0, 0));
        let refuses = |ms, up| Seen {
            up: Some(up),
            refused: ms * MS,
            ..seen(0, 0)
        };
        assert_eq!(watch.look(200 * MS, refuses(999, true)), []);
        assert_eq!(
            watch.look(400 * MS, refuses(1_000, true)),
            [Finding::TxStalled]
        );
        assert_eq!(watch.look(600 * MS, refuses(1_200, true)), []);
        let down = watch.look(800 * MS, refuses(1_400, false));
        assert_eq!(down, [Finding::Link { up: false }, Finding::Flows]);
        assert_eq!(watch.look(1_000 * MS, refuses(1_600, false)), []);
    }
}
