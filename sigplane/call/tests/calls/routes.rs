//! Rules, tenants, and carriers with limits, numbers and failover.

use std::sync::Arc;

use tandem_call::{CoreConfig, HidingConfig, KeyRing, Tables};
use tandem_policy::defence::Networks;
use tandem_policy::routing::{
    Action, Allowance, Asserted, Codes, Dids, HeaderName, Identity, Limit, Pattern, Purpose,
    Rewrite, RoutePlan, Rule, Sender, Tenant, Trunk, TrunkRoutes, Usages,
};
use tandem_policy::{DidRow, DispatcherRow, Expression, TrunkRow};

use super::*;

const A1: &str = "203.0.113.51:5060";
const A2: &str = "203.0.113.52:5060";
const B: &str = "203.0.113.61:5060";
const NETWORK: &str = "203.0.113.77:5060";
const DESKS: &str = "10.0.0.40:5060";
const FAX: &str = "10.0.0.41:5060";

fn trunk(usages: &Usages, name: &str, set: u32) -> Trunk {
    let of = |purpose| Allowance {
        limit: Limit::default(),
        usage: usages.of(purpose, name),
    };
    Trunk {
        name: name.into(),
        set,
        networks: Networks::default(),
        outgoing: of(Purpose::TrunkOut),
        incoming: of(Purpose::TrunkIn),
        called: Vec::new(),
        identity: Identity::default(),
        failover: Codes::default(),
    }
}

/// Two carriers: `a` with two servers, `b` with one. All numbers go to `a`, then to `b`; 49 goes to `b` alone.
fn plan() -> RoutePlan {
    let usages = Usages::default();
    RoutePlan {
        trunks: vec![
            Arc::new(trunk(&usages, "a", 101)),
            Arc::new(trunk(&usages, "b", 102)),
        ],
        table: true,
        usages,
        ..RoutePlan::default()
    }
}

/// The plan with one of its trunks changed.
fn with_trunk(mut plan: RoutePlan, at: usize, change: impl FnOnce(&mut Trunk)) -> RoutePlan {
    change(Arc::get_mut(&mut plan.trunks[at]).unwrap());
    plan
}

fn rule(name: &str, action: Option<Action>) -> Rule {
    Rule {
        name: name.into(),
        action,
        ..Rule::default()
    }
}

fn config_with(plan: RoutePlan) -> CoreConfig {
    let mut config = CoreConfig {
        hiding: HidingConfig {
            enabled: true,
            keys: Some(KeyRing::generate([3; 35])),
            ..HidingConfig::off()
        },
        ..config()
    };
    config.routing.plan = Arc::new(plan);
    config.dispatcher.plan.algorithm = tandem_policy::Algorithm::Priority;
    config
}

fn tables_with(dids: &[DidRow]) -> Tables {
    let mut all = tables();
    for (id, setid, at) in [
        (11, 101, A1),
        (12, 101, A2),
        (13, 102, B),
        (14, 5, DESKS),
        (15, 6, FAX),
    ] {
        all.dispatcher.push(DispatcherRow {
            id,
            setid,
            destination: format!("sip:{at}"),
            // The first server of `a` comes first.
            priority: if id == 11 { 10 } else { 0 },
            ..all.dispatcher[0].clone()
        });
    }
    let route = |prefix: &str, trunk: &str, priority| TrunkRow {
        prefix: prefix.into(),
        trunk: trunk.into(),
        priority,
        weight: 1,
        ..TrunkRow::default()
    };
    let rows = [
        route("", "a", 10),
        route("", "b", 5),
        route("49", "b", 0),
        route("33", "nobody", 0),
    ];
    let (routes, bad) = TrunkRoutes::new(&rows);
    assert!(bad.is_empty());
    all.routes = Arc::new(routes);
    all.dids = Arc::new(Dids::new(dids).0);
    all
}

fn world(plan: RoutePlan) -> World {
    World::with_tables(config_with(plan), tables_with(&[]))
}

/// A media server's INVITE to a number.
fn out(n: u32, number: &str) -> String {
    Request {
        method: "INVITE",
        uri: &format!("sip:{number}@10.0.0.1"),
        me: POOL[0],
        branch: &format!("o{n}"),
        from: "\"Alice\" <sip:030123@acme.example>;tag=alice",
        to: &format!("<sip:{number}@10.0.0.1>"),
        call_id: &format!("out{n}"),
        cseq: 1,
        extra: "",
        body: &sdp("10.0.0.11", 20_000),
    }
    .text()
}

/// A carrier's INVITE to a URI.
fn inn(n: u32, source: &str, uri: &str) -> String {
    let text = invite_from(source, &format!("in{n}"), &format!("n{n}"), "");
    let (_, rest) = text.split_once(" SIP/2.0").unwrap();
    format!("INVITE {uri} SIP/2.0{rest}")
}

fn calls_of(world: &World, purpose: Purpose, name: &str) -> u64 {
    let usages = &world.core.config().routing.plan.usages;
    usages.of(purpose, name).figures().calls
}

/// The last message to a peer.
fn last(world: &mut World, peer: &str) -> String {
    world.sent_to(peer).pop().unwrap_or_default()
}

#[test]
fn numbers_leave_by_the_longest_prefix_and_unknown_ones_get_404() {
    let mut world = world(plan());
    world.from(POOL[0], &out(1, "+4930123"));
    let invite = world.one_to(B);
    assert!(
        start(&invite).starts_with("INVITE sip:+4930123@203.0.113.61"),
        "{invite}"
    );
    world.from(POOL[0], &out(2, "+44123"));
    world.one_to(A1);
    // A route by a trunk that is not there is no route.
    for (n, number) in [(3, "+33123"), (4, "alice")] {
        world.sent.clear();
        world.from(POOL[0], &out(n, number));
        assert!(last(&mut world, POOL[0]).starts_with("SIP/2.0 404 No Route"));
    }
    assert_eq!(world.counter("routes_unknown"), 2);
    assert_eq!(
        world.counter("table_rows_refused"),
        1,
        "the route by nobody"
    );
    let codes: Vec<(u16, &str)> = world
        .cdrs
        .iter()
        .map(|c| (c.sip_code, c.trunk.as_str()))
        .collect();
    assert_eq!(codes, [(404, ""), (404, "")], "each has a CDR");
}

#[test]
fn a_carrier_that_is_silent_out_of_order_or_unwilling_is_passed_over() {
    // Both servers of the first are silent.
    let mut w = world(plan());
    w.from(POOL[0], &out(1, "+44123"));
    w.one_to(A1);
    w.wait(secs(2));
    assert!(w.sent_to(A2).iter().any(|t| t.starts_with("INVITE")));
    w.sent.clear();
    w.wait(secs(2));
    let invite = w.sent_to(B).remove(0);
    assert_eq!(w.counter("carriers_passed_over"), 1);
    w.from(
        B,
        &answer(&invite, B, "200 OK", "bob", "", &sdp("203.0.113.61", 4_000)),
    );
    assert!(last(&mut w, POOL[0]).starts_with("SIP/2.0 200"));
    assert_eq!(calls_of(&w, Purpose::TrunkOut, "a"), 0);
    assert_eq!(calls_of(&w, Purpose::TrunkOut, "b"), 1);

    // 503: its other server may be better. 403: the carrier itself does not want it.
    for (status, second) in [("503 Out", A2), ("403 No", B)] {
        let mut w = world(plan());
        w.from(POOL[0], &out(1, "+44123"));
        let invite = w.one_to(A1);
        w.from(A1, &answer(&invite, A1, status, "x", "", ""));
        assert!(
            w.sent_to(second).iter().any(|t| t.starts_with("INVITE")),
            "{status}"
        );
    }

    // Busy is the callee's word: nobody else is asked.
    let mut w = world(plan());
    w.from(POOL[0], &out(1, "+44123"));
    let invite = w.one_to(A1);
    w.from(A1, &answer(&invite, A1, "486 Busy Here", "x", "", ""));
    assert!(last(&mut w, POOL[0]).starts_with("SIP/2.0 486"));
    assert!(w.sent_to(B).is_empty() && w.sent_to(A2).is_empty());
    assert_eq!(w.cdrs.last().unwrap().trunk, "a");
}

#[test]
fn what_carriers_said_is_told_when_none_takes_the_call() {
    let mut w = world(plan());
    w.from(POOL[0], &out(1, "+44123"));
    for (at, status) in [(A1, "403 Not From You"), (B, "503 Out")] {
        let invite = w
            .sent_to(at)
            .into_iter()
            .find(|t| t.starts_with("INVITE"))
            .unwrap();
        w.from(at, &answer(&invite, at, status, "x", "", ""));
    }
    assert!(last(&mut w, POOL[0]).starts_with("SIP/2.0 403 Not From You"));
    assert_eq!(w.cdrs.last().unwrap().trunk, "b", "the last that was asked");
    for name in ["a", "b"] {
        assert_eq!(calls_of(&w, Purpose::TrunkOut, name), 0);
    }
}

#[test]
fn a_caller_who_gave_up_is_not_taken_to_the_next_carrier() {
    let mut w = world(plan());
    w.from(POOL[0], &out(1, "+44123"));
    let invite = w.one_to(A1);
    w.from(A1, &answer(&invite, A1, "180 Ringing", "x", "", ""));
    let cancel = out(1, "+44123")
        .replacen("INVITE", "CANCEL", 1)
        .replace("CSeq: 1 INVITE", "CSeq: 1 CANCEL");
    w.from(POOL[0], &cancel);
    w.from(A1, &answer(&invite, A1, "403 No", "x", "", ""));
    assert!(
        last(&mut w, POOL[0]).starts_with("SIP/2.0 487"),
        "{:?}",
        w.sent
    );
    assert!(w.sent_to(B).is_empty());
    assert_eq!(calls_of(&w, Purpose::TrunkOut, "a"), 0);
}

#[test]
fn a_carrier_at_its_limit_is_passed_over_and_each_call_gives_its_place_back() {
    let plan = with_trunk(plan(), 0, |trunk| {
        trunk.outgoing.limit = Limit { calls: 1, rate: 0 };
    });
    let plan = with_trunk(plan, 1, |trunk| {
        trunk.outgoing.limit = Limit { calls: 0, rate: 2 };
    });
    let mut w = world(plan);
    w.from(POOL[0], &out(1, "+44123"));
    let first = w.one_to(A1);
    w.from(A1, &answer(&first, A1, "100 Trying", "", "", ""));
    for n in [2, 3] {
        w.from(POOL[0], &out(n, "+44123"));
        let invite = w.one_to(B);
        w.from(B, &answer(&invite, B, "100 Trying", "", "", ""));
    }
    // Two new ones in this second are all that `b` takes.
    w.sent.clear();
    w.from(POOL[0], &out(4, "+44123"));
    assert!(last(&mut w, POOL[0]).starts_with("SIP/2.0 503"));
    let passed = ["trunks_full", "trunks_too_fast"].map(|name| w.counter(name));
    assert_eq!(passed, [3, 1]);
    w.wait(secs(1));
    w.from(POOL[0], &out(5, "+44123"));
    assert_eq!(w.sent_to(B).len(), 1);
    // The first call ends, and `a` has a place.
    w.from(A1, &answer(&first, A1, "486 Busy Here", "x", "", ""));
    assert_eq!(calls_of(&w, Purpose::TrunkOut, "a"), 0);
    w.sent.clear();
    w.from(POOL[0], &out(6, "+44123"));
    assert!(last(&mut w, A1).starts_with("INVITE"));
}

#[test]
fn nobody_who_calls_for_help_is_refused_by_a_limit() {
    let plan = with_trunk(plan(), 0, |trunk| {
        trunk.outgoing.limit = Limit { calls: 1, rate: 1 };
    });
    let mut w = world(plan);
    for (n, number) in [(1, "+44123"), (2, "112"), (3, "911")] {
        w.from(POOL[0], &out(n, number));
        assert!(last(&mut w, A1).starts_with("INVITE"), "{number}");
    }
    assert_eq!(calls_of(&w, Purpose::TrunkOut, "a"), 3, "they are counted");
    w.from(POOL[0], &out(4, "+44123"));
    assert!(w.sent_to(A1).is_empty() && last(&mut w, B).starts_with("INVITE"));
}

#[test]
fn limits_outlive_the_process() {
    let mut w = world(plan());
    w.from(POOL[0], &out(1, "+4930123"));
    let invite = w.one_to(B);
    w.from(
        B,
        &answer(&invite, B, "200 OK", "bob", "", &sdp("203.0.113.61", 4_000)),
    );
    assert_eq!(calls_of(&w, Purpose::TrunkOut, "b"), 1);
    w.sent.clear();
    // Another process knows nothing but the journal.
    let w = w.crash_with(config_with(plan()));
    assert_eq!(calls_of(&w, Purpose::TrunkOut, "b"), 1);
}

#[test]
fn numbers_and_callers_are_written_as_the_carrier_wants_them() {
    let rewrite = |pattern: &str, to: &str| Rewrite::parse(pattern, to).unwrap();
    let plan = with_trunk(plan(), 1, |trunk| {
        trunk.called = vec![rewrite(r"^\+49(\d+)$", "0$1")];
        trunk.identity = Identity {
            calling: vec![rewrite("^0(.*)$", "+49$1")],
            from_domain: Some("tandem.example".into()),
            asserted: Asserted::Set,
            caller_id: None,
        };
    });
    let mut w = world(plan);
    w.from(POOL[0], &out(1, "+4930123"));
    let invite = w.one_to(B);
    assert_eq!(
        start(&invite),
        "INVITE sip:030123@203.0.113.61:5060 SIP/2.0"
    );
    let shown = "\"Alice\" <sip:+4930123@tandem.example>;tag=alice";
    assert_eq!(header(&invite, "From"), shown);
    let asserted = "<sip:+4930123@tandem.example>";
    assert_eq!(headers(&invite, "P-Asserted-Identity"), [asserted]);
    let ok = answer(&invite, B, "200 OK", "bob", "", &sdp("203.0.113.61", 4_000));
    w.from(B, &ok);
    // Inside nobody is somebody else.
    let original = "\"Alice\" <sip:030123@acme.example>;tag=alice";
    let ok_inside = last(&mut w, POOL[0]);
    assert_eq!(header(&ok_inside, "From"), original);

    // What the caller sends in the dialog is from whom the carrier knows, its ACK and its BYE.
    let contact = uri(header(&ok_inside, "Contact")).to_owned();
    let in_dialog = |method: &'static str, cseq, branch: &'static str| {
        Request {
            method,
            uri: &contact,
            me: POOL[0],
            branch,
            from: original,
            to: "<sip:+4930123@10.0.0.1>;tag=bob",
            call_id: "out1",
            cseq,
            extra: "",
            body: "",
        }
        .text()
    };
    w.from(POOL[0], &in_dialog("ACK", 1, "ack1"));
    assert_eq!(header(&last(&mut w, B), "From"), shown);
    w.from(POOL[0], &in_dialog("INFO", 2, "info1"));
    let info = last(&mut w, B);
    assert_eq!(header(&info, "From"), shown);
    w.from(B, &answer(&info, B, "200 OK", "", "", ""));
    assert_eq!(header(&last(&mut w, POOL[0]), "From"), original);

    // And what the callee sends is for the one that it knows.
    let bye = Request {
        method: "BYE",
        uri: uri(header(&invite, "Contact")),
        me: B,
        branch: "bye1",
        from: header(&ok, "To"),
        to: shown,
        call_id: header(&invite, "Call-ID"),
        cseq: 7,
        extra: "",
        body: "",
    };
    w.from(B, &bye.text());
    let bye_inside = last(&mut w, POOL[0]);
    assert!(bye_inside.starts_with("BYE"), "{bye_inside}");
    assert_eq!(header(&bye_inside, "To"), original);
    w.from(POOL[0], &answer(&bye_inside, POOL[0], "200 OK", "", "", ""));
    assert_eq!(header(&last(&mut w, B), "To"), shown);
    let cdr = w.cdrs.last().unwrap();
    assert_eq!(
        (cdr.trunk.as_str(), cdr.from_uri.as_str()),
        ("b", "sip:030123@acme.example")
    );
}

#[test]
fn a_call_that_goes_to_another_carrier_is_told_anew() {
    let plan = with_trunk(plan(), 0, |trunk| {
        trunk.identity.caller_id = Some("+441".into());
        trunk.called = vec![Rewrite::parse(r"^\+", "00").unwrap()];
    });
    let mut w = world(plan);
    w.from(POOL[0], &out(1, "+44123"));
    let invite = w.one_to(A1);
    assert!(
        start(&invite).starts_with("INVITE sip:0044123@"),
        "{invite}"
    );
    assert_eq!(header(&invite, "From"), "<sip:+441@acme.example>;tag=alice");
    w.from(A1, &answer(&invite, A1, "403 No", "x", "", ""));
    let ack = w.one_to(A1);
    assert_eq!(
        header(&ack, "From"),
        header(&invite, "From"),
        "RFC 3261 17.1.1.3"
    );
    let invite = w.one_to(B);
    assert!(start(&invite).starts_with("INVITE sip:+44123@"), "{invite}");
    assert!(header(&invite, "From").contains("sip:030123@acme.example"));
}

#[test]
fn who_wants_to_stay_unknown_does() {
    let plan = with_trunk(plan(), 1, |trunk| {
        trunk.identity = Identity {
            from_domain: Some("tandem.example".into()),
            calling: vec![Rewrite::parse("^anonymous$", "+49301").unwrap()],
            asserted: Asserted::Set,
            caller_id: None,
        };
    });
    let mut w = world(plan);
    let anonymous = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=alice";
    let hidden = out(1, "+4930123").replacen(
        "From: \"Alice\" <sip:030123@acme.example>;tag=alice",
        &format!("From: {anonymous}"),
        1,
    );
    w.from(POOL[0], &hidden);
    let invite = w.one_to(B);
    assert_eq!(header(&invite, "From"), anonymous);
    assert!(headers(&invite, "P-Asserted-Identity").is_empty());
    // The carrier may know who it is when the media server says so.
    let known = hidden
        .replace("out1", "out2")
        .replace("bKo1", "bKo2")
        .replacen(
            "Max-Forwards",
            "P-Asserted-Identity: <sip:+4977@pbx.example>\r\nPrivacy: id\r\nMax-Forwards",
            1,
        );
    w.from(POOL[0], &known);
    let invite = w.one_to(B);
    assert_eq!(header(&invite, "From"), anonymous);
    assert_eq!(
        headers(&invite, "P-Asserted-Identity"),
        ["<sip:+4977@tandem.example>"]
    );
    assert_eq!(headers(&invite, "Privacy"), ["id"]);
}

#[test]
fn an_untrusted_trunk_is_not_told_who_calls() {
    let plan = with_trunk(plan(), 1, |trunk| {
        trunk.identity.asserted = Asserted::Remove;
    });
    let mut w = world(plan);
    let said = out(1, "+4930123").replacen(
        "Max-Forwards",
        "P-Asserted-Identity: <sip:+4977@pbx.example>\r\nMax-Forwards",
        1,
    );
    w.from(POOL[0], &said);
    assert!(headers(&w.one_to(B), "P-Asserted-Identity").is_empty());
}

#[test]
fn tenants_have_numbers_media_servers_and_limits_of_their_own() {
    let mut plan = plan();
    let usages = plan.usages.clone();
    let tenant = |name: &str, domain: &str, pool_set| Tenant {
        name: name.into(),
        domains: vec![domain.into()],
        pool_set,
        allowance: Allowance {
            limit: Limit { calls: 1, rate: 0 },
            usage: usages.of(Purpose::Tenant, name),
        },
    };
    plan.tenants = vec![
        tenant("acme", "acme.example", None),
        tenant("zeta", "zeta.example", Some(5)),
    ];
    let mut config = config_with(plan);
    config.routing.dids = true;
    let did = |tenant: &str, destination: &str| DidRow {
        tenant: tenant.into(),
        did: "1000".into(),
        destination: destination.into(),
        ..DidRow::default()
    };
    let mut w = World::with_tables(
        config,
        tables_with(&[did("acme", "front"), did("zeta", "desk")]),
    );
    w.from(CARRIER, &inn(1, CARRIER, "sip:1000@acme.example"));
    let (at, invite) = at_pool(&mut w);
    assert_eq!(start(&invite), format!("INVITE sip:front@{at} SIP/2.0"));
    w.from(CARRIER, &inn(2, CARRIER, "sip:1000@ZETA.example"));
    let invite = w.one_to(DESKS);
    assert_eq!(start(&invite), format!("INVITE sip:desk@{DESKS} SIP/2.0"));
    // Each has its one call.
    w.sent.clear();
    w.from(CARRIER, &inn(3, CARRIER, "sip:1000@zeta.example"));
    let refusal = last(&mut w, CARRIER);
    assert!(refusal.starts_with("SIP/2.0 503"), "{refusal}");
    assert_eq!(header(&refusal, "Retry-After"), "5");
    assert_eq!(w.counter("tenants_full"), 1);
    assert_eq!(w.cdrs.last().unwrap().tenant, "zeta");
    // Calls out of the pool are their caller's tenant's: acme has one already.
    w.from(POOL[0], &out(9, "+4930123"));
    assert!(last(&mut w, POOL[0]).starts_with("SIP/2.0 503"));
    w.from(DESKS, &answer(&invite, DESKS, "486 Busy Here", "x", "", ""));
    w.from(CARRIER, &inn(4, CARRIER, "sip:1000@zeta.example"));
    assert!(last(&mut w, DESKS).starts_with("INVITE"));
}

#[test]
fn rules_send_calls_by_what_is_asked_and_change_headers() {
    let mut plan = plan();
    plan.rules = vec![
        Rule {
            senders: vec![Sender::Pool],
            prefixes: vec![tandem_policy::routing::Number::parse(b"1900").unwrap()],
            ..rule(
                "premium",
                Some(Action::Reject {
                    code: 603,
                    reason: "Barred".into(),
                }),
            )
        },
        Rule {
            add: vec![
                ("X-Caller".into(), Expression::text("$fU@$fd").unwrap()),
                ("X-None".into(), Expression::text("$hdr(X-Absent)").unwrap()),
            ],
            remove: vec![HeaderName("X-Debug-*".into())],
            ..rule("mark", None)
        },
        Rule {
            trunks: vec!["a".into()],
            ..rule("from a", Some(Action::Dispatch(6)))
        },
        Rule {
            domains: vec!["fax.example".into()],
            ..rule("fax", Some(Action::Dispatch(6)))
        },
        Rule {
            senders: vec![Sender::Carrier],
            number: Some(Pattern::parse("^[0-9]{3}$").unwrap()),
            ..rule("short", Some(Action::Dispatch(5)))
        },
        Rule {
            senders: vec![Sender::Pool],
            methods: vec!["INVITE".into()],
            number: Some(Pattern::parse(r"^\+1").unwrap()),
            ..rule("usa", Some(Action::Trunks(vec!["b".into(), "a".into()])))
        },
    ];
    let plan = with_trunk(plan, 0, |trunk| {
        trunk.networks =
            Networks::new([(NETWORK.parse::<std::net::SocketAddr>().unwrap().ip(), 32)]);
    });
    let mut w = world(plan);

    w.from(POOL[0], &out(1, "1900555"));
    assert!(last(&mut w, POOL[0]).starts_with("SIP/2.0 603 Barred"));
    assert_eq!((w.counter("rules_rejected"), w.cdrs.len()), (1, 1));

    let marked = out(2, "+15551").replacen(
        "Max-Forwards",
        "X-Debug-Level: 9\r\nX-Caller: liar\r\nMax-Forwards",
        1,
    );
    w.from(POOL[0], &marked);
    let invite = w.one_to(B);
    assert_eq!(
        headers(&invite, "X-Caller"),
        ["030123@acme.example", "liar"]
    );
    assert!(headers(&invite, "X-Debug-Level").is_empty() && headers(&invite, "X-None").is_empty());
    w.from(B, &answer(&invite, B, "403 No", "x", "", ""));
    assert!(
        last(&mut w, A1).starts_with("INVITE"),
        "the rule's second trunk"
    );

    w.from(CARRIER, &inn(3, CARRIER, "sip:123@198.51.100.1"));
    assert!(last(&mut w, DESKS).starts_with("INVITE sip:123@"));
    w.from(CARRIER, &inn(4, CARRIER, "sip:12@fax.example"));
    assert!(last(&mut w, FAX).starts_with("INVITE sip:12@"));
    // From a target of the trunk, and from one of its networks.
    for (n, source) in [(5, A1), (6, NETWORK)] {
        w.from(source, &inn(n, source, "sip:123@198.51.100.1"));
        assert!(last(&mut w, FAX).starts_with("INVITE"), "{source}");
    }
    let usages = &w.core.config().routing.plan.usages;
    let went_by = usages.rules();
    let times = |rule: &str| went_by.iter().find(|(r, _)| r == rule).map(|(_, n)| *n);
    assert_eq!(times("from a"), Some(2));
    // One is refused by the first rule; of the rest each is marked.
    assert_eq!((times("premium"), times("mark")), (Some(1), Some(5)));
    // No rule: the pool.
    w.from(CARRIER, &inn(7, CARRIER, "sip:1234@198.51.100.1"));
    at_pool(&mut w);
}

#[test]
fn what_would_become_of_a_request_is_said_without_one() {
    let mut plan = plan();
    plan.rules = vec![
        Rule {
            add: vec![("X-Caller".into(), Expression::text("$fU").unwrap())],
            ..rule("mark", None)
        },
        Rule {
            prefixes: vec![tandem_policy::routing::Number::parse(b"1900").unwrap()],
            ..rule(
                "premium",
                Some(Action::Reject {
                    code: 603,
                    reason: "Barred".into(),
                }),
            )
        },
    ];
    let mut w = world(plan);
    let mut ask = |sender, uri: &str| {
        let question = tandem_call::RouteQuestion {
            sender,
            source: A1.parse::<std::net::SocketAddr>().unwrap().ip(),
            method: "INVITE".into(),
            uri: uri.into(),
            from: "sip:030@acme.example".into(),
        };
        w.core.explain_route(&question)
    };
    let view = ask(Sender::Pool, "sip:+44123@10.0.0.1").unwrap();
    let ways: Vec<_> = view
        .ways
        .iter()
        .map(|w| (w.trunk.as_str(), w.set, w.targets))
        .collect();
    assert_eq!(ways, [("a", 101, 2), ("b", 102, 1)]);
    assert_eq!(
        (view.rules, view.headers),
        (vec!["mark".into()], vec!["X-Caller: 030".to_owned()])
    );
    let view = ask(Sender::Carrier, "sip:1@198.51.100.1").unwrap();
    assert_eq!((view.trunk.as_str(), view.ways[0].set), ("a", 1));
    let view = ask(Sender::Pool, "sip:1900@10.0.0.1").unwrap();
    assert_eq!(view.refused, Some((603, "Barred".into())));
    for uri in ["sip:a b@c", "sip:a@b\r\nX: y", "nothing"] {
        assert!(
            ask(Sender::Pool, uri).unwrap_err().contains("is no URI"),
            "{uri}"
        );
    }
    assert_eq!(w.core.config().routing.plan.usages.rules(), []);
    assert!(w.sent.is_empty() && w.journal.is_empty());
}

#[test]
fn a_trunks_calls_in_are_limited() {
    let plan = with_trunk(plan(), 0, |trunk| {
        trunk.incoming.limit = Limit { calls: 0, rate: 1 };
    });
    let mut w = world(plan);
    w.from(A1, &inn(1, A1, "sip:1@198.51.100.1"));
    at_pool(&mut w);
    w.sent.clear();
    w.from(A2, &inn(2, A2, "sip:1@198.51.100.1"));
    assert!(last(&mut w, A2).starts_with("SIP/2.0 503"));
    assert_eq!(w.counter("trunks_in_too_fast"), 1);
    assert_eq!(w.cdrs.last().unwrap().trunk, "a");
    assert_eq!(calls_of(&w, Purpose::TrunkIn, "a"), 1);
}

#[test]
fn what_media_servers_believe_is_not_for_carriers_to_say() {
    let mut w = world(plan());
    let lie = inn(1, CARRIER, "sip:1@198.51.100.1").replacen(
        "Max-Forwards",
        "X-Dest-Type: root\r\nMax-Forwards",
        1,
    );
    w.from(CARRIER, &lie);
    let (_, invite) = at_pool(&mut w);
    assert!(headers(&invite, "X-Dest-Type").is_empty());
}

#[test]
fn requests_outside_of_calls_go_by_rules_too() {
    let mut plan = plan();
    plan.rules = vec![
        Rule {
            methods: vec!["MESSAGE".into()],
            senders: vec![Sender::Carrier],
            add: vec![("X-Kind".into(), Expression::text("text").unwrap())],
            ..rule("messages", Some(Action::Dispatch(5)))
        },
        Rule {
            methods: vec!["OPTIONS".into()],
            ..rule(
                "no options",
                Some(Action::Reject {
                    code: 403,
                    reason: "No".into(),
                }),
            )
        },
    ];
    let mut w = world(plan);
    let request = |method: &'static str, branch: &'static str| {
        Request {
            method,
            uri: "sip:100@198.51.100.1",
            me: CARRIER,
            branch,
            from: CALLER,
            to: CALLED,
            call_id: branch,
            cseq: 1,
            extra: "",
            body: "",
        }
        .text()
    };
    w.from(CARRIER, &request("MESSAGE", "m1"));
    let message = w.one_to(DESKS);
    assert_eq!(headers(&message, "X-Kind"), ["text"]);
    w.from(CARRIER, &request("OPTIONS", "p1"));
    assert!(last(&mut w, CARRIER).starts_with("SIP/2.0 403 No"));
}
