//! Learning where a peer's media really comes from (symmetric RTP, RFC 4961).
//!
//! The first valid source latches. For a while after that, and after new SDP, the address in the SDP is
//! preferred: it takes over from a source that was learned provisionally. Once the window is closed,
//! another source is a stranger.

use crate::endpoint::Endpoint;

/// One stream's learning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latch {
    /// The source that was learned; none before the first.
    learned: Endpoint,
    /// In a reopened window: the source before, still relayed while the window is open.
    before: Endpoint,
    /// Until when another source may take over, in nanoseconds; 0 when closed.
    open_until: u64,
}

/// What a packet's source means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// It is the learned one, or one that is still allowed.
    Accepted,
    /// It has just been learned.
    Learned,
    /// Somebody else.
    Stranger,
}

impl Latch {
    pub(crate) const fn learned(&self) -> Endpoint {
        self.learned
    }

    /// New SDP or a new fork: learning reopens, nothing is learned until a packet comes.
    pub(crate) fn reopen(&mut self, now: u64, window: u64) {
        if self.learned.is_some() {
            self.before = self.learned;
        }
        self.learned = Endpoint::NONE;
        self.open_until = now.saturating_add(window);
    }

    /// A packet came from `source`; `preferred` is the address in the SDP.
    #[inline]
    pub(crate) fn packet(
        &mut self,
        now: u64,
        window: u64,
        source: Endpoint,
        preferred: Endpoint,
    ) -> Source {
        if self.learned == source {
            if self.open_until != 0 && source == preferred {
                self.close();
            }
            return Source::Accepted;
        }
        let open = now < self.open_until;
        if source == preferred && (open || !self.learned.is_some()) {
            self.learned = source;
            self.close();
            return Source::Learned;
        }
        if open && source == self.before {
            return Source::Accepted;
        }
        if self.learned.is_some() {
            return Source::Stranger;
        }
        self.learned = source;
        if !open {
            self.open_until = now.saturating_add(window);
        }
        Source::Learned
    }

    fn close(&mut self) {
        self.open_until = 0;
        self.before = Endpoint::NONE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 3_000;

    fn at(last: u8) -> Endpoint {
        Endpoint::new([192, 0, 2, last].into(), 4000)
    }

    #[test]
    fn the_first_source_latches_and_a_stranger_does_not_come_in() {
        let mut latch = Latch::default();
        assert_eq!(latch.packet(10, WINDOW, at(1), at(9)), Source::Learned);
        assert_eq!(latch.packet(20, WINDOW, at(2), at(9)), Source::Stranger);
        assert_eq!(latch.packet(30, WINDOW, at(1), at(9)), Source::Accepted);
    }

    #[test]
    fn the_address_in_the_sdp_takes_over_within_the_window_only() {
        let mut latch = Latch::default();
        latch.packet(10, WINDOW, at(1), at(9));
        assert_eq!(latch.packet(WINDOW, WINDOW, at(9), at(9)), Source::Learned);
        assert_eq!(latch.packet(WINDOW, WINDOW, at(1), at(9)), Source::Stranger);

        let mut late = Latch::default();
        late.packet(10, WINDOW, at(1), at(9));
        assert_eq!(late.packet(WINDOW + 10, WINDOW, at(9), at(9)), Source::Stranger);
    }

    #[test]
    fn a_source_that_the_sdp_names_closes_the_window() {
        let mut latch = Latch::default();
        assert_eq!(latch.packet(10, WINDOW, at(9), at(9)), Source::Learned);
        latch.reopen(20, WINDOW);
        assert_eq!(latch.packet(30, WINDOW, at(9), at(9)), Source::Learned);
        assert_eq!(latch.packet(40, WINDOW, at(3), at(9)), Source::Stranger);
    }

    #[test]
    fn new_sdp_lets_a_new_source_in_while_the_old_one_is_still_heard() {
        let mut latch = Latch::default();
        latch.packet(10, WINDOW, at(1), at(1));
        latch.reopen(100, WINDOW);
        assert_eq!(latch.packet(110, WINDOW, at(1), at(8)), Source::Accepted);
        assert!(!latch.learned().is_some());
        assert_eq!(latch.packet(120, WINDOW, at(5), at(8)), Source::Learned);
        assert_eq!(latch.packet(130, WINDOW, at(8), at(8)), Source::Learned);
        assert_eq!(latch.packet(140, WINDOW, at(1), at(8)), Source::Stranger);
    }

    #[test]
    fn without_another_the_old_source_latches_again() {
        let mut latch = Latch::default();
        latch.packet(10, WINDOW, at(1), at(1));
        latch.reopen(100, WINDOW);
        assert_eq!(latch.packet(100 + WINDOW, WINDOW, at(1), at(8)), Source::Learned);
        assert_eq!(latch.learned(), at(1));
    }
}
