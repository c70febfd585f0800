//! Whose turn it is among the carriers of a call, what they may carry, and what they are told.

use std::sync::Arc;

use tandem_policy::routing::{Asserted, HeaderName, Limit, Over, Purpose, Rewrite, Trunk, Usage};
use tandem_sip::{NameAddr, Uri};

use super::Core;
use super::request::Arrival;
use crate::counters::Counter;
use crate::edits::Edits;
use crate::io::Now;
use crate::message::Message;
use crate::record::{Admission, Record};

/// P-Asserted-Identity (RFC 3325).
const ASSERTED: &str = "P-Asserted-Identity";

/// What a trunk is told of a call.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The user part of the Request-URI; none for the one that is asked for.
    pub(super) called: Option<Vec<u8>>,
    /// The value of From; none for the caller's.
    pub(super) from: Option<Vec<u8>>,
    /// Headers.
    pub(super) edits: Edits,
}

impl Core {
    /// The next carrier that may have the call, if there is one: its targets are in the call's `sets` then.
    pub(super) fn next_carrier(&mut self, now: Now, key: u64, invite: &Message<'_>) -> bool {
        loop {
            self.leave_trunk(key);
            let Some(trunk) = self.setup_mut(key).and_then(|s| s.carriers.pop_front()) else {
                return false;
            };
            let limit = self.limit_for(invite, trunk.outgoing.limit);
            if let Err(over) = trunk.outgoing.usage.take(now.mono, limit) {
                self.counters.add(match over {
                    Over::Calls => Counter::TrunksFull,
                    Over::Rate => Counter::TrunksTooFast,
                });
                continue;
            }
            let Some(call) = self.calls.get_mut(&key) else {
                trunk.outgoing.usage.give_back();
                return false;
            };
            call.record.admitted.push(Admission {
                purpose: Purpose::TrunkOut,
                name: trunk.name.clone(),
            });
            call.record.trunk.clone_from(&trunk.name);
            let hop = call.record.caller.hop;
            let arrival = Arrival {
                message: invite,
                hop,
                waited: std::time::Duration::ZERO,
            };
            let candidates = self.candidates(now, trunk.set, arrival);
            if candidates.is_empty() {
                self.counters.add(Counter::TrunksDown);
                continue;
            }
            if let Some(setup) = self.setup_mut(key) {
                setup.sets = candidates.into_iter().map(|c| vec![c]).collect();
                if setup.trunk.replace(trunk).is_some() {
                    self.counters.add(Counter::CarriersPassedOver);
                }
            }
            return true;
        }
    }

    /// The call does not go out by its trunk (any more).
    fn leave_trunk(&mut self, key: u64) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let is_out = |admission: &Admission| admission.purpose == Purpose::TrunkOut;
        let (out, rest) = std::mem::take(&mut call.record.admitted)
            .into_iter()
            .partition(is_out);
        call.record.admitted = rest;
        self.give_back(out);
    }

    /// A new call falls under these limits.
    ///
    /// # Errors
    /// The first one that stands against it; nothing is taken then.
    pub(super) fn admit(
        &mut self,
        now: Now,
        key: u64,
        invite: &Message<'_>,
        limits: Vec<Admission>,
    ) -> Result<(), Counter> {
        let plan = Arc::clone(&self.config.routing.plan);
        let mut taken: Vec<Admission> = Vec::new();
        for admission in limits {
            let Some(limit) = plan.limit(admission.purpose, &admission.name) else {
                continue;
            };
            let limit = self.limit_for(invite, limit);
            if let Err(over) = self.usage(&admission).take(now.mono, limit) {
                self.give_back(taken);
                return Err(match (admission.purpose, over) {
                    (Purpose::Tenant, Over::Calls) => Counter::TenantsFull,
                    (Purpose::Tenant, Over::Rate) => Counter::TenantsTooFast,
                    (_, Over::Calls) => Counter::TrunksInFull,
                    (_, Over::Rate) => Counter::TrunksInTooFast,
                });
            }
            taken.push(admission);
        }
        match self.calls.get_mut(&key) {
            Some(call) => call.record.admitted = taken,
            None => self.give_back(taken),
        }
        Ok(())
    }

    /// A limit, as far as it holds for a call: who calls for help is counted, and never refused.
    fn limit_for(&self, invite: &Message<'_>, limit: Limit) -> Limit {
        if self.config.guard.emergency.is_one(invite.uri()) {
            Limit::default()
        } else {
            limit
        }
    }

    /// A call from a life before counts under the limits that it came under.
    pub(super) fn admit_again(&self, record: &Record) {
        for admission in &record.admitted {
            self.usage(admission).hold();
        }
    }

    /// A call that ends falls under no limits any more.
    pub(super) fn release_limits(&mut self, key: u64) {
        if let Some(call) = self.calls.get_mut(&key) {
            let admitted = std::mem::take(&mut call.record.admitted);
            self.give_back(admitted);
        }
    }

    /// These limits count a call less.
    pub(super) fn give_back(&self, admitted: Vec<Admission>) {
        for admission in admitted {
            self.usage(&admission).give_back();
        }
    }

    fn usage(&self, admission: &Admission) -> Arc<Usage> {
        let usages = &self.config.routing.plan.usages;
        usages.of(admission.purpose, &admission.name)
    }

    /// What a trunk is told of a call whose INVITE came from the inside.
    pub(super) fn told_to(trunk: &Trunk, invite: &Message<'_>) -> Told {
        let asked = Uri::parse(invite.uri()).map(|uri| bare(uri.user));
        let mut told = Told {
            called: Rewrite::first(&trunk.called, asked.unwrap_or_default()),
            ..Told::default()
        };
        let identity = &trunk.identity;
        let caller = Uri::parse(invite.uri_of_from());
        let user = caller
            .as_ref()
            .map(|uri| bare(uri.user))
            .unwrap_or_default();
        let anonymous = is_anonymous(invite.uri_of_from());
        let number = match &identity.caller_id {
            Some(number) => Some(number.as_bytes().to_vec()),
            None => Rewrite::first(&identity.calling, user),
        };
        // Who wants to stay unknown (RFC 3323) is not made known by us.
        if identity.changes_from() && !anonymous {
            let is_other = identity.caller_id.is_some();
            let host = identity.from_domain.as_deref();
            told.from = shown_from(invite, is_other, number.as_deref(), host);
        }
        match identity.asserted {
            Asserted::Pass => {}
            Asserted::Remove => told.edits.remove(HeaderName(ASSERTED.into())),
            Asserted::Set => {
                let theirs = invite
                    .fields()
                    .find(|(_, name, _)| name.eq_ignore_ascii_case(ASSERTED.as_bytes()))
                    .and_then(|(_, _, value)| NameAddr::parse(value))
                    .map(|parts| parts.uri);
                // A media server says in From what may be shown, and here who it is.
                let known = match theirs {
                    Some(uri) => Uri::parse(uri).map(|uri| bare(uri.user).to_vec()),
                    None if anonymous => None,
                    None => Some(user.to_vec()),
                };
                let known = known.filter(|known| !known.is_empty());
                let user = match (&identity.caller_id, known) {
                    (Some(number), _) => Some(number.as_bytes().to_vec()),
                    (None, Some(known)) => {
                        Some(Rewrite::first(&identity.calling, &known).unwrap_or(known))
                    }
                    (None, None) => None,
                };
                told.edits.remove(HeaderName(ASSERTED.into()));
                if let Some(user) = user {
                    let host = host_of(identity.from_domain.as_deref(), theirs, invite);
                    let value = [b"<sip:", user.as_slice(), b"@", &host, b">"].concat();
                    told.edits.add(ASSERTED, &value);
                }
            }
        }
        told
    }
}

/// The value of From with another user, another host, or both. The display name of who is another one does not stay.
fn shown_from(
    invite: &Message<'_>,
    is_other: bool,
    user: Option<&[u8]>,
    host: Option<&str>,
) -> Option<Vec<u8>> {
    let value = invite.value_of_from();
    let parts = NameAddr::parse(value)?;
    let uri = Uri::parse(parts.uri)?;
    let user = user.unwrap_or(uri.user);
    let mut shown = Vec::with_capacity(value.len() + 32);
    if !is_other && !parts.display.is_empty() {
        shown.extend_from_slice(parts.display);
        shown.push(b' ');
    }
    shown.extend_from_slice(b"<sip:");
    if !user.is_empty() {
        shown.extend_from_slice(user);
        shown.push(b'@');
    }
    shown.extend_from_slice(&host_of(host, Some(parts.uri), invite));
    shown.push(b'>');
    shown.extend_from_slice(b";tag=");
    shown.extend_from_slice(invite.tag_of_from());
    Some(shown)
}

/// The host that is shown: the configured one, else that of a URI, with its port.
fn host_of(host: Option<&str>, uri: Option<&[u8]>, invite: &Message<'_>) -> Vec<u8> {
    if let Some(host) = host {
        return host.as_bytes().to_vec();
    }
    let uri = uri.unwrap_or_else(|| invite.uri_of_from());
    let rest = uri.splitn(2, |c| *c == b':').nth(1).unwrap_or_default();
    let rest = rest.splitn(2, |c| *c == b'@').last().unwrap_or_default();
    let end = rest.iter().position(|c| matches!(c, b';' | b'?'));
    let host = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    if host.is_empty() {
        b"anonymous.invalid".to_vec()
    } else {
        host.to_vec()
    }
}

/// Whether a URI is that of somebody who wants to stay unknown (RFC 3323 section 4.1.1.3).
fn is_anonymous(uri: &[u8]) -> bool {
    let Some(parsed) = Uri::parse(uri) else {
        return false;
    };
    parsed.user.eq_ignore_ascii_case(b"anonymous")
        || memchr::memmem::find(&uri.to_ascii_lowercase(), b"@anonymous.invalid").is_some()
}

/// A user part without its parameters.
fn bare(user: &[u8]) -> &[u8] {
    user.split(|c| *c == b';').next().unwrap_or_default()
}
