//! User agents that register with Debian's Kamailio inside, through the appliance.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tandem_e2e::baresip::Baresip;
use tandem_e2e::capture::Capture;
use tandem_e2e::kamailio::{DOMAIN, Kamailio};
use tandem_e2e::sip::{Callee, Message, Phone, sdp};
use tandem_e2e::sipp::Server;
use tandem_e2e::tls::{Authority, Certificate};
use tandem_e2e::topology::{CALLER, CARRIER_LINK, OUTSIDE, SERVERS, STRANGER, TRUNK, sip};
use tandem_e2e::{Lab, Options, wait, wav};

const SOON: Duration = Duration::from_secs(20);
/// The media server, and the registrar.
const POOL: std::net::IpAddr = SERVERS[0];
const REGISTRAR: std::net::IpAddr = SERVERS[1];

struct World {
    lab: Lab,
    _registrar: Kamailio,
    _server: Server,
    certificate: Certificate,
}

fn world(name: &str, nat: &str) -> World {
    let folder = std::env::temp_dir().join(format!("tnd-{name}-{}", std::process::id()));
    let authority = Authority::make(&folder).unwrap();
    let ours = authority.certify("sip.example.com", OUTSIDE).unwrap();
    let certificate = authority.certify("phone.example.com", TRUNK).unwrap();
    let mut more = format!(
        "[routing]\nregistrar_set = 2\n[nat]\n{nat}\n[tls]\nca = [\"{}\"]\n\
         [[tls.certificate]]\nchain = \"{}\"\nkey = \"{}\"\n",
        authority.file().display(),
        ours.chain.display(),
        ours.key.display(),
    );
    for (transport, port) in [("tcp", 5060), ("tls", 5061)] {
        more += &format!(
            "[[sip.listen]]\ntransport = \"{transport}\"\nlisten = \"{OUTSIDE}:{port}\"\nrealm = \"carrier\"\n"
        );
    }
    let lab = Lab::start(Options {
        probe_interval: 0,
        pool: vec![sip(POOL)],
        trunk: None,
        carriers: vec![],
        registrars: vec![sip(REGISTRAR)],
        more,
        ..Options::default()
    })
    .unwrap();
    let registrar = Kamailio::registrar(&lab, REGISTRAR, POOL).unwrap();
    let server = Server::start(&lab, &lab.core, "server", POOL).unwrap();
    World {
        lab,
        _registrar: registrar,
        _server: server,
        certificate,
    }
}

impl World {
    fn counter(&self, name: &str) -> u64 {
        self.lab.ctl().counters().unwrap().value(name)
    }

    fn wait_for(&self, name: &str, value: u64) {
        let seen = || (self.counter(name) >= value).then_some(());
        wait::until(format!("{name} of {value}"), SOON, seen).unwrap();
    }

    /// A phone inside that the registrar trusts.
    fn inside(&self, name: &str, port: u16) -> Phone {
        let socket = self.lab.udp(&self.lab.core, SocketAddr::new(POOL, port));
        Phone::new(socket.unwrap(), sip(REGISTRAR), name).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(folder) = self.certificate.chain.parent() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

fn uri(user: &str) -> String {
    format!("sip:{user}@{DOMAIN}")
}

#[test]
fn phones_by_udp_tcp_and_tls_register_and_call_each_other_and_the_pool() {
    let world = world("reg", "");
    let lab = &world.lab;
    let capture = Capture::whole(lab, &lab.carrier, "outside", CARRIER_LINK).unwrap();
    let says = wav::sweep(8_000, 4, 1);
    let phones = [
        ("alice", "udp", STRANGER),
        ("bob", "tcp", TRUNK),
        ("carol", "tls", CALLER),
    ];
    let certificate = format!("sip_certificate {}", world.certificate.both.display());
    let mut started: Vec<Baresip> = phones
        .iter()
        .map(|(name, transport, at)| {
            Baresip::registered(lab, name, *at, &says, transport, &certificate)
                .unwrap_or_else(|e| panic!("{name}: {e}\n{}", lab.daemons_said()))
        })
        .collect();
    assert_eq!(world.counter("registers_accepted"), 3);
    assert_eq!(world.counter("bindings_now"), 3);
    // The first REGISTER of each is challenged by the registrar.
    assert_eq!(world.counter("registers_refused"), 3);

    // To the pool, with media both ways.
    for (phone, (name, _, at)) in started.iter_mut().zip(&phones) {
        phone.dial(lab, *at, &uri("service")).unwrap();
        phone
            .wait_for_call(SOON)
            .unwrap_or_else(|e| panic!("{name}: {e}\n{}", lab.daemons_said()));
    }
    assert_eq!(
        world.counter("requests_from_registered"),
        6,
        "each is challenged once"
    );
    // From the pool.
    for (i, (name, ..)) in phones.iter().enumerate() {
        let phone = world.inside(&format!("in{i}"), 5070);
        let body = sdp(POOL, 7_000);
        let invite = phone.request("INVITE", &uri(name), &format!("<{}>", uri(name)), 1, &body);
        let answer = phone.ask(&invite, SOON).unwrap();
        assert_eq!(answer.code(), 200, "{name}: {}", answer.text);
        phone.acknowledge(&answer).unwrap();
        assert_eq!(phone.hang_up(&answer).unwrap().code(), 200, "{name}");
    }
    assert_eq!(world.counter("requests_to_flows"), 3);
    drop(started);
    let pcap = capture.stop().unwrap();
    let seen = std::fs::read(pcap).unwrap();
    let shown = |needle: &[u8]| seen.windows(needle.len()).any(|w| w == needle);
    assert!(shown(b"REGISTER sip:example.com"));
    assert!(!shown(b"10.20.0."), "an address of the inside outside");
    assert!(!shown(b"tnf1-"), "a token outside");
}

#[test]
fn two_phones_outside_call_each_other_and_hear_each_other() {
    let world = world("two", "");
    let lab = &world.lab;
    let (here, there) = (wav::sweep(8_000, 15, 1), wav::sweep(8_000, 15, 4));
    let mut alice = Baresip::registered(lab, "alice", STRANGER, &here, "udp", "").unwrap();
    let mut bob = Baresip::registered(lab, "bob", TRUNK, &there, "tcp", "").unwrap();
    alice.dial(lab, STRANGER, &uri("bob")).unwrap();
    alice.wait_for_call(SOON).unwrap();
    bob.wait_for_call(SOON).unwrap();
    assert_eq!(
        lab.ctl().calls().unwrap().len(),
        2,
        "one on either side of the registrar"
    );
    // The registrar leaves their descriptions alone: what the one half of the call sends inside is for the other half.
    wait::pass(Duration::from_secs(6)).unwrap();
    alice.quit().unwrap();
    bob.wait_for_words("session closed", SOON).unwrap();
    bob.quit().unwrap();
    for (sent, heard, who) in [
        (&here, bob.heard().unwrap(), "bob"),
        (&there, alice.heard().unwrap(), "alice"),
    ] {
        let likeness = wav::compare(sent, &heard);
        println!("{who} heard: {likeness:?}");
        assert!(likeness.is_the_same(), "{who}: {likeness:?}");
    }
    assert!(world.counter("hairpinned") > 400);
    let quiet = || (world.counter("calls_now") == 0).then_some(());
    wait::until("the end of both calls", SOON, quiet).unwrap();
    // Both halves of the call: the challenged attempt belongs to the first.
    let ended = || (lab.cdr_count().unwrap() == 2).then_some(());
    wait::until("two CDRs", SOON, ended).unwrap();
}

/// A user agent behind a NAT: what it says of itself is not where it is.
struct Hidden {
    callee: Callee,
}

const BEHIND: &str = "192.168.1.5:5060";

fn register(user: &str, transport: &str, n: u32, authorization: &str) -> String {
    format!(
        "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/{transport} {BEHIND};branch=z9hG4bK-{user}{n};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@{DOMAIN}>;tag=r\r\nTo: <sip:{user}@{DOMAIN}>\r\n\
         Call-ID: {user}-reg\r\nCSeq: {n} REGISTER\r\nContact: <sip:{user}@{BEHIND}>;expires=120\r\n\
         {authorization}Content-Length: 0\r\n\r\n"
    )
}

/// What answers a challenge (RFC 2617, without qop).
fn credentials(user: &str, challenge: &Message) -> String {
    let value = challenge.header("WWW-Authenticate").to_owned();
    let nonce = value
        .split("nonce=\"")
        .nth(1)
        .and_then(|r| r.split('"').next())
        .unwrap()
        .to_owned();
    let nonce = nonce.as_str();
    let md5 = |text: String| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "printf %s \"$0\" | md5sum | cut -d' ' -f1", &text]);
        String::from_utf8(command.output().unwrap().stdout)
            .unwrap()
            .trim()
            .to_owned()
    };
    let ha1 = md5(format!(
        "{user}:{DOMAIN}:{}",
        tandem_e2e::kamailio::PASSWORD
    ));
    let ha2 = md5(format!("REGISTER:sip:{DOMAIN}"));
    let (nc, cnonce) = ("00000001", "0a4f113b");
    let response = md5(format!("{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}"));
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", \
         uri=\"sip:{DOMAIN}\", qop=auth, nc={nc}, cnonce=\"{cnonce}\", response=\"{response}\"\r\n"
    )
}

impl Hidden {
    fn register(world: &World, user: &str) -> Self {
        let at = SocketAddr::new(STRANGER, 31_234);
        let socket = world.lab.udp(&world.lab.carrier, at).unwrap();
        let callee = Callee::new(socket).unwrap();
        callee
            .send(&register(user, "UDP", 1, ""), sip(OUTSIDE))
            .unwrap();
        let challenge = callee.next(SOON).unwrap();
        assert_eq!(challenge.code(), 401, "{}", challenge.text);
        let proof = credentials(user, &challenge);
        callee
            .send(&register(user, "UDP", 2, &proof), sip(OUTSIDE))
            .unwrap();
        let ok = callee.next(SOON).unwrap();
        assert_eq!(ok.code(), 200, "{}", ok.text);
        assert!(
            ok.header("Contact")
                .starts_with(&format!("<sip:{user}@{BEHIND}>;expires=")),
            "{}",
            ok.text
        );
        assert!(ok.headers("Path").is_empty(), "{}", ok.text);
        Self { callee }
    }

    /// Answers the next call, and says what it was.
    fn answer(&self) -> Message {
        let asked = self.callee.expect("INVITE", SOON).unwrap();
        let ok = asked
            .0
            .answer("200 OK", BEHIND.parse().unwrap(), &sdp(STRANGER, 6_000));
        self.callee.send(&ok, asked.1).unwrap();
        asked.0
    }
}

#[test]
fn a_phone_behind_a_nat_is_kept_reachable_and_a_killed_signaling_plane_finds_it_again() {
    let mut world = world("nat", "keepalive = 1");
    let hidden = Hidden::register(&world, "dave");
    for _ in 0..2 {
        let (ping, from) = hidden.callee.expect("OPTIONS", SOON).unwrap();
        let ok = ping.answer("200 OK", BEHIND.parse().unwrap(), "");
        hidden.callee.send(&ok, from).unwrap();
    }
    world.wait_for("nat_keepalives_answered", 2);
    assert_eq!(world.counter("sip_responses_unmatched"), 0);
    for n in 0..2 {
        let phone = world.inside(&format!("caller{n}"), 5070 + n);
        let invite = phone.request(
            "INVITE",
            &uri("dave"),
            &format!("<{}>", uri("dave")),
            1,
            &sdp(POOL, 7_000),
        );
        phone.send(invite.as_bytes()).unwrap();
        let asked = hidden.answer();
        assert!(
            asked.text.starts_with(&format!("INVITE sip:dave@{BEHIND}")),
            "{}",
            asked.text
        );
        let answer = phone.expect("200", SOON, |m| m.code() >= 200).unwrap();
        assert_eq!(answer.code(), 200);
        phone.acknowledge(&answer).unwrap();
        hidden.callee.expect("ACK", SOON).unwrap();
        phone
            .send(phone.in_dialog("BYE", &answer, 2, "").as_bytes())
            .unwrap();
        let bye = hidden.callee.expect("BYE", SOON).unwrap();
        hidden.callee.answer(&bye, "200 OK", "").unwrap();
        phone
            .expect("200", SOON, |m| m.header("CSeq") == "2 BYE")
            .unwrap();
        if n == 0 {
            world.lab.kill_sigplane();
            world.lab.start_sigplane().unwrap();
            world.lab.wait_until_ready().unwrap();
            assert_eq!(world.counter("bindings_now"), 1);
        }
    }
    // From another port it is somebody else.
    let phone = Phone::new(
        world
            .lab
            .udp(&world.lab.carrier, SocketAddr::new(STRANGER, 31_235))
            .unwrap(),
        sip(OUTSIDE),
        "other",
    )
    .unwrap();
    let refused = phone
        .ask(&phone.invite("service", &sdp(STRANGER, 6_000)), SOON)
        .unwrap();
    assert_eq!(refused.code(), 403, "{}", refused.text);
}

#[test]
fn a_connection_that_is_closed_gives_the_caller_a_proper_answer() {
    let world = world("gone", "");
    let connect =
        || TcpStream::connect(sip(OUTSIDE)).map_err(|e| tandem_e2e::Failure::new(e.to_string()));
    let mut connection = world.lab.carrier.enter(connect).unwrap();
    connection.set_read_timeout(Some(SOON)).unwrap();
    let mut ask = |text: String| {
        connection.write_all(text.as_bytes()).unwrap();
        let mut room = vec![0; 8192];
        let length = connection.read(&mut room).unwrap();
        let text = String::from_utf8_lossy(&room[..length]).into_owned();
        Message { text }
    };
    let challenge = ask(register("erin", "TCP", 1, ""));
    let proof = credentials("erin", &challenge);
    let ok = ask(register("erin", "TCP", 2, &proof));
    assert_eq!(ok.code(), 200, "{}", ok.text);
    drop(connection);
    world.wait_for("sip_connections_closed", 1);
    let phone = world.inside("caller", 5070);
    let invite = phone.request(
        "INVITE",
        &uri("erin"),
        &format!("<{}>", uri("erin")),
        1,
        &sdp(POOL, 7_000),
    );
    let answer = phone.ask(&invite, SOON).unwrap();
    assert_eq!(answer.code(), 480, "{}", answer.text);
    assert_eq!(world.counter("flows_failed"), 1);
    // A request of another kind: what the registrar makes of our 430 is its own.
    let message = phone.request(
        "MESSAGE",
        &uri("erin"),
        &format!("<{}>", uri("erin")),
        3,
        "",
    );
    let answer = phone.ask(&message, SOON).unwrap();
    assert_eq!(answer.code(), 480, "{}", answer.text);
}
