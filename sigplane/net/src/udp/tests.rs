use super::*;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use std::process::Command;

/// Puts this thread into a network namespace of its own, with `lo` only; it ends with the thread.
fn alone() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ip("link set lo up");
}

fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn wait(socket: &KernelSocket, events: PollFlags) -> PollFlags {
    let mut polled = [PollFd::new(socket.as_fd(), events)];
    poll(&mut polled, PollTimeout::from(5000u16)).unwrap();
    polled[0].revents().unwrap()
}

fn receive(socket: &KernelSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    loop {
        if let Some(received) = socket.receive(&mut buffer).unwrap() {
            buffer.truncate(received.length);
            return (buffer, received.source);
        }
        assert!(!wait(socket, PollFlags::POLLIN).is_empty(), "nothing came");
    }
}

fn both_families(test: fn(&str)) {
    std::thread::scope(|scope| {
        for host in ["127.0.0.1", "[::1]"] {
            scope.spawn(move || {
                alone();
                test(host);
            });
        }
    });
}

#[test]
fn datagrams_go_and_come_and_the_largest_too() {
    both_families(|host| {
        let a = KernelSocket::bind(format!("{host}:5060").parse().unwrap()).unwrap();
        let b = KernelSocket::bind(format!("{host}:5061").parse().unwrap()).unwrap();
        assert_eq!(a.receive(&mut [0; 10]).unwrap(), None);
        a.send(b.local(), b"OPTIONS").unwrap();
        assert_eq!(receive(&b), (b"OPTIONS".to_vec(), a.local()));
        ip("link set lo mtu 1500");
        let large = vec![b'x'; 60_000];
        a.send(b.local(), &large).unwrap();
        assert_eq!(receive(&b), (large, a.local()));
    });
}

#[test]
fn an_icmp_error_names_the_destination_and_does_not_hit_another() {
    both_families(|host| {
        let a = KernelSocket::bind(format!("{host}:5060").parse().unwrap()).unwrap();
        let b = KernelSocket::bind(format!("{host}:5061").parse().unwrap()).unwrap();
        let nobody: SocketAddr = format!("{host}:5999").parse().unwrap();
        assert_eq!(a.next_error().unwrap(), None);
        a.send(nobody, b"INVITE").unwrap();
        assert!(wait(&a, PollFlags::empty()).contains(PollFlags::POLLERR));
        // The pending error must not be taken for the next datagram's.
        a.send(b.local(), b"INVITE").unwrap();
        assert_eq!(receive(&b).0, b"INVITE");
        let error = TransportError {
            destination: nobody,
            error: Unreachable::Port,
        };
        assert_eq!(a.next_error().unwrap(), Some(error));
        assert_eq!(a.next_error().unwrap(), None);
        assert_eq!(a.receive(&mut [0; 10]).unwrap(), None);
    });
}

#[test]
fn no_route_is_said_at_once() {
    both_families(|host| {
        let a = KernelSocket::bind(format!("{host}:5060").parse().unwrap()).unwrap();
        let far = if a.local().is_ipv4() {
            "192.0.2.1:5060"
        } else {
            "[2001:db8::1]:5060"
        };
        let error = a.send(far.parse().unwrap(), b"INVITE").unwrap_err();
        assert!(
            matches!(error, SendError::Unreachable(Unreachable::Host)),
            "{error:?}"
        );
    });
}

#[test]
fn an_address_that_comes_later_can_be_bound_ahead() {
    both_families(|host| {
        let v4 = !host.contains(':');
        let text = if v4 {
            "192.0.2.7:5060"
        } else {
            "[2001:db8::7]:5060"
        };
        let local: SocketAddr = text.parse().unwrap();
        let error = KernelSocket::bind(local).unwrap_err();
        assert!(
            error.to_string().contains("no interface has this address"),
            "{error}"
        );
        let socket = KernelSocket::bind_ahead(local).unwrap();
        let second = KernelSocket::bind_ahead(local).unwrap_err();
        assert!(
            second
                .to_string()
                .contains("another program has this address"),
            "{second}"
        );
        let address = local.ip();
        ip(&format!(
            "addr add {address}/{} dev lo",
            if v4 { "32" } else { "128 nodad" }
        ));
        let peer = KernelSocket::bind(format!("{host}:5070").parse().unwrap()).unwrap();
        // The kernel takes an IPv6 address into use a little after `ip` is done, and drops what comes before.
        for _ in 0..100 {
            peer.send(local, b"x").unwrap();
            let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            if poll(&mut polled, PollTimeout::from(50u16)).unwrap() > 0 {
                break;
            }
        }
        assert_eq!(receive(&socket), (b"x".to_vec(), peer.local()));
    });
}

#[test]
fn a_datagram_knows_how_long_it_has_waited() {
    both_families(|host| {
        let a = KernelSocket::bind(format!("{host}:0").parse().unwrap()).unwrap();
        let b = KernelSocket::bind(format!("{host}:0").parse().unwrap()).unwrap();
        // The kernel begins to stamp a little after it was asked to: what comes before looks as if it had just come.
        let stamped = (0..100).find_map(|_| {
            b.send(a.local(), b"first").unwrap();
            let sent = std::time::Instant::now();
            // Long enough to tell it from none.
            while sent.elapsed() < Duration::from_millis(30) {
                wait(&a, PollFlags::POLLIN);
            }
            let received = a.receive(&mut [0; 100]).unwrap().unwrap();
            assert_eq!((received.length, received.source), (5, b.local()));
            (received.waited >= Duration::from_millis(30)).then_some(received)
        });
        let received = stamped.expect("no datagram was stamped when it came");
        assert!(received.waited < Duration::from_secs(60), "{received:?}");
    });
}
