//! What a bad peer can do, and what it cannot do to others.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use tandem_net::{StreamEvent, StreamKind, StreamLimits, StreamSend};

use crate::server::{Server, expect, order, peer, peer_from, request, rest};

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> StreamLimits {
    StreamLimits {
        half_open: 20,
        half_open_per_source: 8,
        connections_per_source: 12,
        trusted: vec![("127.0.0.9".parse().unwrap(), 32)],
        ..StreamLimits::default()
    }
}

#[test]
fn a_slow_reader_is_closed_and_delays_nobody() {
    let server = Server::tcp();
    let mut slow = peer(server.address(0));
    slow.write_all(request("slow", 0).as_bytes()).unwrap();
    let (connection, _) = server.message();
    let from = slow.local_addr().unwrap();
    let mut quick = peer(server.address(0));
    quick.write_all(request("quick", 0).as_bytes()).unwrap();
    let (other, _) = server.message();
    let answer = "y".repeat(60_000);
    let mut closed = false;
    let mut tags = 0;
    // The kernel's buffers on both sides take some megabytes first.
    for tag in 1..2_000 {
        server.send(StreamSend {
            connection: Some(connection),
            ..order(from, answer.as_bytes(), tag)
        });
        server.answer(other, quick.local_addr().unwrap(), b"pong");
        expect(&quick, "pong");
        if server.counter("stream_slow_reader") == 1 {
            closed = true;
            break;
        }
        tags = tag;
    }
    assert!(closed, "nothing limits what waits for a slow reader");
    let mut failed = Vec::new();
    let last = loop {
        match server.event() {
            StreamEvent::Failed {
                tag, connection: c, ..
            } => {
                assert_eq!(c, Some(connection));
                failed.push(tag);
            }
            other => break other,
        }
    };
    assert!(matches!(last, StreamEvent::Closed { connection: c, .. } if c == connection));
    // What was not written, in order, to the last.
    assert!(failed.len() >= 4, "{failed:?}");
    assert_eq!(failed.last(), Some(&(tags + 1)));
    assert!(failed.windows(2).all(|w| w[1] == w[0] + 1), "{failed:?}");
    // What the kernel had is not kept for it.
    let error = (&slow).read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    quick.write_all(request("again", 0).as_bytes()).unwrap();
    assert_eq!(server.message().0, other);
}

#[test]
fn who_is_blocked_loses_its_connections_and_gets_no_others() {
    let server = Server::tcp();
    let (bad, good) = ("127.0.0.66", "127.0.0.7");
    let mut theirs = peer_from(bad, server.address(0));
    theirs.write_all(request("bad", 0).as_bytes()).unwrap();
    let (connection, _) = server.message();
    let mut other = peer_from(good, server.address(0));
    other.write_all(request("good", 0).as_bytes()).unwrap();
    server.message();
    assert!(server.ask(|streams, now| streams.block(*now, bad.parse().unwrap(), 300 * SECOND)));
    let closed = server.event();
    assert!(matches!(closed, StreamEvent::Closed { connection: c, .. } if c == connection));
    let gone = |mut stream: std::net::TcpStream| {
        let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    };
    gone(theirs);
    gone(peer_from(bad, server.address(0)));
    assert_eq!(server.counter("stream_blocked"), 2);
    other.write_all(request("still", 0).as_bytes()).unwrap();
    server.message();
    server.ask(|streams, _| streams.unblock(bad.parse().unwrap()));
    let mut again = peer_from(bad, server.address(0));
    again.write_all(request("again", 0).as_bytes()).unwrap();
    server.message();
}

#[test]
fn a_peer_that_stops_reading_is_closed_after_a_while() {
    let server = Server::tcp();
    let mut slow = peer(server.address(0));
    slow.write_all(request("slow", 0).as_bytes()).unwrap();
    let (connection, _) = server.message();
    let from = slow.local_addr().unwrap();
    // As much as the kernel takes, and a little more.
    while server.views()[0].bytes_out == 0 {
        server.answer(connection, from, &[b'y'; 60_000]);
    }
    server.pass(29 * SECOND);
    server.quiet();
    server.pass(SECOND);
    assert!(matches!(server.event(), StreamEvent::Failed { .. }));
    assert_eq!(server.counter("stream_write_timeout"), 1);
}

#[test]
fn half_open_floods_are_limited_and_a_trusted_peer_gets_in() {
    let server = Server::start(&[StreamKind::Tcp], limits(), None);
    let address = server.address(0);
    let flood: Vec<_> = (0..60)
        .map(|i| peer_from(&format!("127.0.0.{}", 2 + i % 5), address))
        .collect();
    let done = |n| {
        move |streams: &tandem_net::Streams| {
            let of = |name: &str| streams.counters().find(|(n, _)| *n == name).unwrap().1;
            let refused = of("stream_refused_half_open") + of("stream_refused_half_open_source");
            of("stream_accepted") + refused == n
        }
    };
    server.until(done(60));
    assert_eq!(server.counter("stream_accepted"), 20);
    assert_eq!(server.counter("stream_refused_half_open_source"), 0);
    let mut trusted = peer_from("127.0.0.9", address);
    trusted.write_all(request("trusted", 0).as_bytes()).unwrap();
    assert_eq!(server.message().1, request("trusted", 0));
    // The flood ends by itself, and then the others get in again.
    server.pass(5 * SECOND);
    assert_eq!(server.counter("stream_handshake_timeout"), 20);
    drop(flood);
    let mut one = peer_from("127.0.0.2", address);
    one.write_all(request("one", 0).as_bytes()).unwrap();
    assert_eq!(server.message().1, request("one", 0));
    server.quiet();
}

#[test]
fn one_source_has_its_share() {
    let server = Server::start(&[StreamKind::Tcp], limits(), None);
    let address = server.address(0);
    let mut peers = Vec::new();
    for i in 0..12 {
        let mut one = peer(address);
        one.write_all(request(&i.to_string(), 0).as_bytes())
            .unwrap();
        server.message();
        peers.push(one);
    }
    assert_eq!(rest(peer(address)), "", "one too many");
    assert_eq!(server.counter("stream_refused_source"), 1);
    // Another source, with half-open ones only.
    let open: Vec<_> = (0..8).map(|_| peer_from("127.0.0.2", address)).collect();
    assert_eq!(rest(peer_from("127.0.0.2", address)), "");
    assert_eq!(server.counter("stream_refused_half_open_source"), 1);
    drop(open);
    // One that ends makes room for one.
    drop(peers.pop());
    assert!(matches!(server.event(), StreamEvent::Closed { .. }));
    let mut one = peer(address);
    one.write_all(request("again", 0).as_bytes()).unwrap();
    server.message();
}

#[test]
fn connections_in_all_are_limited_with_a_reserve_for_the_trusted() {
    let settings = StreamLimits {
        connections: 4,
        reserved: 1,
        ..limits()
    };
    let server = Server::start(&[StreamKind::Tcp], settings, None);
    let address = server.address(0);
    let _three: Vec<_> = (0..3).map(|_| peer(address)).collect();
    assert_eq!(rest(peer(address)), "");
    let mut trusted = peer_from("127.0.0.9", address);
    trusted.write_all(request("t", 0).as_bytes()).unwrap();
    server.message();
    assert_eq!(rest(peer_from("127.0.0.9", address)), "");
    assert_eq!(server.counter("stream_refused_full"), 2);
}

#[test]
fn an_idle_connection_ends_and_one_with_keepalives_stays() {
    let server = Server::tcp();
    let mut idle = peer(server.address(0));
    let mut alive = peer(server.address(0));
    idle.write_all(request("idle", 0).as_bytes()).unwrap();
    let (connection, _) = server.message();
    alive.write_all(request("alive", 0).as_bytes()).unwrap();
    let (other, _) = server.message();
    server.pass(300 * SECOND);
    alive.write_all(b"\r\n\r\n").unwrap();
    expect(&alive, "\r\n");
    server.pass(299 * SECOND);
    server.quiet();
    server.pass(SECOND);
    assert_eq!(rest(&idle), "");
    assert!(matches!(server.event(), StreamEvent::Closed { connection: c, .. } if c == connection));
    assert_eq!(server.counter("stream_idle"), 1);
    // A message of ours keeps it, too.
    server.answer(other, alive.local_addr().unwrap(), b"x");
    expect(&alive, "x");
    server.pass(599 * SECOND);
    server.quiet();
    server.pass(SECOND);
    assert!(matches!(server.event(), StreamEvent::Closed { connection: c, .. } if c == other));
}

#[test]
fn a_message_that_never_ends_ends_the_connection() {
    let server = Server::tcp();
    let mut one = peer(server.address(0));
    let text = request("a", 30);
    one.write_all(text.as_bytes()).unwrap();
    server.message();
    // Its next deadline is far away.
    server.pass(100 * SECOND);
    one.write_all(&text.as_bytes()[..text.len() - 10]).unwrap();
    server.until(|streams| streams.views(Duration::ZERO).any(|v| v.bytes_in > 0));
    for _ in 0..9 {
        server.pass(SECOND);
        // A byte now and then does not help.
        one.write_all(b"x").unwrap();
        let left = server.views()[0].bytes_in;
        server.until(move |streams| streams.views(Duration::ZERO).any(|v| v.bytes_in >= left));
    }
    server.quiet();
    server.pass(SECOND);
    assert_eq!(rest(&one), "");
    assert_eq!(server.counter("stream_message_timeout"), 1);
    assert!(matches!(server.event(), StreamEvent::Closed { .. }));
}

#[test]
fn a_busy_connection_may_always_be_in_the_middle_of_a_message() {
    let server = Server::tcp();
    let mut one = peer(server.address(0));
    let text = request("a", 30);
    let (first, second) = text.split_at(40);
    one.write_all(first.as_bytes()).unwrap();
    for _ in 0..30 {
        server.until(|streams| streams.views(Duration::ZERO).any(|v| v.bytes_in > 0));
        server.pass(SECOND);
        one.write_all(format!("{second}{first}").as_bytes())
            .unwrap();
        assert_eq!(server.message().1, text);
    }
}

#[test]
fn a_turn_accepts_no_more_than_it_may_and_comes_again_for_the_rest() {
    let settings = StreamLimits {
        accepts: 2,
        ..StreamLimits::default()
    };
    let server = Server::start(&[StreamKind::Tcp], settings, None);
    let peers: Vec<_> = (0..10).map(|_| peer(server.address(0))).collect();
    for (i, mut one) in peers.iter().enumerate() {
        one.write_all(request(&i.to_string(), 0).as_bytes())
            .unwrap();
    }
    for _ in 0..10 {
        server.message();
    }
}
