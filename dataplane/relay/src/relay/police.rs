//! SIP on its way to the signaling plane, and what that says of its sources.

use std::net::IpAddr;

use tandem_link::{CommandError, PoliceLimits, PoliceReport, SourceClass};
use tandem_wire::sip::{First, first};

use super::{Look, Relay};
use crate::classify::Datagram;
use crate::counters::Counter;
use crate::police::source::Source;
use crate::{Frame, SipMeta, TrustedNetworks, Verdict};

impl Look {
    /// Whether the frame is for a media port, as far as that is seen at once. All else can wait until the media of its burst is
    /// sent.
    #[inline]
    #[must_use]
    pub fn is_media(&self) -> bool {
        self.entry.is_some() || self.ip != 0
    }
}

impl Relay {
    /// A datagram for a SIP address. What costs least is asked first, its checksum last: a flood should cost as little as
    /// can be.
    #[inline]
    pub(super) fn sip(
        &mut self,
        now: u64,
        frame: &Frame<'_>,
        datagram: &Datagram,
    ) -> Result<Verdict, Counter> {
        let payload = datagram.payload();
        let bytes = frame.bytes().get(payload.clone()).unwrap_or_default();
        if first(bytes) == First::Garbage {
            return Err(Counter::of(|c| &mut c.drop_sip_garbage));
        }
        datagram.check_source()?;
        let sender = Source::new(self.seed, datagram.source.address);
        if self.blocked.contains(now, &sender) {
            return Err(Counter::of(|c| &mut c.drop_blocked));
        }
        let class = self.police.pass(now, datagram.realm, &sender)?;
        datagram.verify(frame.received(), frame.bytes())?;
        let bad_source = Counter::of(|c| &mut c.drop_bad_source);
        let source = datagram.source.socket().ok_or(bad_source)?;
        let local = datagram.local.socket().ok_or(bad_source)?;
        self.counters.sip += 1;
        *match class {
            SourceClass::Trusted => &mut self.counters.sip_trusted,
            SourceClass::Registered => &mut self.counters.sip_registered,
            SourceClass::Unknown => &mut self.counters.sip_unknown,
        } += 1;
        Ok(Verdict::Sip(SipMeta {
            realm: datagram.realm,
            source,
            class,
            local,
            payload: frame.start() + payload.start..frame.start() + payload.end,
        }))
    }

    /// Drops SIP from a source until then: an address, or of an IPv6 address the /64 that it is in.
    ///
    /// # Errors
    /// As many are blocked as can be ([`crate::BLOCKED`]).
    pub fn block(&mut self, now: u64, source: IpAddr, until: u64) -> Result<(), CommandError> {
        if self.blocked.insert(now, source, until) {
            Ok(())
        } else {
            Err(CommandError::BlockedFull)
        }
    }

    /// Hears a source again.
    pub fn unblock(&mut self, source: IpAddr) {
        self.blocked.remove(source);
    }

    /// Lets so much SIP through from now on.
    pub fn police(&mut self, limits: &PoliceLimits) {
        self.police.set_limits(limits);
    }

    /// A source has this class, by the full set with this number or since: a trusted one until a full set leaves it out, a
    /// registered one until then. Unknown takes a registration away.
    ///
    /// # Errors
    /// As many have it as can be: this source stays what it was.
    pub fn classify(
        &mut self,
        source: IpAddr,
        class: SourceClass,
        until: u64,
        generation: u16,
    ) -> Result<(), CommandError> {
        let source = Source::of(self.seed, source);
        if self.police.classify(&source, class, until, generation) {
            Ok(())
        } else {
            self.counters.police_full += 1;
            Err(CommandError::SourcesFull)
        }
    }

    /// The full set with this number is complete: trusted are those that it named, and these networks. Gives back what is to be
    /// freed elsewhere.
    pub fn classify_done(
        &mut self,
        generation: u16,
        networks: Box<TrustedNetworks>,
    ) -> Box<TrustedNetworks> {
        self.police.classified(generation, networks)
    }

    /// How SIP is policed, and what is known of a source.
    pub fn police_report(&mut self, now: u64, source: Option<IpAddr>) -> PoliceReport {
        let source = source.map(|ip| Source::of(self.seed, ip));
        let asked = source
            .as_ref()
            .map(|source| (source, self.blocked.contains(now, source)));
        self.police.report(now, asked)
    }
}
