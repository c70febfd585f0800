//! Self-defence, as far as it is the core's: what is not heard, what is told of those who are not trusted, and what
//! is refused since it waited too long.
//!
//! The core does not count what a source does: with several workers each of them sees a part of it. It
//! says what it saw ([`crate::Output::Sight`]), and is told whom to hear no more
//! ([`crate::Input::Block`]). Nobody of the inside is watched, nor who may call, nor, before
//! the tables were read, anybody.

use std::net::IpAddr;
use std::time::Duration;

use tandem_policy::defence::{Admission, Block, Caller, Reason, Sight, Source};

use tandem_transaction::{Method, ServerKey};

use super::Core;
use super::reply::Answer;
use super::request::Arrival;
use crate::config::Side;
use crate::counters::Counter;
use crate::io::{Now, Output};
use crate::message::{Message, Name, Skeleton, has_user, skeleton};
use crate::record::Hop;
use crate::text::push_number;

impl Core {
    /// Whether a message of this source is looked at.
    pub(super) fn is_heard(&mut self, now: Now, hop: Hop) -> bool {
        if !self.blocks.contains(now.mono, hop.peer.ip()) || self.is_trusted(hop) {
            return true;
        }
        self.counters.add(Counter::BlockedDropped);
        false
    }

    /// Tells what a source did, if it is watched.
    pub(super) fn saw(&mut self, hop: Hop, sight: Sight) {
        if self.config.guard.watch && !self.is_trusted(hop) {
            self.counters.add(match sight {
                Sight::Request => Counter::WatchedRequests,
                Sight::Failure => Counter::WatchedFailures,
                Sight::Scanner => Counter::WatchedScanners,
            });
            let ip = hop.peer.ip();
            self.outputs.push_back(Output::Sight { ip, sight });
        }
    }

    /// Looks at what a request's sender calls itself.
    pub(super) fn look_for_scanner(&mut self, hop: Hop, message: &Message<'_>) {
        let guard = &self.config.guard;
        // None says it twice; a scanner may.
        if guard.watch
            && message
                .fields()
                .any(|(name, _, value)| name == Name::UserAgent && guard.scanners.is_one(value))
        {
            self.saw(hop, Sight::Scanner);
        }
    }

    fn caller(&self, hop: Hop) -> Caller {
        if self.is_trusted(hop) {
            Caller::Trusted
        } else {
            Caller::Stranger
        }
    }

    fn is_trusted(&self, hop: Hop) -> bool {
        !self.has_tables
            || self.config.side(hop.path) != Some(Side::External)
            || self.trusts(hop.peer.ip())
    }

    /// Whether nothing of self-defence holds for an address: who may call from the carrier side, and
    /// the networks that the configuration trusts.
    #[must_use]
    pub fn trusts(&self, ip: IpAddr) -> bool {
        let routing = &self.config.routing;
        self.config.guard.trusted.contains(ip)
            || self.access.has(routing.carrier_group, ip)
            || self.is_target(Side::External, ip)
            || self.is_of_trunk(ip)
            || self.former.iter().any(|former| {
                let is_member = |set: &u32| self.dispatcher.is_member(*set, ip);
                self.access.has(former.carrier_group, ip) || former.outer.iter().any(is_member)
            })
    }

    /// Another number than before whenever [`Self::trusted`] may say something else.
    #[must_use]
    pub fn trust_version(&self) -> u64 {
        self.trust_version
    }

    /// Whose SIP is to be heard before that of others: everybody of whom [`Self::trusts`] says yes, and the inside's targets. By
    /// an address and the length of the prefix, sorted. None before the tables were read.
    #[must_use]
    pub fn trusted(&self) -> Option<Vec<(IpAddr, u8)>> {
        if !self.has_tables {
            return None;
        }
        let group = self.config.routing.carrier_group;
        let former = self.former.iter().flat_map(|f| {
            let sets = f.outer.iter().flat_map(|set| self.dispatcher.members(*set));
            let addresses = sets.flat_map(tandem_policy::Target::addresses);
            let hosts = addresses.map(|a| host(a.ip()));
            self.access.members(f.carrier_group).chain(hosts)
        });
        let trunks = &self.config.routing.plan.trunks;
        let mut all: Vec<(IpAddr, u8)> = self
            .config
            .guard
            .trusted
            .iter()
            .chain(trunks.iter().flat_map(|trunk| trunk.networks.iter()))
            .chain(self.access.members(group))
            .chain(self.neighbours.addresses().map(host))
            .chain(former)
            .collect();
        all.sort_unstable();
        all.dedup();
        Some(all)
    }

    pub(super) fn block(&mut self, now: Now, source: Source, left: Duration) {
        let block = Block {
            reason: Reason::Earlier,
            until: now.mono.saturating_add(left),
        };
        self.blocks.insert(now.mono, source, block);
    }

    /// The tables have changed: who is trusted now is blocked no more, whatever it did.
    pub(super) fn pardon(&mut self, now: Now) {
        let blocked: Vec<Source> = self
            .blocks
            .iter(now.mono)
            .map(|(source, _)| source)
            .collect();
        for source in blocked {
            if self.trusts(source.prefix().0) {
                self.outputs.push_back(Output::Pardon(source));
            }
        }
    }

    /// Under overload, a call that is to be refused is refused before it is read as a whole, and the ACK of
    /// a refusal is dropped: both together cost so little that five times as many calls as can be
    /// served hardly take time from those that are. All others are left to [`Self::is_overload`].
    pub(super) fn is_turned_away(
        &mut self,
        now: Now,
        hop: Hop,
        waited: Duration,
        bytes: &[u8],
    ) -> bool {
        let is_ack = bytes.starts_with(b"ACK ") && !self.turned_away.is_empty();
        let is_late = bytes.starts_with(b"INVITE ")
            && self.overload.is_overloaded()
            && self.overload.refuses(now.mono, self.caller(hop), waited);
        if !is_ack && !is_late {
            return false;
        }
        let Ok(message) = tandem_sip::Message::parse(bytes) else {
            return false;
        };
        let Some(via) = message.top_via() else {
            return false;
        };
        let branch = via.branch().unwrap_or_default();
        let key = [branch, via.sent_by];
        if is_ack {
            let is_ours = self.turned_away.contains(now.mono, &key);
            if is_ours {
                self.counters.add(Counter::AcksUnmatched);
            }
            return is_ours;
        }
        let request = skeleton(&message);
        let known = || ServerKey {
            branch,
            sent_by: via.sent_by,
            method: Method::Invite,
        };
        let uri = message.request_uri().unwrap_or_default();
        if !branch.starts_with(b"z9hG4bK")
            || !request.is_whole()
            || request.has_to_tag
            || self.config.guard.emergency.is_one(uri)
            || self.layer.knows(&known())
        {
            return false;
        }
        let admission = self.overload.admit(now.mono, self.caller(hop), waited);
        let Admission::Refuse { retry_after } = admission else {
            return false;
        };
        self.counters.add(Counter::RequestsReceived);
        self.turn_away(now, hop, &key, &request, retry_after);
        true
    }

    /// Whether a new request is refused since it waited too long, or a copy of it was. Then it was
    /// answered.
    pub(super) fn is_overload(&mut self, now: Now, arrival: Arrival<'_, '_>) -> bool {
        let message = arrival.message;
        let key = [message.branch(), message.via().sent_by];
        let again = self.turned_away.contains(now.mono, &key);
        if !message.to_tag().is_empty()
            || matches!(
                message.method(),
                b"ACK" | b"BYE" | b"CANCEL" | b"PRACK" | b"UPDATE"
            )
            || is_probe(message)
            || self.config.guard.emergency.is_one(message.uri())
        {
            return false;
        }
        let caller = self.caller(arrival.hop);
        if !again && !self.overload.is_overloaded() {
            self.overload.served(now.mono, caller);
            return false;
        }
        let retry_after = match self.overload.admit(now.mono, caller, arrival.waited) {
            Admission::Refuse { retry_after } => retry_after,
            Admission::Serve if again => self.config.guard.overload.retry_after,
            Admission::Serve => return false,
        };
        self.turn_away(now, arrival.hop, &key, &message.skeleton(), retry_after);
        true
    }

    /// Refuses a request without a transaction. The answer has nothing in it but what its receiver
    /// wrote: there is nothing to hide.
    fn turn_away(
        &mut self,
        now: Now,
        hop: Hop,
        key: &[&[u8]],
        request: &Skeleton<'_>,
        retry_after: u32,
    ) {
        self.counters.add(Counter::OverloadRefused);
        self.turned_away.insert(now.mono, key);
        let mut seconds = Vec::new();
        push_number(&mut seconds, retry_after.into());
        let answer = Answer::unavailable().with("Retry-After", &seconds);
        self.echo_to(hop, request, &answer);
    }
}

/// One address alone.
fn host(ip: IpAddr) -> (IpAddr, u8) {
    let ip = ip.to_canonical();
    (ip, if ip.is_ipv4() { 32 } else { 128 })
}

/// OPTIONS to ourselves: answering them costs no more than refusing them, and tells that we live.
fn is_probe(message: &Message<'_>) -> bool {
    message.method() == b"OPTIONS" && !has_user(message.uri())
}
