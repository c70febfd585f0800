//! One media line with its ports: what becomes a flow pair.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tandem_link::{Cookie, FlowId, FlowKind, FlowSpec, LegSpec};

use super::ports::{End, Ports};
use super::session::{MediaSettings, Party};
use super::terms::Terms;

/// One media line with its ports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) id: FlowId,
    pub(super) kind: FlowKind,
    /// The caller's and the callee's.
    pub(super) legs: [LegState; 2],
    /// Whether it is on hold, by what either party said.
    pub(super) held: bool,
    /// Whether its timeout was reported and no media came since.
    pub(super) idle: bool,
}

/// One leg of a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LegState {
    /// Our end.
    pub(super) end: End,
    /// Where the peer receives.
    remote: Option<SocketAddr>,
    remote_rtcp: Option<SocketAddr>,
    /// Whether the peer sends.
    sends: bool,
    /// Counts the reasons to learn the peer's source.
    learn: u32,
    latched: Option<SocketAddr>,
    latched_rtcp: Option<SocketAddr>,
}

impl Line {
    /// What the dataplane shall do. Before the call is answered there is no timeout: it may ring
    /// for longer.
    pub(super) fn spec(
        &self,
        cookie: Cookie,
        settings: MediaSettings,
        established: bool,
    ) -> FlowSpec {
        let [a, b] = &self.legs;
        FlowSpec {
            id: self.id,
            cookie,
            kind: self.kind,
            media: tandem_link::MediaKind::Audio,
            clock_rate: 0,
            a: a.spec(settings.dscp),
            b: b.spec(settings.dscp),
            timeout_s: if established {
                self.timeout_s(settings)
            } else {
                0
            },
            limit: tandem_link::RateLimit::default(),
        }
    }

    /// Brings it to what both parties say of it. Returns for how many legs learning reopened whose
    /// peer was known.
    pub(super) fn agree(
        &mut self,
        settings: MediaSettings,
        offerer: Party,
        [offer, answer]: [&Terms; 2],
        other_tag: bool,
    ) -> u32 {
        let before = (self.kind, self.timeout_s(settings));
        self.kind = answer.kind;
        self.held = offer.held || answer.held;
        if (self.kind, self.timeout_s(settings)) != before {
            // The dataplane begins to count anew, and will report it again.
            self.idle = false;
        }
        let mux = offer.mux && answer.mux;
        let mut reopened = 0;
        for (party, terms) in [(offerer, offer), (offerer.other(), answer)] {
            let other_tag = other_tag && party == Party::Callee;
            let leg = party.of_mut(&mut self.legs);
            let known = leg.learn > 0;
            reopened += u32::from(leg.apply(terms, mux, other_tag) && known);
        }
        reopened
    }

    fn timeout_s(&self, settings: MediaSettings) -> u32 {
        if self.held {
            settings.hold_timeout_s
        } else {
            settings.timeout_s
        }
    }

    /// Gives both pairs back.
    pub(super) fn free(&self, ports: &mut Ports) {
        for leg in &self.legs {
            ports.free(leg.end);
        }
    }
}

impl LegState {
    /// A leg whose peer is not known yet.
    pub(super) fn new(end: End) -> Self {
        Self {
            end,
            remote: None,
            remote_rtcp: None,
            sends: false,
            learn: 0,
            latched: None,
            latched_rtcp: None,
        }
    }

    /// Takes what the peer says. Learning reopens when its address changed, when another endpoint
    /// speaks now (`other_tag`), and when it begins to send again: a NAT between may have given it
    /// another port in the pause. Returns whether it reopened.
    pub(super) fn apply(&mut self, terms: &Terms, mux: bool, other_tag: bool) -> bool {
        let rtcp = if mux { terms.remote } else { terms.rtcp };
        let moved = terms.remote.is_some()
            && (terms.remote != self.remote || (!mux && rtcp != self.remote_rtcp));
        let reopen = moved || other_tag || (terms.sends && !self.sends);
        self.remote = terms.remote;
        self.remote_rtcp = rtcp;
        self.sends = terms.sends;
        if reopen {
            self.learn = self.learn.wrapping_add(1);
            self.latched = None;
            self.latched_rtcp = None;
        }
        reopen
    }

    /// Remembers a learned source.
    pub(super) fn latch(&mut self, rtcp: bool, source: SocketAddr) {
        let place = if rtcp {
            &mut self.latched_rtcp
        } else {
            &mut self.latched
        };
        *place = Some(source);
    }

    /// Whether our end is of the family of the peer's address.
    pub(super) fn reaches(&self, terms: &Terms) -> bool {
        terms
            .remote
            .is_none_or(|r| r.is_ipv4() == self.end.address.is_ipv4())
    }

    fn spec(&self, dscp: u8) -> LegSpec {
        LegSpec {
            realm: self.end.realm,
            local: self.end.address,
            port: self.end.port,
            remote: self.remote,
            remote_rtcp: self.remote_rtcp,
            latched: self.latched,
            latched_rtcp: self.latched_rtcp,
            learn: self.learn,
            dscp,
            strict: false,
            event_type: None,
        }
    }
}
