//! One dispatcher target: where it is, whether it takes calls, how quick it is.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::dispatcher::{Attributes, Thresholds};
use crate::locate::{Domain, Host, Located, NotLocated, Server, Unwanted, Wanted, Why};
use crate::rows::DispatcherRow;
use crate::transport::Transport;

/// Kamailio's flag: inactive.
const FLAG_INACTIVE: u32 = 1;
/// Kamailio's flag: disabled by the administrator.
const FLAG_DISABLED: u32 = 4;
/// Kamailio's flag: probe it.
const FLAG_PROBING: u32 = 8;

/// Whether a target takes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Takes calls.
    Active,
    /// Takes calls; its row asks for probing (flag 8) and no verdict has been reached yet.
    Probing,
    /// Takes no calls until enough probes in a row succeeded.
    Inactive,
    /// Taken out by the administrator (flag 4): no calls, no probes.
    Disabled,
    /// The administrator waits for its calls to end: no new ones, but it is probed.
    Draining,
}

impl TargetState {
    /// Its name for people and programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Probing => "probing",
            Self::Inactive => "inactive",
            Self::Disabled => "disabled",
            Self::Draining => "draining",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::Active,
            Self::Probing,
            Self::Inactive,
            Self::Disabled,
            Self::Draining,
        ]
        .into_iter()
        .find(|state| state.as_str() == name)
    }

    /// Whether only the administrator ends it: neither probes nor a new life of the process do.
    #[must_use]
    pub const fn is_held(self) -> bool {
        matches!(self, Self::Disabled | Self::Draining)
    }

    /// Whether new calls go there.
    #[must_use]
    pub const fn takes_calls(self) -> bool {
        matches!(self, Self::Active | Self::Probing)
    }

    const fn of_flags(flags: u32) -> Self {
        if flags & FLAG_DISABLED != 0 {
            Self::Disabled
        } else if flags & FLAG_INACTIVE != 0 {
            Self::Inactive
        } else if flags & FLAG_PROBING != 0 {
            Self::Probing
        } else {
            Self::Active
        }
    }
}

/// A change that results of probes or calls brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChange {
    /// It takes calls again.
    Activated,
    /// It takes no more calls.
    Deactivated,
}

/// How quickly a target answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The last answer's.
    pub last: Option<Duration>,
    /// The largest.
    pub max: Option<Duration>,
    /// Requests without an answer in time.
    pub timeouts: u64,
    total: Duration,
    answers: u32,
}

impl Latency {
    /// The mean of all answers; none before the first.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.total.checked_div(self.answers)
    }

    fn record(&mut self, latency: Duration) {
        self.last = Some(latency);
        self.max = self.max.max(Some(latency));
        // Starts anew before anything could overflow: after four thousand million answers.
        if self.answers == u32::MAX {
            (self.total, self.answers) = (Duration::ZERO, 0);
        }
        self.total = self.total.saturating_add(latency);
        self.answers += 1;
    }
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its row.
    pub row: DispatcherRow,
    /// What its row says of where it is.
    pub wanted: Wanted,
    /// Where that leads; none for a name that was not looked up yet.
    pub located: Option<Result<Located, NotLocated>>,
    /// Whether it takes calls.
    pub state: TargetState,
    /// Failures in a row.
    pub failures: u32,
    /// Successes in a row.
    pub successes: u32,
    /// What its row says in `attrs`.
    pub attributes: Attributes,
    /// Calls of this worker's that it has now.
    pub calls: u64,
    /// Those of other workers, as they last told.
    elsewhere: Vec<(u16, u64)>,
    /// What it has left of its share, in weighted round robin.
    pub(crate) credit: i64,
    /// How quickly it answers.
    pub latency: Latency,
}

impl Target {
    /// And what of its attributes counts for nothing.
    pub(crate) fn new(row: DispatcherRow) -> Result<(Self, Vec<String>), String> {
        let wanted = parse_destination(&row.destination)?;
        let state = TargetState::of_flags(row.flags);
        let (attributes, wrong) = Attributes::parse(&row.attrs);
        let target = Self {
            row,
            attributes,
            elsewhere: Vec::new(),
            credit: 0,
            located: Located::known(&wanted).map(Ok),
            wanted,
            state,
            failures: 0,
            successes: 0,
            calls: 0,
            latency: Latency::default(),
        };
        Ok((target, wrong))
    }

    /// Its calls, of all workers.
    #[must_use]
    pub fn load(&self) -> u64 {
        let elsewhere = self.elsewhere.iter().map(|(_, calls)| calls);
        self.calls + elsewhere.sum::<u64>()
    }

    /// Whether it has as many calls as it may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let most = self.attributes.max_load;
        most > 0 && self.load() >= most
    }

    pub(crate) fn load_elsewhere(&mut self, worker: u16, calls: u64) {
        self.elsewhere.retain(|(by, _)| *by != worker);
        if calls > 0 {
            self.elsewhere.push((worker, calls));
        }
    }

    /// The administrator's word.
    pub(crate) const fn set_state(&mut self, state: TargetState) {
        self.state = state;
        self.failures = 0;
        self.successes = 0;
    }

    /// The state that its row says.
    pub(crate) const fn unlearn(&mut self) {
        self.set_state(TargetState::of_flags(self.row.flags));
    }

    /// Takes over what an earlier state of the table had learned, unless the administrator
    /// changed the row's place or flags.
    pub(crate) fn inherit(&mut self, earlier: &Self) {
        self.calls = earlier.calls;
        self.elsewhere.clone_from(&earlier.elsewhere);
        self.credit = earlier.credit;
        if earlier.wanted == self.wanted {
            self.located.clone_from(&earlier.located);
            self.latency = earlier.latency;
            if earlier.row.flags == self.row.flags {
                self.state = earlier.state;
                self.failures = earlier.failures;
                self.successes = earlier.successes;
            }
        }
    }

    /// Its servers in the order that this seed draws; none while it is not known where it is.
    #[must_use]
    pub fn servers(&self, seed: u64) -> Vec<Server> {
        match &self.located {
            Some(Ok(located)) => located.servers(seed),
            Some(Err(_)) | None => Vec::new(),
        }
    }

    /// Whether it is known where it is.
    #[must_use]
    pub const fn is_located(&self) -> bool {
        matches!(self.located, Some(Ok(_)))
    }

    /// Its servers' addresses; none while it is not known where it is.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        match &self.located {
            Some(Ok(located)) => located.addresses().collect(),
            Some(Err(_)) | None => Vec::new(),
        }
    }

    /// Whether this is an address of its.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        match &self.located {
            Some(Ok(located)) => located.addresses().any(|a| a.ip() == ip),
            Some(Err(_)) | None => false,
        }
    }

    /// What DNS says now. While it says nothing, what it said before stands.
    pub(crate) fn locate(&mut self, outcome: Result<Located, NotLocated>) {
        let unanswered = matches!(&outcome, Err(not) if not.why == Why::Unanswered);
        if !(unanswered && matches!(self.located, Some(Ok(_)))) {
            self.located = Some(outcome);
        }
    }

    /// Whether it is to be probed.
    #[must_use]
    pub const fn is_probed(&self) -> bool {
        !matches!(self.state, TargetState::Disabled)
    }

    pub(crate) fn succeeded(
        &mut self,
        thresholds: Thresholds,
        latency: Duration,
    ) -> Option<StateChange> {
        self.latency.record(latency);
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        if self.successes < thresholds.successes {
            return None;
        }
        match self.state {
            TargetState::Inactive => {
                self.state = TargetState::Active;
                Some(StateChange::Activated)
            }
            TargetState::Probing => {
                self.state = TargetState::Active;
                None
            }
            TargetState::Active | TargetState::Disabled | TargetState::Draining => None,
        }
    }

    pub(crate) fn failed(&mut self, thresholds: Thresholds, silent: bool) -> Option<StateChange> {
        if silent {
            self.latency.timeouts = self.latency.timeouts.saturating_add(1);
        }
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        // Without probing nothing would ever bring it back.
        if !thresholds.probing || self.failures < thresholds.failures || !self.state.takes_calls() {
            return None;
        }
        self.state = TargetState::Inactive;
        Some(StateChange::Deactivated)
    }
}

/// Reads a `destination`: `sip:HOST[:port][;transport=udp|tcp|tls]`, or `sips:` for TLS. The host is an
/// address (IPv6 in brackets) or a name.
///
/// # Errors
/// Says what is wrong and what would be right.
pub fn parse_destination(text: &str) -> Result<Wanted, String> {
    let wrong = |what: &str| Err(format!("destination {text:?} {what}"));
    let (scheme, rest) = text.trim().split_once(':').unwrap_or_default();
    let secure = scheme.eq_ignore_ascii_case("sips");
    if !secure && !scheme.eq_ignore_ascii_case("sip") {
        return wrong("is not a sip: URI: write it as sip:192.0.2.10:5060");
    }
    let mut parts = rest.split(';');
    let authority = parts.next().unwrap_or_default();
    let mut transport = None;
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.trim().eq_ignore_ascii_case("transport") {
            transport = Transport::parse(value.trim().as_bytes());
            if transport.is_none() {
                return wrong("asks for an unknown transport: udp, tcp and tls are known");
            }
        }
    }
    // A user part is of no use here, but Kamailio accepts one.
    let host_port = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    let (host, port) = if let Some(bracketed) = host_port.strip_prefix('[') {
        let Some((host, after)) = bracketed.split_once(']') else {
            return wrong("has an IPv6 address without its closing bracket");
        };
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return wrong("has something other than a port after the address"),
        }
    } else {
        match host_port.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host_port, None),
        }
    };
    let host = match host.parse::<IpAddr>() {
        Ok(ip) => Host::Address(ip),
        Err(_) => match Domain::parse(host.as_bytes()) {
            Some(name) => Host::Name(name),
            None => return wrong("has neither an IP address (IPv6 in brackets) nor a host name"),
        },
    };
    let Ok(port) = port.map(str::parse::<u16>).transpose() else {
        return wrong(Unwanted::Port.reason());
    };
    Wanted::new(secure, host, port, transport).or_else(|unwanted| wrong(unwanted.reason()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn destinations_are_read() {
        let at = |t: &str| {
            let server = |w| Located::known(&w).map(|l| l.servers(0).remove(0));
            parse_destination(t).map(|w| match server(w.clone()) {
                Some(s) if s.transport == Transport::Udp => s.address.to_string(),
                Some(s) => format!("{} {}", s.address, s.transport.via()),
                None => format!("{w:?}"),
            })
        };
        assert_eq!(at("sip:10.0.0.1"), Ok("10.0.0.1:5060".into()));
        assert_eq!(
            at("SIP:10.0.0.1:5080;transport=UDP;lr"),
            Ok("10.0.0.1:5080".into())
        );
        assert_eq!(
            at("sip:any@[2001:db8::1]:5070"),
            Ok("[2001:db8::1]:5070".into())
        );
        let named = at("sip:FS1.example.net;transport=tcp").unwrap();
        assert!(
            named.contains("fs1.example.net") && named.contains("Tcp"),
            "{named}"
        );
        assert!(at("sip:fs1/2").unwrap_err().contains("nor a host name"));
        assert!(at("sip:10.0.0").is_err());
        assert_eq!(at("sips:10.0.0.1"), Ok("10.0.0.1:5061 TLS".into()));
        assert_eq!(
            at("sip:10.0.0.1:5080;transport=TCP"),
            Ok("10.0.0.1:5080 TCP".into())
        );
        assert_eq!(
            at("sip:10.0.0.1;transport=tls"),
            Ok("10.0.0.1:5061 TLS".into())
        );
        assert!(at("sips:10.0.0.1;transport=udp").is_err());
        assert!(at("sip:10.0.0.1;transport=ws").is_err());
        assert!(
            at("sip:10.0.0.1;transport=sctp")
                .unwrap_err()
                .contains("unknown transport")
        );
        assert!(at("sip:10.0.0.1:0").is_err());
        assert!(at("sip:10.0.0.1:70000").is_err());
        assert!(at("sip:[2001:db8::1").is_err());
        assert!(at("sip:0.0.0.0").is_err());
        assert!(at("").is_err());
    }

    #[test]
    fn the_mean_is_over_all_answers() {
        let mut latency = Latency::default();
        assert_eq!(latency.mean(), None);
        latency.record(Duration::from_millis(10));
        latency.record(Duration::from_millis(30));
        assert_eq!(latency.mean(), Some(Duration::from_millis(20)));
        assert_eq!(latency.max, Some(Duration::from_millis(30)));
        assert_eq!(latency.last, Some(Duration::from_millis(30)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            let _ = parse_destination(&text);
        }
    }
}
