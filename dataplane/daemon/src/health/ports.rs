//! Notices links that come and go, and queues that stall.

/// A receive queue that is full and takes nothing out for so long has stalled, in nanoseconds.
const RX_STALL: u64 = 2_000_000_000;

/// So has a transmit queue that takes nothing.
const TX_STALL: u64 = 1_000_000_000;

/// What is to be seen of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Whether it has a link, if that can be told.
    pub(crate) up: Option<bool>,
    /// Packets received, and packets lost since a receive queue was full.
    pub(crate) received: u64,
    pub(crate) missed: u64,
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
    is_stalled: bool,
}

impl PortWatch {
    /// How often the link has come and gone.
    pub(crate) const fn changes(&self) -> u64 {
        self.changes
    }

    /// Looks at the port, at this time in nanoseconds.
    pub(crate) fn look(&mut self, now: u64, seen: Seen) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Some(up) = seen.up
            && self.up != Some(up)
        {
            self.changes += u64::from(self.up.is_some());
            self.up = Some(up);
            self.moved = now;
            found.push(Finding::Link { up });
        }
        let is_down = self.up == Some(false);
        if is_down || seen.received != self.received || seen.missed == self.missed {
            self.moved = now;
            self.missed = seen.missed;
        }
        self.received = seen.received;
        let rx = now.saturating_sub(self.moved) >= RX_STALL;
        let tx = !is_down && seen.refused >= TX_STALL;
        if (rx || tx) && !self.is_stalled {
            found.extend(rx.then_some(Finding::RxStalled));
            found.extend(tx.then_some(Finding::TxStalled));
        }
        if self.is_stalled && !rx && !tx {
            found.push(Finding::Flows);
        }
        self.is_stalled = rx || tx;
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
