//! Pages in headless Chromium that speak SIP with sip.js over secure WebSocket: with a registrar inside, with what is
//! behind it, and with each other. Signaling alone: their session descriptions are fixed ones of plain RTP.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tandem_e2e::browser::{Account, Browser, Page};
use tandem_e2e::kamailio::{DOMAIN, Kamailio, PASSWORD};
use tandem_e2e::sip::{Callee, Phone, sdp};
use tandem_e2e::sipp::Server;
use tandem_e2e::tls::{Authority, Certificate};
use tandem_e2e::topology::{CALLER, CALLER6, OUTSIDE, OUTSIDE6, SERVER6, SERVERS, sip};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(20);
/// The media server, and the registrar.
const POOL: IpAddr = SERVERS[0];
const REGISTRAR: IpAddr = SERVERS[1];
/// The listener for pages.
const WSS: u16 = 8443;

/// A laboratory with a listener for pages, and a browser outside.
struct World {
    // The browser ends first.
    browser: Browser,
    lab: Lab,
    certificate: Certificate,
}

impl World {
    fn start(name: &str, at: IpAddr, options: Options) -> Self {
        let folder = std::env::temp_dir().join(format!("tnd-{name}-{}", std::process::id()));
        let authority = Authority::make(&folder).unwrap();
        let certificate = authority.certify("sip.example.com", at).unwrap();
        let listen = SocketAddr::new(at, WSS);
        let more = format!(
            "{}[[tls.certificate]]\nchain = \"{}\"\nkey = \"{}\"\n\
             [[sip.listen]]\ntransport = \"wss\"\nlisten = \"{listen}\"\nrealm = \"carrier\"\n",
            options.more,
            certificate.chain.display(),
            certificate.key.display(),
        );
        let lab = Lab::start(Options {
            probe_interval: 0,
            trunk: None,
            more,
            ..options
        })
        .unwrap();
        let browser = Browser::start(&lab, &lab.carrier, "browser", &certificate).unwrap();
        Self {
            browser,
            lab,
            certificate,
        }
    }

    /// One whose pages register with a Kamailio inside.
    fn registered(name: &str) -> (Self, Kamailio) {
        Self::with_timeout(name, Options::default().media_timeout)
    }

    /// The same, where calls without media end after so many seconds.
    fn with_timeout(name: &str, media_timeout: u32) -> (Self, Kamailio) {
        let options = Options {
            media_timeout,
            pool: vec![sip(POOL)],
            carriers: vec![],
            registrars: vec![sip(REGISTRAR)],
            more: "[routing]\nregistrar_set = 2\n".to_owned(),
            ..Options::default()
        };
        let world = Self::start(name, OUTSIDE, options);
        let registrar = Kamailio::registrar(&world.lab, REGISTRAR, POOL).unwrap();
        (world, registrar)
    }

    /// A page of a user that has registered.
    fn page(&self, user: &str, port: u16) -> Page {
        let page = self.browser.page().unwrap();
        let account = Account {
            server: SocketAddr::new(OUTSIDE, WSS),
            user,
            domain: DOMAIN,
            password: PASSWORD,
            media: SocketAddr::new(CALLER, port),
        };
        page.connect(&account).unwrap();
        assert_eq!(self.code(&page, "phone.register()"), 200);
        page
    }

    fn code(&self, page: &Page, script: &str) -> u64 {
        let code = page.code(script);
        code.unwrap_or_else(|f| panic!("{f}\n{}", self.lab.daemons_said()))
    }

    /// What a page calls, at a port of the pool: the test answers.
    fn callee(&self, port: u16) -> Callee {
        let socket = self.lab.udp(&self.lab.core, SocketAddr::new(POOL, port));
        Callee::new(socket.unwrap()).unwrap()
    }

    /// A phone inside that the registrar trusts.
    fn inside(&self, name: &str, port: u16) -> Phone {
        let socket = self.lab.udp(&self.lab.core, SocketAddr::new(POOL, port));
        Phone::new(socket.unwrap(), sip(REGISTRAR), name).unwrap()
    }

    fn counter(&self, name: &str) -> u64 {
        self.lab.ctl().counters().unwrap().value(name)
    }

    fn wait_for(&self, name: &str, value: u64) {
        let seen = || (self.counter(name) == value).then_some(());
        wait::until(format!("{name} of {value}"), SOON, seen).unwrap();
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

/// What a page has received names nothing of the inside.
fn knows_nothing_of_the_inside(page: &Page) {
    let received = page.received();
    assert!(received.len() > 2, "{received:?}");
    for message in received {
        for hidden in ["10.20.", "2001:db8:2:", "tnf1-"] {
            assert!(!message.contains(hidden), "{hidden} in {message}");
        }
    }
}

#[test]
fn a_page_registers_asks_and_writes_and_is_asked_and_written_to() {
    let (world, _registrar) = World::registered("web");
    let service = Server::start(&world.lab, &world.lab.core, "server", POOL).unwrap();
    let page = world.page("alice", 7_000);
    assert_eq!(world.counter("bindings_now"), 1);

    // Us, and a server behind the registrar.
    let ours = format!("phone.options(\"sip:{OUTSIDE}\")");
    assert_eq!(world.code(&page, &ours), 200);
    let theirs = format!("phone.options(\"{}\")", uri("service"));
    assert_eq!(world.code(&page, &theirs), 200);
    drop(service);

    // A MESSAGE into the inside.
    let callee = world.callee(5_071);
    let text = "grüße, 你好";
    let answering = std::thread::spawn(move || {
        let message = callee.expect("MESSAGE", SOON).unwrap();
        callee.answer(&message, "202 Accepted", "").unwrap();
        message.0
    });
    let message = format!("phone.message(\"{}\", \"{text}\")", uri("service-5071"));
    assert_eq!(world.code(&page, &message), 202);
    assert_eq!(answering.join().unwrap().body(), text);

    // From the inside.
    let phone = world.inside("asks", 5_072);
    let to = format!("<{}>", uri("alice"));
    let asked = phone.request("OPTIONS", &uri("alice"), &to, 1, "");
    let answer = phone.ask(&asked, SOON).unwrap();
    assert_eq!(answer.code(), 200, "{}", answer.text);
    assert!(answer.header("Allow").contains("INVITE"), "{}", answer.text);
    let written = phone.request("MESSAGE", &uri("alice"), &to, 2, "hello page");
    let written = written.replace("application/sdp", "text/plain");
    assert_eq!(phone.ask(&written, SOON).unwrap().code(), 200);
    page.sees("message hello page").unwrap();

    knows_nothing_of_the_inside(&page);
    assert_eq!(world.code(&page, "phone.unregister()"), 200);
    world.wait_for("bindings_now", 0);
}

#[test]
fn calls_of_a_page_into_the_inside_end_in_every_way() {
    let (world, _registrar) = World::registered("out");
    let page = world.page("alice", 7_000);
    let call = |to: &str| page.run(&format!("phone.call(\"{}\")", uri(to))).unwrap();
    // Each is challenged once; the attempt and its repetition are one call.
    let ended = |cdrs| world.lab.wait_until_quiet(cdrs, SOON).unwrap();

    // Answered by sipp; a message, a new offer, and the page hangs up.
    let server = Server::start(&world.lab, &world.lab.core, "server", POOL).unwrap();
    call("service");
    page.sees("answer 180").unwrap();
    page.sees("call Established").unwrap();
    let media = page.sees("media").unwrap();
    assert!(media.contains(&format!("c=IN IP4 {OUTSIDE}|")), "{media}");
    assert_eq!(world.code(&page, "phone.hangUp()"), 200);
    page.sees("call Terminated").unwrap();
    ended(1);
    drop(server);

    // sipp hangs up.
    let talk = Duration::from_millis(300);
    let file = "server-bye.xml";
    let server = Server::with(&world.lab, &world.lab.core, "hangs-up", POOL, file, talk).unwrap();
    call("service");
    page.sees("call Established").unwrap();
    page.sees("bye").unwrap();
    page.sees("call Terminated").unwrap();
    ended(2);
    drop(server);

    // The page loses its patience while it rings.
    let callee = world.callee(5_071);
    call("service-5071");
    let invite = callee.expect("INVITE", SOON).unwrap();
    callee.answer(&invite, "180 Ringing", "").unwrap();
    page.sees("answer 180").unwrap();
    page.run("phone.cancel()").unwrap();
    let cancel = callee.expect("CANCEL", SOON).unwrap();
    callee.answer(&cancel, "200 OK", "").unwrap();
    callee
        .answer(&invite, "487 Request Terminated", "")
        .unwrap();
    callee.expect("ACK", SOON).unwrap();
    page.sees("answer 487").unwrap();
    page.sees("call Terminated").unwrap();
    ended(3);

    // Busy.
    call("service-5071");
    let invite = callee.expect("INVITE", SOON).unwrap();
    callee.answer(&invite, "486 Busy Here", "").unwrap();
    callee.expect("ACK", SOON).unwrap();
    page.sees("answer 486").unwrap();
    page.sees("call Terminated").unwrap();
    ended(4);

    // A new offer and a message within a call.
    call("service-5071");
    let invite = callee.expect("INVITE", SOON).unwrap();
    let body = sdp(POOL, 6_000);
    callee.answer(&invite, "200 OK", &body).unwrap();
    callee.expect("ACK", SOON).unwrap();
    page.sees("call Established").unwrap();
    let (offer, said) = (body.clone(), "inside of the call");
    let answering = std::thread::spawn(move || {
        let again = callee.expect("INVITE", SOON).unwrap();
        callee.answer(&again, "200 OK", &offer).unwrap();
        callee.expect("ACK", SOON).unwrap();
        let message = callee.expect("MESSAGE", SOON).unwrap();
        callee.answer(&message, "200 OK", "").unwrap();
        let bye = callee.expect("BYE", SOON).unwrap();
        callee.answer(&bye, "200 OK", "").unwrap();
        message.0
    });
    assert_eq!(world.code(&page, "phone.again()"), 200);
    assert_eq!(world.code(&page, &format!("phone.say(\"{said}\")")), 200);
    assert_eq!(world.code(&page, "phone.hangUp()"), 200);
    assert_eq!(answering.join().unwrap().body(), said);
    ended(5);
    knows_nothing_of_the_inside(&page);
}

#[test]
fn calls_from_the_inside_reach_a_page_and_end_in_every_way() {
    let (world, _registrar) = World::registered("in");
    let page = world.page("alice", 7_000);
    let to = format!("<{}>", uri("alice"));
    let calls = |n: u16| {
        let phone = world.inside(&format!("in{n}"), 5_080 + n);
        let body = sdp(POOL, 6_000);
        let invite = phone.request("INVITE", &uri("alice"), &to, 1, &body);
        phone.send(invite.as_bytes()).unwrap();
        page.sees("called").unwrap();
        page.run("phone.ring()").unwrap();
        let ringing = phone.expect("180", SOON, |m| m.code() == 180).unwrap();
        (phone, invite, ringing)
    };
    let ended = |cdrs| {
        page.sees("call Terminated").unwrap();
        world.lab.wait_until_quiet(cdrs, SOON).unwrap();
    };
    let answers = |phone: &Phone| {
        page.run("phone.answer()").unwrap();
        let answer = phone.expect("200", SOON, |m| m.code() == 200).unwrap();
        assert!(
            answer.body().contains("c=IN IP4 10.20.0.10"),
            "{}",
            answer.text
        );
        phone.acknowledge(&answer).unwrap();
        page.sees("call Established").unwrap();
        answer
    };

    // The inside hangs up.
    let (phone, ..) = calls(0);
    let answer = answers(&phone);
    assert_eq!(phone.hang_up(&answer).unwrap().code(), 200);
    page.sees("bye").unwrap();
    ended(1);

    // The page does.
    let (phone, ..) = calls(1);
    answers(&phone);
    page.run("phone.leaving = phone.hangUp(), null").unwrap();
    let bye = phone.expect("BYE", SOON, |m| m.method() == "BYE").unwrap();
    let ok = bye.answer("200 OK", SocketAddr::new(POOL, 5_081), "");
    phone.send(ok.as_bytes()).unwrap();
    assert_eq!(world.code(&page, "phone.leaving"), 200);
    ended(2);

    // The caller gives up while the page rings.
    let (phone, invite, _) = calls(2);
    let cancel = phone.request("CANCEL", &uri("alice"), &to, 1, "");
    let branch = |text: &str| {
        let via = text
            .lines()
            .find(|l| l.starts_with("Via: "))
            .unwrap_or_default();
        via.to_owned()
    };
    let cancel = cancel.replace(&branch(&cancel), &branch(&invite));
    phone.send(cancel.as_bytes()).unwrap();
    page.sees("cancel").unwrap();
    phone.expect("487", SOON, |m| m.code() == 487).unwrap();
    let ack = phone.request("ACK", &uri("alice"), &to, 1, "");
    phone
        .send(ack.replace(&branch(&ack), &branch(&invite)).as_bytes())
        .unwrap();
    ended(3);

    // The page is busy.
    let (phone, invite, _) = calls(3);
    page.run("phone.refuse(486)").unwrap();
    let busy = phone.expect("486", SOON, |m| m.code() >= 300).unwrap();
    assert_eq!(busy.code(), 486, "{}", busy.text);
    let ack = phone.request("ACK", &uri("alice"), busy.header("To"), 1, "");
    phone
        .send(ack.replace(&branch(&ack), &branch(&invite)).as_bytes())
        .unwrap();
    ended(4);
    knows_nothing_of_the_inside(&page);
}

#[test]
fn two_pages_call_each_other_and_write_to_each_other() {
    let (world, _registrar) = World::registered("pair");
    let (alice, bob) = (world.page("alice", 7_000), world.page("bob", 7_002));
    let write = format!("phone.message(\"{}\", \"hello bob\")", uri("bob"));
    assert_eq!(world.code(&alice, &write), 200);
    bob.sees("message hello bob").unwrap();

    for (n, (caller, called, user)) in [(&alice, &bob, "bob"), (&bob, &alice, "alice")]
        .iter()
        .enumerate()
    {
        caller
            .run(&format!("phone.call(\"{}\")", uri(user)))
            .unwrap();
        called.sees("called").unwrap();
        called.run("phone.ring()").unwrap();
        caller.sees("answer 180").unwrap();
        called.run("phone.answer()").unwrap();
        for page in [caller, called] {
            page.sees("call Established").unwrap();
            let media = page.sees("media").unwrap();
            assert!(media.contains(&format!("c=IN IP4 {OUTSIDE}|")), "{media}");
        }
        assert_eq!(
            world.lab.ctl().calls().unwrap().len(),
            2,
            "one on either side of the registrar"
        );
        assert_eq!(world.code(caller, "phone.say(\"there\")"), 200);
        called.sees("inside there").unwrap();
        assert_eq!(world.code(called, "phone.say(\"here\")"), 200);
        caller.sees("inside here").unwrap();
        // Once it is the caller who hangs up, once who was called.
        let (leaves, stays) = if n == 0 {
            (caller, called)
        } else {
            (called, caller)
        };
        assert_eq!(world.code(leaves, "phone.hangUp()"), 200);
        stays.sees("bye").unwrap();
        for page in [caller, called] {
            page.sees("call Terminated").unwrap();
        }
        // Both halves of the call: the challenged attempt belongs to the first.
        world
            .lab
            .wait_until_quiet(2 * (n as u64 + 1), SOON)
            .unwrap();
    }
    knows_nothing_of_the_inside(&alice);
    knows_nothing_of_the_inside(&bob);
}

/// The connection's end is not the call's: a page may be on its way to another network. Its silence is, and nobody can
/// reach it any more.
#[test]
fn the_call_of_a_page_that_is_loaded_again_ends_when_its_media_does_not_come_back() {
    let (world, _registrar) = World::with_timeout("reload", 3);
    let page = world.page("alice", 7_000);
    let callee = world.callee(5_071);
    page.run(&format!("phone.call(\"{}\")", uri("service-5071")))
        .unwrap();
    let invite = callee.expect("INVITE", SOON).unwrap();
    callee.answer(&invite, "200 OK", &sdp(POOL, 6_000)).unwrap();
    callee.expect("ACK", SOON).unwrap();
    page.sees("call Established").unwrap();
    page.reload().unwrap();
    world.wait_for("bindings_now", 0);
    let bye = callee.expect("BYE", SOON).unwrap();
    assert!(bye.0.text.contains("No media"), "{}", bye.0.text);
    callee.answer(&bye, "200 OK", "").unwrap();
    world
        .lab
        .wait_until_quiet(1, Duration::from_secs(60))
        .unwrap();
    let causes = world.lab.sql("SELECT cause FROM cdr").unwrap();
    assert!(causes.contains("media-timeout"), "{causes}");
    // Who calls it now is told that it is gone.
    let phone = world.inside("late", 5_090);
    let invite = phone.request(
        "INVITE",
        &uri("alice"),
        &format!("<{}>", uri("alice")),
        1,
        "",
    );
    let answer = phone.ask(&invite, SOON).unwrap();
    assert!((400..500).contains(&answer.code()), "{}", answer.text);
    page.close().unwrap();
}

#[test]
fn a_page_calls_over_ipv6_and_no_other_subprotocol_is_spoken() {
    let options = Options {
        pool: vec![sip(SERVER6)],
        ..Options::default()
    };
    let world = World::start("six", OUTSIDE6, options);
    let _server = Server::start(&world.lab, &world.lab.core, "server", SERVER6).unwrap();
    let page = world.browser.page().unwrap();
    let server = SocketAddr::new(OUTSIDE6, WSS);
    for (n, protocols) in ["\"chat\"", "[]"].iter().enumerate() {
        let open = format!("phone.open(\"wss://{server}/\", {protocols})");
        assert_eq!(page.run(&open).unwrap(), "closed 1006");
        assert!(page.refusals()[n].contains("403"), "{:?}", page.refusals());
    }
    assert_eq!(world.counter("stream_web_wrong_protocol"), 2);
    let open = format!("phone.open(\"wss://{server}/\", [\"chat\", \"sip\"])");
    assert_eq!(page.run(&open).unwrap(), "open sip");

    let account = Account {
        server,
        user: "alice",
        domain: DOMAIN,
        password: "",
        media: SocketAddr::new(CALLER6, 7_000),
    };
    page.connect(&account).unwrap();
    page.run(&format!("phone.call(\"sip:service@[{OUTSIDE6}]\")"))
        .unwrap();
    page.sees("call Established").unwrap();
    let media = page.sees("media").unwrap();
    assert!(media.contains(&format!("c=IN IP6 {OUTSIDE6}|")), "{media}");
    assert_eq!(world.code(&page, "phone.hangUp()"), 200);
    world.lab.wait_until_quiet(1, SOON).unwrap();
    knows_nothing_of_the_inside(&page);
}
