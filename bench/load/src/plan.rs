//! From a profile to a load.

use std::net::SocketAddr;

use crate::Nanos;
use crate::generator::{Load, Mixed, Payload, StreamSpec};
use crate::profile::{Place, Profile, Streams};

/// What is to be sent, for an engine whose ports are those of the profile in their order; of calls and floods nothing yet.
///
/// # Errors
/// With what cannot be.
pub fn load(profile: &Profile) -> Result<Load, String> {
    let mut load = Load::new(&profile.name, profile.duration);
    load.drain = Nanos::from(profile.drain) * crate::SECOND;
    for streams in &profile.streams {
        let specs = specs(profile, streams)?;
        match streams.rate {
            None => load.streams.extend(specs),
            Some(rate) => {
                let mixed = load.mixed.get_or_insert(Mixed {
                    streams: Vec::new(),
                    rate: Some(0.0),
                    seed: SEED,
                });
                mixed.streams.extend(specs);
                // Without a limit is what 0 means; the rates of all are one.
                mixed.rate = mixed
                    .rate
                    .map(|before| before + rate)
                    .filter(|r| rate > 0.0 && *r > 0.0);
            }
        }
    }
    Ok(load)
}

/// A run is repeatable.
const SEED: u64 = 0x7a6d_5e4c_3b2a_1908;

/// The streams of a `[[streams]]`.
fn specs(profile: &Profile, streams: &Streams) -> Result<Vec<StreamSpec>, String> {
    let Streams {
        count,
        from,
        relay,
        to,
        step,
        ..
    } = streams;
    let payload = Payload {
        ptime_ms: streams.ptime,
        ..Payload::PCMU
    };
    let (port, arrives) = (number(profile, from)?, number(profile, to)?);
    let one = |n: u32| {
        let grown = |address: SocketAddr| {
            let by = n.checked_mul(u32::from(*step))?;
            let port = u16::try_from(u32::from(address.port()).checked_add(by)?).ok()?;
            Some(SocketAddr::new(address.ip(), port))
        };
        Some(StreamSpec {
            port,
            source: grown(from.address)?,
            destination: grown(*relay)?,
            arrives: Some((arrives, grown(to.address)?)),
            payload,
            // Spread evenly over the time between two packets.
            begin: payload.interval() * Nanos::from(n) / Nanos::from(*count).max(1),
        })
    };
    let all: Option<Vec<StreamSpec>> = (0..*count).map(one).collect();
    all.ok_or_else(|| format!("streams: {count} streams in steps of {step} go beyond UDP port 65535: make several [[streams]]"))
}

/// The engine's number of a place's port.
pub fn number(profile: &Profile, place: &Place) -> Result<usize, String> {
    profile
        .port_number(&place.port)
        .ok_or_else(|| format!("there is no [port.{}]", place.port))
}
