//! REGISTER: to the registrars inside, with a Path that leads back (RFC 3327, RFC 5626 section 5.1).
//!
//! User agents are strangers: the address table does not know them. It is the registrar that
//! authenticates them, so challenges and credentials pass byte for byte, and so do Contacts. The
//! Path has the way that the REGISTER came by, so a Contact behind a NAT does no harm.
//!
//! Of the answer, Path and Service-Route show the inside: of Path the part that the REGISTER had itself
//! goes back, of Service-Route nothing. A user agent sends all its requests to us anyway.

use std::net::IpAddr;

use tandem_policy::defence::Sight;
use tandem_sip::NameAddr;
use tandem_transaction::{ServerId, ServerKey};

use super::Core;
use super::invite::Decision;
use super::reply::Answer;
use super::request::Arrival;
use crate::compose;
use crate::config::Side;
use crate::counters::Counter;
use crate::hiding::{Flow, Scrub};
use crate::io::Now;
use crate::message::{self, Message, Name};
use crate::record::Hop;

impl Core {
    /// A REGISTER from outside; without a registrar, or from the inside, nobody may.
    pub(super) fn register(
        &mut self,
        now: Now,
        arrival: Arrival<'_, '_>,
        server_key: ServerKey<'_>,
    ) {
        if let Some(domain) = self.own_domain(arrival.message.uri()) {
            return self.register_here(now, arrival, server_key, &domain);
        }
        let from_outside = self.config.side(arrival.hop.path) == Some(Side::External);
        let set = self.config.routing.registrar_set;
        let set = set.filter(|_| from_outside && self.config.hiding.keys.is_some());
        let Some(set) = set else {
            return self.not_allowed(arrival);
        };
        if !self.may_pass(arrival) {
            return;
        }
        if !self.has_tables {
            return self.too_early(now, arrival, server_key);
        }
        // Anybody may send one, from any address that he writes onto it: without state, and cheaply.
        if self.passages.len() >= self.config.nat.max_registering {
            self.counters.add(Counter::RegistersOverLimit);
            let answer = Answer::unavailable().with("Retry-After", b"30");
            return self.reply(arrival, &answer);
        }
        let decision = Decision::register(set);
        let ruled = self.ask_rules(arrival, decision);
        self.note_rules(&ruled);
        if let Some(no) = Self::refused_by_rule(&ruled) {
            self.counters.add(no.counter);
            return self.reply(arrival, &no.answer);
        }
        self.counters.add(Counter::Registers);
        let hop = Hop {
            flow: true,
            ..arrival.hop
        };
        let candidates = self.candidates(now, set, arrival);
        self.begin_passage(
            now,
            Arrival { hop, ..arrival },
            server_key,
            candidates,
            ruled.edits,
        );
    }

    /// Our header lines in a REGISTER that came by one hop and goes on by the other.
    pub(super) fn register_head(&self, message: &Message<'_>, came: Hop, to: Hop) -> Vec<u8> {
        let mut head = Vec::new();
        let supports = |option| message.has_token(Name::Supported, option);
        let has_path = supports("path");
        let keys = self.config.hiding.keys.as_ref();
        let token = keys.and_then(|keys| keys.seal_flow(&Flow::of(came)));
        let Some(token) = token.filter(|_| has_path || self.config.nat.path_always) else {
            return head;
        };
        // RFC 5626 section 5.1: only the first proxy knows the flow.
        let first = message.count(Name::Via) == 1;
        let contacts = message.list(Name::Contact);
        let mut contacts = contacts.iter().filter_map(|c| NameAddr::parse(c));
        let ob = first && supports("outbound") && contacts.any(|c| c.parameter("reg-id").is_some());
        let transport = self.config.transport(to.path);
        head.extend_from_slice(b"Path: ");
        head.extend_from_slice(&compose::path(&token, transport, to.local, ob));
        head.extend_from_slice(b"\r\n");
        // A registrar may refuse a Path that the user agent does not understand (section 5.3). It never
        // gets to see this one: we take it out of the answer.
        if !has_path {
            head.extend_from_slice(b"Supported: path\r\n");
        }
        head
    }

    /// The registrar's answer, on its way back.
    pub(super) fn register_response(&mut self, now: Now, server: ServerId, message: &Message<'_>) {
        let code = message.code();
        let Some(passage) = self.passages.get(&server) else {
            return;
        };
        let (bytes, came, mut head) = (passage.request.clone(), passage.came, passage.vias.clone());
        let Ok(request) = Message::read(&bytes) else {
            return;
        };
        let accepted = (200..300).contains(&code);
        if code >= 200 {
            self.counters.add(if accepted {
                Counter::RegistersAccepted
            } else {
                Counter::RegistersRefused
            });
        }
        if is_failed_attempt(&request, message) {
            self.saw(came, Sight::Failure);
        }
        let is_service = |f: (Name, &[u8], &[u8])| f.1.eq_ignore_ascii_case(b"Service-Route");
        if message.fields().any(is_service) {
            self.counters.add(Counter::ServiceRoutesDropped);
        }
        if accepted {
            self.registered_contacts(&request, message, came, &mut head);
            for path in request.list(Name::Path) {
                push_line(&mut head, b"Path", path);
            }
            self.learn(now, &request, message, came);
        }
        let bytes = compose::registered(message, &head);
        self.layer.respond(now.mono, server, code, bytes.into());
        self.flush();
    }

    /// The Contacts of a registrar's answer. Those of the REGISTER itself go back as they are; others of
    /// the same user must not show the inside.
    fn registered_contacts(
        &self,
        request: &Message<'_>,
        response: &Message<'_>,
        came: Hop,
        head: &mut Vec<u8>,
    ) {
        let own = request.list(Name::Contact);
        let is_known = |ip: IpAddr| self.is_inside(came, ip, false);
        let scrub = Scrub {
            is_inside: &is_known,
            domains: &self.config.hiding.domains,
            shown: came.local,
            is_sdp: false,
        };
        for contact in response.list(Name::Contact) {
            let is_own = own.iter().any(|own| message::is_same_contact(own, contact));
            let shown = (self.config.hiding.enabled && !is_own)
                .then(|| scrub.apply(contact))
                .flatten();
            push_line(head, b"Contact", shown.as_deref().unwrap_or(contact));
        }
    }

    /// Whether a URI names this appliance, as the carrier side knows it.
    pub(super) fn names_us(&self, uri: &[u8]) -> bool {
        message::address_of(uri).is_some_and(|a| self.config.is_at(Side::External, a.ip()))
    }
}

/// Whether somebody tried credentials that are no good, or a user that the registrar does not want. The
/// first challenge is no failure, nor is a nonce that has become too old.
fn is_failed_attempt(request: &Message<'_>, response: &Message<'_>) -> bool {
    let tried = |name| request.first(name).is_some();
    let stale = |name| {
        let challenge = response
            .first(name)
            .unwrap_or_default()
            .to_ascii_lowercase();
        memchr::memmem::find(&challenge, b"stale=true").is_some()
    };
    match response.code() {
        401 => tried(Name::Authorization) && !stale(Name::WwwAuthenticate),
        407 => tried(Name::ProxyAuthorization) && !stale(Name::ProxyAuthenticate),
        403 | 404 => true,
        _ => false,
    }
}

fn push_line(head: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        head.extend_from_slice(part);
    }
}
