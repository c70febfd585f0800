//! What a system has to show, looked at.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tandem_admin::{Counter, Info, Status, method};
use tandem_config::{Config, DatabaseUrl};

use super::proof::{Check, Findings, Outcome};
use crate::client::{Client, Failure};

/// How long an OPTIONS may take, and when it is sent again (RFC 3261 section 17.1.2.2).
const OPTIONS: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(500);

/// Looks at everything once. `before` is what the old system showed.
pub(super) fn look(configuration: &Path, before: Option<&Findings>) -> Findings {
    let mut findings = Findings::default();
    let config = match crate::check::load(configuration) {
        Ok(config) => config,
        Err(error) => {
            for check in Check::ALL {
                let why = Outcome::Failed(error.to_string());
                findings.outcomes.insert(check, why);
            }
            return findings;
        }
    };
    let mut found = |check, outcome| drop(findings.outcomes.insert(check, outcome));
    found(Check::Sip, sip(&config));
    match planes(&config) {
        Ok(seen) => {
            found(Check::Signaling, Outcome::Passed);
            found(
                Check::Dataplane,
                match seen.status.dataplane_up {
                    true => Outcome::Passed,
                    false => Outcome::Failed("the signaling plane has no session with it: `systemctl status tandem-dataplane`".into()),
                },
            );
            found(Check::Database, database(&config, &seen.status));
            found(Check::Relay, seen.relay);
            found(Check::Links, links(before, &seen.links));
            findings.lives = vec![
                seen.info.pid.into(),
                seen.status.dataplane_boot.unwrap_or(0),
            ];
            findings.links = seen.links;
        }
        Err(error) => {
            let why = Outcome::Failed(error.to_string());
            for check in [
                Check::Signaling,
                Check::Dataplane,
                Check::Database,
                Check::Relay,
                Check::Links,
            ] {
                found(check, why.clone());
            }
        }
    }
    findings
}

struct Seen {
    info: Info,
    status: Status,
    links: Vec<String>,
    relay: Outcome,
}

fn planes(config: &Config) -> Result<Seen, Failure> {
    let mut client = Client::connect(&config.admin.socket)?;
    let info = client.call(method::INFO, Value::Null)?;
    let status: Status = client.call(method::STATUS, Value::Null)?;
    let counters: Vec<Counter> = match status.dataplane_up {
        true => client.call(method::STATISTICS, Value::Null)?,
        false => Vec::new(),
    };
    let link = |counter: &Counter| {
        let name = counter
            .name
            .strip_prefix("port_")?
            .strip_suffix("_link_up")?;
        (counter.value == 1).then(|| name.to_owned())
    };
    let links = counters.iter().filter_map(link).collect();
    let relay = match status.dataplane_up {
        true => relay(&mut client),
        false => Outcome::Failed("there is no dataplane".into()),
    };
    Ok(Seen {
        info,
        status,
        links,
        relay,
    })
}

fn relay(client: &mut Client) -> Outcome {
    match client.call_raw(method::RELAY_TEST, Value::Null) {
        Ok(_) => Outcome::Passed,
        Err(error) => Outcome::Failed(format!("no packet is relayed: {error}")),
    }
}

fn database(config: &Config, status: &Status) -> Outcome {
    match (&config.database.url, status.database_up) {
        (_, true) => Outcome::Passed,
        // Another machine's: whether it is there says nothing of what runs here.
        (DatabaseUrl::MariaDb(_), false) => {
            Outcome::Absent("the database is another machine's, and cannot be reached".into())
        }
        (_, false) => Outcome::Failed("it cannot be opened: `tandemctl db check`".into()),
    }
}

/// Without a `before`, whether there is one at all: this is what a later look is compared with.
fn links(before: Option<&Findings>, now: &[String]) -> Outcome {
    let Some(before) = before else {
        return match now.is_empty() {
            true => Outcome::Absent("no port has a link".into()),
            false => Outcome::Passed,
        };
    };
    let had = &before.links;
    let lost: Vec<_> = had.iter().filter(|port| !now.contains(port)).collect();
    match lost.as_slice() {
        [] if had.is_empty() => Outcome::Absent("no port had a link before".into()),
        [] => Outcome::Passed,
        lost => Outcome::Failed(format!("ports that had a link have none: {lost:?}")),
    }
}

/// Asks each SIP address, from the same address: the request comes in by the kernel, and the answer goes out by the ring to the
/// dataplane, which gives it to the kernel for an address of its own.
fn sip(config: &Config) -> Outcome {
    let realms = config.realms.iter().flat_map(|realm| &realm.sip);
    let kernel = config.sip.kernel.iter().map(|listener| &listener.listen);
    let addresses: Vec<SocketAddr> = realms.chain(kernel).copied().collect();
    if addresses.is_empty() {
        return Outcome::Absent("there is no SIP address".into());
    }
    for address in addresses {
        if let Err(error) = options(address) {
            return Outcome::Failed(format!("{address} does not answer OPTIONS: {error}"));
        }
    }
    Outcome::Passed
}

fn options(to: SocketAddr) -> io::Result<()> {
    // Nothing leaves the machine: the address has to be its own.
    let from = if to.ip().is_unspecified() {
        return Ok(());
    } else {
        SocketAddr::new(to.ip(), 0)
    };
    let socket = UdpSocket::bind(from)?;
    socket.connect(to)?;
    let local = socket.local_addr()?;
    let mark = format!("{:x}", local.port()) + &std::process::id().to_string();
    let request = format!(
        "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK{mark}\r\nMax-Forwards: 70\r\n\
        From: <sip:{local}>;tag={mark}\r\nTo: <sip:{to}>\r\nCall-ID: {mark}@{}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
        local.ip()
    );
    let began = Instant::now();
    let mut answer = [0; 2048];
    socket.set_read_timeout(Some(AGAIN))?;
    while began.elapsed() < OPTIONS {
        socket.send(request.as_bytes())?;
        match socket.recv(&mut answer) {
            Ok(length) if is_answer(answer.get(..length).unwrap_or_default(), &mark) => {
                return Ok(());
            }
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::TimedOut,
        "no answer in two seconds",
    ))
}

fn is_answer(answer: &[u8], mark: &str) -> bool {
    let text = String::from_utf8_lossy(answer);
    text.starts_with("SIP/2.0 200") && text.contains(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_heard_and_silence_is_not() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let mut request = [0; 2048];
            // The first is lost.
            server.recv_from(&mut request).unwrap();
            let (length, peer) = server.recv_from(&mut request).unwrap();
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            assert!(text.starts_with("OPTIONS sip:127.0.0.1"), "{text}");
            let headers = text.split_once("\r\n").unwrap().1;
            server
                .send_to(format!("SIP/2.0 200 OK\r\n{headers}").as_bytes(), peer)
                .unwrap();
        });
        options(address).unwrap();
        answering.join().unwrap();
        assert!(options(address).is_err());
    }

    #[test]
    fn a_link_that_was_there_has_to_come_back() {
        let before = Findings {
            links: vec!["ext".into()],
            ..Findings::default()
        };
        assert_eq!(
            links(Some(&before), &["ext".into(), "int".into()]),
            Outcome::Passed
        );
        assert!(matches!(
            links(Some(&before), &["int".into()]),
            Outcome::Failed(_)
        ));
        assert!(matches!(links(None, &[]), Outcome::Absent(_)));
        // What is kept before an update is not excused for want of something to be compared with.
        assert_eq!(links(None, &["ext".into()]), Outcome::Passed);
    }
}
