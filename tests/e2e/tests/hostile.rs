//! Bad input while a call is in progress: each piece has its counter or its refusal, and the call
//! is not harmed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tandem_admin::Flow;
use tandem_e2e::capture::Capture;
use tandem_e2e::ctl::Counters;
use tandem_e2e::frame::{self, Link};
use tandem_e2e::sip::{Phone, mutate, sdp};
use tandem_e2e::sipp::{Caller, Calls, Server};
use tandem_e2e::topology::{
    CALLER, CALLER6, CARRIER_LINK, CARRIER_PORT, CORE_LINK, INSIDE, OUTSIDE, OUTSIDE6, SERVERS,
    STRANGER, sip,
};
use tandem_e2e::{Lab, Options, wait};

const SOON: Duration = Duration::from_secs(15);

/// A laboratory with one call in progress, watched at both ends.
struct Scene {
    caller: Caller,
    outside: Capture,
    inside: Capture,
    flow: Flow,
    _server: Server,
    // Dropped last.
    lab: Lab,
}

impl Scene {
    fn start(talk: Duration) -> Self {
        let options = Options {
            pool: vec![sip(SERVERS[0])],
            media_timeout: 5,
            probe_interval: 0,
            ..Options::default()
        };
        let lab = Lab::start(options).unwrap();
        let server = Server::start(&lab, &lab.core, "server", SERVERS[0]).unwrap();
        let ctl = lab.ctl();
        // Its neighbour entry: what the first packet to a host may meet is not the subject here.
        let ping = format!("ping -c 1 -W 5 {}", SERVERS[0]);
        lab.appliance.run(&ping).unwrap();
        let outside = Capture::start(&lab, &lab.carrier, "outside", CARRIER_LINK).unwrap();
        let inside = Capture::start(&lab, &lab.core, "inside", CORE_LINK).unwrap();
        let calls = Calls {
            talk,
            ..Calls::default()
        };
        let caller = Caller::start(&lab, &lab.carrier, "caller", &calls).unwrap();
        let flow = wait::until("the call's media", SOON, || {
            let mut flows = ctl.flows().ok()?;
            flows
                .pop()
                .filter(|f| f.a.latched.is_some() && f.b.latched.is_some())
        })
        .unwrap();
        Self {
            caller,
            outside,
            inside,
            flow,
            _server: server,
            lab,
        }
    }

    /// The call in progress came to its end in order, and not one of its packets was lost.
    fn end(mut self, calls: u64) {
        assert!(self.lab.daemons_run(), "{}", self.lab.daemons_said());
        let tally = self.caller.finish(Duration::from_secs(60)).unwrap();
        assert_eq!(
            (tally.successful, tally.failed),
            (1, 0),
            "{}",
            self.lab.daemons_said()
        );
        let (outside, inside) = (
            self.outside.finish().unwrap(),
            self.inside.finish().unwrap(),
        );
        let counters = || {
            self.lab
                .ctl()
                .counters()
                .unwrap()
                .since(&Counters::default())
        };
        let ours = |p: &&tandem_e2e::capture::Rtp| p.ssrc >> 16 == 0xca11;
        let sequence = |p: &tandem_e2e::capture::Rtp| p.sequence;
        let set = |packets: &[tandem_e2e::capture::Rtp], source: IpAddr| {
            let of = packets
                .iter()
                .filter(ours)
                .filter(|p| p.source.ip() == source);
            of.map(sequence).collect::<BTreeSet<u16>>()
        };
        let same = |way: &str, came: BTreeSet<u16>, left: BTreeSet<u16>| {
            let odd: Vec<_> = came.symmetric_difference(&left).collect();
            assert!(odd.is_empty(), "{way}: {odd:?}; {:#?}", counters());
        };
        let (caller, server) = (CALLER, SERVERS[0]);
        same(
            "inward",
            set(&outside.packets, caller),
            set(&inside.packets, INSIDE),
        );
        same(
            "outward",
            set(&inside.packets, server),
            set(&outside.packets, OUTSIDE),
        );
        self.lab
            .wait_until_quiet(calls, Duration::from_secs(120))
            .unwrap();
    }
}

fn v4(address: IpAddr, port: u16) -> SocketAddrV4 {
    match SocketAddr::new(address, port) {
        SocketAddr::V4(a) => a,
        SocketAddr::V6(_) => unreachable!("the laboratory's callers have IPv4"),
    }
}

/// Waits until the counter has gone up by `by` since `before`.
fn moved(lab: &Lab, before: &Counters, name: &str, by: u64) {
    let ctl = lab.ctl();
    let look = || {
        let now = ctl.counters().ok()?;
        (now.value(name) >= before.value(name) + by).then_some(())
    };
    let seen = wait::until(format!("{name} +{by}"), Duration::from_secs(5), look);
    seen.unwrap_or_else(|f| panic!("{f}; moved: {:?}", ctl.counters().unwrap().since(before)));
}

#[test]
fn frames_that_are_wrong_have_their_counters() {
    let scene = Scene::start(Duration::from_secs(15));
    let lab = &scene.lab;
    let link = Link::open(&lab.carrier, CARRIER_LINK).unwrap();
    let text = lab
        .appliance
        .run(&format!("cat /sys/class/net/{CARRIER_PORT}/address"))
        .unwrap();
    let mut ours = [0; 6];
    for (byte, hex) in ours.iter_mut().zip(text.trim().split(':')) {
        *byte = u8::from_str_radix(hex, 16).unwrap();
    }
    let media = v4(OUTSIDE, scene.flow.a.local.port());
    let caller = v4(CALLER, scene.flow.a.latched.unwrap().port());
    let good = frame::udp4(ours, link.mac(), caller, media, &frame::rtp(1, 7, 8, 160));
    // Ethernet 14, IPv4 20, UDP 8.
    let damaged = |at: usize, by: u8| {
        let mut bad = good.clone();
        frame::damage(&mut bad, at, by);
        bad
    };
    let with = |payload: &[u8]| frame::udp4(ours, link.mac(), caller, media, payload);
    let from = |source: SocketAddrV4, to: SocketAddrV4| {
        frame::udp4(ours, link.mac(), source, to, &frame::rtp(1, 9, 8, 160))
    };
    let options = frame::udp4_with_options(
        ours,
        link.mac(),
        caller,
        media,
        &[7, 3, 0, 0],
        &frame::rtp(1, 7, 8, 160),
    );
    let mut version_1 = frame::rtp(1, 7, 8, 160);
    version_1[0] = 0x40;
    let mut padded = frame::rtp(1, 7, 8, 20);
    padded[0] |= 0x20;
    *padded.last_mut().unwrap() = 255;
    let mut many_csrc = frame::rtp(1, 7, 8, 4);
    many_csrc[0] |= 0x0f;
    let rtcp_port = v4(OUTSIDE, scene.flow.a.local.port() + 1);
    let rtcp = |bytes: &[u8]| {
        frame::udp4(
            ours,
            link.mac(),
            v4(CALLER, caller.port() + 1),
            rtcp_port,
            bytes,
        )
    };
    let free = v4(OUTSIDE, 39_998);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("drop_ip4_checksum", damaged(24, 0xff)),
        ("drop_ip4_version", damaged(14, 0x10)),
        ("drop_ip4_header_length", {
            let mut bad = good.clone();
            bad[14] = 0x42;
            bad
        }),
        ("drop_ip4_truncated", good[..20].to_vec()),
        ("drop_udp_checksum", damaged(60, 0xff)),
        ("drop_ip4_options", options),
        ("drop_rtp_version", with(&version_1)),
        ("drop_rtp_truncated", with(&frame::rtp(1, 7, 8, 160)[..8])),
        ("drop_rtp_truncated", with(&many_csrc)),
        ("drop_rtp_padding", with(&padded)),
        ("drop_rtcp_truncated", rtcp(&[0x80, 200, 0, 9])),
        ("drop_rtcp_version", rtcp(&[0x40, 200, 0, 1, 0, 0, 0, 1])),
        ("drop_wrong_source", from(v4(STRANGER, 7_000), media)),
        ("drop_no_flow", from(caller, free)),
        ("drop_bad_source", from(v4(OUTSIDE, 0), media)),
        ("drop_vlan_unknown", {
            let mut tagged = good[..12].to_vec();
            tagged.extend([0x81, 0x00, 0x00, 0x63]);
            tagged.extend(&good[12..]);
            tagged
        }),
        ("drop_eth_not_ours", {
            let mut other = good.clone();
            other[5] ^= 0x55;
            other
        }),
    ];
    for (counter, bytes) in &cases {
        let before = lab.ctl().counters().unwrap();
        assert!(before.has(counter), "there is no counter {counter}");
        for _ in 0..10 {
            link.send(bytes).unwrap();
        }
        moved(lab, &before, counter, 10);
        println!("{counter}: 10 of 10");
    }
    // The leg is still latched to the caller, and nothing of it went on to the server.
    let flow = lab.ctl().flows().unwrap().remove(0);
    assert_eq!(flow.a.latched, scene.flow.a.latched);
    assert!(flow.a.rtp.wrong_source >= 10);
    scene.end(1);
}

#[test]
fn session_descriptions_that_are_wrong_are_refused() {
    let scene = Scene::start(Duration::from_secs(10));
    let lab = &scene.lab;
    let no_connection = sdp(CALLER, 7_000).replace(&format!("c=IN IP4 {CALLER}\r\n"), "");
    let lines: String = (0..100)
        .map(|i| format!("m=audio {} RTP/AVP 8\r\n", 7_000 + 2 * i))
        .collect();
    // So long that it comes in fragments: over IPv6 these are the kernel's on the TAP to put together.
    let hundred = sdp(CALLER6, 7_000) + &lines;
    let nonsense = "v=0\r\nthis is no description\r\n".to_owned();
    let numbers = sdp(CALLER, 7_000).replace("7000", "99999999999999999999");
    for (name, body) in [
        ("no-connection", no_connection),
        ("hundred-lines", hundred),
        ("nonsense", nonsense),
        ("numbers", numbers),
    ] {
        let (from, to) = if name == "hundred-lines" {
            (CALLER6, OUTSIDE6)
        } else {
            (CALLER, OUTSIDE)
        };
        let socket = lab.udp(&lab.carrier, (from, 5_300).into()).unwrap();
        let phone = Phone::new(socket, sip(to), name).unwrap();
        let answer = phone.ask(&phone.invite("x", &body), SOON).unwrap();
        assert!(
            (400..500).contains(&answer.code()),
            "{name}: {}",
            answer.text
        );
        println!("{name}: {}", answer.text.lines().next().unwrap_or_default());
    }
    let flows = lab.ctl().counters().unwrap().value("flows");
    assert_eq!(flows, 1, "only the call in progress has a flow");
    // A refused call is written down too.
    scene.end(4 + 1);
}

#[test]
fn a_thousand_mutated_datagrams_do_no_harm() {
    const MUTATIONS: u64 = 1_200;
    let scene = Scene::start(Duration::from_secs(30));
    let lab = &scene.lab;
    let ctl = lab.ctl();
    let before = ctl.counters().unwrap();
    let socket = lab.udp(&lab.carrier, (CALLER, 5_400).into()).unwrap();
    let phone = Phone::new(socket, sip(OUTSIDE), "mutant").unwrap();
    let uri = format!("sip:x@{OUTSIDE}");
    let invite = phone.invite("x", &sdp(CALLER, 7_000));
    let (_, headers) = invite.split_once("\r\n").unwrap();
    let seeds = [
        invite.clone(),
        phone.request("OPTIONS", &uri, &format!("<{uri}>"), 7, ""),
        phone.request("BYE", &uri, &format!("<{uri}>;tag=x"), 8, ""),
        phone.request("CANCEL", &uri, &format!("<{uri}>"), 1, ""),
        format!(
            "SIP/2.0 200 OK
{headers}"
        ),
    ];
    let received = |c: &Counters| {
        // What does not begin as SIP does is dropped before anybody reads it.
        [
            "sip_received",
            "drop_udp_truncated",
            "sip_ring_full",
            "drop_sip_garbage",
        ]
        .iter()
        .map(|n| c.value(n))
        .sum::<u64>()
    };
    let start = received(&before);
    for n in 0..MUTATIONS {
        let seed = &seeds[usize::try_from(n).unwrap() % seeds.len()];
        let mut bytes = mutate(seed.as_bytes(), n);
        if bytes.is_empty() {
            bytes.push(b'x');
        }
        phone.send(&bytes).unwrap();
        // No faster than it is taken: this test is about content, not about overload.
        if n % 50 == 49 {
            wait::until("the datagrams to be taken", SOON, || {
                let now = received(&ctl.counters().ok()?);
                (now > start + n).then_some(())
            })
            .unwrap();
        }
    }
    let after = ctl.counters().unwrap();
    let moved = after.since(&before);
    println!("{MUTATIONS} mutated datagrams: {moved:#?}");
    // Every datagram that reached the core is a request or a response, or one of what is neither.
    let outcomes = [
        "sip_requests_received",
        "sip_responses_received",
        "sip_keepalives",
        "sip_not_sip",
        "sip_malformed_requests",
        "sip_malformed_responses",
        "sip_malformed_acks",
        "sip_version_not_supported",
        "sip_headers_over_limit",
        "sip_message_too_large",
        "hiding_tokens_forged",
        "drop_sip_garbage",
    ];
    let sum: u64 = outcomes
        .iter()
        .map(|n| after.value(n) - before.value(n))
        .sum();
    assert!(
        sum >= MUTATIONS,
        "{sum} outcomes for {MUTATIONS} datagrams: {moved:#?}"
    );
    let refused = [
        "drop_sip_garbage",
        "sip_malformed_requests",
        "sip_malformed_responses",
    ];
    assert!(
        refused.iter().all(|n| after.value(n) > before.value(n)),
        "{moved:#?}"
    );
    // What was still an INVITE has become a call, which ends for want of an ACK or of media.
    let made = after.value("calls") - before.value("calls");
    scene.end(made + 1);
}
