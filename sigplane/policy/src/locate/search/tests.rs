//! Searches in zones that are written down here.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What DNS says: everything that is not here is absent.
#[derive(Default)]
struct Zone(BTreeMap<Question, Answer>);

fn name(text: &str) -> Domain {
    Domain::parse(text.as_bytes()).unwrap()
}

fn question(kind: Kind, of: &str) -> Question {
    Question {
        kind,
        name: name(of),
    }
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Record {
    Record::Srv(Srv {
        priority,
        weight,
        port,
        target: Domain::parse(target.as_bytes()),
    })
}

fn naptr(order: u16, preference: u16, service: &str, replacement: &str) -> Record {
    Record::Naptr(Naptr {
        order,
        preference,
        flags: b"s"[..].into(),
        service: service.as_bytes().into(),
        regexp: b""[..].into(),
        replacement: Domain::parse(replacement.as_bytes()),
    })
}

impl Zone {
    fn with(mut self, kind: Kind, of: &str, records: Vec<Record>) -> Self {
        let ttl = Duration::from_secs(300);
        self.0
            .insert(question(kind, of), Answer::Found { records, ttl });
        self
    }

    fn ttl(mut self, kind: Kind, of: &str, seconds: u64) -> Self {
        match self.0.get_mut(&question(kind, of)) {
            Some(Answer::Found { ttl, .. }) => *ttl = Duration::from_secs(seconds),
            _ => panic!("nothing there"),
        }
        self
    }

    fn host(self, of: &str, address: &str) -> Self {
        let ip: IpAddr = address.parse().unwrap();
        let kind = if ip.is_ipv4() { Kind::A } else { Kind::Aaaa };
        self.with(kind, of, vec![Record::Address(ip)])
    }

    fn fails(mut self, kind: Kind, of: &str, why: NoAnswer) -> Self {
        self.0.insert(question(kind, of), Answer::Failed(why));
        self
    }

    fn says(&self, question: &Question) -> Answer {
        let absent = Answer::Absent { ttl: None };
        self.0.get(question).cloned().unwrap_or(absent)
    }

    /// The outcome, and what was asked.
    fn search(&self, wanted: Wanted, means: &Means) -> (Result<Located, NotLocated>, Vec<String>) {
        let mut locate = Locate::new(wanted, means.clone());
        let mut asked = Vec::new();
        let mut open = Vec::new();
        loop {
            while let Some(question) = locate.question() {
                asked.push(format!("{:?} {}", question.kind, question.name));
                open.push(question);
            }
            // The youngest first: their order must not matter.
            match open.pop() {
                Some(question) => locate.answer(&question, self.says(&question)),
                None => break,
            }
        }
        (locate.outcome().cloned().expect("an outcome"), asked)
    }

    /// The places found, for people.
    fn find(&self, wanted: Wanted) -> String {
        let (outcome, _) = self.search(wanted, &means());
        match outcome {
            Ok(located) => located
                .servers(1)
                .iter()
                .map(|c| format!("{} {}", c.transport.via(), c.address))
                .collect::<Vec<_>>()
                .join(", "),
            Err(not) => format!("{:?}", not.why),
        }
    }
}

fn means() -> Means {
    Means {
        transports: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
        ipv4: true,
        ipv6: true,
    }
}

fn wanted(secure: bool, host: &str, port: Option<u16>, transport: Option<Transport>) -> Wanted {
    let host = match host.parse::<IpAddr>() {
        Ok(ip) => Host::Address(ip),
        Err(_) => Host::Name(name(host)),
    };
    Wanted::new(secure, host, port, transport).unwrap()
}

fn sip(host: &str) -> Wanted {
    wanted(false, host, None, None)
}

/// The zone of RFC 3263's example, with addresses of both families.
fn example() -> Zone {
    Zone::default()
        .with(
            Kind::Naptr,
            "example.com",
            vec![
                naptr(100, 50, "SIP+D2U", "_sip._udp.example.com"),
                naptr(90, 50, "SIP+D2T", "_sip._tcp.example.com"),
                naptr(50, 50, "SIPS+D2T", "_sips._tcp.example.com"),
                naptr(10, 50, "SIP+D2W", "_sip._ws.example.com"),
            ],
        )
        .with(
            Kind::Srv,
            "_sip._tcp.example.com",
            vec![
                srv(0, 1, 5060, "server1.example.com"),
                srv(1, 2, 5070, "server2.example.com"),
            ],
        )
        .with(
            Kind::Srv,
            "_sip._udp.example.com",
            vec![srv(0, 0, 5080, "server2.example.com")],
        )
        .with(
            Kind::Srv,
            "_sips._tcp.example.com",
            vec![srv(0, 0, 5061, "server1.example.com")],
        )
        .host("server1.example.com", "192.0.2.1")
        .host("server1.example.com", "2001:db8::1")
        .host("server2.example.com", "192.0.2.2")
        .host("example.com", "192.0.2.80")
}

#[test]
fn addresses_are_not_asked_for() {
    let zone = Zone::default();
    let (outcome, asked) = zone.search(sip("192.0.2.7"), &means());
    assert!(outcome.is_ok() && asked.is_empty());
    assert_eq!(zone.find(sip("192.0.2.7")), "UDP 192.0.2.7:5060");
    let tls = wanted(false, "2001:db8::7", None, Some(Transport::Tls));
    assert_eq!(zone.find(tls), "TLS [2001:db8::7]:5061");
    assert_eq!(
        zone.find(wanted(true, "192.0.2.7", Some(5099), None)),
        "TLS 192.0.2.7:5099"
    );
}

#[test]
fn naptr_says_the_transport() {
    let found = example().find(sip("example.com"));
    assert_eq!(found, "TLS [2001:db8::1]:5061, TLS 192.0.2.1:5061");
    let plain = Means {
        transports: vec![Transport::Udp, Transport::Tcp],
        ..means()
    };
    let (outcome, asked) = example().search(sip("example.com"), &plain);
    let located = outcome.unwrap();
    assert_eq!(located.transport, Transport::Tcp);
    assert_eq!(&*located.server_name, "example.com");
    let ports: Vec<u16> = located.addresses().map(|a| a.port()).collect();
    assert_eq!(ports, [5060, 5060, 5070]);
    assert!(
        !asked
            .iter()
            .any(|q| q.contains("_sips") || q.contains("_ws"))
    );
}

#[test]
fn a_secure_uri_takes_only_secure_services() {
    let secure = || wanted(true, "example.com", None, None);
    assert!(
        example()
            .find(secure())
            .starts_with("TLS [2001:db8::1]:5061")
    );
    let plain = Zone::default()
        .with(
            Kind::Naptr,
            "a.example",
            vec![naptr(1, 1, "SIP+D2U", "_sip._udp.a.example")],
        )
        .with(
            Kind::Srv,
            "_sip._udp.a.example",
            vec![srv(0, 0, 5060, "h.a.example")],
        )
        .host("a.example", "192.0.2.9");
    let secure = wanted(true, "a.example", None, None);
    assert_eq!(plain.find(secure), "TLS 192.0.2.9:5061");
    let udp = Means {
        transports: vec![Transport::Udp],
        ..means()
    };
    let (outcome, asked) = plain.search(wanted(true, "a.example", None, None), &udp);
    assert_eq!(outcome.unwrap_err().why, Why::NoTransport);
    assert!(asked.is_empty());
}

#[test]
fn without_naptr_our_own_liking_decides() {
    let zone = |first: &str| {
        Zone::default()
            .with(Kind::Srv, first, vec![srv(0, 0, 5066, "h.a.example")])
            .with(
                Kind::Srv,
                "_sip._tcp.a.example",
                vec![srv(0, 0, 5067, "h.a.example")],
            )
            .host("h.a.example", "192.0.2.9")
    };
    assert_eq!(
        zone("_sip._udp.a.example").find(sip("a.example")),
        "UDP 192.0.2.9:5066"
    );
    assert_eq!(
        zone("x.a.example").find(sip("a.example")),
        "TCP 192.0.2.9:5067"
    );
    // TLS only for those who ask for it.
    let zone = zone("_sips._tcp.a.example");
    let tls = wanted(false, "a.example", None, Some(Transport::Tls));
    assert_eq!(zone.find(tls), "TLS 192.0.2.9:5066");
    let (_, asked) = zone.search(sip("a.example"), &means());
    assert_eq!(
        asked,
        [
            "Naptr a.example",
            "Srv _sip._udp.a.example",
            "Srv _sip._tcp.a.example",
            "Aaaa h.a.example",
            "A h.a.example"
        ]
    );
}

#[test]
fn without_srv_the_host_itself_is_asked() {
    let zone = Zone::default().host("a.example", "192.0.2.9");
    assert_eq!(zone.find(sip("a.example")), "UDP 192.0.2.9:5060");
    let tcp = wanted(false, "a.example", None, Some(Transport::Tcp));
    assert_eq!(zone.find(tcp), "TCP 192.0.2.9:5060");
    let told = Zone::default()
        .with(
            Kind::Naptr,
            "a.example",
            vec![naptr(1, 1, "sip+d2t", "_sip._tcp.a.example")],
        )
        .host("a.example", "192.0.2.9");
    assert_eq!(told.find(sip("a.example")), "TCP 192.0.2.9:5060");
    assert_eq!(Zone::default().find(sip("a.example")), "NoAddress");
}

#[test]
fn a_port_leaves_out_naptr_and_srv() {
    let (outcome, asked) =
        example().search(wanted(false, "example.com", Some(5090), None), &means());
    let located = outcome.unwrap();
    assert_eq!(located.transport, Transport::Udp);
    assert_eq!(
        located.addresses().collect::<Vec<_>>(),
        ["192.0.2.80:5090".parse().unwrap()]
    );
    assert_eq!(asked, ["Aaaa example.com", "A example.com"]);
}

#[test]
fn only_families_of_ours_are_asked_for() {
    let four = Means {
        ipv6: false,
        ..means()
    };
    let (outcome, asked) = example().search(sip("example.com"), &four);
    assert!(outcome.unwrap().addresses().all(|a| a.is_ipv4()));
    assert!(!asked.iter().any(|q| q.starts_with("Aaaa")));
    let (outcome, _) = example().search(sip("2001:db8::1"), &four);
    assert_eq!(outcome.unwrap_err().why, Why::NoFamily);
}

#[test]
fn the_root_says_that_there_is_no_service() {
    let zone = Zone::default()
        .with(Kind::Srv, "_sip._udp.a.example", vec![srv(0, 0, 0, ".")])
        .host("a.example", "192.0.2.9");
    assert_eq!(zone.find(sip("a.example")), "NotOffered");
    let zone = zone
        .with(
            Kind::Srv,
            "_sip._tcp.a.example",
            vec![srv(0, 0, 5060, "h.a.example")],
        )
        .host("h.a.example", "192.0.2.8");
    assert_eq!(zone.find(sip("a.example")), "TCP 192.0.2.8:5060");
}

#[test]
fn what_naptr_records_mean_otherwise_is_passed_over() {
    let mut odd = naptr(1, 1, "SIP+D2T", "_sip._tcp.a.example");
    if let Record::Naptr(odd) = &mut odd {
        odd.regexp = b"!^.*$!sip:x@b.example!"[..].into();
    }
    let zone = Zone::default()
        .with(
            Kind::Naptr,
            "a.example",
            vec![
                odd,
                naptr(2, 1, "SIP+D2T", "."),
                naptr(3, 1, "E2U+sip", "x"),
            ],
        )
        .host("a.example", "192.0.2.9");
    assert_eq!(zone.find(sip("a.example")), "UDP 192.0.2.9:5060");
}

#[test]
fn failures_end_the_search_or_shorten_its_outcome() {
    let silent = example().fails(Kind::Naptr, "example.com", NoAnswer::Silent);
    assert_eq!(silent.find(sip("example.com")), "Unanswered");
    let (outcome, _) = example()
        .fails(Kind::Naptr, "example.com", NoAnswer::Refused)
        .search(sip("example.com"), &means());
    let located = outcome.unwrap();
    assert_eq!(
        (located.transport, located.ttl),
        (Transport::Udp, FAILURE_TTL)
    );

    // A transport that could not be asked for is not taken for one that is not there.
    let blind = Zone::default()
        .fails(Kind::Srv, "_sip._udp.a.example", NoAnswer::Refused)
        .host("a.example", "192.0.2.9");
    assert_eq!(blind.find(sip("a.example")), "Unanswered");

    // A host that could not be asked for is left out, for a moment.
    let (outcome, _) = example()
        .fails(Kind::A, "server2.example.com", NoAnswer::Silent)
        .search(
            wanted(false, "example.com", None, Some(Transport::Tcp)),
            &means(),
        );
    let located = outcome.unwrap();
    assert_eq!((located.places.len(), located.ttl), (1, FAILURE_TTL));
    let nobody = example()
        .fails(Kind::A, "server2.example.com", NoAnswer::Silent)
        .find(wanted(false, "example.com", None, Some(Transport::Udp)));
    assert_eq!(nobody, "Unanswered");
}

#[test]
fn the_shortest_time_to_live_counts() {
    let ttl = |zone: Zone| zone.search(sip("example.com"), &means()).0.unwrap().ttl;
    assert_eq!(ttl(example()), Duration::from_secs(300));
    assert_eq!(
        ttl(example().ttl(Kind::A, "server1.example.com", 20)),
        Duration::from_secs(20)
    );
    assert_eq!(
        ttl(example().ttl(Kind::Srv, "_sips._tcp.example.com", 0)),
        Duration::from_secs(1)
    );
    // Of services that were not taken none counts.
    assert_eq!(
        ttl(example().ttl(Kind::Srv, "_sip._udp.example.com", 2)),
        Duration::from_secs(300)
    );
}

#[test]
fn a_list_that_is_turned_round_is_the_same() {
    let zone = |addresses: [[u8; 4]; 2]| {
        Zone::default().with(
            Kind::A,
            "a.example",
            addresses.map(|a| Record::Address(a.into())).to_vec(),
        )
    };
    let (one, other) = (
        zone([[192, 0, 2, 1], [192, 0, 2, 2]]),
        zone([[192, 0, 2, 2], [192, 0, 2, 1]]),
    );
    let found = |zone: Zone| zone.search(sip("a.example"), &means()).0.unwrap();
    assert_eq!(found(one), found(other));
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a.example"),
        Just("_sip._udp.a.example"),
        Just("_sip._tcp.a.example"),
        Just("_sips._tcp.a.example"),
        Just("b.example"),
        Just("c.example"),
        Just("."),
    ]
    .prop_map(str::to_owned)
}

fn records() -> impl Strategy<Value = Record> {
    let service = prop_oneof![
        Just("SIP+D2U"),
        Just("SIP+D2T"),
        Just("SIPS+D2T"),
        Just("SIP+D2W"),
        Just("")
    ];
    let v6 = any::<[u8; 16]>().prop_map(|a| Record::Address(a.into()));
    prop_oneof![
        (0_u16..3, 0_u16..3, service, names()).prop_map(|(o, p, s, r)| naptr(o, p, s, &r)),
        (0_u16..3, any::<u16>(), any::<u16>(), names()).prop_map(|(p, w, q, t)| srv(p, w, q, &t)),
        any::<[u8; 4]>().prop_map(|a| Record::Address(a.into())),
        v6,
    ]
}

fn answers() -> impl Strategy<Value = Answer> {
    let ttl = || (0_u64..1_000_000).prop_map(Duration::from_secs);
    prop_oneof![
        6 => (proptest::collection::vec(records(), 0..40), ttl())
            .prop_map(|(records, ttl)| Answer::Found { records, ttl }),
        1 => proptest::option::of(ttl()).prop_map(|ttl| Answer::Absent { ttl }),
        1 => Just(Answer::Failed(NoAnswer::Silent)),
        1 => Just(Answer::Failed(NoAnswer::Refused)),
    ]
}

proptest! {
    /// Whatever DNS says: the search ends, asks nothing twice and not too much, and what it finds
    /// can be used.
    #[test]
    fn every_search_ends(
        given in proptest::collection::vec(answers(), MAX_QUESTIONS),
        order in any::<prop::sample::Index>(),
        secure: bool,
        asks_port: bool,
        asked in prop::option::of(prop::sample::select(vec![Transport::Tcp, Transport::Tls])),
        transports in prop::sample::subsequence(
            vec![Transport::Udp, Transport::Tcp, Transport::Tls], 0..=3),
        (ipv4, ipv6) in any::<(bool, bool)>(),
    ) {
        let means = Means { transports, ipv4, ipv6 };
        let port = asks_port.then_some(5090);
        let mut locate = Locate::new(wanted(secure, "a.example", port, asked), means.clone());
        let mut given = given.into_iter();
        let (mut open, mut seen): (Vec<Question>, _) = (Vec::new(), BTreeSet::new());
        loop {
            while let Some(question) = locate.question() {
                prop_assert!(seen.insert(question.clone()), "{question:?} twice");
                open.push(question);
            }
            if open.is_empty() {
                break;
            }
            let question = open.swap_remove(order.index(open.len()));
            let answer = given.next().expect("too many questions");
            locate.answer(&question, answer.clone());
            // Said again, or said of something else, it changes nothing.
            locate.answer(&question, answer);
        }
        prop_assert!(seen.len() <= MAX_QUESTIONS);
        match locate.outcome().expect("an outcome") {
            Ok(located) => {
                prop_assert!(means.transports.contains(&located.transport));
                prop_assert!(!secure || located.transport == Transport::Tls);
                prop_assert!(asked.is_none_or(|t| t == located.transport || secure));
                prop_assert!(!located.places.is_empty());
                prop_assert!(located.places.iter().all(|p| !p.addresses.is_empty()));
                prop_assert!(located.addresses().all(|a| means.reaches(a.ip()) && a.port() != 0));
                prop_assert!(located.ttl >= Duration::from_secs(1) && located.ttl <= MAX_TTL);
                prop_assert!(!located.servers(7).is_empty());
            }
            Err(not) => prop_assert!(not.ttl >= Duration::from_secs(1) && not.ttl <= MAX_TTL),
        }
    }
}
