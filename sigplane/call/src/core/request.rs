//! Sorts what comes in.

use std::time::Duration;

use tandem_policy::defence::Sight;
use tandem_transaction::{Method, Received, ServerKey};

use super::Core;
use super::edge::Inward;
use super::reply::{Answer, via_block};
use crate::compose::ALLOW;
use crate::counters::Counter;
use crate::io::Now;
use crate::message::{self, Message, Name, Unreadable};
use crate::record::Hop;

/// A request, and how it came.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'m, 'a> {
    pub(super) message: &'m Message<'a>,
    pub(super) hop: Hop,
    /// How long it has waited for us.
    pub(super) waited: Duration,
}

impl Core {
    pub(super) fn message(&mut self, now: Now, hop: Hop, waited: Duration, bytes: &[u8]) {
        if self.config.side(hop.path).is_none() {
            self.counters.add(Counter::UnknownPath);
            return;
        }
        // RFC 5626 section 3.5.1, and the single zero that some devices send.
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) {
            self.counters.add(Counter::Keepalives);
            return;
        }
        if !self.is_heard(now, hop) {
            return;
        }
        if !bytes.starts_with(b"SIP/2.0 ") {
            self.saw(hop, Sight::Request);
        }
        if self.is_too_long(hop, bytes) {
            return;
        }
        if self.is_turned_away(now, hop, waited, bytes) {
            return;
        }
        let (bytes, hop) = match self.inward(hop, bytes) {
            Inward::Read(bytes, hidden) => (bytes, Hop { hidden, ..hop }),
            Inward::Forged => return self.forged(hop, bytes),
        };
        let bytes = &*bytes;
        match Message::read(bytes) {
            Ok(message) if message.is_request() => {
                self.counters.add(Counter::RequestsReceived);
                if self.has_too_many_headers(hop, &message) || self.has_too_many_vias(hop, &message)
                {
                    return;
                }
                self.look_for_scanner(hop, &message);
                let message = &message;
                let arrival = Arrival {
                    message,
                    hop,
                    waited,
                };
                self.request(now, arrival, bytes);
            }
            Ok(message) => {
                self.counters.add(Counter::ResponsesReceived);
                if !self.has_too_many_headers(hop, &message) {
                    self.response(now, hop, &message);
                }
            }
            Err(Unreadable::NotSip(counter)) => {
                self.counters.add(Counter::NotSip);
                self.counters.add_named(counter);
            }
            Err(Unreadable::Response) => self.counters.add(Counter::MalformedResponses),
            Err(Unreadable::Version) => {
                self.counters.add(Counter::VersionNotSupported);
                self.refuse(hop, bytes, &Answer::new(505, "Version Not Supported"));
            }
            Err(Unreadable::TooManyHeaders) => self.too_many_headers(hop, bytes),
            Err(Unreadable::Ack) => self.counters.add(Counter::MalformedAcks),
            Err(Unreadable::Request(reason)) => {
                self.counters.add(Counter::MalformedRequests);
                self.refuse(hop, bytes, &Answer::new(400, &reason));
            }
        }
    }

    /// Its Call-ID pretends to be a token of ours: no call can be meant.
    fn forged(&mut self, hop: Hop, bytes: &[u8]) {
        self.saw(hop, Sight::Failure);
        let Ok(message) = Message::read(bytes) else {
            return;
        };
        if message.is_request() && message.method() != b"ACK" {
            let answer = if message.to_tag().is_empty() {
                Answer::new(403, "Forbidden")
            } else {
                Answer::no_such_dialog()
            };
            self.reply_to(hop, &message.skeleton(), &answer);
        }
    }

    pub(super) fn request(&mut self, now: Now, arrival: Arrival<'_, '_>, bytes: &[u8]) {
        let message = arrival.message;
        let key = server_key(message);
        if message.method() == b"CANCEL" {
            return self.cancel(now, arrival, &key);
        }
        let is_ack = message.method() == b"ACK";
        match self.layer.receive(now.mono, &key, is_ack) {
            Received::Repeated => return self.counters.add(Counter::RequestsAbsorbed),
            Received::Acknowledged => return,
            Received::New => {}
        }
        if self.is_overload(now, arrival) {
            return;
        }
        if is_ack {
            self.ack(now, arrival);
        } else if !message.to_tag().is_empty() {
            self.in_dialog(now, arrival, key);
        } else if !message::is_known_scheme(message.uri()) {
            self.counters.add(Counter::SchemeUnsupported);
            self.reply(arrival, &Answer::new(416, "Unsupported URI Scheme"));
        } else if message.method() == b"INVITE" {
            self.invite(now, arrival, key, bytes);
        } else {
            self.out_of_dialog(now, arrival, key);
        }
    }

    /// A request outside of any dialog, but no INVITE.
    fn out_of_dialog(&mut self, now: Now, arrival: Arrival<'_, '_>, key: ServerKey<'_>) {
        let message = arrival.message;
        match message.method() {
            // Without a user, it is for ourselves.
            b"OPTIONS" if !message::has_user(message.uri()) => {
                let unknown = message.list(Name::Require);
                if unknown.is_empty() {
                    self.counters.add(Counter::OptionsAnswered);
                    let answer = Answer::new(200, "OK")
                        .with("Allow", ALLOW.as_bytes())
                        .with("Accept", b"application/sdp")
                        .with("Supported", b"100rel, timer, replaces");
                    self.reply(arrival, &answer);
                } else {
                    self.bad_extension(arrival, &unknown);
                }
            }
            b"BYE" => {
                self.counters.add(Counter::NoSuchDialog);
                self.reply(arrival, &Answer::no_such_dialog());
            }
            b"REGISTER" => self.register(now, arrival, key),
            b"PRACK" | b"UPDATE" => {
                self.not_allowed(arrival);
            }
            _ => self.pass(now, arrival, key),
        }
    }

    pub(super) fn not_allowed(&mut self, arrival: Arrival<'_, '_>) {
        self.counters.add(Counter::MethodNotAllowed);
        let answer = Answer::new(405, "Method Not Allowed").with("Allow", ALLOW.as_bytes());
        self.reply(arrival, &answer);
    }

    /// Before the tables were read nobody can be told from a stranger. Answered by a transaction:
    /// a repetition that comes when they are there must not get another answer.
    pub(super) fn too_early(&mut self, now: Now, arrival: Arrival<'_, '_>, key: ServerKey<'_>) {
        self.counters.add(Counter::CallsNoTables);
        let message = arrival.message;
        let vias = message.list(Name::Via);
        let Some(back) = vias
            .first()
            .and_then(|via| message::response_hop(via, arrival.hop))
        else {
            return;
        };
        let server = self.layer.accept(key, back);
        let vias = via_block(&vias, arrival.hop.peer);
        let answer = Answer::unavailable().with("Retry-After", b"5");
        self.respond(now, server, &vias, message, &answer);
    }

    /// What every request that we would pass on has to satisfy (RFC 3261 section 16.3); answers
    /// it when it does not.
    pub(super) fn may_pass(&mut self, arrival: Arrival<'_, '_>) -> bool {
        if arrival.message.max_forwards() == Some(0) {
            self.counters.add(Counter::TooManyHops);
            self.reply(arrival, &Answer::new(483, "Too Many Hops"));
            return false;
        }
        let unknown = arrival.message.list(Name::ProxyRequire);
        if !unknown.is_empty() {
            self.bad_extension(arrival, &unknown);
            return false;
        }
        true
    }

    /// We support no extension that a proxy would have to.
    pub(super) fn bad_extension(&mut self, arrival: Arrival<'_, '_>, unknown: &[&[u8]]) {
        self.counters.add(Counter::BadExtension);
        let answer =
            Answer::new(420, "Bad Extension").with("Unsupported", &unknown.join(&b", "[..]));
        self.reply(arrival, &answer);
    }
}

/// The key of the server transaction that a request belongs to (RFC 3261 section 17.2.3).
pub(super) fn server_key<'a>(message: &'a Message<'_>) -> ServerKey<'a> {
    let method = match message.method() {
        b"INVITE" | b"ACK" => Method::Invite,
        b"CANCEL" => Method::Cancel,
        _ => Method::Other,
    };
    ServerKey {
        branch: message.branch(),
        sent_by: message.via().sent_by,
        method,
    }
}
