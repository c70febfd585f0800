//! Users of the appliance's own registrar: Debian's baresip, sipsak and sipp register and call with their passwords.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tandem_e2e::baresip::Baresip;
use tandem_e2e::kamailio::{DOMAIN, PASSWORD};
use tandem_e2e::sip::{Message, Phone, sdp};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, INSIDE, OUTSIDE, SERVERS, STRANGER, TRUNK, sip};
use tandem_e2e::{Lab, Options, wait, wav};

const SOON: Duration = Duration::from_secs(20);
const POOL: IpAddr = SERVERS[0];

fn world(workers: u16, algorithm: &str) -> (Lab, Server) {
    let listener = format!(
        "[[sip.listen]]\ntransport = \"tcp\"\nlisten = \"{OUTSIDE}:5060\"\nrealm = \"carrier\"\n"
    );
    let lab = Lab::start(Options {
        probe_interval: 0,
        pool: vec![sip(POOL)],
        trunk: None,
        carriers: vec![],
        sip_workers: workers,
        more: format!(
            "[registrar]\ndomains = [\"{DOMAIN}\", \"{OUTSIDE}\"]\nalgorithms = [\"{algorithm}\"]\n[defence]\ntrusted = [\"{CALLER}/32\"]\n{listener}"
        ),
        ..Options::default()
    })
    .unwrap();
    // As Kamailio's own tools write them: with a plain password, and with its hash alone.
    let ha1 = hash("md5sum", &format!("bob:{DOMAIN}:{PASSWORD}"));
    lab.sql(&format!(
        "INSERT INTO subscriber (username, domain, password) VALUES ('alice', '', '{PASSWORD}');
         INSERT INTO subscriber (username, domain, ha1) VALUES ('bob', '{DOMAIN}', '{ha1}')"
    ))
    .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    let server = Server::start(&lab, &lab.core, "server", POOL).unwrap();
    (lab, server)
}

/// A hash, by another program's reckoning.
fn hash(program: &str, text: &str) -> String {
    let mut words = program.split(' ');
    let mut child = std::process::Command::new(words.next().unwrap())
        .args(words)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let is_hash = |word: &&str| word.len() >= 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    said.split_whitespace().find(is_hash).unwrap().to_owned()
}

fn counter(lab: &Lab, name: &str) -> u64 {
    lab.ctl().counters().unwrap().value(name)
}

fn uri(user: &str) -> String {
    format!("sip:{user}@{DOMAIN}")
}

/// A call from the pool to a user: the answer.
fn call_from_the_pool(lab: &Lab, user: &str, port: u16) -> Message {
    let socket = lab.udp(&lab.core, SocketAddr::new(POOL, port)).unwrap();
    let phone = Phone::new(socket, sip(INSIDE), &format!("in{port}")).unwrap();
    let body = sdp(POOL, 7_000);
    let invite = phone.request("INVITE", &uri(user), &format!("<{}>", uri(user)), 1, &body);
    let answer = phone.ask(&invite, SOON).unwrap();
    if answer.code() == 200 {
        phone.acknowledge(&answer).unwrap();
        assert_eq!(phone.hang_up(&answer).unwrap().code(), 200, "{user}");
    }
    answer
}

/// With one worker, and with three, of which each has other users than calls.
fn phones_register_call_and_are_called(workers: u16) {
    let (mut lab, _server) = world(workers, "MD5");
    let says = wav::sweep(8_000, 4, 1);
    let phones = [("alice", "udp", STRANGER), ("bob", "tcp", TRUNK)];
    let mut started: Vec<Baresip> = phones
        .iter()
        .map(|(name, transport, at)| {
            Baresip::registered(&lab, name, *at, &says, transport, "")
                .unwrap_or_else(|e| panic!("{name}: {e}\n{}", lab.daemons_said()))
        })
        .collect();
    assert_eq!(counter(&lab, "registered_users_now"), 2);
    assert_eq!(counter(&lab, "registers_accepted"), 2);
    for (phone, (name, _, at)) in started.iter_mut().zip(&phones) {
        phone.dial(&lab, *at, &uri("service")).unwrap();
        phone
            .wait_for_call(SOON)
            .unwrap_or_else(|e| panic!("{name}: {e}\n{}", lab.daemons_said()));
    }
    for (port, (name, ..)) in (5_071..).zip(&phones) {
        let answer = call_from_the_pool(&lab, name, port);
        assert_eq!(answer.code(), 200, "{name}: {}", answer.text);
    }
    assert_eq!(call_from_the_pool(&lab, "carol", 5_080).code(), 404);
    assert_eq!(counter(&lab, "to_users"), 2);
    // What a phone by UDP has registered is there again after a kill, at once.
    lab.kill_sigplane();
    lab.start_sigplane().unwrap();
    lab.wait_until_ready().unwrap();
    assert_eq!(counter(&lab, "registered_users_now"), 2);
    let answer = call_from_the_pool(&lab, "alice", 5_081);
    assert_eq!(answer.code(), 200, "{}", answer.text);
}

#[test]
fn phones_register_call_and_are_called_by_one_worker() {
    phones_register_call_and_are_called(1);
}

#[test]
fn phones_register_call_and_are_called_by_three_workers() {
    phones_register_call_and_are_called(3);
}

#[test]
fn sipsak_registers_with_the_right_password_only() {
    let (lab, _server) = world(1, "MD5");
    let sipsak = |user: &str, password: &str| {
        let text = format!(
            "sipsak -U -s sip:{user}@{OUTSIDE} -u {user} -a {password} -C sip:{user}@{CALLER}:5999 -x 120 -l 5999 -v"
        );
        let mut command = lab.carrier.command("timeout");
        command.arg("20").args(text.split(' '));
        let output = command.output().unwrap();
        (output.status.success(), format!("{output:?}"))
    };
    let (good, said) = sipsak("alice", PASSWORD);
    assert!(good, "{said}\n{}", lab.daemons_said());
    assert_eq!(counter(&lab, "registered_users_now"), 1);
    for (user, password) in [("alice", "guess"), ("nobody", PASSWORD)] {
        let (good, said) = sipsak(user, password);
        assert!(!good, "{said}");
    }
    assert_eq!(counter(&lab, "auth_wrong_password"), 2);
    assert_eq!(counter(&lab, "registered_users_now"), 1);
}

/// A user agent by hand, whose hashes another program makes.
struct Hand {
    phone: Phone,
    cseq: std::cell::Cell<u32>,
}

impl Hand {
    fn new(lab: &Lab, port: u16) -> Self {
        let socket = lab
            .udp(&lab.carrier, SocketAddr::new(CALLER, port))
            .unwrap();
        Self {
            phone: Phone::new(socket, sip(OUTSIDE), "hand").unwrap(),
            cseq: std::cell::Cell::new(0),
        }
    }

    /// A REGISTER with these header lines.
    fn text(&self, user: &str, lines: &str) -> String {
        let cseq = self.cseq.get() + 1;
        self.cseq.set(cseq);
        format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {CALLER}:5400;rport;branch=z9hG4bKhand{cseq}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{DOMAIN}>;tag=hand\r\nTo: <sip:{user}@{DOMAIN}>\r\nCall-ID: {}\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{user}@{CALLER}:5400>\r\n{lines}Content-Length: 0\r\n\r\n",
            self.phone.call_id()
        )
    }

    /// Sends one: the answer.
    fn ask(&self, user: &str, lines: &str) -> Message {
        let text = self.text(user, lines);
        let cseq = self.cseq.get();
        self.phone.send(text.as_bytes()).unwrap();
        let ours = |m: &Message| m.code() >= 200 && m.header("CSeq") == format!("{cseq} REGISTER");
        self.phone.expect("the answer", SOON, ours).unwrap()
    }
}

/// Sends a request by a connection of its own: the code of the answer.
fn ask_by_tcp(lab: &Lab, text: &str) -> u16 {
    let mut said = [0; 11];
    let talk = || {
        let mut stream = TcpStream::connect((OUTSIDE, 5_060)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let text = text.replace("/UDP", "/TCP");
        stream.write_all(text.as_bytes()).unwrap();
        stream.read_exact(&mut said).unwrap();
        Ok(())
    };
    lab.carrier.enter(talk).unwrap();
    let code = std::str::from_utf8(&said).unwrap().rsplit(' ').next();
    code.unwrap().parse().unwrap()
}

/// Credentials for a challenge.
fn credentials(program: &str, challenge: &Message, user: &str, nc: u32) -> String {
    let value = challenge.header("WWW-Authenticate");
    let part = |name: &str| {
        let (_, rest) = value.split_once(&format!("{name}=")).unwrap();
        rest.split([',', ' ']).next().unwrap().trim_matches('"')
    };
    let (nonce, algorithm) = (part("nonce"), part("algorithm"));
    let ha1 = hash(program, &format!("{user}:{DOMAIN}:{PASSWORD}"));
    let ha2 = hash(program, &format!("REGISTER:sip:{DOMAIN}"));
    let response = hash(program, &format!("{ha1}:{nonce}:{nc:08x}:c:auth:{ha2}"));
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", uri=\"sip:{DOMAIN}\", \
         algorithm={algorithm}, qop=auth, nc={nc:08x}, cnonce=\"c\", response=\"{response}\"\r\n"
    )
}

#[test]
fn each_algorithm_takes_credentials_once_and_no_others() {
    for (algorithm, program) in [
        ("MD5", "md5sum"),
        ("SHA-256", "sha256sum"),
        ("SHA-512-256", "openssl dgst -sha512-256"),
    ] {
        let (lab, _server) = world(1, algorithm);
        let hand = Hand::new(&lab, 5_400);
        let challenge = hand.ask("alice", "");
        assert_eq!(challenge.code(), 401, "{}", challenge.text);
        let good = credentials(program, &challenge, "alice", 1);
        let forged = good.replace("nonce=\"", "nonce=\"0");
        assert_eq!(hand.ask("alice", &forged).code(), 401);
        let other = good.replace("response=\"", "response=\"0");
        assert_eq!(hand.ask("alice", &other).code(), 401);
        let ok = hand.ask("alice", &good);
        assert_eq!(ok.code(), 200, "{algorithm}: {}", ok.text);
        let again = hand.ask("alice", &good);
        assert!(
            again.code() == 401 && again.text.contains("stale=true"),
            "{}",
            again.text
        );
        let next = credentials(program, &challenge, "alice", 2);
        assert_eq!(hand.ask("alice", &next).code(), 200);
        let counts = [
            "auth_accepted",
            "auth_forged_nonce",
            "auth_wrong_password",
            "auth_replayed",
        ];
        assert_eq!(counts.map(|name| counter(&lab, name)), [2, 1, 1, 1]);
    }
}

#[test]
fn nothing_that_a_stranger_writes_reaches_the_database() {
    let (lab, _server) = world(1, "MD5");
    let hand = Hand::new(&lab, 5_400);
    let challenge = hand.ask("alice", "");
    let good = credentials("md5sum", &challenge, "alice", 1);
    let before = lab.sql("SELECT count(*) FROM subscriber").unwrap();
    let hostile = [
        "' OR '1'='1' --".to_owned(),
        "'; DROP TABLE subscriber; --".to_owned(),
        "%27%20OR%201=1".to_owned(),
        "\u{fc}\u{2028}".to_owned(),
    ];
    for text in &hostile {
        for name in [
            "username", "realm", "nonce", "uri", "cnonce", "response", "opaque",
        ] {
            let (_, rest) = good
                .split_once(&format!("{name}=\""))
                .unwrap_or(("", "\"\r\n"));
            let old = rest.split('"').next().unwrap();
            let bad = good.replacen(
                &format!("{name}=\"{old}\""),
                &format!("{name}=\"{text}\""),
                1,
            );
            let bad = if name == "opaque" {
                good.replace("qop=auth", &format!("opaque=\"{text}\", qop=auth-int"))
            } else {
                bad
            };
            let code = hand.ask("alice", &bad).code();
            assert!(
                matches!(code, 400 | 401 | 513),
                "{name} {}: {code}",
                &text[..4]
            );
        }
        if !text.contains(' ') && text.len() < 100 {
            let code = hand.ask(text, "").code();
            assert!(matches!(code, 400 | 401 | 404), "{text}: {code}");
        }
    }
    // By a connection: one user after the other with 10 KB in a field.
    for field in [
        "username=\"",
        "From: <sip:",
        "To: <sip:",
        "REGISTER sip:",
        "Contact: <sip:",
    ] {
        let code = ask_by_tcp(
            &lab,
            &hand.text("alice", &good).replacen(
                field,
                &format!("{field}{}", "x".repeat(10_240)),
                1,
            ),
        );
        assert!(
            matches!(code, 400 | 401 | 403 | 404 | 405),
            "{field} {code}"
        );
    }
    assert_eq!(lab.sql("SELECT count(*) FROM subscriber").unwrap(), before);
    assert_eq!(counter(&lab, "registered_users_now"), 0);
    let next = credentials("md5sum", &challenge, "alice", 9);
    assert_eq!(hand.ask("alice", &next).code(), 200, "and it goes on");
}

#[test]
fn registrations_end_when_they_are_not_refreshed() {
    let (lab, _server) = world(1, "MD5");
    let says = wav::sweep(8_000, 4, 1);
    let mut alice = Baresip::registered(&lab, "alice", STRANGER, &says, "udp", "").unwrap();
    alice.kill();
    // It had asked for a minute.
    let gone = || (counter(&lab, "registered_users_now") == 0).then_some(());
    wait::until("the end of the registration", Duration::from_secs(75), gone).unwrap();
    assert_eq!(call_from_the_pool(&lab, "alice", 5_071).code(), 480);
}

/// The disk is slowed down by a tracer: it is the system call that the answer waits for.
#[test]
fn a_registration_is_on_the_disk_before_it_is_confirmed() {
    let (lab, _server) = world(1, "MD5");
    let hand = Hand::new(&lab, 5_400);
    let challenge = hand.ask("alice", "");
    let mut last = 0;
    let mut register = |slow: Duration, times: usize| {
        let mut strace = lab.slow_disk(slow).unwrap();
        let start = Instant::now();
        for _ in 0..times {
            last += 1;
            let lines = credentials("md5sum", &challenge, "alice", last);
            let text = hand.text("alice", &lines);
            hand.phone.send(text.as_bytes()).unwrap();
        }
        for _ in 0..times {
            let answer = |m: &Message| m.code() >= 200;
            let answer = hand.phone.expect("an answer", SOON, answer).unwrap();
            assert_eq!(answer.code(), 200, "{}", answer.text);
        }
        strace.kill();
        start.elapsed()
    };
    let slow = Duration::from_millis(700);
    let one = register(slow, 1);
    assert!(one >= slow, "{one:?}");
    // One call serves many: the one under way, and the next for all that came meanwhile.
    let many = register(slow, 20);
    assert!((slow..5 * slow).contains(&many), "{many:?}");
    assert_eq!(counter(&lab, "journal_promises_late"), 0);
    // And one that hangs is not waited for for ever.
    let hung = register(Duration::from_secs(6), 1);
    let patience = Duration::from_secs(2)..Duration::from_secs(5);
    assert!(patience.contains(&hung), "{hung:?}");
    assert_eq!(counter(&lab, "journal_promises_late"), 1);
}

/// Without reading the tables again.
#[test]
fn a_user_made_just_now_registers() {
    let (lab, _server) = world(1, "MD5");
    let hand = Hand::new(&lab, 5_400);
    lab.sql(&format!(
        "INSERT INTO subscriber (username, domain, password) VALUES ('carol', '{DOMAIN}', '{PASSWORD}')"
    ))
    .unwrap();
    let registers = || {
        let challenge = hand.ask("carol", "");
        let lines = credentials("md5sum", &challenge, "carol", 1);
        (hand.ask("carol", &lines).code() == 200).then_some(())
    };
    wait::until("carol's registration", Duration::from_secs(3), registers).unwrap();
    assert!(counter(&lab, "subscribers_asked_for") > 0);
    assert_eq!(counter(&lab, "database_lookups_dropped"), 0);
}

#[test]
fn sipp_registers() {
    let (lab, _server) = world(1, "MD5");
    let load = Calls {
        scenario: "register.xml",
        user: "alice",
        count: 200,
        rate: 50,
        ..Calls::default()
    };
    let caller = Caller::start(&lab, &lab.carrier, "register", &load).unwrap();
    let tally = caller.finish(SOON).unwrap();
    assert_eq!((tally.successful, tally.failed), (200, 0), "{tally:?}");
    // Each time from the same place, and so the same contact.
    assert_eq!(counter(&lab, "registers_accepted"), 200);
    assert_eq!(counter(&lab, "registered_users_now"), 1);
    let one = || {
        (lab.sql("SELECT count(*), min(username) FROM location")
            .ok()?
            == "1|alice\n")
            .then_some(())
    };
    wait::until("the row in location", SOON, one).unwrap();
}
