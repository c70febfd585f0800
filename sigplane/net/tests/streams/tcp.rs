//! Messages over TCP.

use std::io::Write;

use tandem_net::{StreamEvent, StreamKind, StreamLimits};

use crate::server::{Server, expect, order, peer, request, rest};

#[test]
fn messages_come_whole_however_they_were_cut() {
    for host in ["127.0.0.1", "::1"] {
        let server = Server::on(host, &[StreamKind::Tcp], StreamLimits::default(), None);
        let mut one = peer(server.address(0));
        for byte in request("slow", 20).as_bytes() {
            one.write_all(&[*byte]).unwrap();
        }
        let (connection, text) = server.message();
        assert_eq!(text, request("slow", 20));
        let many: String = (0..50).map(|i| request(&i.to_string(), i)).collect();
        one.write_all(many.as_bytes()).unwrap();
        for i in 0..50 {
            assert_eq!(server.message(), (connection, request(&i.to_string(), i)));
        }
        let event = {
            one.write_all(request("ends", 0).as_bytes()).unwrap();
            server.event()
        };
        let StreamEvent::Message {
            listener,
            peer: from,
            local,
            tls_name,
            ..
        } = event
        else {
            panic!("{event:?}");
        };
        let ends = (one.local_addr().unwrap(), one.peer_addr().unwrap());
        assert_eq!((listener, from, local, tls_name), (0, ends.0, ends.1, None));
        server.answer(connection, ends.0, b"SIP/2.0 200 OK\r\n\r\n");
        expect(&one, "SIP/2.0 200 OK\r\n\r\n");
        assert_eq!(server.counter("stream_messages_received"), 52);
        assert_eq!(server.counter("stream_messages_sent"), 1);
    }
}

#[test]
fn a_ping_is_answered_and_is_no_message() {
    let server = Server::tcp();
    let mut one = peer(server.address(0));
    one.write_all(b"\r\n\r\n").unwrap();
    expect(&one, "\r\n");
    one.write_all(format!("\r\n{}", request("a", 0)).as_bytes())
        .unwrap();
    assert_eq!(server.message().1, request("a", 0));
    assert_eq!(server.counter("stream_pings"), 1);
}

#[test]
fn a_peer_that_speaks_something_else_is_closed() {
    let server = Server::tcp();
    for (bytes, counter) in [
        ("GET / HTTP/1.1\r\n\r\n", "stream_not_sip"),
        (
            "A sip:b SIP/2.0\r\nl: 1x\r\n\r\n",
            "stream_bad_content_length",
        ),
        (
            "A sip:b SIP/2.0\r\nl: 70000\r\n\r\n",
            "stream_message_too_long",
        ),
        (&"x".repeat(20_000), "stream_head_too_long"),
    ] {
        let mut one = peer(server.address(0));
        one.write_all(format!("{}{bytes}", request("before", 0)).as_bytes())
            .unwrap();
        assert_eq!(rest(&one), "");
        assert_eq!(server.counter(counter), 1, "{counter}");
        let (connection, _) = server.message();
        assert!(
            matches!(server.event(), StreamEvent::Closed { connection: c, .. } if c == connection)
        );
    }
    let mut one = peer(server.address(0));
    one.write_all(b"A sip:b SIP/2.0\r\nCall-ID: x\r\n\r\n")
        .unwrap();
    assert!(server.message().1.starts_with("A sip:b"));
    assert_eq!(server.counter("stream_no_content_length"), 1);
}

#[test]
fn a_peer_that_closes_or_resets_is_reported_once() {
    let server = Server::tcp();
    let mut one = peer(server.address(0));
    one.write_all(request("a", 0).as_bytes()).unwrap();
    let (connection, _) = server.message();
    let from = one.local_addr().unwrap();
    drop(one);
    let closed = |connection, peer| StreamEvent::Closed {
        listener: 0,
        connection,
        peer,
    };
    assert_eq!(server.event(), closed(connection, from));
    assert_eq!(server.counter("stream_closed_by_peer"), 1);

    let mut one = peer(server.address(0));
    one.write_all(request("b", 0).as_bytes()).unwrap();
    let (second, _) = server.message();
    assert_ne!(connection, second, "ids never repeat");
    let from = one.local_addr().unwrap();
    rustix::net::sockopt::set_socket_linger(&one, Some(std::time::Duration::ZERO)).unwrap();
    drop(one);
    assert_eq!(server.event(), closed(second, from));
    assert_eq!(server.counter("stream_reset"), 1);
    server.ask(|streams, _| assert_eq!(streams.connections(), 0));
    // What is sent there now opens a connection, and finds nobody.
    server.send(order(from, b"x", 7));
    let failed = server.event();
    assert!(
        matches!(failed, StreamEvent::Failed { tag: 7, destination, .. } if destination == from)
    );
    server.quiet();
}
