//! A phone (or a media server): its transactions, as RFC 3261 section 17 has them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::ledger::{ANSWERS, Ledger, REQUEST, RESPONSE, SentRequest, SentResponse, may_invent};
use crate::leg::{Do, INSIDE_CALL_ID, Leg};
use crate::rng::Rng;
use crate::shell::{is_inside, ours};
use crate::text::{self, Text};

/// T1.
pub const T1: Duration = Duration::from_millis(500);
/// Timers B, F and H.
pub const TIMEOUT: Duration = Duration::from_secs(32);

/// A transaction: its branch and its method.
pub type Key = (String, String);

/// What a phone acts upon and with.
pub struct Context<'a> {
    /// The time.
    pub now: Duration,
    /// Chance.
    pub rng: &'a mut Rng,
    /// What was said.
    pub ledger: &'a mut Ledger,
    /// What is to be sent to the proxy.
    pub out: &'a mut Vec<String>,
    /// What is to be done later.
    pub alarms: &'a mut Vec<(Duration, Alarm)>,
    /// Timer C of the proxy.
    pub timer_c: Duration,
    /// Who is reached by streams.
    pub streams: &'a [String],
    /// Whether the inside's Call-IDs are hidden.
    pub hides: bool,
}

impl Context<'_> {
    /// Sets an alarm.
    pub fn after(&mut self, time: Duration, alarm: Alarm) {
        self.alarms.push((self.now + time, alarm));
    }
}

/// What a phone does when a time has come.
#[derive(Clone, Debug)]
pub enum Alarm {
    /// A request again.
    ClientAgain(Key),
    /// No final response by now.
    ClientLate(Key),
    /// A failure again.
    ServerAgain(Key),
    /// Something of a leg's.
    Leg(usize, Do),
}

/// A request of a phone.
#[derive(Clone, Debug)]
pub struct Client {
    /// The leg, and its dialog; none for its first INVITE.
    pub leg: usize,
    /// See there.
    pub dialog: Option<usize>,
    /// What was sent.
    pub text: String,
    /// Its number.
    pub number: u32,
    /// When.
    pub began: Duration,
    /// CSeq.
    pub cseq: u32,
    wait: Duration,
    /// A response came.
    pub heard: bool,
    /// A CANCEL was sent, or will be.
    pub cancelled: bool,
    /// The INVITE had no offer.
    pub delayed: bool,
    finals: Vec<(u16, String)>,
    ack: Option<String>,
}

/// A request to a phone.
#[derive(Clone, Debug)]
pub struct Server {
    /// The leg, and its dialog; none for its first INVITE.
    pub leg: usize,
    /// See there.
    pub dialog: Option<usize>,
    /// The request.
    pub request: Text,
    /// The last response, and its status.
    pub last: Option<(u16, String)>,
    acked: bool,
    wait: Duration,
}

impl Server {
    /// Whether the final response was given.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.last.as_ref().is_some_and(|(code, _)| *code >= 200)
    }
}

/// A phone.
#[derive(Debug)]
pub struct Agent {
    /// Its number.
    pub index: usize,
    /// Its address.
    pub address: SocketAddr,
    /// It speaks over streams.
    pub stream: bool,
    /// All its calls.
    pub legs: Vec<Leg>,
    /// Its requests.
    pub clients: BTreeMap<Key, Client>,
    /// Requests to it.
    pub servers: BTreeMap<Key, Server>,
}

impl Agent {
    /// At this address.
    #[must_use]
    pub const fn new(index: usize, address: SocketAddr, stream: bool) -> Self {
        Self {
            index,
            address,
            stream,
            legs: Vec::new(),
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
        }
    }

    /// A message came.
    pub fn receive(&mut self, c: &mut Context<'_>, bytes: &[u8]) {
        let Some(message) = Text::read(bytes) else {
            let text = String::from_utf8_lossy(bytes).into_owned();
            return c.ledger.fault(format!("not a message: {text}"));
        };
        let text = String::from_utf8_lossy(bytes);
        let foreign = if is_inside(self.address) {
            text.contains("203.0.113.")
        } else {
            text.contains("10.0.0.") || c.hides && text.contains(INSIDE_CALL_ID)
        };
        if foreign {
            let who = self.address;
            c.ledger.fault(format!(
                "{who} is shown something of the other side:\n{text}"
            ));
        }
        if message.code().is_some() {
            self.response(c, &message);
        } else {
            self.request(c, message);
        }
    }

    /// A time has come.
    pub fn alarm(&mut self, c: &mut Context<'_>, alarm: Alarm) {
        match alarm {
            Alarm::ClientAgain(key) => self.client_again(c, key),
            Alarm::ClientLate(key) => self.client_late(c, &key),
            Alarm::ServerAgain(key) => self.server_again(c, key),
            Alarm::Leg(leg, what) => {
                if self.legs.get(leg).is_some_and(|l| !l.dead) {
                    self.act(c, leg, what);
                }
            }
        }
    }

    fn is_dead(&self, leg: usize) -> bool {
        self.legs.get(leg).is_some_and(|l| l.dead)
    }

    fn client_again(&mut self, c: &mut Context<'_>, key: Key) {
        let leg = self.clients.get(&key).map(|client| client.leg);
        if leg.is_none_or(|leg| self.is_dead(leg)) {
            return;
        }
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        let stops = client.heard && key.1 == "INVITE" || !client.finals.is_empty();
        if stops || c.now >= client.began + TIMEOUT {
            return;
        }
        c.out.push(client.text.clone());
        client.wait = if key.1 == "INVITE" {
            client.wait * 2
        } else {
            (client.wait * 2).min(T1 * 8)
        };
        let wait = client.wait;
        c.after(wait, Alarm::ClientAgain(key));
    }

    fn client_late(&mut self, c: &mut Context<'_>, key: &Key) {
        let Some(client) = self.clients.get(key) else {
            return;
        };
        if !client.finals.is_empty() || self.is_dead(client.leg) {
            return;
        }
        if key.1 == "INVITE" && client.heard && c.now < client.began + c.timer_c + TIMEOUT * 2 {
            let key = key.clone();
            let wait = c.timer_c + TIMEOUT * 2;
            return c.after(wait, Alarm::ClientLate(key));
        }
        let (leg, dialog) = (client.leg, client.dialog);
        let call = self.legs.get(leg).map_or(0, |l| l.call);
        c.ledger.soft(
            call,
            format!("call {call}: {} {} got no final response", key.1, key.0),
        );
        self.timed_out(c, leg, dialog, key);
    }

    fn server_again(&mut self, c: &mut Context<'_>, key: Key) {
        let Some(server) = self.servers.get_mut(&key) else {
            return;
        };
        if server.acked || server.wait > TIMEOUT {
            return;
        }
        let Some((_, text)) = &server.last else {
            return;
        };
        c.out.push(text.clone());
        server.wait *= 2;
        let wait = server.wait.min(T1 * 8);
        c.after(wait, Alarm::ServerAgain(key));
    }

    /// Sends a request and begins its transaction.
    pub fn send(
        &mut self,
        c: &mut Context<'_>,
        leg: usize,
        dialog: Option<usize>,
        sent: Outgoing,
    ) -> Option<Key> {
        let branch = format!("z9hG4bK{}", c.ledger.name());
        let (text, number) = self.compose(c, leg, dialog, &sent, &branch)?;
        c.out.push(text.clone());
        let key = (branch, sent.method.to_owned());
        if sent.method == "ACK" {
            return Some((text, String::new()));
        }
        self.clients.insert(
            key.clone(),
            Client {
                leg,
                dialog,
                text,
                number,
                began: c.now,
                cseq: sent.cseq,
                wait: T1,
                heard: false,
                cancelled: false,
                delayed: sent.body.is_empty(),
                finals: Vec::new(),
                ack: None,
            },
        );
        if !self.stream {
            c.after(T1, Alarm::ClientAgain(key.clone()));
        }
        c.after(TIMEOUT, Alarm::ClientLate(key.clone()));
        Some(key)
    }

    fn compose(
        &mut self,
        c: &mut Context<'_>,
        leg: usize,
        dialog: Option<usize>,
        sent: &Outgoing,
        branch: &str,
    ) -> Option<(String, u32)> {
        let of = self.legs.get(leg)?;
        let in_dialog = dialog.and_then(|d| of.dialogs.get(d));
        let (local, remote) = in_dialog.map_or_else(
            || (of.tag.clone(), String::new()),
            |d| (d.local.clone(), d.remote.clone()),
        );
        let target = in_dialog.map_or_else(|| of.target.clone(), |d| d.target.clone());
        let routes = in_dialog.map(|d| d.routes.clone()).unwrap_or_default();
        let next = routes.first().unwrap_or(&target);
        if text::address(next) != Some(ours(self.address)) {
            c.ledger.fault(format!(
                "call {}: {} is told to send {} to {next}",
                of.call, self.address, sent.method
            ));
        }
        let number = c.ledger.request(SentRequest {
            call: of.call,
            by_caller: of.caller,
            method: sent.method.to_owned(),
            tags: (local.clone(), remote.clone()),
            cseq: sent.cseq,
            body: !sent.body.is_empty(),
        });
        let protocol = if self.stream { "TCP" } else { "UDP" };
        let mut headers = vec![
            (
                "Via",
                format!("SIP/2.0/{protocol} {};branch={branch}", self.address),
            ),
            ("Max-Forwards", "70".to_owned()),
        ];
        headers.extend(routes.into_iter().map(|r| ("Route", r)));
        let tagged = |uri: &str, tag: &str| {
            if tag.is_empty() {
                uri.to_owned()
            } else {
                format!("{uri};tag={tag}")
            }
        };
        headers.extend([
            ("From", tagged(&of.local, &local)),
            ("To", tagged(&of.remote, &remote)),
            ("Call-ID", of.call_id.clone()),
            ("CSeq", format!("{} {}", sent.cseq, sent.method)),
        ]);
        if sent.method != "BYE" {
            headers.push(("Contact", self.contact()));
        }
        headers.push((REQUEST, number.to_string()));
        headers.push(("X-Sim-Call", of.call.to_string()));
        headers.extend(sent.headers.iter().cloned());
        let start = format!("{} {target} SIP/2.0", sent.method);
        Some((text::write(&start, &headers, &sent.body), number))
    }

    /// The phone's Contact.
    #[must_use]
    pub fn contact(&self) -> String {
        let transport = if self.stream { ";transport=tcp" } else { "" };
        format!("<sip:phone@{}{transport}>", self.address)
    }

    /// Answers a request; returns the answer.
    pub fn respond(
        &mut self,
        c: &mut Context<'_>,
        key: &Key,
        code: u16,
        tag: &str,
        extra: &[(&'static str, String)],
        body: &str,
    ) -> String {
        let contact = self.contact();
        let Some(server) = self.servers.get_mut(key) else {
            return String::new();
        };
        let request = &server.request;
        let number = request.number(REQUEST).unwrap_or(u32::MAX);
        let mut headers: Vec<(&str, String)> = Vec::new();
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in request.values(name) {
                let tagged = name == "To" && !value.contains(";tag=") && code > 100;
                let value = if tagged {
                    format!("{value};tag={tag}")
                } else {
                    value.to_owned()
                };
                headers.push((name, value));
            }
        }
        let response = c.ledger.response(SentResponse {
            request: number,
            code,
            tag: tag.to_owned(),
        });
        headers.push((RESPONSE, response.to_string()));
        headers.push((ANSWERS, number.to_string()));
        if !extra.iter().any(|(n, _)| *n == "Contact") && code < 300 {
            headers.push(("Contact", contact));
        }
        headers.extend(extra.iter().cloned());
        let text = text::write(&format!("SIP/2.0 {code} So It Is"), &headers, body);
        c.out.push(text.clone());
        server.last = Some((code, text.clone()));
        if code >= 300 && key.1 == "INVITE" && !self.stream {
            server.wait = T1;
            c.after(T1, Alarm::ServerAgain(key.clone()));
        }
        text
    }

    fn response(&mut self, c: &mut Context<'_>, message: &Text) {
        let key = (message.branch(), message.method().to_owned());
        let Some(client) = self.clients.get(&key) else {
            return c.ledger.fault(format!(
                "{}: a response to no request: {} {key:?}",
                self.address, message.start
            ));
        };
        let (leg, dialog) = (client.leg, client.dialog);
        if self.is_dead(leg) {
            return;
        }
        let code = message.code().unwrap_or(0);
        self.check_response(c, &key, message, code);
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if code < 200 {
            let first = !std::mem::replace(&mut client.heard, true);
            if first && client.cancelled {
                self.send_cancel(c, &key);
            }
            if key.1 == "INVITE" && code > 100 && dialog.is_none() {
                self.provisional(c, leg, &key, message);
            }
            return;
        }
        client.heard = true;
        let identity = (code, message.value(RESPONSE).unwrap_or("own").to_owned());
        if client.finals.iter().any(|f| f.0 == code) {
            if let Some(ack) = &client.ack {
                c.out.push(ack.clone());
            } else if key.1 == "INVITE" {
                self.ack_again(c, leg, dialog, message);
            }
            return;
        }
        client.finals.push(identity);
        if client.finals.len() > 1 {
            if !c.ledger.died_since(client.began) {
                let (address, finals) = (self.address, client.finals.clone());
                c.ledger.fault(format!(
                    "{address}: several final responses to {key:?}: {finals:?}"
                ));
            }
            return;
        }
        if key.1 == "INVITE" && code >= 300 {
            let ack = failure_ack(&client.text, message);
            c.out.push(ack.clone());
            client.ack = Some(ack);
        }
        self.finished(c, leg, dialog, &key, message, code);
    }

    /// No response is invented.
    fn check_response(&self, c: &mut Context<'_>, key: &Key, message: &Text, code: u16) {
        let Some(client) = self.clients.get(key) else {
            return;
        };
        let call = self.legs.get(client.leg).map_or(0, |l| l.call);
        let what = format!("call {call}: {} to {}", message.start, key.1);
        let Some(number) = message.number(RESPONSE) else {
            if !may_invent(&key.1, code, client.cancelled) {
                c.ledger.fault(format!("{what} is invented"));
            }
            return;
        };
        let Some(sent) = c.ledger.sent_response(number) else {
            return c.ledger.fault(format!("{what}: nobody said that"));
        };
        if sent.code != code || sent.request != client.number {
            c.ledger.fault(format!(
                "{what} answers another request: {sent:?}, not {}",
                client.number
            ));
        }
        if code > 100 && code < 300 && key.1 == "INVITE" && sent.tag != message.to_tag() {
            c.ledger
                .fault(format!("{what} is of another dialog than {sent:?}"));
        }
    }

    /// Sends the CANCEL of an INVITE.
    pub fn send_cancel(&mut self, c: &mut Context<'_>, invite: &Key) {
        let key = (invite.0.clone(), "CANCEL".to_owned());
        let Some(client) = self.clients.get(invite) else {
            return;
        };
        if !client.finals.is_empty() || self.clients.contains_key(&key) {
            return;
        }
        let mut cancel = client.clone();
        let Some(request) = Text::read(cancel.text.as_bytes()) else {
            return;
        };
        cancel.text = hop_by_hop(&request, "CANCEL", request.value("To").unwrap_or_default());
        cancel.began = c.now;
        cancel.wait = T1;
        c.out.push(cancel.text.clone());
        self.clients.insert(key.clone(), cancel);
        if !self.stream {
            c.after(T1, Alarm::ClientAgain(key.clone()));
        }
        c.after(TIMEOUT, Alarm::ClientLate(key));
    }

    fn request(&mut self, c: &mut Context<'_>, message: Text) {
        let method = message.method().to_owned();
        let key = (message.branch(), method.clone());
        let number = message.value(REQUEST);
        let own = number.is_none();
        if number == Some("stranger") {
            return c
                .ledger
                .fault(format!("{}: a stranger's {method} arrived", self.address));
        }
        if own && !matches!(method.as_str(), "ACK" | "BYE" | "CANCEL" | "OPTIONS") {
            return c
                .ledger
                .fault(format!("{}: the proxy made a {method}", self.address));
        }
        let invite = (message.branch(), "INVITE".to_owned());
        if method == "ACK"
            && let Some(server) = self.servers.get_mut(&invite)
        {
            server.acked = true;
            return;
        }
        if let Some(server) = self.servers.get(&key) {
            let (leg, last) = (server.leg, server.last.clone());
            if let Some((_, text)) = last.filter(|_| !self.is_dead(leg)) {
                c.out.push(text);
            }
            return;
        }
        let mut server = Server {
            leg: usize::MAX,
            dialog: None,
            request: message,
            last: None,
            acked: false,
            wait: T1,
        };
        match method.as_str() {
            "CANCEL" => {
                server.leg = self.servers.get(&invite).map_or(usize::MAX, |s| s.leg);
                if self.is_dead(server.leg) {
                    return;
                }
                let known = server.leg != usize::MAX;
                self.servers.insert(key.clone(), server);
                let tag = c.ledger.name();
                self.respond(c, &key, if known { 200 } else { 481 }, &tag, &[], "");
                if known {
                    self.cancelled(c, &invite);
                }
            }
            "OPTIONS" => {
                self.servers.insert(key.clone(), server);
                let tag = c.ledger.name();
                self.respond(c, &key, 200, &tag, &[], "");
            }
            "INVITE" if server.request.to_tag().is_empty() => self.called(c, &key, server),
            "MESSAGE" if server.request.to_tag().is_empty() => {
                let sent = server.request.number(REQUEST);
                let sent = sent.and_then(|n| c.ledger.sent_request(n));
                if sent.is_none_or(|s| s.method != "MESSAGE") {
                    c.ledger.fault("a MESSAGE that nobody sent".into());
                }
                self.servers.insert(key.clone(), server);
                let code = c.rng.pick(&[200, 200, 200, 404, 503]).unwrap_or(200);
                let tag = c.ledger.name();
                self.respond(c, &key, code, &tag, &[], "");
            }
            _ => self.in_dialog(c, key, server, own),
        }
    }

    fn in_dialog(&mut self, c: &mut Context<'_>, key: Key, mut server: Server, own: bool) {
        let (local, remote) = (server.request.to_tag(), server.request.from_tag());
        let Some((leg, dialog)) = self.find(&local, &remote) else {
            if self.legs.iter().any(|l| l.tag == local && l.dead) {
                return;
            }
            // The 2xx was lost, and nobody was there to repeat it; the proxy knows the call.
            let unanswered = |l: &Leg| l.tag == local && !matches!(l.result, Some(200..300));
            let lost = !c.ledger.calm && self.legs.iter().any(unanswered);
            if lost && key.1 == "BYE" {
                self.servers.insert(key.clone(), server);
                self.respond(c, &key, 481, "", &[], "");
            } else if !lost {
                c.ledger.fault(format!(
                    "{}: {} in a dialog that is not here: {local} {remote}",
                    self.address, key.1
                ));
            }
            return;
        };
        self.check_request(c, leg, &server.request, own);
        if self.is_dead(leg) {
            return;
        }
        if key.1 == "ACK" {
            return self.acknowledged(c, leg, dialog, &server.request, own);
        }
        server.leg = leg;
        server.dialog = Some(dialog);
        self.servers.insert(key.clone(), server);
        self.serve(c, &key, leg, dialog, own);
    }

    /// Every dialog's requests reach the side that they name.
    fn check_request(&self, c: &mut Context<'_>, leg: usize, message: &Text, own: bool) {
        let Some(of) = self.legs.get(leg).filter(|_| !own) else {
            return;
        };
        let sent = message
            .number(REQUEST)
            .and_then(|n| c.ledger.sent_request(n));
        let tags = (message.from_tag(), message.to_tag());
        let fits = sent.as_ref().is_some_and(|s| {
            s.call == of.call
                && s.by_caller != of.caller
                && s.method == message.method()
                && s.tags == tags
                && s.cseq == message.cseq().0
        });
        if !fits {
            c.ledger.fault(format!(
                "call {}: {} at the wrong place: {tags:?}, sent as {sent:?}",
                of.call,
                message.method()
            ));
        }
    }

    fn find(&self, local: &str, remote: &str) -> Option<(usize, usize)> {
        self.legs.iter().enumerate().find_map(|(i, leg)| {
            let fits = |d: &crate::leg::Dialog| d.local == local && d.remote == remote;
            leg.dialogs.iter().position(fits).map(|d| (i, d))
        })
    }
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its method.
    pub method: &'static str,
    /// Its CSeq.
    pub cseq: u32,
    /// Headers of its own.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: String,
}

/// The ACK of a failure.
fn failure_ack(request: &str, response: &Text) -> String {
    let to = response.value("To").unwrap_or_default();
    Text::read(request.as_bytes()).map_or_else(String::new, |r| hop_by_hop(&r, "ACK", to))
}

/// CANCEL, or the ACK of a failure.
fn hop_by_hop(request: &Text, method: &str, to: &str) -> String {
    let copy = |name: &'static str| (name, request.value(name).unwrap_or_default().to_owned());
    let mut headers = vec![copy("Via"), copy("Max-Forwards")];
    headers.extend(request.values("Route").map(|r| ("Route", r.to_owned())));
    headers.extend([
        copy("From"),
        ("To", to.to_owned()),
        copy("Call-ID"),
        ("CSeq", format!("{} {method}", request.cseq().0)),
    ]);
    text::write(&format!("{method} {} SIP/2.0", request.uri()), &headers, "")
}
