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
//!   is behind a NAT, and the SDP's address would be a black hole. It latches for good when it speaks.
//! - A strict port learns nothing: packets come from the SDP's address and go there.
//!
//! What each packet needs is in [`Learn`], apart from what only ports that have not settled need.

use std::net::SocketAddr;

use crate::endpoint::Endpoint;

/// What every packet needs to know of a port's peer: 20 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Learn {
    /// The source that it latched to; none while open.
    learned: Endpoint,
    state: State,
    before: Before,
}

/// What else a port knows of its peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// See [`Before`].
    previous: Endpoint,
    /// The address in the SDP.
    remote: Endpoint,
    /// Until when the window is open, by [`coarse`] time; 0 if it is closed.
    deadline: u32,
}

/// The same of RTCP's port, whose packets are few: in 28 bytes, without the SDP's address if that has RTP's host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RtcpPort {
    deadline: u32,
    /// What it latched to, else what the previous source is.
    source: Endpoint,
    /// The SDP's port; 0 when it has none.
    port: u16,
    state: State,
    before: Before,
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
    /// None, and nothing is learned: it is settled on the SDP's address.
    Strict,
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

/// Time in units of 2^20 ns, about a millisecond: four bytes that wrap around after 52 days.
pub(crate) const fn coarse(now: u64) -> u32 {
    (now >> 20) as u32
}

impl Learn {
    pub(crate) fn new(remote: Endpoint, hint: Endpoint, strict: bool) -> (Self, Known) {
        let (learned, previous, state, before) = match (strict, hint.is_some()) {
            (true, _) => (remote, Endpoint::NONE, State::Settled, Before::Strict),
            (false, true) => (Endpoint::NONE, hint, State::Open, Before::Hint),
            (false, false) => (Endpoint::NONE, hint, State::Open, Before::Nothing),
        };
        let known = Known {
            previous,
            remote,
            deadline: 0,
        };
        let learn = Self {
            learned,
            state,
            before,
        };
        (learn, known)
    }

    /// A valid packet came from `source`.
    #[inline]
    pub(crate) fn hear(
        &mut self,
        known: &mut Known,
        now: u64,
        window: u64,
        source: Endpoint,
    ) -> Source {
        if self.state == State::Settled {
            // The way of nearly every packet.
            return if source == self.learned {
                Source::Known
            } else {
                Source::Stranger
            };
        }
        self.hear_unsettled(known, now, window, source)
    }

    /// Whether packets of this IPv4 source are [`Source::Known`] without any change. The port is at an IPv4 address, and so is what it
    /// has learned.
    #[inline(always)]
    pub(crate) fn is_settled_on(&self, (address, port): ([u8; 4], u16)) -> bool {
        let [.., a, b, c, d] = self.learned.address;
        self.state == State::Settled && self.learned.port == port && [a, b, c, d] == address
    }

    #[inline(never)]
    fn hear_unsettled(
        &mut self,
        known: &mut Known,
        now: u64,
        window: u64,
        source: Endpoint,
    ) -> Source {
        let open = known.is_open(now);
        let is_previous = self.before != Before::Nothing && source == known.previous;
        // With the SDP as it was, who spoke before is as good as the SDP: a stranger who is faster does not take its place.
        let trusted = matches!(self.before, Before::Hint | Before::HeardSameSdp);
        let wanted = source == known.remote || trusted && is_previous;
        if self.state == State::Provisional {
            if open && wanted && source != self.learned {
                self.latch(known, source, State::Settled);
                return Source::Latched { changed: true };
            }
            let allowed = source == self.learned || open && is_previous;
            if !open || source == known.remote {
                self.latch(known, self.learned, State::Settled);
            }
            return if allowed {
                Source::Known
            } else {
                Source::Stranger
            };
        }
        if wanted {
            self.latch(known, source, State::Settled);
        } else if is_previous && open {
            return Source::Known;
        } else if is_previous {
            self.latch(known, source, State::Settled);
        } else {
            if !open {
                known.open(now, window);
            }
            self.latch(known, source, State::Provisional);
        }
        Source::Latched {
            changed: !is_previous,
        }
    }

    fn latch(&mut self, known: &mut Known, source: Endpoint, state: State) {
        self.learned = source;
        self.state = state;
        if state == State::Settled {
            known.previous = Endpoint::NONE;
            known.deadline = 0;
            self.before = Before::Nothing;
        }
    }

    /// New SDP, or another fork: learning reopens.
    pub(crate) fn reopen(
        &mut self,
        known: &mut Known,
        now: u64,
        window: u64,
        remote: Endpoint,
        strict: bool,
    ) {
        if strict || self.before == Before::Strict {
            (*self, *known) = Self::new(remote, Endpoint::NONE, strict);
            return;
        }
        let same = remote == known.remote;
        if self.state != State::Open {
            known.previous = self.learned;
        }
        let was_known = self.state != State::Open || self.before != Before::Nothing;
        self.before = match (was_known, same) {
            (false, _) => Before::Nothing,
            (true, true) if self.before != Before::Heard => Before::HeardSameSdp,
            (true, _) => Before::Heard,
        };
        self.learned = Endpoint::NONE;
        self.state = State::Open;
        known.remote = remote;
        known.open(now, window);
    }

    /// The SDP's address became known or was corrected, without new learning.
    pub(crate) fn set_remote(&mut self, known: &mut Known, remote: Endpoint, strict: bool) {
        if strict || self.before == Before::Strict {
            (*self, *known) = Self::new(remote, Endpoint::NONE, strict);
        }
        known.remote = remote;
    }

    /// Whether nothing is learned.
    pub(crate) fn is_strict(&self) -> bool {
        self.before == Before::Strict
    }

    /// Where packets to this peer go; none if that is not known.
    #[inline]
    pub(crate) fn destination(&self, known: &Known) -> Endpoint {
        match (self.state, self.before) {
            (State::Settled | State::Provisional, _) => self.learned,
            (State::Open, Before::Hint | Before::HeardSameSdp) => known.previous,
            (State::Open, _) if known.remote.is_some() => known.remote,
            (State::Open, _) => known.previous,
        }
    }

    /// Whether packets go to another host than the SDP says: the peer is behind a NAT.
    pub(crate) fn is_translated(&self, known: &Known) -> bool {
        let (destination, remote) = (self.destination(known), known.remote);
        destination.is_some() && remote.is_some() && destination.address != remote.address
    }

    /// The source that it latched to.
    pub(crate) fn latched(&self, known: &Known) -> Option<SocketAddr> {
        match (self.state, self.before) {
            (_, Before::Strict) => None,
            (State::Open, Before::HeardSameSdp) => known.previous.socket(),
            _ => self.learned.socket(),
        }
    }

    /// What an earlier life had latched to, while that is still used.
    pub(crate) fn hint(&self, known: &Known) -> Option<SocketAddr> {
        match self.before {
            Before::Hint => known.previous.socket(),
            _ => None,
        }
    }
}

impl Known {
    /// The address in the SDP.
    pub(crate) fn remote(&self) -> Endpoint {
        self.remote
    }

    fn open(&mut self, now: u64, window: u64) {
        self.deadline = coarse(now.saturating_add(window)).max(1);
    }

    fn is_open(&self, now: u64) -> bool {
        self.deadline != 0 && self.deadline.wrapping_sub(coarse(now)) as i32 > 0
    }
}

impl RtcpPort {
    /// Packs what is known of a port. `rtp` is the SDP's address of RTP; an address on another host is the caller's to keep.
    pub(crate) fn pack(learn: Learn, known: &Known) -> Self {
        Self {
            deadline: known.deadline,
            source: match learn.state {
                State::Open => known.previous,
                // Of two sources the one that is heard: what RTCP loses meanwhile is a report or two.
                State::Provisional | State::Settled => learn.learned,
            },
            port: known.remote.port,
            state: learn.state,
            before: learn.before,
        }
    }

    /// Unpacks it; `host` is where the SDP has its RTCP.
    pub(crate) fn unpack(&self, host: Endpoint) -> (Learn, Known) {
        let (learned, previous) = match self.state {
            State::Open => (Endpoint::NONE, self.source),
            State::Provisional | State::Settled => (self.source, Endpoint::NONE),
        };
        let remote = match self.port {
            0 => Endpoint::NONE,
            port => Endpoint { port, ..host },
        };
        let learn = Learn {
            learned,
            state: self.state,
            before: self.before,
        };
        let known = Known {
            previous,
            remote,
            deadline: self.deadline,
        };
        (learn, known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 3_000 << 20;
    const NEW: Source = Source::Latched { changed: true };
    const AGAIN: Source = Source::Latched { changed: false };

    fn at(last: u8) -> Endpoint {
        Endpoint::v4([192, 0, 2, last].into(), 4000)
    }

    /// A port, by coarse time.
    struct Port(Learn, Known);

    impl Port {
        fn new(remote: Endpoint, hint: Endpoint) -> Self {
            let (learn, known) = Learn::new(remote, hint, false);
            Self(learn, known)
        }

        fn hear(&mut self, now: u64, source: Endpoint) -> Source {
            self.0.hear(&mut self.1, now << 20, WINDOW, source)
        }

        fn reopen(&mut self, now: u64, remote: Endpoint) {
            self.0.reopen(&mut self.1, now << 20, WINDOW, remote, false);
        }

        fn destination(&self) -> Endpoint {
            self.0.destination(&self.1)
        }
    }

    fn sdp(last: u8) -> Port {
        Port::new(at(last), Endpoint::NONE)
    }

    #[test]
    fn before_anything_is_heard_the_hint_comes_before_the_sdp() {
        assert_eq!(
            Port::new(Endpoint::NONE, Endpoint::NONE).destination(),
            Endpoint::NONE
        );
        assert_eq!(sdp(9).destination(), at(9));
        assert_eq!(Port::new(at(9), at(8)).destination(), at(8));
    }

    #[test]
    fn the_first_source_latches_and_a_stranger_does_not_come_in() {
        let mut learn = sdp(9);
        assert_eq!(learn.hear(10, at(1)), NEW);
        assert_eq!(learn.hear(20, at(2)), Source::Stranger);
        assert_eq!(learn.hear(30, at(1)), Source::Known);
        assert_eq!(learn.destination(), at(1));
        // Another port of the same host is another source.
        let other = Endpoint {
            port: 4002,
            ..at(1)
        };
        assert_eq!(learn.hear(40, other), Source::Stranger);
    }

    #[test]
    fn the_address_in_the_sdp_takes_over_within_the_window_only() {
        let mut learn = sdp(9);
        learn.hear(10, at(1));
        assert_eq!(learn.hear(9 + 3_000, at(9)), NEW);
        assert_eq!(learn.hear(9 + 3_000, at(1)), Source::Stranger);
        let mut late = sdp(9);
        late.hear(10, at(1));
        assert_eq!(late.hear(10 + 3_000, at(9)), Source::Stranger);
        assert_eq!(late.hear(11 + 3_000, at(1)), Source::Known);
    }

    #[test]
    fn the_address_in_the_sdp_latches_for_good_at_once() {
        let mut learn = sdp(9);
        assert_eq!(learn.hear(10, at(9)), NEW);
        assert_eq!(learn.hear(11, at(1)), Source::Stranger);
    }

    #[test]
    fn new_sdp_is_preferred_and_the_source_before_still_heard() {
        let mut learn = sdp(1);
        learn.hear(10, at(1));
        learn.reopen(100, at(8));
        assert_eq!(learn.destination(), at(8));
        assert_eq!(learn.hear(110, at(1)), Source::Known);
        assert_eq!(learn.destination(), at(8));
        assert_eq!(learn.hear(120, at(5)), NEW);
        assert_eq!(learn.destination(), at(5));
        assert_eq!(learn.hear(130, at(6)), Source::Stranger);
        assert_eq!(learn.hear(140, at(1)), Source::Known);
        assert_eq!(learn.destination(), at(5));
        assert_eq!(learn.hear(150, at(8)), NEW);
        assert_eq!(learn.hear(160, at(1)), Source::Stranger);
        assert_eq!(learn.hear(170, at(5)), Source::Stranger);
    }

    #[test]
    fn a_provisional_source_settles_when_the_window_closes() {
        let mut learn = sdp(1);
        learn.hear(10, at(1));
        learn.reopen(100, at(8));
        learn.hear(120, at(5));
        // The window is that of the new SDP: it does not start again with the first packet.
        assert_eq!(learn.hear(100 + 3_000, at(8)), Source::Stranger);
        assert_eq!(learn.hear(101 + 3_000, at(1)), Source::Stranger);
        assert_eq!(learn.hear(102 + 3_000, at(5)), Source::Known);
    }

    #[test]
    fn without_another_the_source_before_latches_again() {
        let mut learn = sdp(1);
        learn.hear(10, at(1));
        learn.reopen(100, at(8));
        assert_eq!(learn.hear(99 + 3_000, at(1)), Source::Known);
        assert_eq!(learn.hear(100 + 3_000, at(1)), AGAIN);
        assert_eq!(learn.destination(), at(1));
        assert_eq!(learn.hear(101 + 3_000, at(8)), Source::Stranger);
    }

    #[test]
    fn whoever_speaks_first_after_a_silent_window_latches() {
        let mut learn = sdp(1);
        learn.hear(10, at(1));
        learn.reopen(100, at(8));
        let late = 100 + 6_000;
        assert_eq!(learn.hear(late, at(5)), NEW);
        assert_eq!(learn.hear(late + 1, at(8)), NEW);
    }

    #[test]
    fn the_same_sdp_again_keeps_sending_to_the_learned_source() {
        let mut learn = sdp(9);
        learn.hear(10, at(1));
        learn.reopen(100, at(9));
        assert_eq!(learn.destination(), at(1));
        assert_eq!(learn.0.latched(&learn.1), at(1).socket());
        assert_eq!(learn.hear(110, at(1)), AGAIN);
        assert_eq!(learn.hear(111, at(5)), Source::Stranger);
        // Twice in a row, and then another address.
        learn.reopen(120, at(9));
        assert_eq!(learn.destination(), at(1));
        learn.reopen(130, at(7));
        assert_eq!(learn.destination(), at(7));
        learn.reopen(140, at(7));
        assert_eq!(learn.destination(), at(7));
        assert_eq!(learn.hear(150, at(1)), Source::Known);
    }

    #[test]
    fn after_the_same_sdp_a_faster_stranger_gives_way() {
        let mut learn = sdp(9);
        learn.hear(10, at(1));
        learn.reopen(100, at(9));
        assert_eq!(learn.hear(110, at(5)), NEW);
        assert_eq!(learn.hear(111, at(1)), NEW);
        assert_eq!(learn.hear(112, at(5)), Source::Stranger);
    }

    #[test]
    fn a_hint_is_as_good_as_the_sdp_and_survives_a_stranger() {
        let mut learn = Port::new(at(9), at(8));
        assert_eq!(learn.hear(10, at(8)), AGAIN);
        assert_eq!(learn.hear(20, at(9)), Source::Stranger);
        let mut raced = Port::new(at(9), at(8));
        assert_eq!(raced.hear(10, at(1)), NEW);
        assert_eq!(raced.hear(20, at(8)), NEW);
        assert_eq!(raced.hear(30, at(1)), Source::Stranger);
    }

    #[test]
    fn sdp_without_an_address_leaves_the_destination() {
        let mut learn = sdp(1);
        learn.hear(10, at(1));
        learn.reopen(100, Endpoint::NONE);
        assert_eq!(learn.destination(), at(1));
    }

    #[test]
    fn a_strict_port_hears_the_sdp_alone() {
        let (mut learn, mut known) = Learn::new(at(9), at(8), true);
        let hear =
            |learn: &mut Learn, known: &mut Known, last| learn.hear(known, 10, WINDOW, at(last));
        assert_eq!(hear(&mut learn, &mut known, 1), Source::Stranger);
        assert_eq!(hear(&mut learn, &mut known, 8), Source::Stranger);
        assert_eq!(hear(&mut learn, &mut known, 9), Source::Known);
        assert_eq!(
            (learn.destination(&known), learn.latched(&known)),
            (at(9), None)
        );
        learn.reopen(&mut known, 20, WINDOW, at(7), true);
        assert_eq!(hear(&mut learn, &mut known, 9), Source::Stranger);
        assert_eq!(hear(&mut learn, &mut known, 7), Source::Known);
        learn.set_remote(&mut known, at(6), true);
        assert_eq!(hear(&mut learn, &mut known, 6), Source::Known);
        // Nobody is heard before the SDP is there, and the first one when learning is allowed.
        let (mut learn, mut known) = Learn::new(Endpoint::NONE, Endpoint::NONE, true);
        assert_eq!(hear(&mut learn, &mut known, 6), Source::Stranger);
        assert_eq!(learn.destination(&known), Endpoint::NONE);
        learn.reopen(&mut known, 30, WINDOW, at(6), false);
        assert_eq!(hear(&mut learn, &mut known, 1), NEW);
    }

    #[test]
    fn rtcps_port_comes_back_from_its_28_bytes() {
        let mut port = Port::new(at(9), at(8));
        for step in 0..5 {
            let packed = RtcpPort::pack(port.0, &port.1);
            let (learn, known) = packed.unpack(at(9));
            assert_eq!(
                format!("{learn:?} {known:?}"),
                format!("{:?} {:?}", port.0, port.1),
                "{step}"
            );
            match step {
                0 => assert_eq!(port.hear(10, at(8)), AGAIN),
                1 => port.reopen(100, at(9)),
                2 => assert_eq!(port.hear(200, at(8)), AGAIN),
                _ => {
                    port.hear(300, at(9));
                }
            }
        }
        assert_eq!(size_of::<RtcpPort>(), 28);
        // The SDP may have no address.
        let (learn, known) = Learn::new(Endpoint::NONE, Endpoint::NONE, false);
        let (_, known) = RtcpPort::pack(learn, &known).unpack(at(9));
        assert_eq!(known.remote(), Endpoint::NONE);
    }

    #[test]
    fn what_a_packet_needs_of_a_port_is_small() {
        assert_eq!((size_of::<Learn>(), size_of::<Known>()), (20, 40));
    }
}
