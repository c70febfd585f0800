//! The thread with a server of a few lines.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, NAPTR, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record as Rr};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use tandem_policy::Transport;
use tandem_policy::locate::{Domain, Host, Means, Wanted, Why};

use super::*;
use crate::mailbox::{Inbox, mailbox};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server says to a question; none for nothing.
type Zone = fn(&str) -> Option<(ResponseCode, Vec<Rr>, Option<Rr>)>;

struct Lab {
    handle: Handle,
    inbox: Inbox,
    /// The questions that came.
    asked: Receiver<String>,
}

impl Lab {
    /// In a network of its own.
    fn new(timeout: Duration, zone: Zone) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(up.unwrap().success());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let servers = vec![socket.local_addr().unwrap()];
        let (seen, asked) = channel();
        std::thread::spawn(move || serve(&socket, zone, &seen));
        let (mailbox, inbox) = mailbox().unwrap();
        let handle = start(Settings {
            servers,
            timeout,
            stale: Duration::from_secs(60),
            mailboxes: vec![mailbox],
        });
        Self {
            handle: handle.unwrap(),
            inbox,
            asked,
        }
    }

    fn search(&self, name: &str) -> Finding {
        let host = Host::Name(Domain::parse(name.as_bytes()).unwrap());
        let errand = Errand {
            wanted: Wanted::new(false, host, None, None).unwrap(),
            means: Means {
                transports: vec![Transport::Udp, Transport::Tcp],
                ipv4: true,
                ipv6: false,
            },
        };
        self.handle.search(0, errand.clone()).unwrap();
        let mut fds = [PollFd::new(self.inbox.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(PATIENCE).unwrap();
        assert_eq!(poll(&mut fds, patience).unwrap(), 1, "nothing found");
        self.inbox.silence();
        match self.inbox.next() {
            Some(ToWorker::Located(finding)) => {
                assert_eq!(finding.errand, errand);
                *finding
            }
            _ => panic!("no finding"),
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.try_iter().collect()
    }
}

fn serve(socket: &UdpSocket, zone: Zone, seen: &Sender<String>) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let request = Message::from_vec(&buffer[..length]).unwrap();
        let query = request.queries[0].clone();
        let question = format!("{} {}", query.query_type(), query.name());
        let said = zone(&question);
        let _ = seen.send(question);
        let Some((code, answers, authority)) = said else {
            continue;
        };
        let mut response = Message::response(request.metadata.id, request.metadata.op_code);
        response.metadata.response_code = code;
        response.add_query(query);
        response.answers = answers;
        response.authorities = authority.into_iter().collect();
        let _ = socket.send_to(&response.to_vec().unwrap(), from);
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn rr(of: &str, ttl: u32, data: RData) -> Rr {
    Rr::from_rdata(name(of), ttl, data)
}

fn a(of: &str, ttl: u32, last: u8) -> Rr {
    rr(of, ttl, RData::A(A::new(192, 0, 2, last)))
}

/// There is nothing, and that counts for 40 s.
fn absent(code: ResponseCode) -> Option<(ResponseCode, Vec<Rr>, Option<Rr>)> {
    let soa = SOA::new(name("ns."), name("me."), 1, 1, 1, 1, 40);
    Some((code, Vec::new(), Some(rr("example.", 900, RData::SOA(soa)))))
}

fn answers(answers: Vec<Rr>) -> Option<(ResponseCode, Vec<Rr>, Option<Rr>)> {
    Some((ResponseCode::NoError, answers, None))
}

/// A zone with everything in it.
fn zone(question: &str) -> Option<(ResponseCode, Vec<Rr>, Option<Rr>)> {
    match question {
        "NAPTR full.example." => {
            let naptr = |order, service: &[u8], to| {
                let (flags, regexp) = (b"S"[..].into(), b""[..].into());
                let naptr = NAPTR::new(order, 1, flags, service.into(), regexp, name(to));
                rr("full.example.", 300, RData::NAPTR(naptr))
            };
            answers(vec![
                naptr(20, b"SIP+D2U", "_sip._udp.full.example."),
                naptr(10, b"SIP+D2T", "_sip._tcp.full.example."),
                naptr(1, b"SIP+D2S", "."),
            ])
        }
        "SRV _sip._tcp.full.example." => {
            let srv = |priority, port, host| {
                let srv = SRV::new(priority, 5, port, name(host));
                rr("_sip._tcp.full.example.", 200, RData::SRV(srv))
            };
            answers(vec![
                srv(1, 5061, "one.full.example."),
                srv(2, 5062, "two.full.example."),
                srv(3, 5063, "192.0.2.77."),
            ])
        }
        "A one.full.example." => answers(vec![a("one.full.example.", 100, 1)]),
        "A two.full.example." => {
            let to = RData::CNAME(CNAME(name("three.example.")));
            answers(vec![
                rr("two.full.example.", 30, to),
                a("three.example.", 100, 3),
            ])
        }
        "A plain.example." => answers(vec![a("plain.example.", 600, 9)]),
        q if q.ends_with("plain.example.") => absent(ResponseCode::NoError),
        q if q.ends_with("broken.example.") => Some((ResponseCode::ServFail, Vec::new(), None)),
        q if q.ends_with("silent.example.") => None,
        _ => absent(ResponseCode::NXDomain),
    }
}

#[test]
fn names_are_found_through_all_kinds_of_records() {
    let lab = Lab::new(Duration::from_secs(5), zone);
    let located = lab.search("full.example").outcome.unwrap();
    let servers: Vec<String> = located
        .servers(0)
        .iter()
        .map(|s| format!("{} {} {}", s.transport.via(), s.address, s.server_name))
        .collect();
    assert_eq!(
        servers,
        [
            "TCP 192.0.2.1:5061 full.example",
            "TCP 192.0.2.3:5062 full.example"
        ]
    );
    // The CNAME's.
    assert_eq!(located.ttl, Duration::from_secs(30));
    lab.asked();

    // Another time nothing is asked.
    assert!(lab.search("full.example").outcome.is_ok());
    assert_eq!(lab.asked(), [""; 0]);

    let located = lab.search("plain.example").outcome.unwrap();
    assert_eq!(located.transport, Transport::Udp);
    // That there is no SRV record counts for 40 s.
    assert!(located.ttl <= Duration::from_secs(40));
    let nowhere = lab.search("nowhere.example").outcome.unwrap_err();
    assert_eq!(nowhere.why, Why::NoAddress);
    assert!(nowhere.ttl <= Duration::from_secs(40) && nowhere.ttl > Duration::from_secs(30));
}

#[test]
fn failures_are_told_apart_and_end_in_time() {
    let lab = Lab::new(Duration::from_millis(300), zone);
    let why = |name: &str| lab.search(name).outcome.unwrap_err().why;
    let began = Instant::now();
    assert_eq!(why("silent.example"), Why::Unanswered);
    assert!(began.elapsed() < Duration::from_secs(3));
    // Repeated, in the time that one question has; and the search ends with it.
    assert!(lab.asked().iter().all(|q| q == "NAPTR silent.example."));
    assert_eq!(why("broken.example"), Why::Unanswered);
    let asked = lab.asked();
    // It went on without NAPTR.
    assert!(
        asked.iter().any(|q| q.starts_with("SRV _sip._udp")),
        "{asked:?}"
    );
    // And a failure is remembered for a moment.
    assert_eq!(why("silent.example"), Why::Unanswered);
    assert_eq!(lab.asked(), [""; 0]);
}
