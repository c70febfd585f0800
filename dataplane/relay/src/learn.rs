//! Learning where a peer's packets really come from (symmetric RTP, RFC 4961), for one of a leg's
//! two ports.
//!
//! - Before anything was heard, packets go to the hint of an earlier life if there is one, else to
//!   the address in the SDP.
//! - The address in the SDP (or the hint) latches for good when it speaks. Another source that
//!   speaks first latches provisionally: for the length of the window the SDP's address may still
//!   take over. After that every other source is a stranger.
//! - New SDP reopens: packets go to the SDP's new address until somebody is heard; what comes from
//!   the source before is still relayed while the window is open, but does not latch. If nobody
//!   else was heard by its end, that source latches again when it speaks. If the SDP's address is
//!   the same as before (a session refresh), packets keep going to the source that was learned: it
//!   is behind a NAT, and the SDP's address would be a black hole.

use std::net::SocketAddr;

use crate::endpoint::Endpoint;

/// What a port knows of its peer: one cache line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Learn {
    /// The source that it latched to; none while open.
    learned: Endpoint,
    /// See [`Before`].
    previous: Endpoint,
    /// The address in the SDP.
    remote: Endpoint,
    state: State,
    before: Before,
    /// Until when the window is open, in nanoseconds.
    deadline: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody was heard since the start or since new SDP.
    Open,
    /// Latched to a source that the SDP does not name.
    Provisional,
    /// Latched for good.
    Settled,
}

/// What the previous source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// None.
    Nothing,
    /// What an earlier life of the dataplane had latched to.
    Hint,
    /// What was latched to before new SDP with another address.
    Heard,
    /// What was latched to before new SDP with the same address.
    HeardSameSdp,
}

/// What a packet's source means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// To be relayed.
    Known,
    /// To be relayed; it latched. `changed` if to another source than before.
    Latched { changed: bool },
    /// Somebody else.
    Stranger,
}

impl Learn {
    pub(crate) fn new(remote: Endpoint, hint: Endpoint) -> Self {
        let before = if hint.is_some() {
            Before::Hint
        } else {
            Before::Nothing
        };
        Self {
            learned: Endpoint::NONE,
            previous: hint,
            remote,
            state: State::Open,
            before,
            deadline: 0,
        }
    }

    /// A valid packet came from `source`.
    #[inline]
    pub(crate) fn hear(&mut self, now: u64, window: u64, source: Endpoint) -> Source {
        if self.state == State::Settled {
            // The way of nearly every packet.
            return if source == self.learned {
                Source::Known
            } else {
                Source::Stranger
            };
        }
        self.hear_unsettled(now, window, source)
    }

    #[inline(never)]
    fn hear_unsettled(&mut self, now: u64, window: u64, source: Endpoint) -> Source {
        let open = now < self.deadline;
        let is_previous = self.before != Before::Nothing && source == self.previous;
        let wanted = source == self.remote || self.before == Before::Hint && is_previous;
        if self.state == State::Provisional {
            if open && wanted && source != self.learned {
                self.latch(source, State::Settled);
                return Source::Latched { changed: true };
            }
            if !open || source == self.remote {
                self.latch(self.learned, State::Settled);
            }
            let allowed = source == self.learned || open && is_previous;
            return if allowed {
                Source::Known
            } else {
                Source::Stranger
            };
        }
        if wanted {
            self.latch(source, State::Settled);
        } else if is_previous && open {
            return Source::Known;
        } else if is_previous {
            self.latch(source, State::Settled);
        } else {
            if !open {
                self.deadline = now.saturating_add(window);
            }
            self.latch(source, State::Provisional);
        }
        Source::Latched {
            changed: !is_previous,
        }
    }

    fn latch(&mut self, source: Endpoint, state: State) {
        self.learned = source;
        self.state = state;
        if state == State::Settled {
            self.previous = Endpoint::NONE;
            self.before = Before::Nothing;
        }
    }

    /// New SDP, or another fork: learning reopens.
    pub(crate) fn reopen(&mut self, now: u64, window: u64, remote: Endpoint) {
        let same = remote == self.remote;
        if self.state != State::Open {
            self.previous = self.learned;
        }
        let was_known = self.state != State::Open || self.before != Before::Nothing;
        self.before = match (was_known, same) {
            (false, _) => Before::Nothing,
            (true, true) if self.before != Before::Heard => Before::HeardSameSdp,
            (true, _) => Before::Heard,
        };
        self.learned = Endpoint::NONE;
        self.state = State::Open;
        self.remote = remote;
        self.deadline = now.saturating_add(window);
    }

    /// The SDP's address became known or was corrected, without new learning.
    pub(crate) fn set_remote(&mut self, remote: Endpoint) {
        self.remote = remote;
    }

    /// The address in the SDP.
    pub(crate) fn remote(&self) -> Endpoint {
        self.remote
    }

    /// Where packets to this peer go; none if that is not known.
    #[inline]
    pub(crate) fn destination(&self) -> Endpoint {
        match (self.state, self.before) {
            (State::Settled | State::Provisional, _) => self.learned,
            (State::Open, Before::Hint | Before::HeardSameSdp) => self.previous,
            (State::Open, _) if self.remote.is_some() => self.remote,
            (State::Open, _) => self.previous,
        }
    }

    /// Whether packets go to another host than the SDP says: the peer is behind a NAT.
    pub(crate) fn is_translated(&self) -> bool {
        let destination = self.destination();
        destination.is_some() && self.remote.is_some() && destination.address != self.remote.address
    }

    /// The source that it latched to.
    pub(crate) fn latched(&self) -> Option<SocketAddr> {
        match (self.state, self.before) {
            (State::Open, Before::HeardSameSdp) => self.previous.socket(),
            _ => self.learned.socket(),
        }
    }

    /// What an earlier life had latched to, while that is still used.
    pub(crate) fn hint(&self) -> Option<SocketAddr> {
        match self.before {
            Before::Hint => self.previous.socket(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 3_000;
    const NEW: Source = Source::Latched { changed: true };
    const AGAIN: Source = Source::Latched { changed: false };

    fn at(last: u8) -> Endpoint {
        Endpoint::v4([192, 0, 2, last].into(), 4000)
    }

    fn sdp(last: u8) -> Learn {
        Learn::new(at(last), Endpoint::NONE)
    }

    #[test]
    fn before_anything_is_heard_the_hint_comes_before_the_sdp() {
        assert_eq!(
            Learn::new(Endpoint::NONE, Endpoint::NONE).destination(),
            Endpoint::NONE
        );
        assert_eq!(sdp(9).destination(), at(9));
        assert_eq!(Learn::new(at(9), at(8)).destination(), at(8));
    }

    #[test]
    fn the_first_source_latches_and_a_stranger_does_not_come_in() {
        let mut learn = sdp(9);
        assert_eq!(learn.hear(10, WINDOW, at(1)), NEW);
        assert_eq!(learn.hear(20, WINDOW, at(2)), Source::Stranger);
        assert_eq!(learn.hear(30, WINDOW, at(1)), Source::Known);
        assert_eq!(learn.destination(), at(1));
        // Another port of the same host is another source.
        let other = Endpoint {
            port: 4002,
            ..at(1)
        };
        assert_eq!(learn.hear(40, WINDOW, other), Source::Stranger);
    }

    #[test]
    fn the_address_in_the_sdp_takes_over_within_the_window_only() {
        let mut learn = sdp(9);
        learn.hear(10, WINDOW, at(1));
        assert_eq!(learn.hear(9 + WINDOW, WINDOW, at(9)), NEW);
        assert_eq!(learn.hear(9 + WINDOW, WINDOW, at(1)), Source::Stranger);
        let mut late = sdp(9);
        late.hear(10, WINDOW, at(1));
        assert_eq!(late.hear(10 + WINDOW, WINDOW, at(9)), Source::Stranger);
        assert_eq!(late.hear(11 + WINDOW, WINDOW, at(1)), Source::Known);
    }

    #[test]
    fn the_address_in_the_sdp_latches_for_good_at_once() {
        let mut learn = sdp(9);
        assert_eq!(learn.hear(10, WINDOW, at(9)), NEW);
        assert_eq!(learn.hear(11, WINDOW, at(1)), Source::Stranger);
    }

    #[test]
    fn new_sdp_is_preferred_and_the_source_before_still_heard() {
        let mut learn = sdp(1);
        learn.hear(10, WINDOW, at(1));
        learn.reopen(100, WINDOW, at(8));
        assert_eq!(learn.destination(), at(8));
        assert_eq!(learn.hear(110, WINDOW, at(1)), Source::Known);
        assert_eq!(learn.destination(), at(8));
        assert_eq!(learn.hear(120, WINDOW, at(5)), NEW);
        assert_eq!(learn.destination(), at(5));
        assert_eq!(learn.hear(130, WINDOW, at(6)), Source::Stranger);
        assert_eq!(learn.hear(140, WINDOW, at(1)), Source::Known);
        assert_eq!(learn.destination(), at(5));
        assert_eq!(learn.hear(150, WINDOW, at(8)), NEW);
        assert_eq!(learn.hear(160, WINDOW, at(1)), Source::Stranger);
        assert_eq!(learn.hear(170, WINDOW, at(5)), Source::Stranger);
    }

    #[test]
    fn a_provisional_source_settles_when_the_window_closes() {
        let mut learn = sdp(1);
        learn.hear(10, WINDOW, at(1));
        learn.reopen(100, WINDOW, at(8));
        learn.hear(120, WINDOW, at(5));
        // The window is that of the new SDP: it does not start again with the first packet.
        assert_eq!(learn.hear(100 + WINDOW, WINDOW, at(8)), Source::Stranger);
        assert_eq!(learn.hear(101 + WINDOW, WINDOW, at(1)), Source::Stranger);
        assert_eq!(learn.hear(102 + WINDOW, WINDOW, at(5)), Source::Known);
    }

    #[test]
    fn without_another_the_source_before_latches_again() {
        let mut learn = sdp(1);
        learn.hear(10, WINDOW, at(1));
        learn.reopen(100, WINDOW, at(8));
        assert_eq!(learn.hear(99 + WINDOW, WINDOW, at(1)), Source::Known);
        assert_eq!(learn.hear(100 + WINDOW, WINDOW, at(1)), AGAIN);
        assert_eq!(learn.destination(), at(1));
        assert_eq!(learn.hear(101 + WINDOW, WINDOW, at(8)), Source::Stranger);
    }

    #[test]
    fn whoever_speaks_first_after_a_silent_window_latches() {
        let mut learn = sdp(1);
        learn.hear(10, WINDOW, at(1));
        learn.reopen(100, WINDOW, at(8));
        let late = 100 + 2 * WINDOW;
        assert_eq!(learn.hear(late, WINDOW, at(5)), NEW);
        assert_eq!(learn.hear(late + 1, WINDOW, at(8)), NEW);
    }

    #[test]
    fn the_same_sdp_again_keeps_sending_to_the_learned_source() {
        let mut learn = sdp(9);
        learn.hear(10, WINDOW, at(1));
        learn.reopen(100, WINDOW, at(9));
        assert_eq!(learn.destination(), at(1));
        assert_eq!(learn.latched(), at(1).socket());
        assert_eq!(learn.hear(110, WINDOW, at(1)), Source::Known);
        // Twice in a row, and then another address.
        learn.reopen(120, WINDOW, at(9));
        assert_eq!(learn.destination(), at(1));
        learn.reopen(130, WINDOW, at(7));
        assert_eq!(learn.destination(), at(7));
        learn.reopen(140, WINDOW, at(7));
        assert_eq!(learn.destination(), at(7));
        assert_eq!(learn.hear(150, WINDOW, at(1)), Source::Known);
    }

    #[test]
    fn a_hint_is_as_good_as_the_sdp_and_survives_a_stranger() {
        let mut learn = Learn::new(at(9), at(8));
        assert_eq!(learn.hear(10, WINDOW, at(8)), AGAIN);
        assert_eq!(learn.hear(20, WINDOW, at(9)), Source::Stranger);
        let mut raced = Learn::new(at(9), at(8));
        assert_eq!(raced.hear(10, WINDOW, at(1)), NEW);
        assert_eq!(raced.hear(20, WINDOW, at(8)), NEW);
        assert_eq!(raced.hear(30, WINDOW, at(1)), Source::Stranger);
    }

    #[test]
    fn sdp_without_an_address_leaves_the_destination() {
        let mut learn = sdp(1);
        learn.hear(10, WINDOW, at(1));
        learn.reopen(100, WINDOW, Endpoint::NONE);
        assert_eq!(learn.destination(), at(1));
    }

    #[test]
    fn a_port_fits_in_a_cache_line() {
        assert_eq!(size_of::<Learn>(), 64);
    }
}
