//! Cases: packets that are looked at and decided on in bursts, as a worker does.

mod commands;
mod memory;
mod packets;
mod stage;

use std::error::Error;

pub(crate) use memory::bytes_a_pair;
use packets::{Family, Way};
use stage::{Outcome, Stage};

/// Packets in a burst.
pub(crate) const BURST: usize = 32;
/// Flow pairs.
pub(crate) const FLOWS: u16 = 10_000;
/// So many packets, and each has been there at least once.
pub(crate) const ROUND: u64 = 2 * FLOWS as u64;

/// What is measured, burst by burst.
pub(crate) trait Load {
    /// Lays a burst out: a device's work, not ours.
    fn prepare(&mut self);
    /// The work on it. Answers how many packets (or commands) went as they should.
    fn work(&mut self) -> u64;
    /// Takes away what the work has left: a reader's work.
    fn tidy(&mut self);
}

type Made = Result<Box<dyn Load>, Box<dyn Error>>;

/// One thing that is measured.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) make: fn() -> Made,
}

/// All of them. A new one takes a line here and one in budgets.toml.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "rtp",
        about: "G.711 of 10,000 flow pairs in random order, checksums verified by the device",
        make: || media(Way::default()),
    },
    Case {
        name: "rtp-software",
        about: "the same, checksums verified by us",
        make: || {
            media(Way {
                software: true,
                ..Way::default()
            })
        },
    },
    Case {
        name: "rtp-vlan",
        about: "the same with VLAN tags on one side, checksums verified by the device",
        make: || {
            media(Way {
                vlan: true,
                ..Way::default()
            })
        },
    },
    Case {
        name: "rtp-ipv6",
        about: "the same over IPv6",
        make: || {
            media(Way {
                family: Family::V6,
                ..Way::default()
            })
        },
    },
    Case {
        name: "rtcp",
        about: "sender reports of the same flows, checksums verified by us",
        make: || {
            stage(
                Way {
                    software: true,
                    ..Way::default()
                },
                packets::rtcp,
                Outcome::Relayed,
            )
        },
    },
    Case {
        name: "no-flow",
        about: "RTP to ports without a flow: dropped",
        make: || stage(Way::default(), packets::no_flow, Outcome::Dropped),
    },
    Case {
        name: "blocked",
        about: "SIP of 100 blocked sources: dropped before it is read",
        make: || {
            stage(
                Way {
                    software: true,
                    ..Way::default()
                },
                packets::blocked,
                Outcome::Dropped,
            )
        },
    },
    Case {
        name: "flood",
        about: "SIP of 20,000 unknown sources, above what all of them may send; 100,000 are registered",
        make: || {
            stage(
                Way {
                    software: true,
                    ..Way::default()
                },
                packets::flood,
                Outcome::Policed,
            )
        },
    },
    Case {
        name: "sip",
        about: "INVITEs of 700 bytes into the ring of one of three SIP workers, by Call-ID, checksums verified by us",
        make: || {
            stage(
                Way {
                    software: true,
                    ..Way::default()
                },
                packets::invite,
                Outcome::Sip,
            )
        },
    },
    Case {
        name: "stateless-request",
        about: "the same, relayed to one of three targets without the signaling plane",
        make: || {
            stage(
                Way {
                    software: true,
                    ..Way::default()
                },
                packets::invite,
                Outcome::SipRelayed,
            )
        },
    },
    Case {
        name: "stateless-response",
        about: "the 200 of them, relayed back",
        make: || {
            stage(
                Way {
                    software: true,
                    ..Way::default()
                },
                stage::answers,
                Outcome::SipRelayed,
            )
        },
    },
    Case {
        name: "command",
        about: "a flow pair removed, and another one installed in its place (each counts as one)",
        make: || Ok(Box::new(commands::Commands::new()?)),
    },
];

fn media(way: Way) -> Made {
    stage(way, packets::rtp, Outcome::Relayed)
}

fn stage(way: Way, packets: fn(Way) -> Option<packets::Packets>, outcome: Outcome) -> Made {
    let packets = packets(way).ok_or("a packet does not fit")?;
    Ok(Box::new(Stage::new(way, packets, outcome)?))
}
