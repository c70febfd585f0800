use std::collections::HashMap;

use proptest::prelude::*;
use tandem_link::StatelessTarget;

use super::*;

const KEY: [u8; 16] = [7; 16];
const OUTSIDE: u16 = 0;
const INSIDE: u16 = 1;

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Realm 0 is outside and relays, realm 1 has the targets, realm 2 is something else.
fn spec(targets: u8) -> StatelessSpec {
    let target = |n: u8| StatelessTarget {
        address: SocketAddr::from(([10, 0, 0, 10 + n], 5060)),
        realm: INSIDE,
        weight: 1,
        up: true,
        place: vec![10, 0, 0, 10 + n],
    };
    StatelessSpec {
        realms: vec![OUTSIDE],
        record_route: true,
        key: KEY,
        hash: (1, 2),
        senders: vec![
            ("198.51.100.9".parse().unwrap(), 24),
            ("2001:db8::".parse().unwrap(), 32),
        ],
        targets: (0..targets).map(target).collect(),
    }
}

fn sip() -> Vec<Vec<SocketAddr>> {
    vec![
        vec![socket("192.0.2.1:5060"), socket("[2001:db8::1]:5060")],
        vec![socket("10.0.0.1:5060")],
        vec![socket("172.16.0.1:5060")],
    ]
}

fn stateless(spec: &StatelessSpec) -> Stateless {
    Stateless::new(spec, &sip()).unwrap()
}

fn outside(bytes: &[u8]) -> Arrival<'_> {
    Arrival {
        realm: OUTSIDE,
        source: socket("198.51.100.7:5062"),
        local: socket("192.0.2.1:5060"),
        bytes,
    }
}

fn inside(bytes: &[u8], source: SocketAddr) -> Arrival<'_> {
    Arrival {
        realm: INSIDE,
        source,
        local: socket("10.0.0.1:5060"),
        bytes,
    }
}

/// What comes out, if it is relayed.
fn relayed(stateless: &Stateless, arrival: Arrival<'_>) -> Result<(Way, String), Fate> {
    let mut scratch = Scratch::new();
    match stateless.relay(arrival, &mut scratch) {
        Fate::Relayed(way) => {
            let text = scratch.out.message().unwrap().to_vec();
            Ok((way, String::from_utf8(text).unwrap()))
        }
        other => Err(other),
    }
}

const VIA: &str = "SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bKa1;rport";

fn request(method: &str, via: &str, call_id: &str, more: &str) -> String {
    format!(
        "{method} sip:bob@192.0.2.1 SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a\r\n\
         To: <sip:bob@example.com>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n{more}Content-Length: 4\r\n\r\nbody"
    )
}

/// A header field's values, in their order.
fn values<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
    message
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": "))
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

/// A response as a target makes it: all Vias, the tags, and Record-Route.
fn response(request: &str, status: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "Record-Route", "From", "Call-ID", "CSeq"] {
        for value in values(request, name) {
            text += &format!("{name}: {value}\r\n");
        }
    }
    text + "To: <sip:bob@example.com>;tag=b\r\nContent-Length: 2\r\n\r\nok"
}

fn branch(message: &str) -> &str {
    let via = values(message, "Via")[0];
    via.split_once("branch=").unwrap().1
}

#[test]
fn an_invite_goes_to_its_target_and_the_reply_comes_back() {
    let stateless = stateless(&spec(3));
    let invite = request("INVITE", VIA, "1@example.com", "");
    let (way, out) = relayed(&stateless, outside(invite.as_bytes())).unwrap();
    assert_eq!((way.realm, way.source), (INSIDE, socket("10.0.0.1:5060")));
    assert!(way.is_request && way.destination.ip().to_string().starts_with("10.0.0.1"));
    let vias = values(&out, "Via");
    assert!(
        vias[0].starts_with("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKtnds0000"),
        "{out}"
    );
    assert_eq!(
        vias[1],
        "SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bKa1;rport=5062;received=198.51.100.7"
    );
    assert_eq!(values(&out, "Max-Forwards"), ["69"]);
    let routes = values(&out, "Record-Route");
    assert!(
        routes[0].starts_with("<sip:10.0.0.1:5060;lr;tnds="),
        "{out}"
    );
    assert!(
        routes[1].starts_with("<sip:192.0.2.1:5060;lr;tnds="),
        "{out}"
    );
    assert!(
        out.starts_with("INVITE sip:bob@192.0.2.1 SIP/2.0\r\nVia: ")
            && out.ends_with("\r\n\r\nbody")
    );
    for name in ["From", "To", "Call-ID", "CSeq", "Content-Length"] {
        assert_eq!(values(&out, name), values(&invite, name));
    }

    let ringing = response(&out, "180 Ringing");
    let (back, out) = relayed(&stateless, inside(ringing.as_bytes(), way.destination)).unwrap();
    assert!(!back.is_request);
    assert_eq!(
        (back.realm, back.source),
        (OUTSIDE, socket("192.0.2.1:5060"))
    );
    assert_eq!(back.destination, socket("198.51.100.7:5062"));
    assert_eq!(values(&out, "Via"), [vias[1]]);
    let rest = |text: &str| text.split_once("\r\nRecord-Route").unwrap().1.to_owned();
    assert_eq!(rest(&out), rest(&ringing));

    // Both Vias in one line, as RFC 3261 section 7.3.1 allows.
    let joined = ringing.replace("\r\nVia: SIP/2.0/UDP 198", ", SIP/2.0/UDP 198");
    let (also, again) = relayed(&stateless, inside(joined.as_bytes(), way.destination)).unwrap();
    assert_eq!((also, again), (back, out));
}

#[test]
fn what_belongs_to_a_transaction_has_its_branch() {
    let stateless = stateless(&spec(3));
    let out = |method: &str, via: &str, to: &str| {
        let message = request(method, via, "1@example.com", "").replace("example.com>\r\nCall", to);
        let (way, out) = relayed(&stateless, outside(message.as_bytes())).unwrap();
        (way.destination, branch(&out).to_owned())
    };
    let no_tag = "example.com>\r\nCall";
    let tag = "example.com>;tag=b\r\nCall";
    for via in [
        VIA,
        "SIP/2.0/UDP 198.51.100.7:5062;branch=1",
        "SIP/2.0/UDP 198.51.100.7:5062",
    ] {
        let invite = out("INVITE", via, no_tag);
        assert_eq!(invite, out("INVITE", via, no_tag), "sent again");
        assert_eq!(invite, out("CANCEL", via, no_tag));
        assert_eq!(invite, out("ACK", via, tag), "of a refusal");
    }
    let other = VIA.replace("a1", "a2");
    assert_ne!(
        out("INVITE", VIA, no_tag).1,
        out("INVITE", &other, no_tag).1
    );
    // Another host's branch is another one.
    let other = VIA.replace("100.7:5062", "100.7:5063");
    assert_ne!(
        out("INVITE", VIA, no_tag).1,
        out("INVITE", &other, no_tag).1
    );
}

#[test]
fn a_dialog_keeps_its_target_whatever_becomes_of_the_set() {
    let mut spec = spec(5);
    let invite = request("INVITE", VIA, "7@example.com", "");
    let (way, out) = relayed(&stateless(&spec), outside(invite.as_bytes())).unwrap();
    let routes = values(&out, "Record-Route");
    for target in &mut spec.targets {
        target.up = target.address != way.destination;
    }
    let stateless = stateless(&spec);
    // The caller's route set is the other way round.
    let forms = [
        format!("Route: {}\r\nRoute: {}\r\n", routes[1], routes[0]),
        format!("Route: {}, {}\r\n", routes[1], routes[0]),
        format!("Route: {} ,\r\n {}\r\n", routes[1], routes[0]),
    ];
    for route in forms {
        let bye = request("BYE", VIA, "7@example.com", &route);
        let (to, out) = relayed(&stateless, outside(bye.as_bytes())).unwrap();
        assert_eq!(to.destination, way.destination);
        assert_eq!(values(&out, "Route"), [""; 0], "{out}");
        assert!(
            !out.contains("192.0.2.1:5060;lr") && !out.contains("Record-Route"),
            "{out}"
        );
    }
    // New calls and what has no Route pass it over.
    let (other, _) = relayed(&stateless, outside(invite.as_bytes())).unwrap();
    assert_ne!(other.destination, way.destination);

    // From the target's side it goes to where the caller is.
    let route = format!("Route: {}\r\nRoute: {}\r\n", routes[0], routes[1]);
    let bye = request(
        "BYE",
        "SIP/2.0/UDP 10.0.0.12;branch=z9hG4bKb",
        "7@example.com",
        &route,
    )
    .replace("sip:bob@192.0.2.1", "sip:alice@198.51.100.7:5062;ob");
    let (to, out) = relayed(&stateless, inside(bye.as_bytes(), way.destination)).unwrap();
    assert_eq!((to.realm, to.source), (OUTSIDE, socket("192.0.2.1:5060")));
    assert_eq!(to.destination, socket("198.51.100.7:5062"));
    assert!(
        out.starts_with("BYE sip:alice@198.51.100.7:5062;ob SIP/2.0\r\n"),
        "{out}"
    );
    let ok = response(&out, "200 OK");
    let (back, _) = relayed(&stateless, outside(ok.as_bytes())).unwrap();
    assert_eq!(back.realm, INSIDE);
    // A proxy between: the next Route is the hop, and stays.
    let further = route + "Route: <sip:203.0.113.5;lr>\r\n";
    let bye = bye.replace(
        "Content-Length",
        &format!("{}Content-Length", "Route: <sip:203.0.113.5;lr>\r\n"),
    );
    assert!(bye.contains(&further));
    let (to, out) = relayed(&stateless, inside(bye.as_bytes(), way.destination)).unwrap();
    assert_eq!(to.destination, socket("203.0.113.5:5060"));
    assert_eq!(values(&out, "Route"), ["<sip:203.0.113.5;lr>"]);
    // Nobody else is let out that way, and not to ourselves.
    let stranger = relayed(&stateless, inside(bye.as_bytes(), socket("10.0.0.99:5060")));
    assert_eq!(stranger, Err(Fate::NotOurs));
    let ourselves = bye.replace("203.0.113.5;lr", "192.0.2.1;lr");
    let ourselves = relayed(&stateless, inside(ourselves.as_bytes(), way.destination));
    assert!(ourselves.is_err(), "{ourselves:?}");
}

#[test]
fn nobody_sends_replies_to_others_through_us() {
    let stateless = stateless(&spec(3));
    let invite = request("INVITE", VIA, "1@example.com", "");
    let (way, out) = relayed(&stateless, outside(invite.as_bytes())).unwrap();
    let good = response(&out, "200 OK");
    let fate = |text: &str| relayed(&stateless, inside(text.as_bytes(), way.destination)).err();
    assert_eq!(fate(&good), None);
    for (from, to) in [
        ("received=198.51.100.7", "received=203.0.113.1"),
        ("rport=5062", "rport=53"),
        ("z9hG4bKtnds0000", "z9hG4bKtnds0001"),
        ("z9hG4bKtnds0000", "z9hG4bKtnds0000z"),
        (
            ";received=198.51.100.7",
            ";received=198.51.100.7;maddr=203.0.113.1",
        ),
    ] {
        assert_eq!(fate(&good.replace(from, to)), Some(Fate::Forged), "{to}");
    }
    let alone: Vec<_> = good
        .lines()
        .filter(|line| !line.contains("rport"))
        .collect();
    assert_eq!(fate(&alone.join("\r\n")), Some(Fate::Forged));
    // Replies to the signaling plane are not ours.
    assert_eq!(
        fate(&good.replace("z9hG4bKtnds", "z9hG4bKother")),
        Some(Fate::NotOurs)
    );
    assert_eq!(
        fate(&good.replace("UDP 10.0.0.1:5060", "UDP 10.0.0.2:5060")),
        Some(Fate::NotOurs)
    );
}

#[test]
fn what_is_odd_goes_to_the_signaling_plane() {
    let stateless = stateless(&spec(3));
    let good = request("INVITE", VIA, "1@example.com", "");
    let fate = |text: &str| relayed(&stateless, outside(text.as_bytes())).err();
    let up = |why| Some(Fate::Up(why));
    assert_eq!(fate(&good), None);
    for (from, to, expected) in [
        ("Forwards: 70", "Forwards: 0", up(Why::Hops)),
        ("Max-Forwards: 70", "Proxy-Require: x", up(Why::Extension)),
        ("Forwards: 70", "Forwards: many", up(Why::Odd)),
        ("Call-ID", "X-Call-ID", up(Why::Odd)),
        ("Call-ID: 1", "Call-ID: 2\r\ni: 1", up(Why::Odd)),
        ("UDP 198", "TCP 198", up(Why::Odd)),
        (";rport", ";rport=9", up(Why::Odd)),
        (";rport", ";received=192.0.2.66", up(Why::Odd)),
        (";rport", ";maddr=192.0.2.66", up(Why::Odd)),
        ("Via: SIP/2.0/UDP", "Via: SIP / 2.0 / UDP", up(Why::Odd)),
        ("Content-Length: 4", "Content-Length: 5", up(Why::Odd)),
        ("CSeq", "X", up(Why::Odd)),
        ("INVITE", "REGISTER", Some(Fate::NotOurs)),
        ("1@example.com", "tnd1-AAKKKKxyz", Some(Fate::NotOurs)),
        (
            "CSeq",
            "Route: <sip:192.0.2.1;lr>\r\nCSeq",
            Some(Fate::NotOurs),
        ),
        (
            "CSeq",
            "Route: <sip:203.0.113.9;lr;tnds=00000000>\r\nCSeq",
            Some(Fate::NotOurs),
        ),
        (
            "CSeq",
            "Route: <sip:192.0.2.1;lr;tnds=00000000>\r\nCSeq",
            up(Why::NoTarget),
        ),
    ] {
        assert_eq!(fate(&good.replace(from, to)), expected, "{to}");
    }
    let long = good.replace(
        "Content-Length: 4",
        &format!("X: {}\r\nl: 4", "x".repeat(1800)),
    );
    assert_eq!(fate(&long), up(Why::Odd));
    let stranger = Arrival {
        source: socket("198.51.101.7:5062"),
        ..outside(good.as_bytes())
    };
    assert_eq!(relayed(&stateless, stranger).err(), up(Why::Source));
    // In other realms nothing changes.
    let elsewhere = Arrival {
        realm: 2,
        ..outside(good.as_bytes())
    };
    assert_eq!(relayed(&stateless, elsewhere).err(), Some(Fate::NotOurs));
    let target = socket("10.0.0.10:5060");
    assert_eq!(
        relayed(&stateless, inside(good.as_bytes(), target)).err(),
        Some(Fate::NotOurs)
    );
    let mut down = spec(2);
    down.targets.iter_mut().for_each(|t| t.up = false);
    let down = Stateless::new(&down, &sip()).unwrap();
    assert_eq!(
        relayed(&down, outside(good.as_bytes())).err(),
        up(Why::NoTarget)
    );
}

#[test]
fn without_a_max_forwards_one_is_written_and_folds_stay() {
    let stateless = stateless(&spec(1));
    let text = "\r\nOPTIONS sip:192.0.2.1 SIP/2.0\nv: SIP/2.0/UDP host.example;branch=z9hG4bKx\n ;foo, SIP/2.0/UDP b\n\
        f: a;tag=1\nt: b\ni: 5\nCSeq: 9 OPTIONS\nSubject: a\n  b\n\n";
    let (way, out) = relayed(&stateless, outside(text.as_bytes())).unwrap();
    assert_eq!(values(&out, "Max-Forwards"), ["70"]);
    assert!(
        out.starts_with("OPTIONS ") && out.ends_with("\nSubject: a\n  b\n\n"),
        "{out}"
    );
    assert!(
        out.contains("\n ;foo;received=198.51.100.7, SIP/2.0/UDP b\n"),
        "{out}"
    );
    // Without rport the reply goes to the port that Via names.
    let (back, _) = relayed(
        &stateless,
        inside(
            response(
                &out.replace("\nv: ", "\nVia: ").replace("\n ;foo", ";foo"),
                "200 OK",
            )
            .as_bytes(),
            way.destination,
        ),
    )
    .unwrap();
    assert_eq!(back.destination, socket("198.51.100.7:5060"));
}

#[test]
fn a_target_that_leaves_takes_its_own_calls_and_no_others() {
    let mut spec = spec(4);
    let all = stateless(&spec);
    let gone = spec.targets[2].address;
    spec.targets[2].up = false;
    let less = stateless(&spec);
    let mut counts: HashMap<_, u32> = HashMap::new();
    for n in 0..4_000 {
        let call_id = format!("{n}@198.51.100.7");
        let before = all.target(call_id.as_bytes()).unwrap().address;
        let after = less.target(call_id.as_bytes()).unwrap().address;
        assert!(before == after || before == gone);
        assert_ne!(after, gone);
        *counts.entry(before).or_default() += 1;
    }
    assert!(
        counts.values().all(|count| (900..1100).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn weights_are_shares() {
    let mut spec = spec(3);
    for (target, weight) in spec.targets.iter_mut().zip([1, 3, 0]) {
        target.weight = weight;
    }
    let stateless = stateless(&spec);
    let first = (0..8_000)
        .filter(|n| {
            stateless.target(format!("{n}").as_bytes()).unwrap().address == spec.targets[0].address
        })
        .count();
    assert!((1_850..2_150).contains(&first), "{first} of 8,000");
    assert!((0..1_000).all(|n| stateless.target(&[n as u8, 1]).unwrap().weight != 0));
}

#[test]
fn a_realm_or_an_address_that_we_lack_is_an_error() {
    let with = |change: fn(&mut StatelessSpec)| {
        let mut spec = spec(2);
        change(&mut spec);
        Stateless::new(&spec, &sip()).err()
    };
    assert_eq!(with(|_| ()), None);
    assert_eq!(
        with(|s| s.realms.push(9)),
        Some(CommandError::NoSuchRealm(9))
    );
    assert_eq!(
        with(|s| s.targets[1].realm = 8),
        Some(CommandError::NoSuchRealm(8))
    );
    let six = |s: &mut StatelessSpec| s.targets[0].address = "[2001:db8::9]:5060".parse().unwrap();
    assert_eq!(with(six), Some(CommandError::NoSuchRealm(INSIDE)));
}

proptest! {
    /// Whatever comes: no panic, and what is relayed is a message that has our Via on top, or one less of them.
    #[test]
    fn any_damage_is_borne(
        kind in 0..3u8,
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let stateless = stateless(&spec(3));
        let invite = request("INVITE", VIA, "1@example.com", "");
        let (way, out) = relayed(&stateless, outside(invite.as_bytes())).unwrap();
        let routes = values(&out, "Record-Route");
        let route = format!("Route: {}, {}\r\n", routes[0], routes[1]);
        let text = match kind {
            0 => invite.clone(),
            1 => response(&out, "200 OK"),
            _ => request("BYE", VIA, "1@example.com", &route),
        };
        let mut bytes = text.into_bytes();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let mut scratch = Scratch::new();
        for arrival in [outside(&bytes), inside(&bytes, way.destination)] {
            let Fate::Relayed(way) = stateless.relay(arrival, &mut scratch) else {
                continue;
            };
            let out = scratch.out.message().unwrap();
            let before = tandem_wire::sip::parse(&bytes).unwrap();
            let after = tandem_wire::sip::parse(out).unwrap();
            prop_assert_eq!(&bytes[before.body], &out[after.body]);
            prop_assert_eq!(stateless.realm_of(way.source), Some(way.realm));
            if way.is_request {
                let top = after.fields[0].value.clone();
                let via = scan::Via::read(&out[top]).unwrap();
                prop_assert!(via.branch.starts_with(mark::COOKIE));
                prop_assert!(stateless.targets.iter().any(|t| t.address == way.destination) || way.realm == OUTSIDE);
            }
        }
    }
}
