//! What a run is: a TOML file. An unknown key is an error with its line.
//!
//! Sections may be together: a flood while calls are up, registrations and calls.

mod check;
mod text;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::report::Criteria;
use crate::sip::{Hangup, HoldSpread, Rate, Shot, Spread};

pub use text::{MacText, Network};

/// A file.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is called in reports.
    pub name: String,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub about: String,
    /// Seconds of the run. Calls and streams begin within it, and end when it is over.
    pub duration: u32,
    /// Seconds that what is on its way has to come at the end.
    #[serde(default = "default::drain")]
    pub drain: u32,
    /// The generator's core and memory.
    #[serde(default)]
    pub generator: Generator,
    /// The generator's ports, by their names.
    pub port: BTreeMap<String, Port>,
    /// Calls with media.
    pub calls: Option<Calls>,
    /// Registrations.
    pub registrations: Option<Registrations>,
    /// A flood.
    pub flood: Option<Flood>,
    /// Media without signaling, by flows that the relay has been given already.
    #[serde(default)]
    pub streams: Vec<Streams>,
    /// A search for the highest rate without loss instead of one run.
    pub search: Option<Search>,
    /// What makes it a pass.
    #[serde(default)]
    pub pass: Criteria,
}

/// The generator's core and memory.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Generator {
    /// The core that its loop is pinned to. It should be isolated, and no core of the appliance's.
    pub core: u16,
    /// What the loop does when there is nothing to do: `poll` takes the whole core, `pause` gives it away for some
    /// microseconds, at the price of precision.
    pub idle: Idle,
    /// Megabytes of ordinary memory; without it huge pages are taken.
    pub memory_mb: Option<u32>,
    /// Packet buffers.
    pub mbufs: u32,
    /// More arguments for DPDK's EAL.
    pub eal: Vec<String>,
}

impl Default for Generator {
    fn default() -> Self {
        Self {
            core: 0,
            idle: Idle::Poll,
            memory_mb: None,
            mbufs: 65_535,
            eal: Vec::new(),
        }
    }
}

/// What a loop does that has nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Looks again.
    Poll,
    /// Sleeps for some microseconds.
    Pause,
}

/// One of the generator's ports.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// A PCI address, or a virtual device as DPDK writes it (`net_memif0,role=client,...`).
    pub device: String,
    /// The generator's own addresses with their prefix, such as `192.0.2.10/24`.
    pub addresses: Vec<Network>,
    /// Who leads out of these networks.
    #[serde(default)]
    pub gateways: Vec<IpAddr>,
    /// The VLAN, 1 to 4094.
    pub vlan: Option<u16>,
    /// Where all frames go; without it ARP and neighbour discovery say it.
    pub peer_mac: Option<MacText>,
    /// Descriptors in each direction.
    #[serde(default = "default::descriptors")]
    pub descriptors: u16,
}

/// Calls through the appliance: callers on one port, an answering server on the other.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// The callers' port and address with the UDP port of their SIP, such as `carrier:192.0.2.10:5060`.
    pub from: Place,
    /// The same of the answering server. The appliance's dispatcher sends calls there.
    pub to: Place,
    /// The appliance's SIP address on the callers' side.
    pub appliance: SocketAddr,
    /// Calls a second that are begun: a number, or `{ from = 10, to = 100, seconds = 60 }`.
    pub rate: Rate,
    /// Whether they begin evenly or as independent people's do: `even`, `poisson`.
    #[serde(default)]
    pub spread: Spread,
    /// Calls that are up at once at most; no more are begun then.
    pub concurrent: u32,
    /// Seconds that each call is up; without it until the run's end.
    pub hold: Option<f64>,
    /// Whether each is as long, or `exponential` with that mean.
    #[serde(default)]
    pub hold_spread: HoldSpread,
    /// Who ends them: `caller`, `called`, `both` by turns.
    #[serde(default)]
    pub hangup: Hangup,
    /// Whether they have media.
    #[serde(default = "default::yes")]
    pub media: bool,
    /// Milliseconds between two media packets, 4 to 180.
    #[serde(default = "default::ptime")]
    pub ptime: u8,
    /// UDP ports of media on both sides, first and last.
    #[serde(default = "default::media_ports")]
    pub media_ports: (u16, u16),
    /// What is called: the user part; `%d` in it becomes the call's number.
    #[serde(default = "default::number")]
    pub number: String,
    /// Who calls, written the same way.
    #[serde(default = "default::caller")]
    pub caller: String,
    /// Milliseconds from INVITE to 200 at the answering server.
    #[serde(default)]
    pub answer_after: u32,
    /// Milliseconds from INVITE to 180 there; without it at once.
    #[serde(default)]
    pub ring_after: u32,
    /// Whether there is a 180.
    #[serde(default = "default::yes")]
    pub ring: bool,
    /// Calls in all at most.
    pub limit: Option<u64>,
    /// Seconds that callers wait for an answer behind the first sign of life.
    #[serde(default = "default::patience")]
    pub patience: f64,
    /// Some calls are refused by the answering server.
    pub refuse: Option<Refuse>,
    /// Who calls, with a password, instead of `caller`.
    pub users: Option<Callers>,
}

/// Calls that are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Refuse {
    /// One of so many.
    pub one_of: u32,
    /// With this code, 300 to 699.
    pub code: u16,
}

/// Users who call and are asked for their passwords.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Callers {
    /// How many.
    pub count: u32,
    /// User names; `%d` becomes the user's number, from 0.
    pub user: String,
    /// Passwords, written the same way.
    pub password: String,
    /// Their domain.
    pub domain: String,
}

/// Registrations.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Registrations {
    /// The user agents' port and address with the first UDP port.
    pub from: Place,
    /// The appliance's SIP address there.
    pub appliance: SocketAddr,
    /// The domain that they register at.
    pub domain: String,
    /// Registrations a second: a number, or `{ from = 10, to = 100, seconds = 60 }`.
    pub rate: Rate,
    /// Whether they come evenly: `even`, `poisson`.
    #[serde(default)]
    pub spread: Spread,
    /// How many users.
    pub users: u32,
    /// User names; `%d` becomes the user's number, from 0.
    pub user: String,
    /// Passwords, written the same way.
    pub password: String,
    /// Seconds that a registration is asked to last.
    #[serde(default = "default::expires")]
    pub expires: u32,
    /// Whether users register again and again at the rate, not only when half of their time is over.
    #[serde(default)]
    pub repeat: bool,
}

/// A flood.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// The port that it leaves by.
    pub port: String,
    /// Where it goes: the appliance's SIP address, or any.
    pub target: SocketAddr,
    /// What it is made of, in turns: `invite`, `register`, `options`, `garbage`, `broken`, `rtp`.
    pub kinds: Vec<Shot>,
    /// The UDP ports that `rtp` goes to, first and last.
    #[serde(default = "default::flood_ports")]
    pub media_ports: (u16, u16),
    /// The first of its sources: the others are the addresses behind it.
    pub first_source: IpAddr,
    /// How many sources.
    pub sources: u32,
    /// Packets a second; without it as fast as the device takes them.
    pub rate: Option<f64>,
    /// Seconds from the run's start to its beginning.
    #[serde(default)]
    pub begin: f64,
    /// Seconds that it lasts; without it to the run's end.
    pub length: Option<f64>,
}

/// Media through flows that are there already: so many streams from one range of UDP ports to another.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Streams {
    /// How many.
    pub count: u32,
    /// The first one's source: port and address with the UDP port.
    pub from: Place,
    /// The first one's destination at the relay.
    pub relay: SocketAddr,
    /// Where the first one arrives.
    pub to: Place,
    /// By how much all three UDP ports grow from one to the next.
    #[serde(default = "default::step")]
    pub step: u16,
    /// Milliseconds between two packets of one, 4 to 180.
    #[serde(default = "default::ptime")]
    pub ptime: u8,
    /// Packets a second over all streams, in random order, instead of `ptime`; 0 is as fast as the device takes them.
    pub rate: Option<f64>,
}

/// What a search looks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Calls at once if the profile has `[calls]`, else packets a second of `[[streams]]`.
    #[default]
    Load,
    /// Calls a second, each as long as `calls.hold` says.
    CallsASecond,
}

/// A search for the highest rate without loss.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// What of.
    #[serde(default)]
    pub of: Of,
    /// The lowest rate that it tries.
    pub from: f64,
    /// The highest one.
    pub to: f64,
    /// It ends when what carried and what did not are no further apart.
    pub resolution: f64,
    /// Seconds of a trial.
    pub trial: u32,
    /// Lost packets of a million that still count as none.
    #[serde(default)]
    pub tolerance_ppm: f64,
}

/// One of the generator's ports, an address on it, and a UDP port: `carrier:192.0.2.10:5060`, `core:[2001:db8::10]:5060`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The port's name.
    pub port: String,
    /// Address and UDP port.
    pub address: SocketAddr,
}

/// Why a file is none.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It cannot be read.
    #[error("{file}: {error}")]
    Read {
        /// Its name.
        file: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is no such TOML.
    #[error("{file}: {error}")]
    Parse {
        /// Its name.
        file: String,
        /// With line and column.
        error: Box<toml::de::Error>,
    },
    /// It says what cannot be.
    #[error("{file}: {problem}")]
    Check {
        /// Its name.
        file: String,
        /// What, and what would be right.
        problem: String,
    },
}

impl Profile {
    /// Reads a file.
    ///
    /// # Errors
    /// With the line of a mistake, or what cannot be and what would be right.
    pub fn read(path: &Path) -> Result<Self, ProfileError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(error) => Err(ProfileError::Read { file, error }),
        }
    }

    /// The same of a text; `file` is its name in errors.
    ///
    /// # Errors
    /// As [`Profile::read`].
    pub fn parse(file: &str, text: &str) -> Result<Self, ProfileError> {
        let file = file.to_owned();
        let profile: Self = match toml::from_str(text) {
            Ok(profile) => profile,
            Err(error) => {
                return Err(ProfileError::Parse {
                    file,
                    error: Box::new(error),
                });
            }
        };
        match check::check(&profile) {
            None => Ok(profile),
            Some(problem) => Err(ProfileError::Check { file, problem }),
        }
    }

    /// The number of a port: its place in the order of the names.
    #[must_use]
    pub fn port_number(&self, name: &str) -> Option<usize> {
        self.port.keys().position(|n| n == name)
    }
}

mod default {
    pub(super) fn drain() -> u32 {
        2
    }
    pub(super) fn descriptors() -> u16 {
        1024
    }
    pub(super) fn flood_ports() -> (u16, u16) {
        (30_000, 39_999)
    }
    pub(super) fn yes() -> bool {
        true
    }
    pub(super) fn ptime() -> u8 {
        20
    }
    pub(super) fn media_ports() -> (u16, u16) {
        (10_000, 59_999)
    }
    pub(super) fn number() -> String {
        "+4930%d".to_owned()
    }
    pub(super) fn caller() -> String {
        "+4940%d".to_owned()
    }
    pub(super) fn patience() -> f64 {
        60.0
    }
    pub(super) fn expires() -> u32 {
        3600
    }
    pub(super) fn step() -> u16 {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "name = \"x\"\nduration = 10\n[port.carrier]\ndevice = \"net_null0\"\naddresses = [\"10.0.0.2/24\"]\n";

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        assert!(Profile::parse("x.toml", LEAST).is_ok());
        let error = Profile::parse("x.toml", &format!("{LEAST}speed = 1\n")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("line 6") && text.contains("speed"), "{text}");
    }

    #[test]
    fn a_place_is_a_port_of_the_profile_with_an_address_of_that_port() {
        let calls = |from: &str| {
            format!(
                "{LEAST}[calls]\nfrom = \"{from}\"\nto = \"carrier:10.0.0.2:5070\"\nappliance = \"10.0.0.1:5060\"\nrate = 1\nconcurrent = 1\n"
            )
        };
        assert!(Profile::parse("x", &calls("carrier:10.0.0.2:5060")).is_ok());
        for (from, word) in [
            ("carier:10.0.0.2:5060", "carier"),
            ("carrier:10.0.0.3:5060", "10.0.0.3"),
            ("10.0.0.2:5060", "PORT:ADDRESS:UDP-PORT"),
        ] {
            let text = Profile::parse("x", &calls(from)).unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
    }
}
