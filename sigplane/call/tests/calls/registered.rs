//! User agents that register with a registrar inside: the Path to them, requests by it, their calls.

use tandem_call::{
    CoreConfig, HidingConfig, Input, KeyRing, Path, Registered, SendError, Side, StreamConfig,
};
use tandem_policy::{DispatcherRow, Transport};

use super::*;

mod kept;

const REGISTRAR: &str = "10.0.0.20:5060";
/// Where its NAT shows the user agent.
const AGENT: &str = "203.0.113.77:31234";
const OTHER: &str = "203.0.113.78:40111";
/// Where it thinks that it is.
const BEHIND: &str = "192.168.1.5:5060";
const TCP_OUTSIDE: u16 = 0;
const WSS_OUTSIDE: u16 = 1;

fn with_registrar() -> CoreConfig {
    let mut config = config();
    config.routing.registrar_set = Some(2);
    config.hiding = HidingConfig {
        enabled: true,
        keys: Some(KeyRing::generate([5; 35])),
        ..HidingConfig::off()
    };
    let listener = |listen: &str, transport| StreamConfig {
        listen: listen.parse().unwrap(),
        transport,
        side: Side::External,
        realm: Some(0),
    };
    config.streams = vec![
        listener(OUTSIDE, Transport::Tcp),
        listener("198.51.100.1:443", Transport::Wss),
    ];
    config
}

fn registrar_tables() -> tandem_call::Tables {
    let mut tables = tables();
    tables.dispatcher.push(DispatcherRow {
        id: 4,
        setid: 2,
        destination: format!("sip:{REGISTRAR}"),
        flags: 0,
        priority: 0,
        attrs: String::new(),
        description: String::new(),
    });
    tables
}

fn world() -> World {
    World::with_tables(with_registrar(), registrar_tables())
}

fn crash(world: World) -> World {
    let mut world = world.crash_without_tables();
    world.input(Input::Tables(std::sync::Arc::new(registrar_tables())));
    world.dataplane_up();
    world
}

fn register(branch: &str, extra: &str) -> String {
    format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {BEHIND};rport;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=r1\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: reg-1\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:bob@{BEHIND};line=x>;+sip.instance=\"<urn:x>\"\r\n{extra}\
         Authorization: Digest username=\"bob\", realm=\"10.0.0.20\",  response=\"00\"\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// The registrar's answer: with its own Path and Service-Route, and another binding of the same user.
fn accepted(request: &str, expires: u32) -> String {
    let path = header(request, "Path");
    answer(
        request,
        REGISTRAR,
        "200 OK",
        "reg",
        &format!(
            "Contact: <sip:bob@{BEHIND};line=x>;expires={expires};+sip.instance=\"<urn:x>\", \
         <sip:bob@10.0.0.11:5070>;expires=60\r\n\
         Path: <sip:10.0.0.99;lr>, {path}\r\nService-Route: <sip:10.0.0.20;lr>\r\n"
        ),
        "",
    )
    .replace(&format!("Contact: <sip:media@{REGISTRAR}>\r\n"), "")
}

/// Registers, and says with which Path.
fn registered(world: &mut World) -> String {
    registered_for(world, "reg", 600)
}

fn registered_for(world: &mut World, branch: &str, expires: u32) -> String {
    world.from(AGENT, &register(branch, ""));
    let inside = world.one_to(REGISTRAR);
    world.from(REGISTRAR, &accepted(&inside, expires));
    assert!(world.one_to(AGENT).starts_with("SIP/2.0 200"));
    header(&inside, "Path").to_owned()
}

/// A call from the inside for the user agent.
fn call(path: &str, from: &str, call_id: &str) -> String {
    Request {
        method: "INVITE",
        uri: &format!("sip:bob@{BEHIND};line=x"),
        me: from,
        branch: &format!("in{call_id}"),
        from: "<sip:100@10.0.0.20>;tag=alice",
        to: "<sip:bob@example.com>",
        call_id,
        cseq: 1,
        extra: &format!("Route: {path}\r\n"),
        body: &sdp("10.0.0.20", 20_000),
    }
    .text()
}

#[test]
fn without_a_registrar_nobody_registers() {
    let mut world = World::new();
    world.from(AGENT, &register("a", ""));
    assert!(world.one_to(AGENT).starts_with("SIP/2.0 405"));
    // Nor from the inside.
    let mut world = self::world();
    world.from(POOL[0], &register("a", ""));
    world
        .sent
        .iter()
        .for_each(|p| assert!(p.text.starts_with("SIP/2.0 405"), "{}", p.text));
    assert_eq!(world.counter("sip_method_not_allowed"), 1);
}

#[test]
fn a_register_gets_a_path_and_its_answer_shows_nothing_of_the_inside() {
    let mut world = world();
    world.from(
        AGENT,
        &register("a", "Path: <sip:proxy.example.net;lr>\r\n"),
    );
    let inside = world.one_to(REGISTRAR);
    // For the registrar to understand.
    assert_eq!(start(&inside), "REGISTER sip:example.com SIP/2.0");
    let sent = register("a", "");
    for name in ["Contact", "Authorization", "To", "From", "Call-ID"] {
        assert_eq!(header(&inside, name), header(&sent, name));
    }
    let paths = headers(&inside, "Path");
    assert_eq!(paths.len(), 2, "{inside}");
    assert!(paths[0].starts_with("<sip:tnf1-"), "{inside}");
    assert!(paths[0].ends_with(&format!("@{INSIDE};lr>")), "{inside}");
    assert_eq!(headers(&inside, "Supported"), ["path"]);
    assert_hides(&inside, &["198.51.100.1"]);

    // A challenge passes byte for byte.
    let challenge = "WWW-Authenticate: Digest realm=\"10.0.0.20\",nonce=\"x\",  qop=\"auth\"\r\n";
    let mut refused = self::world();
    refused.from(AGENT, &register("b", ""));
    let again = refused.one_to(REGISTRAR);
    refused.from(
        REGISTRAR,
        &answer(&again, REGISTRAR, "401 Unauthorized", "r", challenge, ""),
    );
    let text = refused.one_to(AGENT);
    assert!(text.contains(challenge), "{text}");
    assert!(headers(&text, "Contact").is_empty());
    assert_eq!(refused.counter("registers_refused"), 1);
    assert_eq!(refused.counter("bindings_now"), 0);

    world.from(REGISTRAR, &accepted(&inside, 600));
    let ok = world.one_to(AGENT);
    let contacts = headers(&ok, "Contact");
    assert_eq!(
        contacts[0],
        format!("<sip:bob@{BEHIND};line=x>;expires=600;+sip.instance=\"<urn:x>\"")
    );
    assert_eq!(headers(&ok, "Path"), ["<sip:proxy.example.net;lr>"]);
    assert!(headers(&ok, "Service-Route").is_empty());
    assert!(!ok.contains("10.0.0."), "{ok}");
    assert_eq!(world.counter("service_routes_dropped"), 1);
    assert_eq!(world.counter("bindings_now"), 1);
    world.wait(secs(601));
    assert_eq!(world.counter("bindings_expired"), 1);
    world.assert_clean();
}

#[test]
fn outbound_is_said_only_where_the_user_agent_asked_and_we_are_the_first() {
    let ask = "Supported: path, outbound\r\n";
    let reg = |text: &str| text.replace(";+sip.instance", ";reg-id=1;+sip.instance");
    let via = "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKv\r\n";
    for (text, ob) in [
        (register("a", ""), false),
        (register("a", ask), false),
        (reg(&register("a", "")), false),
        (reg(&register("a", ask)), true),
        (reg(&register("a", &format!("{ask}{via}"))), false),
    ] {
        let mut world = world();
        world.from(AGENT, &text);
        let inside = world.one_to(REGISTRAR);
        assert_eq!(header(&inside, "Path").ends_with(";lr;ob>"), ob, "{inside}");
        assert_eq!(headers(&inside, "Supported").len(), 1);
    }
    // A Path only for those who know what it is.
    let mut config = with_registrar();
    config.nat.path_always = false;
    for (extra, count) in [("", 0), ("Supported: path\r\n", 1)] {
        let mut world = World::with_tables(config.clone(), registrar_tables());
        world.from(AGENT, &register("a", extra));
        assert_eq!(headers(&world.one_to(REGISTRAR), "Path").len(), count);
    }
}

#[test]
fn a_call_goes_where_the_register_came_from_even_after_a_crash() {
    let mut world = world();
    let path = registered(&mut world);
    // Nothing at all is remembered.
    world.journal.clear();
    let mut world = crash(world);
    world.from(
        REGISTRAR,
        &call(
            &format!("{path}, <sip:proxy.example.net;lr>"),
            REGISTRAR,
            "c1",
        ),
    );
    assert!(world.one_to(REGISTRAR).starts_with("SIP/2.0 100"));
    let outside = world.one_to(AGENT);
    assert_eq!(
        start(&outside),
        format!("INVITE sip:bob@{BEHIND};line=x SIP/2.0")
    );
    assert_eq!(headers(&outside, "Route"), ["<sip:proxy.example.net;lr>"]);
    assert_eq!(
        header(&outside, "Record-Route"),
        format!("<sip:{OUTSIDE};lr>")
    );
    assert!(!outside.contains("10.0.0."), "{outside}");
    assert!(!outside.contains("tnf1-"), "{outside}");
    // It rings for long: nobody else is asked.
    world.wait(secs(5));
    let again = world.sent_to(AGENT);
    assert!(again.iter().all(|t| *t == outside), "{again:?}");
    let ok = answer(
        &outside,
        BEHIND,
        "200 OK",
        "bob",
        "",
        &sdp("192.168.1.5", 4_000),
    );
    world.from(AGENT, &ok);
    let inside = world.sent_to(REGISTRAR).pop().unwrap();
    assert!(inside.starts_with("SIP/2.0 200"));
    assert_hides(&inside, &["192.168."]);
    let seen = uri(header(&inside, "Contact")).to_owned();
    let mut request = Request {
        method: "ACK",
        uri: &seen,
        me: REGISTRAR,
        branch: "ack",
        from: "<sip:100@10.0.0.20>;tag=alice",
        to: "<sip:bob@example.com>;tag=bob",
        call_id: "c1",
        cseq: 1,
        extra: "",
        body: "",
    };
    world.from(REGISTRAR, &request.text());
    assert!(world.one_to(AGENT).starts_with("ACK sip:media@192.168.1.5"));
    (request.method, request.branch, request.cseq) = ("BYE", "bye", 2);
    world.from(REGISTRAR, &request.text());
    let bye = world.one_to(AGENT);
    assert!(bye.starts_with("BYE"));
    world.from(AGENT, &answer(&bye, BEHIND, "200 OK", "", "", ""));
    assert!(world.one_to(REGISTRAR).starts_with("SIP/2.0 200"));
    assert_eq!(world.counter("requests_to_flows"), 1);
    world.assert_clean();
}

/// A public Contact at the wrong port, as one that a user agent learned by STUN: the flow counts.
#[test]
fn in_a_dialog_the_flow_counts_and_not_the_contact() {
    let mut world = world();
    let path = registered(&mut world);
    world.from(REGISTRAR, &call(&path, REGISTRAR, "c1"));
    world.one_to(REGISTRAR);
    let outside = world.one_to(AGENT);
    let ok = answer(
        &outside,
        "203.0.113.77:6666",
        "200 OK",
        "bob",
        "",
        &sdp("203.0.113.77", 4_000),
    );
    world.from(AGENT, &ok);
    let inside = world.one_to(REGISTRAR);
    let request = Request {
        method: "INFO",
        uri: uri(header(&inside, "Contact")),
        me: REGISTRAR,
        branch: "info",
        from: "<sip:100@10.0.0.20>;tag=alice",
        to: "<sip:bob@example.com>;tag=bob",
        call_id: "c1",
        cseq: 2,
        extra: "",
        body: "",
    };
    world.from(REGISTRAR, &request.text());
    assert!(
        world
            .one_to(AGENT)
            .starts_with("INFO sip:media@203.0.113.77:6666")
    );
}

#[test]
fn tokens_of_others_lead_nowhere() {
    let mut world = world();
    let path = registered(&mut world);
    // Forged.
    let at = path.find("tnf1-").unwrap() + 20;
    let mut forged = path.clone();
    let other = if &path[at..=at] == "A" { "B" } else { "A" };
    forged.replace_range(at..=at, other);
    world.from(REGISTRAR, &call(&forged, REGISTRAR, "c1"));
    assert!(world.one_to(REGISTRAR).starts_with("SIP/2.0 403"));
    assert_eq!(world.counter("flow_tokens_forged"), 1);
    // Of a key that is gone.
    let key = KeyRing::generate([6; 35]);
    world.core.hiding_keys(key);
    world.from(REGISTRAR, &call(&path, REGISTRAR, "c2"));
    assert!(
        world
            .one_to(REGISTRAR)
            .starts_with("SIP/2.0 430 Flow Failed")
    );
    assert_eq!(world.counter("flow_tokens_old"), 1);
    world.core.hiding_keys(KeyRing::generate([5; 35]));
    // Who is neither in the pool nor a registrar.
    world.from("10.0.0.77:5060", &call(&path, "10.0.0.77:5060", "c3"));
    assert!(world.one_to("10.0.0.77:5060").starts_with("SIP/2.0 403"));
    // From outside it means nothing: a registered user agent's call goes to the registrar.
    world.from(AGENT, &call(&path, AGENT, "c4"));
    assert!(world.one_to(AGENT).starts_with("SIP/2.0 100"));
    let inside = world.one_to(REGISTRAR);
    assert!(inside.starts_with("INVITE"), "{inside}");
    assert!(headers(&inside, "Route").is_empty());
    assert_eq!(world.counter("requests_to_flows"), 0);
}

#[test]
fn an_address_of_ours_that_is_gone_fails_the_flow() {
    let mut world = world();
    let path = registered(&mut world);
    let mut config = with_registrar();
    config.realms[0].sip = vec!["198.51.100.2:5060".parse().unwrap()];
    let mut world = world.crash_with(config);
    world.input(Input::Tables(std::sync::Arc::new(registrar_tables())));
    world.dataplane_up();
    world.from(REGISTRAR, &call(&path, REGISTRAR, "c1"));
    assert!(world.one_to(REGISTRAR).starts_with("SIP/2.0 430"));
}

#[test]
fn a_connection_that_is_gone_is_430() {
    for method in ["INVITE", "MESSAGE"] {
        let mut world = world();
        let text = register("a", "").replace(
            "SIP/2.0/UDP 192.168.1.5:5060;rport",
            "SIP/2.0/WSS x.invalid",
        );
        world.from_stream(WSS_OUTSIDE, AGENT, &text);
        let inside = world.one_to(REGISTRAR);
        world.from(REGISTRAR, &accepted(&inside, 600));
        let packet = world.sent.pop().unwrap();
        assert_eq!(
            (packet.to, packet.path),
            (AGENT.parse().unwrap(), Path::Stream(WSS_OUTSIDE))
        );
        let path = header(&inside, "Path").to_owned();
        let text = call(&path, REGISTRAR, "c1").replace("INVITE", method);
        world.from(REGISTRAR, &text);
        let packet = world.sent.pop().unwrap();
        assert!(packet.text.starts_with(method), "{}", packet.text);
        assert_eq!(packet.path, Path::Stream(WSS_OUTSIDE));
        assert_eq!((packet.to, packet.existing), (AGENT.parse().unwrap(), true));
        assert!(header(&packet.text, "Via").starts_with("SIP/2.0/WSS 198.51.100.1:443"));
        world.sent.clear();
        world.input(Input::Unreachable {
            path: Path::Stream(WSS_OUTSIDE),
            destination: AGENT.parse().unwrap(),
            error: SendError::HostUnreachable,
        });
        assert!(
            world
                .one_to(REGISTRAR)
                .starts_with("SIP/2.0 430 Flow Failed")
        );
        assert_eq!(world.counter("flows_failed"), 1);
        assert_eq!(world.counter("failover_unreachable"), 0);
    }
}

#[test]
fn a_user_agent_that_is_silent_is_408() {
    let mut world = world();
    let path = registered(&mut world);
    world.from(REGISTRAR, &call(&path, REGISTRAR, "c1"));
    world.one_to(REGISTRAR);
    world.wait(secs(33));
    assert!(world.sent_to(REGISTRAR)[0].starts_with("SIP/2.0 408"));
}

#[test]
fn a_redirection_of_a_user_agent_is_not_followed() {
    let mut config = with_registrar();
    config.routing.follow_redirects = true;
    let mut world = World::with_tables(config, registrar_tables());
    let path = registered(&mut world);
    world.from(REGISTRAR, &call(&path, REGISTRAR, "c1"));
    world.one_to(REGISTRAR);
    let outside = world.one_to(AGENT);
    world.from(AGENT, &answer(&outside, OTHER, "302 Moved", "bob", "", ""));
    assert!(world.sent_to(OTHER).is_empty());
    assert!(world.one_to(REGISTRAR).starts_with("SIP/2.0 480"));
}

/// A user agent's call, from `source`.
fn outgoing(call_id: &str) -> String {
    Request {
        method: "INVITE",
        uri: "sip:100@example.com",
        me: BEHIND,
        branch: &format!("out{call_id}"),
        from: "<sip:bob@example.com>;tag=bob",
        to: "<sip:100@example.com>",
        call_id,
        cseq: 1,
        extra: "",
        body: &sdp("192.168.1.5", 4_000),
    }
    .text()
    .replacen(";branch", ";rport;branch", 1)
}

#[test]
fn who_has_registered_may_call_from_there_and_nobody_else() {
    let mut world = world();
    let by = |world: &mut World, source: &str, call_id: &str| {
        world.from(source, &outgoing(call_id));
        world.sent_to(source).pop().unwrap()
    };
    assert!(by(&mut world, AGENT, "c0").starts_with("SIP/2.0 403"));
    registered(&mut world);
    // The table is in the journal.
    let mut world = crash(world);
    assert!(by(&mut world, "203.0.113.77:31235", "c1").starts_with("SIP/2.0 403"));
    assert!(by(&mut world, AGENT, "c2").starts_with("SIP/2.0 100"));
    let inside = world.one_to(REGISTRAR);
    assert_eq!(start(&inside), "INVITE sip:100@example.com SIP/2.0");
    assert_hides(&inside, &["198.51.100.1", "192.168."]);
    // The inside's challenge passes.
    let challenge = "Proxy-Authenticate: Digest realm=\"10.0.0.20\", nonce=\"n\"\r\n";
    world.from(
        REGISTRAR,
        &answer(
            &inside,
            REGISTRAR,
            "407 Proxy Authentication Required",
            "x",
            challenge,
            "",
        ),
    );
    world.sent_to(REGISTRAR);
    assert!(world.one_to(AGENT).contains(challenge));
    // Old devices say no `rport`: they are where they registered from all the same.
    world.from(AGENT, &outgoing("c5").replace(";rport", ""));
    assert!(world.one_to(AGENT).starts_with("SIP/2.0 100"));
    world.sent.clear();
    // A Request-URI that names us names the registrar inside.
    world.from(
        AGENT,
        &outgoing("c3").replace("INVITE sip:100@example.com", "INVITE sip:100@198.51.100.1"),
    );
    let inside = world.one_to(REGISTRAR);
    assert_eq!(
        start(&inside),
        format!("INVITE sip:100@{REGISTRAR} SIP/2.0")
    );
    world.sent.clear();
    // Unregistered, it is a stranger again.
    registered_for(&mut world, "bye", 0);
    assert!(by(&mut world, AGENT, "c4").starts_with("SIP/2.0 403"));
    assert_eq!(world.counter("bindings_removed"), 1);
}

#[test]
fn a_registration_is_over_when_it_says() {
    let mut world = world();
    registered_for(&mut world, "a", 60);
    assert_eq!(world.journal.len(), 1);
    world.wait(secs(61));
    world.from(AGENT, &outgoing("c1"));
    assert!(
        world
            .sent_to(AGENT)
            .pop()
            .unwrap()
            .starts_with("SIP/2.0 403")
    );
    world.assert_clean();
}

#[test]
fn a_registered_user_agent_does_not_speak_for_others() {
    let mut world = world();
    let dialog = establish(&mut world, "c1");
    registered(&mut world);
    world.from(AGENT, &dialog.by_caller("BYE", "bye", 9, "", ""));
    // To its Via, which says no `rport`.
    assert!(world.one_to("203.0.113.77:5060").starts_with("SIP/2.0 403"));
}

#[test]
fn two_registered_user_agents_call_each_other_through_a_proxy_inside() {
    let mut world = world();
    let path = registered(&mut world);
    world.from(
        OTHER,
        &register("b", "").replace(BEHIND, "192.168.7.7:5060"),
    );
    let inside = world.one_to(REGISTRAR);
    world.from(
        REGISTRAR,
        &accepted(&inside, 600).replace(BEHIND, "192.168.7.7:5060"),
    );
    world.one_to(OTHER);
    world.from(OTHER, &outgoing("c1").replace(BEHIND, "192.168.7.7:5060"));
    world.sent_to(OTHER);
    let inside = world.one_to(REGISTRAR);
    // The proxy sends the very same call on: a spiral, no loop.
    let again = inside
        .replace(
            "INVITE sip:100@example.com",
            &format!("INVITE sip:bob@{BEHIND};line=x"),
        )
        .replace(
            "Via:",
            "Via: SIP/2.0/UDP 10.0.0.20;branch=z9hG4bKproxy\r\nVia:",
        )
        .replace(
            "Record-Route:",
            "Record-Route: <sip:10.0.0.20;lr>\r\nRecord-Route:",
        )
        .replace("Max-Forwards", &format!("Route: {path}\r\nMax-Forwards"));
    world.from(REGISTRAR, &again);
    assert!(world.one_to(REGISTRAR).starts_with("SIP/2.0 100"));
    let outside = world.one_to(AGENT);
    assert!(outside.starts_with("INVITE"), "{outside}");
    assert!(!outside.contains("10.0.0."), "{outside}");
    let ok = answer(
        &outside,
        BEHIND,
        "200 OK",
        "callee",
        "",
        &sdp("192.168.1.5", 4_000),
    );
    world.from(AGENT, &ok);
    let back = world.one_to(REGISTRAR);
    let line = "Via: SIP/2.0/UDP 10.0.0.20;branch=z9hG4bKproxy;received=10.0.0.20\r\n";
    let back = back
        .replace(line, "")
        .replace("Via: SIP/2.0/UDP 10.0.0.20;branch=z9hG4bKproxy\r\n", "");
    world.from(REGISTRAR, &back);
    let ok = world.one_to(OTHER);
    assert!(ok.starts_with("SIP/2.0 200"), "{ok}");
    assert_eq!(headers(&ok, "Via").len(), 1, "{ok}");
    assert!(!ok.contains("10.0.0."), "{ok}");
    assert_eq!(world.counter("sip_loop_detected"), 0);
    // It loops for good: that is found.
    let looped = again.replace("z9hG4bKproxy", "z9hG4bKloop");
    world.from(REGISTRAR, &looped);
    assert!(world.core.calls().count() >= 2);
}

#[test]
fn a_message_reaches_a_user_agent_over_tcp() {
    let mut world = world();
    let text = register("a", "").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    world.from_stream(TCP_OUTSIDE, AGENT, &text);
    let inside = world.one_to(REGISTRAR);
    world.from(REGISTRAR, &accepted(&inside, 600));
    world.sent.clear();
    let path = header(&inside, "Path").to_owned();
    let text = call(&path, REGISTRAR, "m1").replace("INVITE", "MESSAGE");
    world.from(REGISTRAR, &text);
    let packet = world.sent.pop().unwrap();
    assert_eq!((packet.to, packet.existing), (AGENT.parse().unwrap(), true));
    let ok = answer(&packet.text, BEHIND, "200 OK", "x", "", "");
    world.from_stream(TCP_OUTSIDE, AGENT, &ok);
    assert!(world.one_to(REGISTRAR).starts_with("SIP/2.0 200"));
}

/// A user agent watches its mailbox: the subscription's requests find both ends, and neither sees the other.
#[test]
fn a_subscription_leads_both_ways() {
    let request = |method: &str, uri: &str, me: &str, from: &str, to: &str, cseq, extra: &str| {
        Request {
            method,
            uri,
            me,
            branch: &format!("{method}{cseq}"),
            from,
            to,
            call_id: "sub-1",
            cseq,
            extra,
            body: "",
        }
        .text()
        .replacen(";branch", ";rport;branch", 1)
    };
    let (bob, box_) = ("<sip:bob@example.com>;tag=b", "<sip:bob@example.com>");
    let mut world = world();
    registered(&mut world);
    let mwi = "Event: message-summary\r\nExpires: 60\r\n";
    world.from(
        AGENT,
        &request(
            "SUBSCRIBE",
            "sip:bob@example.com",
            BEHIND,
            bob,
            box_,
            1,
            mwi,
        ),
    );
    let inside = world.one_to(REGISTRAR);
    assert_hides(&inside, &["192.168.", "198.51.100."]);
    let by_proxy = "Record-Route: <sip:10.0.0.20;lr>\r\n";
    let ok = answer(&inside, "10.0.0.11:5060", "200 OK", "n", by_proxy, "");
    world.from(REGISTRAR, &ok);
    let ok = world.one_to(AGENT);
    assert_hides(&ok, &["10.0.0."]);
    let notifier = uri(header(&ok, "Contact")).to_owned();
    let watcher = uri(header(&inside, "Contact")).to_owned();
    // After a crash that nothing survived but the keys and the registration.
    let mut world = crash(world);
    let tagged = format!("{box_};tag=n");
    let route = "Route: <sip:10.0.0.1;lr>\r\nEvent: message-summary\r\n";
    world.from(
        REGISTRAR,
        &request("NOTIFY", &watcher, POOL[0], &tagged, bob, 1, route),
    );
    let outside = world.one_to(AGENT);
    assert_eq!(start(&outside), format!("NOTIFY sip:user@{BEHIND} SIP/2.0"));
    assert_eq!(header(&outside, "Call-ID"), "sub-1");
    assert!(!outside.contains("10.0.0."), "{outside}");
    world.from(AGENT, &answer(&outside, BEHIND, "200 OK", "", "", ""));
    assert!(world.one_to(REGISTRAR).starts_with("SIP/2.0 200"));
    // Refreshed: by the proxy that wanted to stay, to the notifier.
    world.from(
        AGENT,
        &request("SUBSCRIBE", &notifier, BEHIND, bob, &tagged, 2, mwi),
    );
    let refreshed = world.one_to(REGISTRAR);
    assert_eq!(
        start(&refreshed),
        "SUBSCRIBE sip:media@10.0.0.11:5060 SIP/2.0"
    );
    assert_eq!(headers(&refreshed, "Route"), ["<sip:10.0.0.20;lr>"]);
    // A stranger who has heard of it gets nowhere, nor does who makes one up.
    world.from(
        STRANGER,
        &request("SUBSCRIBE", &notifier, STRANGER, bob, &tagged, 3, mwi),
    );
    assert!(world.one_to(STRANGER).starts_with("SIP/2.0 403"));
    let at = notifier.find("tnc1-").unwrap() + 20;
    let mut forged = notifier.clone();
    let other = if &notifier[at..=at] == "A" { "B" } else { "A" };
    forged.replace_range(at..=at, other);
    world.from(
        AGENT,
        &request("SUBSCRIBE", &forged, BEHIND, bob, &tagged, 4, mwi),
    );
    assert!(world.one_to(AGENT).starts_with("SIP/2.0 403"));
    // Its own token sends nobody back to where he is.
    world.from(
        AGENT,
        &request("SUBSCRIBE", &watcher, BEHIND, bob, &tagged, 5, mwi),
    );
    assert!(world.one_to(AGENT).starts_with("SIP/2.0 481"));
}
