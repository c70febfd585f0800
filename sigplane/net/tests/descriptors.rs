//! A process without descriptors. A test program of its own, since it takes them from all its threads.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tandem_net::{StreamKind, StreamLimits, StreamListener, Streams};

fn counter(streams: &Streams, name: &str) -> u64 {
    streams.counters().find(|(n, _)| *n == name).unwrap().1
}

fn is_readable(streams: &Streams) -> bool {
    let mut fds = [PollFd::new(streams.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).unwrap() > 0
}

#[test]
fn a_listener_rests_while_the_process_has_no_descriptor_left() {
    let listener = StreamListener {
        listen: "127.0.0.1:0".parse().unwrap(),
        kind: StreamKind::Tcp,
        ahead: false,
    };
    let mut streams = Streams::new(vec![listener], StreamLimits::default(), None).unwrap();
    let address = streams.local(0).unwrap();
    let peers: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
    setrlimit(Resource::RLIMIT_NOFILE, used + 5, hard).unwrap();
    let now = Duration::from_secs(9);
    streams.drive(now);
    // Five, and some more where a number below was free.
    let accepted = streams.connections();
    assert!((5..20).contains(&accepted), "{accepted}");
    assert_eq!(counter(&streams, "stream_accept_errors"), 1);
    // Nobody is woken for what cannot be done.
    assert!(!is_readable(&streams));
    let again = streams.next_timeout().unwrap();
    assert_eq!(again, now + Duration::from_millis(100));
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    streams.drive(again);
    assert_eq!(streams.connections(), 20);
    assert_eq!(counter(&streams, "stream_accepted"), 20);
    drop(peers);
}
