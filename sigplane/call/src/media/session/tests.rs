use std::net::SocketAddr;

use tandem_link::{FlowKind, LegSpec, SlotTable};

use super::*;
use crate::core::Share;
use crate::media::RealmMedia;

mod forks;
mod properties;
mod table;

const EXTERNAL: u16 = 0;
const INTERNAL: u16 = 1;
const SETTINGS: MediaSettings = MediaSettings {
    dscp: 46,
    timeout_s: 60,
    hold_timeout_s: 3600,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

/// An external realm of both families, an internal one of IPv4 alone, and one of IPv6 alone.
fn ports() -> Ports {
    let realm = |addresses: &[&str], first: u16| RealmMedia {
        addresses: addresses.iter().map(|a| ip(a)).collect(),
        ports: first..=first + 199,
    };
    let realms = [
        realm(&["192.0.2.1", "2001:db8::1"], 30000),
        realm(&["10.0.0.1"], 40000),
        realm(&["fd00::1"], 50000),
    ];
    Ports::new(&realms, SlotTable::deal(&[0, 1]), 3, Share::default())
}

/// A call with what belongs to it.
struct Call {
    ports: Ports,
    session: Session,
}

impl Call {
    fn new() -> Self {
        Self::between(EXTERNAL, INTERNAL)
    }

    fn between(caller: u16, callee: u16) -> Self {
        Self {
            ports: ports(),
            session: Session::new(Cookie(0xabc), caller, callee, SETTINGS),
        }
    }

    fn offer(&mut self, from: Party, sdp: &str) -> Result<String, Refusal> {
        let out = self
            .session
            .offer(&mut self.ports, from, b"", sdp.as_bytes())?;
        Ok(String::from_utf8(out).unwrap())
    }

    fn answer(&mut self, from: Party, tag: &str, sdp: &str) -> Result<String, Refusal> {
        let out = self
            .session
            .answer(&mut self.ports, from, tag.as_bytes(), sdp.as_bytes())?;
        Ok(String::from_utf8(out).unwrap())
    }

    /// An answered call of one audio line, its commands drained.
    fn answered() -> Self {
        let mut call = Self::new();
        call.offer(Party::Caller, &audio("198.51.100.7", 5004))
            .unwrap();
        call.answer(Party::Callee, "t1", &audio("10.0.0.50", 6004))
            .unwrap();
        call.session.settle(&mut call.ports);
        call.commands();
        call
    }

    fn flow(&self) -> FlowSpec {
        let flows = self.session.flows();
        assert_eq!(flows.len(), 1, "{flows:?}");
        flows[0].clone()
    }

    fn commands(&mut self) -> Vec<Command> {
        std::iter::from_fn(|| self.session.command()).collect()
    }

    fn counters(&mut self) -> Vec<&'static str> {
        std::iter::from_fn(|| self.session.counter()).collect()
    }

    fn used(&self) -> [usize; 3] {
        [0, 1, 2].map(|r| self.ports.usage(r).used)
    }

    fn close(mut self) {
        let flows = self.session.flows();
        self.commands();
        self.session.close(&mut self.ports);
        let removed: Vec<_> = flows.iter().map(Command::remove).collect();
        assert_eq!(self.commands(), removed);
        assert_eq!(self.used(), [0, 0, 0]);
        self.session.close(&mut self.ports);
        assert_eq!(self.commands(), []);
    }
}

fn head(address: &str) -> String {
    let kind = if address.contains(':') { "IP6" } else { "IP4" };
    format!("v=0\r\no=- 1 1 IN {kind} {address}\r\ns=-\r\nc=IN {kind} {address}\r\nt=0 0\r\n")
}

fn audio(address: &str, port: u16) -> String {
    format!(
        "{}m=audio {port} RTP/AVP 0 8\r\na=ptime:20\r\n",
        head(address)
    )
}

/// The local port of each leg.
fn local(flow: &FlowSpec) -> (u16, u16) {
    (flow.a.port, flow.b.port)
}
