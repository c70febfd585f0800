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
use tandem_e2e::sip::{Callee, Phone};
use tandem_e2e::sipp::Server;
use tandem_e2e::tls::{Authority, Certificate};
use tandem_e2e::topology::{CALLER, OUTSIDE, SERVERS, sip};
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
        let options = Options {
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
