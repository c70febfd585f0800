//! SIP is policed by its sources before anybody reads it: whoever floods, calls of a trunk and what registered users send go on; and
//! who is who outlives the signaling plane.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tandem_e2e::frame::{self, Link};
use tandem_e2e::kamailio::DOMAIN;
use tandem_e2e::registering::{self, Registering};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{CALLER, CARRIER_LINK, OUTSIDE, SERVERS, STRANGER, sip};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(20);
/// Nobody knows him.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 201));
/// In a network that the configuration trusts.
const OF_NETWORK: &str = "198.51.100.77";
/// Spoofed SIP, and as much that is none, that is to be dropped. Pieces of IP packets are put together by this kind of port before
/// they arrive: that they are policed is seen in the unit tests.
const FLOOD: u64 = 50_000;

fn counter(lab: &Lab, name: &str) -> u64 {
    lab.ctl().counters().unwrap().value(name)
}

fn show(lab: &Lab, address: &str) -> Value {
    let text = lab.ctl().run(&["--json", "police", "show", address]);
    serde_json::from_str(&text.unwrap()).unwrap()
}

/// Waits until an address has this class, by so many bits.
fn is_of_class(lab: &Lab, address: &str, class: &str, prefix: u64) {
    let shown = wait::until(format!("{address} is {class}"), SOON, || {
        let shown = show(lab, address);
        (shown["source"]["class"] == class).then_some(shown)
    });
    let shown = shown.unwrap_or_else(|failure| {
        panic!("{failure}: {}\n{}", show(lab, address), lab.daemons_said())
    });
    assert_eq!(shown["source"]["prefix"], prefix, "{shown}");
    assert_eq!(shown["complete"], true);
}

/// A thread that sends SIP from sources that it makes up, and what is no SIP, as fast as the wire takes them.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Flood {
    fn start(lab: &Lab, ours: [u8; 6]) -> Self {
        let link = Link::open(&lab.carrier, CARRIER_LINK).unwrap();
        let IpAddr::V4(outside) = OUTSIDE else {
            panic!("{OUTSIDE}")
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let to = SocketAddrV4::new(outside, 5060);
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                // A multiplication that meets every number once: 100,000 sources and more.
                let number = (sent as u32).wrapping_mul(0x9e37_79b1) >> 8;
                let from = SocketAddrV4::new(Ipv4Addr::from(0x3300_0000 | number), 5060);
                let text = format!(
                    "INVITE sip:1@{outside} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK{sent}\r\n\
                     Max-Forwards: 70\r\nFrom: <sip:a@{from}>;tag=1\r\nTo: <sip:1@{outside}>\r\n\
                     Call-ID: {sent}@{from}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
                );
                let whole = frame::udp4(ours, link.mac(), from, to, text.as_bytes());
                let garbage = frame::udp4(ours, link.mac(), from, to, b"\x80garbage");
                for frame in [&whole, &garbage] {
                    // A wire that is full loses it.
                    let _ = link.send(frame);
                }
                sent += 1;
            }
            sent
        });
        Self { stop, thread }
    }

    fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

#[test]
fn a_flood_of_strangers_hurts_nobody_who_is_known_and_classes_outlive_the_signaling_plane() {
    let mut lab = Lab::start(Options {
        probe_interval: 0,
        pool: vec![sip(SERVERS[0])],
        trunk: None,
        carriers: vec![CALLER],
        more: format!(
            "[registrar]\ndomains = [\"{DOMAIN}\"]\n\
             [defence]\ntrusted = [\"198.51.100.0/24\"]\nrequests = 0\nfailures = 0\n\
             [police]\nall_unknown_rate = 100\nall_unknown_burst = 50\nregistered_rate = 0\n"
        ),
        ..Options::default()
    })
    .unwrap();
    lab.sql(&registering::rows(5)).unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    let _server = Server::start(&lab, &lab.core, "server", SERVERS[0]).unwrap();

    let (caller, stranger) = (CALLER.to_string(), STRANGER.to_string());
    is_of_class(&lab, &caller, "trusted", 32);
    is_of_class(&lab, &SERVERS[0].to_string(), "trusted", 32);
    is_of_class(&lab, OF_NETWORK, "trusted", 24);
    is_of_class(&lab, &stranger, "unknown", 32);
    let socket = |port| {
        lab.udp(&lab.carrier, SocketAddr::new(STRANGER, port))
            .unwrap()
    };
    let users = Registering::start(socket(5_090), sip(OUTSIDE), 5).unwrap();
    is_of_class(&lab, &stranger, "registered", 32);

    // The flood, and beside it calls and registrations.
    let ours = lab
        .appliance
        .run("cat /sys/class/net/dp-carrier/address")
        .unwrap();
    let ours: Vec<u8> = ours
        .trim()
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    let before = lab.ctl().counters().unwrap();
    let flood = Flood::start(&lab, ours.try_into().unwrap());
    let calls = Calls {
        count: 60,
        rate: 20,
        ..Calls::default()
    };
    let trunk = Caller::start(&lab, &lab.carrier, "caller", &calls).unwrap();
    wait::until("the flood is dropped", Duration::from_secs(60), || {
        let counters = lab.ctl().counters().ok()?;
        let dropped = |name| counters.value(name) - before.value(name) >= FLOOD;
        (dropped("drop_sip_rate_unknown") && dropped("drop_sip_garbage")).then_some(())
    })
    .unwrap_or_else(|failure| {
        panic!(
            "{failure}: {:?}",
            lab.ctl().counters().unwrap().since(&before)
        )
    });
    let tally = trunk.finish(Duration::from_secs(60)).unwrap();
    let moved = || lab.ctl().counters().unwrap().since(&before);
    assert_eq!((tally.successful, tally.failed), (60, 0), "{:?}", moved());
    let outcome = users.finish().unwrap();
    assert!(outcome.slowest < Duration::from_secs(5), "{outcome:?}");
    let sent = flood.finish();
    println!("{sent} of each sent; {:?}; {outcome:?}", moved());
    // What passes is what the unknown may: a burst, and a hundred a second.
    let passed = counter(&lab, "sip_unknown") - before.value("sip_unknown");
    assert!(passed < 50 + 100 * 90, "{passed}");
    assert_eq!(
        counter(&lab, "sip_ring_crowded"),
        before.value("sip_ring_crowded")
    );

    // Nobody is there to be heard by, and the dataplane still knows who is who.
    let before = lab.ctl().counters().unwrap();
    lab.kill_sigplane();
    let keepalives = |address, port, count| {
        let socket = lab
            .udp(&lab.carrier, SocketAddr::new(address, port))
            .unwrap();
        for _ in 0..count {
            socket.send_to(b"\r\n\r\n", sip(OUTSIDE)).unwrap();
        }
    };
    keepalives(CALLER, 5_070, 20);
    keepalives(STRANGER, 5_070, 30);
    lab.start_sigplane().unwrap();
    lab.wait_until_ready().unwrap();
    let arrived = || {
        let counters = lab.ctl().counters().ok()?;
        let more = |name, by| counters.value(name) - before.value(name) >= by;
        (more("sip_trusted", 20) && more("sip_registered", 30)).then_some(())
    };
    wait::until("they had their classes", SOON, arrived).unwrap();
    is_of_class(&lab, &caller, "trusted", 32);
    is_of_class(&lab, OF_NETWORK, "trusted", 24);
    is_of_class(&lab, &stranger, "registered", 32);

    // A dataplane that begins anew is told.
    lab.kill_dataplane();
    lab.start_dataplane().unwrap();
    let told = || {
        let shown = lab.ctl().run(&["--json", "police", "show"]).ok()?;
        (serde_json::from_str::<Value>(&shown).ok()?["complete"] == true).then_some(())
    };
    wait::until("the dataplane is told who is who", SOON, told).unwrap();
    is_of_class(&lab, &caller, "trusted", 32);
    is_of_class(&lab, &stranger, "registered", 32);

    // And who leaves the table is a stranger.
    lab.sql(&format!("DELETE FROM address WHERE ip_addr = '{CALLER}'"))
        .unwrap();
    lab.ctl().run(&["dispatcher", "reload"]).unwrap();
    is_of_class(&lab, &caller, "unknown", 32);
    is_of_class(&lab, &stranger, "registered", 32);
    is_of_class(&lab, &NOBODY.to_string(), "unknown", 32);
}
