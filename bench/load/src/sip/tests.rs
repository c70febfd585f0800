//! The agent's two ends on a simulated wire that loses, doubles and delays.

use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;

use proptest::prelude::*;

use super::random::Random;
use super::{Agent, CallSettings, Hangup, RegisterSettings, Side, Users};
use crate::figures::SipCounts;
use crate::generator::{Agent as _, Datagram, Order, Outbox, StreamId, StreamSpec};
use crate::{MILLISECOND, Nanos, SECOND};

const CALLER: &str = "192.0.2.1:5060";
const CALLED: &str = "192.0.2.2:5060";

fn side(port: usize, address: &str) -> Side {
    Side {
        port,
        address: address.parse().unwrap(),
    }
}

fn settings(rate: f64) -> CallSettings {
    let (caller, called) = (side(0, CALLER), side(1, CALLED));
    CallSettings::new(caller, Some(called), called.address, rate)
}

/// When it arrives, its number, from, to, and what it is.
type Flying = (Nanos, u64, SocketAddr, SocketAddr, Vec<u8>);

/// A wire, and what is on it.
struct World {
    agent: Agent,
    out: Outbox,
    now: Nanos,
    random: Random,
    /// Datagrams lost of 100.
    loss: u64,
    wire: BinaryHeap<std::cmp::Reverse<Flying>>,
    sent: u64,
    streams: BTreeMap<StreamId, StreamSpec>,
    streams_begun: Vec<StreamSpec>,
    /// Plays a server: answers instead of the agent.
    server: Option<fn(&str) -> Vec<String>>,
    log: Vec<String>,
}

impl World {
    fn new(agent: Agent, loss: u64) -> Self {
        Self {
            agent,
            out: Outbox::default(),
            now: 10 * SECOND,
            random: Random::new(5),
            loss,
            wire: BinaryHeap::new(),
            sent: 0,
            streams: BTreeMap::new(),
            streams_begun: Vec::new(),
            server: None,
            log: Vec::new(),
        }
    }

    fn carry(&mut self) {
        while let Some(order) = self.out.pop() {
            match order {
                Order::Send {
                    port,
                    local,
                    remote,
                    payload,
                } => {
                    assert_eq!(local, side(port, [CALLER, CALLED][port]).address);
                    self.put(local, remote, payload);
                }
                Order::Start(id, spec) => {
                    self.streams_begun.push(spec.clone());
                    self.streams.insert(id, spec);
                }
                Order::Stop(id) => {
                    self.streams.remove(&id).expect("a stream that runs");
                }
            }
        }
    }

    fn put(&mut self, from: SocketAddr, to: SocketAddr, payload: Vec<u8>) {
        if self.log.len() < 200 {
            self.log
                .push(String::from_utf8_lossy(&payload).into_owned());
        }
        if self.random.below(100) < self.loss {
            return;
        }
        self.sent += 1;
        let copies = if self.loss > 0 && self.random.below(50) == 0 {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let at = self.now + MILLISECOND + self.random.below(1 + self.loss) * MILLISECOND;
            let entry = (at, self.sent, from, to, payload.clone());
            self.wire.push(std::cmp::Reverse(entry));
        }
    }

    fn run(&mut self, length: Nanos) {
        let end = self.now + length;
        while self.now < end {
            self.now += MILLISECOND / 2;
            while self.wire.peek().is_some_and(|e| e.0.0 <= self.now) {
                let Some(std::cmp::Reverse((_, _, from, to, payload))) = self.wire.pop() else {
                    break;
                };
                let called: SocketAddr = CALLED.parse().unwrap();
                if let Some(server) = self.server.filter(|_| to == called) {
                    let text = String::from_utf8(payload).unwrap();
                    for answer in server(&text) {
                        self.put(to, from, answer.into_bytes());
                    }
                    continue;
                }
                let datagram = Datagram {
                    port: usize::from(to == called),
                    local: to,
                    remote: from,
                    payload: &payload,
                };
                self.agent.datagram(self.now, datagram, &mut self.out);
                self.carry();
            }
            self.agent.poll(self.now, &mut self.out);
            self.carry();
        }
    }

    fn finish(&mut self) {
        self.agent.finish(self.now, &mut self.out);
        for _ in 0..200 {
            if self.agent.done() {
                return;
            }
            self.run(SECOND);
        }
        panic!("it does not end: {:?}", self.agent.counts());
    }

    fn counts(&self) -> &SipCounts {
        self.agent.counts()
    }
}

#[test]
fn calls_come_up_and_end() {
    let agent = Agent::new(1).with_calls(settings(100.0)).unwrap();
    let mut world = World::new(agent, 0);
    world.run(10 * SECOND);
    world.finish();
    let counts = world.counts().clone();
    assert!((999..=1001).contains(&counts.calls_attempted), "{counts:?}");
    let wanted = SipCounts {
        calls_attempted: counts.calls_attempted,
        calls_answered: counts.calls_attempted,
        calls_completed: counts.calls_attempted,
        calls_taken: counts.calls_attempted,
        ..SipCounts::default()
    };
    assert_eq!(counts, wanted);
    assert_eq!(world.agent.setup().count(), counts.calls_attempted);
    assert_eq!(world.agent.ringing().count(), counts.calls_attempted);
}

#[test]
fn nothing_fails_on_a_wire_that_loses_a_fifth() {
    for hangup in [Hangup::Caller, Hangup::Called, Hangup::Both] {
        let mut settings = settings(50.0);
        settings.hangup = hangup;
        settings.media = true;
        settings.concurrent = 5_000;
        let agent = Agent::new(2).with_calls(settings).unwrap();
        let mut world = World::new(agent, 20);
        world.run(20 * SECOND);
        world.finish();
        let counts = world.counts().clone();
        assert!(counts.calls_attempted >= 999);
        assert_eq!(counts.calls_answered, counts.calls_attempted, "{counts:?}");
        assert_eq!(counts.failed(), 0, "{counts:?}");
        assert!(counts.retransmissions_sent > 100, "{counts:?}");
        assert_eq!(counts.calls_up, 0);
        // With so much loss an answer to a BYE may be lost as often as it is sent: seldom.
        assert!(
            counts.calls_completed + 2 >= counts.calls_answered,
            "{counts:?}"
        );
        assert!(world.streams.is_empty());
    }
}

#[test]
fn both_directions_of_a_call_know_where_they_arrive() {
    let mut settings = settings(10.0);
    settings.media = true;
    settings.concurrent = 100;
    let mut world = World::new(Agent::new(3).with_calls(settings).unwrap(), 0);
    world.run(SECOND / 2);
    assert_eq!(world.streams_begun.len(), 10);
    for spec in &world.streams_begun {
        assert_eq!(spec.arrives, Some((1 - spec.port, spec.destination)));
        assert_eq!(spec.payload.payload_type, 0);
        assert!(spec.begin >= 10 * SECOND);
    }
    let all: std::collections::BTreeSet<_> = world.streams_begun.iter().map(|s| s.source).collect();
    assert_eq!(all.len(), 10, "each has a port of its own");
    world.run(20 * SECOND);
    world.finish();
    assert!(world.streams.is_empty());
}

#[test]
fn calls_without_an_end_stay_up_until_the_run_ends() {
    let mut settings = settings(1_000.0);
    settings.hold = None;
    settings.concurrent = 300;
    let mut world = World::new(Agent::new(4).with_calls(settings).unwrap(), 0);
    world.run(5 * SECOND);
    assert_eq!(world.counts().calls_up, 300);
    assert_eq!(
        (
            world.counts().calls_attempted,
            world.counts().calls_held_back
        ),
        (300, 0)
    );
    world.finish();
    assert_eq!(
        (world.counts().calls_completed, world.counts().calls_up),
        (300, 0)
    );
}

#[test]
fn refusals_are_counted_by_their_code_and_silence_as_a_timeout() {
    let mut refusing = settings(20.0);
    refusing.refuse = Some((4, 486));
    let mut world = World::new(Agent::new(5).with_calls(refusing).unwrap(), 10);
    world.run(5 * SECOND);
    world.finish();
    let counts = world.counts();
    assert!((24..=26).contains(&counts.calls_failed[&486]), "{counts:?}");
    assert_eq!(
        counts.calls_answered + counts.refused(),
        counts.calls_attempted
    );

    let mut silent = World::new(Agent::new(6).with_calls(settings(1.0)).unwrap(), 0);
    silent.server = Some(|_| Vec::new());
    silent.run(2 * SECOND);
    silent.finish();
    let counts = silent.counts();
    assert_eq!(
        (counts.timeouts, counts.calls_attempted),
        (2, 2),
        "{counts:?}"
    );
    // Timer A: 0.5, 1, 2, 4, 8 and 16 s.
    assert_eq!(counts.retransmissions_sent, 12, "{counts:?}");
}

#[test]
fn a_call_that_rings_too_long_is_cancelled() {
    let mut settings = settings(1.0);
    settings.patience = 3 * SECOND;
    settings.answer_after = 100 * SECOND;
    let mut world = World::new(Agent::new(7).with_calls(settings).unwrap(), 0);
    world.run(2 * SECOND);
    world.agent.finish(world.now, &mut world.out);
    world.run(5 * SECOND);
    assert!(world.agent.done(), "{:?}", world.counts());
    assert_eq!(
        (world.counts().timeouts, world.counts().retransmissions_sent),
        (2, 0)
    );
    assert!(world.log.iter().any(|m| m.starts_with("SIP/2.0 487 ")));
}

/// What of a request its response repeats.
fn echo(request: &str) -> String {
    let wanted = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let lines = request
        .lines()
        .filter(|l| wanted.iter().any(|w| l.starts_with(w)));
    lines.map(|l| format!("{l}\r\n")).collect()
}

#[test]
fn the_route_and_the_contact_are_followed() {
    let mut world = World::new(Agent::new(8).with_calls(settings(1.0)).unwrap(), 0);
    world.server = Some(|request| {
        let code = if request.starts_with("ACK") {
            return Vec::new();
        } else {
            "200 OK"
        };
        let to = echo(request).replace("5060>\r\nCall-ID", "5060>;tag=x\r\nCall-ID");
        vec![format!(
            "SIP/2.0 {code}\r\n{to}Record-Route: <sip:192.0.2.2:5060;lr;b>, <sip:192.0.2.9;lr>\r\n\
             record-route: <sip:192.0.2.2;lr;a>\r\nContact: <sip:far@10.9.9.9:5070;x=y>\r\nContent-Length: 0\r\n\r\n"
        )]
    });
    world.run(3 * SECOND);
    world.finish();
    assert_eq!(
        (world.counts().calls_completed, world.counts().timeouts),
        (3, 0),
        "{:?}",
        world.counts()
    );
    for method in ["ACK", "BYE"] {
        let sent = world.log.iter().find(|m| m.starts_with(method)).unwrap();
        assert!(
            sent.starts_with(&format!("{method} sip:far@10.9.9.9:5070;x=y SIP/2.0\r\n")),
            "{sent}"
        );
        assert!(
            sent.contains("Route: <sip:192.0.2.2;lr;a>\r\nRoute: <sip:192.0.2.9;lr>\r\nRoute: <sip:192.0.2.2:5060;lr;b>\r\n"),
            "{sent}"
        );
        assert!(sent.contains(">;tag=x\r\nCall-ID"), "{sent}");
    }
}

/// Challenges what has no credentials, and takes any.
fn challenging(request: &str) -> Vec<String> {
    if request.starts_with("ACK") {
        return Vec::new();
    }
    let proven = request.contains("uthorization: Digest username=\"user0000");
    let (code, header) = match (proven, request.starts_with("REGISTER")) {
        (true, _) => ("200 OK", String::new()),
        (false, true) => ("401 Unauthorized", "WWW-".to_owned()),
        (false, false) => ("407 Proxy Authentication Required", "Proxy-".to_owned()),
    };
    let header = if header.is_empty() {
        "Contact: <sip:b@192.0.2.2:5060>\r\n".to_owned()
    } else {
        format!("{header}Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n")
    };
    vec![format!(
        "SIP/2.0 {code}\r\n{}{header}Content-Length: 0\r\n\r\n",
        echo(request)
    )]
}

#[test]
fn challenges_are_answered() {
    let users = Users::new(10, "user%06d", "secret%d", "example.com").unwrap();
    let mut calls = settings(10.0);
    calls.users = Some(users.clone());
    let registrations = RegisterSettings {
        from: calls.caller,
        appliance: CALLED.parse().unwrap(),
        rate: super::Rate::Constant(10.0),
        spread: super::Spread::Even,
        users,
        expires: 4,
        repeat: false,
    };
    let agent = Agent::new(9).with_calls(calls).unwrap();
    let mut world = World::new(agent.with_registrations(registrations).unwrap(), 0);
    world.server = Some(challenging);
    world.run(2 * SECOND - MILLISECOND);
    let counts = world.counts().clone();
    assert_eq!(
        (counts.registrations_answered, counts.registered),
        (10, 10),
        "{counts:?}"
    );
    // They register again when half of their time is over.
    world.run(2 * SECOND);
    world.finish();
    let counts = world.counts();
    assert!(
        (20..=24).contains(&counts.registrations_answered),
        "{counts:?}"
    );
    assert_eq!(
        counts.registrations_attempted,
        counts.registrations_answered
    );
    assert_eq!(counts.calls_completed, counts.calls_attempted, "{counts:?}");
    assert_eq!(
        counts.failed() + counts.registrations_failed.len() as u64,
        0
    );
    // The nonce is used on: only the first REGISTER of each was challenged.
    let challenged = world.log.iter().filter(|m| m.starts_with("SIP/2.0 401"));
    assert!(challenged.count() <= 10);
}

#[test]
fn a_wrong_password_is_a_failure_and_not_asked_for_ever() {
    let users = Users::new(1, "nobody", "x", "example.com").unwrap();
    let registrations = RegisterSettings {
        from: side(0, CALLER),
        appliance: CALLED.parse().unwrap(),
        rate: super::Rate::Constant(1.0),
        spread: super::Spread::Even,
        users,
        expires: 3600,
        repeat: false,
    };
    let agent = Agent::new(10).with_registrations(registrations).unwrap();
    let mut world = World::new(agent, 0);
    world.server = Some(challenging);
    world.run(3 * SECOND);
    assert_eq!(
        world.counts().registrations_failed,
        BTreeMap::from([(401, 1)])
    );
    assert!(world.agent.done());
}

#[test]
fn probes_are_answered_and_strangers_are_counted() {
    let mut world = World::new(Agent::new(11).with_calls(settings(0.0)).unwrap(), 0);
    let peer: SocketAddr = "192.0.2.99:5060".parse().unwrap();
    let request = |method: &str, to: &str| {
        format!(
            "{method} sip:x@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:x@192.0.2.2>{to}\r\nCall-ID: 1\r\nCSeq: 1 {method}\r\n\r\n"
        )
    };
    let mut ask = |text: String| {
        let datagram = Datagram {
            port: 1,
            local: CALLED.parse().unwrap(),
            remote: peer,
            payload: text.as_bytes(),
        };
        world.agent.datagram(world.now, datagram, &mut world.out);
        match world.out.pop() {
            Some(Order::Send {
                payload, remote, ..
            }) => {
                assert_eq!(remote, peer);
                String::from_utf8(payload).unwrap()[8..11].parse().unwrap()
            }
            _ => 0,
        }
    };
    assert_eq!(ask(request("OPTIONS", "")), 200);
    assert_eq!(ask(request("BYE", ";tag=c0000000000000000")), 481);
    assert_eq!(ask(request("CANCEL", "")), 481);
    assert_eq!(ask(request("PUBLISH", "")), 405);
    assert_eq!(ask(request("ACK", ";tag=q")), 0);
    assert_eq!(ask("nonsense".to_owned()), 0);
    assert_eq!(ask("\r\n\r\n".to_owned()), 0);
    assert_eq!(world.counts().strange, 2);
}

/// Both ends of calls with all their messages, without a wire: what one costs the generator. For people:
/// `cargo test --release -p tandem-load --lib -- --ignored --nocapture a_call_costs`.
#[test]
#[ignore = "it measures"]
fn a_call_costs_some_microseconds() {
    let mut settings = settings(20_000.0);
    settings.hold = Some(SECOND / 2);
    let mut agent = Agent::new(1).with_calls(settings).unwrap();
    let mut out = Outbox::default();
    let (mut now, begin) = (SECOND, std::time::Instant::now());
    while now < 6 * SECOND {
        now += MILLISECOND / 4;
        agent.poll(now, &mut out);
        while let Some(order) = out.pop() {
            if let Order::Send {
                port,
                local,
                remote,
                payload,
            } = order
            {
                let datagram = Datagram {
                    port: 1 - port,
                    local: remote,
                    remote: local,
                    payload: &payload,
                };
                agent.datagram(now, datagram, &mut out);
            }
        }
    }
    let calls = agent.counts().calls_answered;
    let each = begin.elapsed().as_nanos() / u128::from(calls.max(1));
    println!("{calls} calls, {each} ns each");
    assert_eq!(agent.counts().failed(), 0);
}

proptest! {
    #[test]
    fn any_bytes_and_any_damage_are_survived(
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        damage in proptest::collection::vec((0_usize..900, any::<u8>()), 1..6),
    ) {
        let mut settings = settings(1_000.0);
        settings.media = true;
        settings.concurrent = 50;
        settings.hold = Some(2 * MILLISECOND);
        let mut world = World::new(Agent::new(12).with_calls(settings).unwrap(), 0);
        for _ in 0..40 {
            world.run(MILLISECOND);
            let mut first = world.wire.pop().map(|e| e.0);
            if let Some((_, _, from, to, payload)) = &mut first {
                for (at, byte) in &damage {
                    if let Some(old) = payload.get_mut(*at) {
                        *old ^= byte;
                    }
                }
                for bytes in [payload.as_slice(), noise.as_slice()] {
                    let datagram = Datagram {
                        port: usize::from(to.to_string() == CALLED),
                        local: *to,
                        remote: *from,
                        payload: bytes,
                    };
                    world.agent.datagram(world.now, datagram, &mut world.out);
                }
                world.carry();
            }
        }
    }
}
