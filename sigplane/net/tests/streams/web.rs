//! WebSocket with tungstenite's client.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tandem_net::{StreamEvent, StreamKind, StreamLimits};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Response;
use tungstenite::http::{HeaderValue, StatusCode};
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};
use tungstenite::{Error, Message, WebSocket, client};

use crate::pki::Pki;
use crate::server::{Server, order, peer, request, rest};
use crate::tls::rustls_client;

fn ws() -> Server {
    Server::start(&[StreamKind::Ws], StreamLimits::default(), None)
}

/// Shakes hands as this subprotocol.
pub(crate) fn hands<S: Read + Write>(
    stream: S,
    protocol: &str,
) -> Result<(WebSocket<S>, Response), Error> {
    let mut request = "ws://a.example/sip".into_client_request().unwrap();
    if !protocol.is_empty() {
        let value = HeaderValue::from_str(protocol).unwrap();
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", value);
    }
    client(request, stream).map_err(|e| match e {
        tungstenite::HandshakeError::Failure(e) => e,
        tungstenite::HandshakeError::Interrupted(_) => panic!("interrupted"),
    })
}

fn phone(server: &Server) -> WebSocket<TcpStream> {
    let (socket, response) = hands(peer(server.address(0)), "sip").unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "sip");
    socket
}

#[test]
fn text_is_answered_by_text_and_binary_by_binary() {
    for host in ["127.0.0.1", "::1"] {
        let server = Server::on(host, &[StreamKind::Ws], StreamLimits::default(), None);
        let mut phone = phone(&server);
        let from = phone.get_ref().local_addr().unwrap();
        phone.send(Message::text(request("a", 0))).unwrap();
        let (connection, text) = server.message();
        assert_eq!(text, request("a", 0));
        server.answer(connection, from, b"one");
        assert_eq!(phone.read().unwrap(), Message::text("one"));
        // What is no text goes as binary.
        server.answer(connection, from, b"\xff");
        assert_eq!(phone.read().unwrap(), Message::binary(&b"\xff"[..]));
        phone.send(Message::binary(request("b", 60_000))).unwrap();
        assert_eq!(server.message(), (connection, request("b", 60_000)));
        let long = "z".repeat(60_000);
        server.send(order(from, long.as_bytes(), 1));
        assert_eq!(phone.read().unwrap(), Message::binary(long));
    }
}

#[test]
fn only_sip_is_spoken() {
    let server = ws();
    for protocol in ["", "xmpp", "sips"] {
        let error = hands(peer(server.address(0)), protocol).unwrap_err();
        let Error::Http(response) = error else {
            panic!("{error}");
        };
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(server.counter("stream_web_wrong_protocol"), 3);
    hands(peer(server.address(0)), "xmpp, sip").unwrap();
    assert!(matches!(server.event(), StreamEvent::Closed { .. }));
    let mut plain = peer(server.address(0));
    plain
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert!(rest(&plain).starts_with("HTTP/1.1 405 "));
    assert_eq!(server.counter("stream_web_bad_request"), 1);
    server.quiet();
}

#[test]
fn origins_may_be_limited() {
    let limits = StreamLimits {
        origins: vec!["https://phone.example".to_owned()],
        ..StreamLimits::default()
    };
    let server = Server::start(&[StreamKind::Ws], limits, None);
    let error = hands(peer(server.address(0)), "sip").unwrap_err();
    assert!(matches!(error, Error::Http(r) if r.status() == StatusCode::FORBIDDEN));
    assert_eq!(server.counter("stream_web_wrong_origin"), 1);
}

#[test]
fn fragments_pings_and_keepalives() {
    let server = ws();
    let mut phone = phone(&server);
    let text = request("fragments", 10);
    let (a, b) = text.split_at(20);
    let frame = |text: &str, code, last| {
        Message::Frame(Frame::message(text.to_owned(), OpCode::Data(code), last))
    };
    phone.send(frame(a, Data::Text, false)).unwrap();
    phone.send(Message::Ping(b"?".to_vec().into())).unwrap();
    assert_eq!(phone.read().unwrap(), Message::Pong(b"?".to_vec().into()));
    server.quiet();
    phone.send(frame(b, Data::Continue, true)).unwrap();
    assert_eq!(server.message().1, text);
    phone.send(Message::text("\r\n\r\n")).unwrap();
    assert_eq!(phone.read().unwrap(), Message::text("\r\n"));
    // Two in one segment, and one in two.
    phone.write(Message::text(request("1", 0))).unwrap();
    phone.write(Message::text(request("2", 0))).unwrap();
    phone.flush().unwrap();
    assert_eq!(server.message().1, request("1", 0));
    assert_eq!(server.message().1, request("2", 0));
    server.quiet();
}

#[test]
fn the_close_handshake_is_answered() {
    let server = ws();
    let mut phone = phone(&server);
    phone.send(Message::text(request("a", 0))).unwrap();
    server.message();
    let frame = CloseFrame {
        code: CloseCode::Away,
        reason: "bye".into(),
    };
    phone.close(Some(frame.clone())).unwrap();
    assert_eq!(phone.read().unwrap(), Message::Close(Some(frame)));
    assert!(matches!(phone.read().unwrap_err(), Error::ConnectionClosed));
    assert!(matches!(server.event(), StreamEvent::Closed { .. }));
    assert_eq!(server.counter("stream_closed_by_peer"), 1);
}

#[test]
fn frames_against_the_protocol_end_the_connection_with_a_reason() {
    let server = ws();
    let reason = |mut phone: WebSocket<TcpStream>| loop {
        if let Message::Close(frame) = phone.read().unwrap() {
            return frame.unwrap().code;
        }
    };
    let mut one = phone(&server);
    one.get_mut().write_all(b"\x81\x01x").unwrap();
    assert_eq!(reason(one), CloseCode::Protocol, "not masked");
    let mut one = phone(&server);
    one.send(Message::binary(vec![b'x'; 70_000])).unwrap();
    assert_eq!(reason(one), CloseCode::Size);
    let mut one = phone(&server);
    one.get_mut().write_all(b"\x81\x81\0\0\0\0\xff").unwrap();
    assert_eq!(reason(one), CloseCode::Invalid, "not UTF-8");
    let mut one = phone(&server);
    one.get_mut().write_all(b"\x80\x80\0\0\0\0").unwrap();
    assert_eq!(
        reason(one),
        CloseCode::Protocol,
        "a continuation of nothing"
    );
    assert_eq!(server.counter("stream_web_bad_frame"), 3);
    assert_eq!(server.counter("stream_message_too_long"), 1);
}

#[test]
fn a_silent_peer_is_pinged_and_a_dead_one_ended() {
    let second = Duration::from_secs(1);
    let server = ws();
    let mut phone = phone(&server);
    phone.send(Message::text(request("a", 0))).unwrap();
    server.message();
    for _ in 0..30 {
        server.pass(30 * second);
        assert_eq!(phone.read().unwrap(), Message::Ping(Vec::new().into()));
        phone.flush().unwrap();
        // The pong has come.
        server.until(|streams| streams.views(Duration::MAX).all(|v| v.idle < Duration::MAX));
        phone.send(Message::text("\r\n\r\n")).unwrap();
        assert_eq!(phone.read().unwrap(), Message::text("\r\n"));
    }
    server.quiet();
    server.pass(30 * second);
    server.pass(30 * second);
    assert!(matches!(server.event(), StreamEvent::Closed { .. }));
    assert_eq!(server.counter("stream_web_silent"), 1);
}

#[test]
fn a_frame_that_never_ends_ends_the_connection() {
    let server = ws();
    let mut phone = phone(&server);
    phone
        .get_mut()
        .write_all(b"\x81\xfe\x10\x00\0\0\0\0half")
        .unwrap();
    server.until(|streams| streams.views(Duration::ZERO).any(|v| v.bytes_in > 0));
    server.pass(Duration::from_secs(10));
    rest(phone.get_ref());
    assert_eq!(server.counter("stream_message_timeout"), 1);
}

#[test]
fn frames_go_through_tls() {
    let pki = Pki::new();
    let files = Some(pki.files(&["a"]));
    let server = Server::start(&[StreamKind::Wss], StreamLimits::default(), files);
    let (mut phone, _) = hands(rustls_client(&pki, server.address(0)), "sip").unwrap();
    phone.send(Message::text(request("a", 5_000))).unwrap();
    let (connection, text) = server.message();
    assert_eq!(text, request("a", 5_000));
    let view = server.views().remove(0);
    assert_eq!((view.connection, view.kind), (connection, StreamKind::Wss));
    server.answer(connection, view.peer, request("b", 50_000).as_bytes());
    assert_eq!(phone.read().unwrap(), Message::text(request("b", 50_000)));
    let error = hands(rustls_client(&pki, server.address(0)), "xmpp").unwrap_err();
    assert!(matches!(error, Error::Http(r) if r.status() == StatusCode::FORBIDDEN));
}

#[test]
fn a_request_that_is_never_whole_is_half_open() {
    let server = ws();
    let mut one = peer(server.address(0));
    one.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    server.until(|streams| streams.views(Duration::ZERO).any(|v| v.bytes_in > 0));
    server.pass(Duration::from_secs(5));
    assert_eq!(rest(&one), "");
    assert_eq!(server.counter("stream_handshake_timeout"), 1);
}
