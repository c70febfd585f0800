//! Connections that we open, and those that are used again.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tandem_net::{StreamEvent, StreamKind, StreamLimits};

use crate::server::{Server, expect, order, peer, request};

fn failed(destination: SocketAddr, connection: Option<u64>, tag: u64) -> StreamEvent {
    StreamEvent::Failed {
        listener: 0,
        destination,
        connection,
        tag,
    }
}

#[test]
fn a_connection_is_opened_once_and_used_again() {
    let server = Server::tcp();
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = target.local_addr().unwrap();
    server.send(order(to, request("1", 0).as_bytes(), 1));
    server.send(order(to, request("2", 0).as_bytes(), 2));
    let (mut accepted, from) = target.accept().unwrap();
    assert_eq!(from.ip(), server.address(0).ip());
    expect(&accepted, &(request("1", 0) + &request("2", 0)));
    server.send(order(to, request("3", 0).as_bytes(), 3));
    expect(&accepted, &request("3", 0));
    accepted.write_all(request("back", 0).as_bytes()).unwrap();
    let (connection, text) = server.message();
    assert_eq!(text, request("back", 0));
    assert_eq!(server.counter("stream_opened"), 1);
    assert_eq!(server.counter("stream_messages_sent"), 3);
    // The far end closes; the next message opens another.
    drop(accepted);
    assert!(matches!(server.event(), StreamEvent::Closed { connection: c, .. } if c == connection));
    server.send(order(to, request("4", 0).as_bytes(), 4));
    expect(&target.accept().unwrap().0, &request("4", 0));
}

#[test]
fn a_connection_that_a_peer_opened_is_used_by_its_address() {
    let server = Server::start(
        &[StreamKind::Tcp, StreamKind::Tcp],
        StreamLimits::default(),
        None,
    );
    let mut one = peer(server.address(0));
    one.write_all(request("a", 0).as_bytes()).unwrap();
    let (connection, _) = server.message();
    let from = one.local_addr().unwrap();
    server.send(order(from, b"by alias", 1));
    expect(&one, "by alias");
    // A connection that never was: the alias has it too.
    server.answer(connection + 1_000, from, b"instead");
    expect(&one, "instead");
    // Another listener's connections are not ours.
    let mut other = order(from, b"elsewhere", 2);
    other.listener = 1;
    server.send(other);
    assert!(matches!(
        server.event(),
        StreamEvent::Failed {
            listener: 1,
            tag: 2,
            ..
        }
    ));
}

#[test]
fn what_cannot_be_delivered_comes_back_with_its_tag() {
    let server = Server::tcp();
    let nobody = {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        target.local_addr().unwrap()
    };
    for tag in [11, 12] {
        server.send(order(nobody, request("x", 0).as_bytes(), tag));
        let event = server.event();
        assert!(
            matches!(event, StreamEvent::Failed { tag: t, destination, .. } if t == tag && destination == nobody),
            "{event:?}"
        );
    }
    assert_eq!(server.counter("stream_open_failed"), 2);
    assert_eq!(server.counter("stream_messages_failed"), 2);
    // No such listener, and no way from loopback to a network.
    let mut wrong = order(nobody, b"x", 13);
    wrong.listener = 9;
    server.send(wrong);
    assert!(matches!(
        server.event(),
        StreamEvent::Failed {
            listener: 9,
            tag: 13,
            ..
        }
    ));
    server.send(order("[::1]:5060".parse().unwrap(), b"x", 14));
    assert_eq!(
        server.event(),
        failed("[::1]:5060".parse().unwrap(), None, 14)
    );
    server.quiet();
}

#[test]
fn a_web_socket_cannot_be_opened() {
    let server = Server::start(&[StreamKind::Ws], StreamLimits::default(), None);
    let nobody = "127.0.0.1:9".parse().unwrap();
    server.send(order(nobody, b"x", 5));
    assert_eq!(server.event(), failed(nobody, None, 5));
    assert_eq!(server.counter("stream_no_connection"), 1);
}

#[test]
fn a_server_that_never_shakes_hands_is_given_up_and_the_queue_is_bounded() {
    let pki = crate::pki::Pki::new();
    let server = Server::start(
        &[StreamKind::Tls],
        StreamLimits::default(),
        Some(pki.files(&["a"])),
    );
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = silent.local_addr().unwrap();
    for tag in 1..=4 {
        server.send(order(to, &[b'x'; 60_000], tag));
    }
    server.send(order(to, &[b'x'; 60_000], 5));
    let event = server.event();
    let StreamEvent::Failed {
        connection: Some(id),
        tag: 5,
        ..
    } = event
    else {
        panic!("{event:?}");
    };
    server.pass(Duration::from_secs(5));
    for tag in 1..=4 {
        assert_eq!(server.event(), failed(to, Some(id), tag));
    }
    assert_eq!(server.counter("stream_open_timeout"), 1);
    server.quiet();
}
