//! Calls over connections: TCP, TLS and WebSocket beside UDP.

use tandem_call::{CoreConfig, Input, Path, SendError, Side, StreamConfig};
use tandem_link::Event;
use tandem_policy::Transport;

use super::*;

const TCP_OUTSIDE: u16 = 0;
const WSS_OUTSIDE: u16 = 1;
/// A caller's end of a connection.
const CONNECTION: &str = "203.0.113.10:41234";
const POOL_TLS: &str = "10.0.0.31:5061";

fn stream_config() -> CoreConfig {
    let listener = |listen: &str, transport, side, realm| StreamConfig {
        listen: listen.parse().unwrap(),
        transport,
        side,
        realm: Some(realm),
    };
    let mut config = config();
    config.streams = vec![
        listener(OUTSIDE, Transport::Tcp, Side::External, 0),
        listener("198.51.100.1:443", Transport::Wss, Side::External, 0),
        listener("10.0.0.1:5061", Transport::Tls, Side::Internal, 1),
    ];
    config
}

/// The pool is one server that is reached by TLS.
fn tls_pool() -> World {
    let mut tables = tables();
    tables.dispatcher.truncate(1);
    tables.dispatcher[0].destination = format!("sip:{POOL_TLS};transport=tls");
    World::with_tables(stream_config(), tables)
}

fn over_tcp(text: &str) -> String {
    text.replace("SIP/2.0/UDP", "SIP/2.0/TCP")
}

fn via_at(text: &str) -> String {
    header(text, "Via").to_owned()
}

#[test]
fn a_call_comes_by_tcp_and_leaves_by_tls() {
    let mut world = tls_pool();
    let text = over_tcp(&invite("c1", &sdp("203.0.113.10", 40_000)));
    world.from_stream(TCP_OUTSIDE, CONNECTION, &text);
    let trying = world.one_to(CONNECTION);
    assert!(trying.starts_with("SIP/2.0 100"));
    let inside = world.one_to(POOL_TLS);
    assert!(via_at(&inside).starts_with("SIP/2.0/TLS 10.0.0.1:5061;branch="));
    assert_eq!(
        header(&inside, "Record-Route"),
        "<sip:10.0.0.1:5061;transport=tls;lr>"
    );
    assert!(header(&inside, "Contact").contains("@10.0.0.1:5061;transport=tls>"));
    let ok = answer(
        &inside,
        POOL_TLS,
        "200 OK",
        "bob",
        "",
        &sdp("10.0.0.31", 20_000),
    );
    world.from_stream(2, POOL_TLS, &ok);
    let packet = world.sent.pop().unwrap();
    assert_eq!(packet.to, CONNECTION.parse().unwrap());
    // The connection may be gone: then to where the Via says.
    assert_eq!(packet.connect, CARRIER.parse().ok());
    assert_eq!(packet.path, Path::Stream(TCP_OUTSIDE));
    let ok = packet.text;
    assert_eq!(
        header(&ok, "Record-Route"),
        format!("<sip:{OUTSIDE};transport=tcp;lr>")
    );
    assert!(header(&ok, "Contact").ends_with(&format!("@{OUTSIDE};transport=tcp>")));
    let dialog = Dialog {
        call_id: "c1".into(),
        tag: "bob".into(),
        pool: POOL_TLS.into(),
        seen_by_caller: uri(header(&ok, "Contact")).into(),
        seen_by_callee: uri(header(&inside, "Contact")).into(),
    };
    let ack = over_tcp(&dialog.by_caller("ACK", "ack", 1, "", ""));
    world.from_stream(TCP_OUTSIDE, CONNECTION, &ack);
    assert!(world.one_to(POOL_TLS).starts_with("ACK"));
    // The callee ends the call: by the caller's connection, or to its Contact.
    let bye = dialog.by_callee("BYE", "bye", 1, "", "");
    world.from_stream(2, POOL_TLS, &bye);
    let packet = world.sent.pop().unwrap();
    assert!(packet.text.starts_with("BYE"), "{}", packet.text);
    assert_eq!(packet.to, CONNECTION.parse().unwrap());
    assert_eq!(packet.connect, CARRIER.parse().ok());
    assert!(via_at(&packet.text).starts_with("SIP/2.0/TCP"));
    let ok = answer(&packet.text, CARRIER, "200 OK", "", "", "");
    world.from_stream(TCP_OUTSIDE, CONNECTION, &ok);
    assert!(world.one_to(POOL_TLS).starts_with("SIP/2.0 200"));
    world.assert_clean();
}

#[test]
fn a_bye_of_ours_that_went_with_its_connection_is_sent_once_more() {
    let mut world = tls_pool();
    let text = over_tcp(&invite("c1", &sdp("203.0.113.10", 40_000)));
    world.from_stream(TCP_OUTSIDE, CONNECTION, &text);
    let inside = world.sent_to(POOL_TLS).pop().unwrap();
    let media = sdp("10.0.0.31", 20_000);
    let ok = answer(&inside, POOL_TLS, "200 OK", "bob", "", &media);
    world.from_stream(2, POOL_TLS, &ok);
    world.sent.clear();
    let (flow, cookie) = {
        let flow = world.flows.values().next().unwrap();
        (flow.id, flow.cookie)
    };
    world.event(Event::MediaTimeout { flow, cookie });
    let bye = world.one_to(CONNECTION);
    assert!(bye.starts_with("BYE"), "{bye}");
    let mut closed = || {
        world.sent.clear();
        world.input(Input::Unreachable {
            path: Path::Stream(TCP_OUTSIDE),
            destination: CONNECTION.parse().unwrap(),
            error: SendError::Closed,
        });
        world.sent_to(CONNECTION)
    };
    assert_eq!(
        closed(),
        std::slice::from_ref(&bye),
        "the same to the letter"
    );
    assert!(closed().is_empty(), "once");
    assert_eq!(world.counter("byes_unanswered"), 1);
}

#[test]
fn over_a_connection_nothing_is_repeated() {
    let mut world = tls_pool();
    let text = over_tcp(&invite("c1", &sdp("203.0.113.10", 40_000)));
    world.from_stream(TCP_OUTSIDE, CONNECTION, &text);
    world.wait(secs(1));
    assert_eq!(world.sent_to(POOL_TLS).len(), 1);
}

#[test]
fn no_connection_leads_to_the_next_target() {
    let mut tables = tables();
    tables.dispatcher[0].destination = format!("sip:{POOL_TLS};transport=tls");
    tables.dispatcher[0].priority = 10;
    let mut world = World::with_tables(stream_config(), tables);
    world.from(CARRIER, &invite("c1", &sdp("203.0.113.10", 40_000)));
    assert!(world.one_to(POOL_TLS).starts_with("INVITE"));
    world.input(Input::Unreachable {
        path: Path::Stream(2),
        destination: POOL_TLS.parse().unwrap(),
        error: SendError::HostUnreachable,
    });
    assert!(world.one_to(POOL[1]).starts_with("INVITE"));
    assert_eq!(world.counter("failover_unreachable"), 1);
}

#[test]
fn a_web_page_is_reached_by_its_connection_alone() {
    let mut world = World::with(stream_config());
    let text = invite("c1", &sdp("203.0.113.10", 40_000))
        .replace(
            "SIP/2.0/UDP 203.0.113.10:5060",
            "SIP/2.0/WSS df7jal23ls0d.invalid",
        )
        .replace(
            "Contact: <sip:user@203.0.113.10:5060>",
            "Contact: <sip:user@df7jal23ls0d.invalid;transport=ws>",
        );
    world.from_stream(WSS_OUTSIDE, CONNECTION, &text);
    let (pool, inside) = at_pool(&mut world);
    let ok = answer(
        &inside,
        &pool,
        "200 OK",
        "bob",
        "",
        &sdp("10.0.0.11", 20_000),
    );
    world.from(&pool, &ok);
    let packet = world.sent.pop().unwrap();
    assert_eq!(
        (packet.to, packet.connect),
        (CONNECTION.parse().unwrap(), None)
    );
    assert!(header(&packet.text, "Contact").contains(":443;transport=ws>"));
    let dialog = Dialog {
        call_id: "c1".into(),
        tag: "bob".into(),
        pool: pool.clone(),
        seen_by_caller: String::new(),
        seen_by_callee: uri(header(&inside, "Contact")).into(),
    };
    world.from(&pool, &dialog.by_callee("BYE", "bye", 1, "", ""));
    let packet = world.sent.pop().unwrap();
    assert!(packet.text.starts_with("BYE sip:user@df7jal23ls0d.invalid"));
    assert!(via_at(&packet.text).starts_with("SIP/2.0/WSS 198.51.100.1:443"));
    assert_eq!(
        (packet.to, packet.connect),
        (CONNECTION.parse().unwrap(), None)
    );
}

/// The pool answers the call `c1` and ends it: its BYE alone is left in what was sent.
fn callee_hangs_up(world: &mut World) {
    let (pool, inside) = at_pool(world);
    let media = sdp("10.0.0.11", 20_000);
    world.from(&pool, &answer(&inside, &pool, "200 OK", "bob", "", &media));
    world.sent.clear();
    let dialog = Dialog {
        call_id: "c1".into(),
        tag: "bob".into(),
        pool: pool.clone(),
        seen_by_caller: String::new(),
        seen_by_callee: uri(header(&inside, "Contact")).into(),
    };
    world.from(&pool, &dialog.by_callee("BYE", "bye", 1, "", ""));
}

#[test]
fn a_contact_may_ask_for_another_transport() {
    let mut world = World::with(stream_config());
    let text = invite("c1", &sdp("203.0.113.10", 40_000)).replace(
        "Contact: <sip:user@203.0.113.10:5060>",
        "Contact: <sip:user@203.0.113.10:5070;transport=tcp>",
    );
    world.from(CARRIER, &text);
    callee_hangs_up(&mut world);
    let packet = world.sent.pop().unwrap();
    assert_eq!(packet.path, Path::Stream(TCP_OUTSIDE));
    assert_eq!(packet.to, "203.0.113.10:5070".parse().unwrap());
    assert!(via_at(&packet.text).starts_with(&format!("SIP/2.0/TCP {OUTSIDE}")));
}

#[test]
fn a_strict_router_gets_its_own_uri() {
    let mut world = World::new();
    let text = invite("c1", &sdp("203.0.113.10", 40_000)).replace(
        "Supported: 100rel\r\n",
        "Record-Route: <sip:203.0.113.7>, <sip:203.0.113.8;lr>\r\n",
    );
    world.from(CARRIER, &text);
    callee_hangs_up(&mut world);
    let bye = world.one_to("203.0.113.7:5060");
    assert_eq!(start(&bye), "BYE sip:203.0.113.7 SIP/2.0");
    assert_eq!(
        headers(&bye, "Route"),
        ["<sip:203.0.113.8;lr>", "<sip:user@203.0.113.10:5060>"]
    );
}
