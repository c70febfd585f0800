//! From a profile to a load.

use std::net::SocketAddr;

use crate::engine::Engine;
use crate::generator::{Load, Mixed, Payload, Raw, StreamSpec};
use crate::profile::{Calls, Flood, Of, Place, Profile, Registrations, Search, Streams};
use crate::sip::{
    Agent, CallSettings, Crowd, Flood as Flooding, FloodSettings, Rate, RegisterSettings, Side,
    Users,
};
use crate::{MILLISECOND, Nanos, SECOND};

/// What is to be sent, by an engine whose ports are those of the profile in their order. `seed` makes names and numbers other ones than
/// another run's.
///
/// # Errors
/// With what cannot be.
pub fn load(profile: &Profile, seed: u64) -> Result<Load, String> {
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
    if let Some(agent) = agent(profile, seed)? {
        load.agent = Some(Box::new(agent));
    }
    Ok(load)
}

/// What speaks SIP of it.
///
/// # Errors
/// With what cannot be.
pub fn agent(profile: &Profile, seed: u64) -> Result<Option<Agent>, String> {
    let Profile {
        calls,
        registrations,
        ..
    } = profile;
    if calls.is_none() && registrations.is_none() {
        return Ok(None);
    }
    let mut agent = Agent::new(seed);
    if let Some(calls) = calls {
        agent = agent.with_calls(call_settings(profile, calls)?)?;
    }
    if let Some(registrations) = registrations {
        agent = agent.with_registrations(register_settings(profile, registrations)?)?;
    }
    Ok(Some(agent))
}

/// The address of its SIP on each port, in the ports' order.
///
/// # Errors
/// A port has none, or two of them.
pub fn sip_addresses(profile: &Profile) -> Result<Vec<SocketAddr>, String> {
    let calls = profile.calls.iter().flat_map(|c| [&c.from, &c.to]);
    let places: Vec<&Place> = calls
        .chain(profile.registrations.iter().map(|r| &r.from))
        .collect();
    let of = |name: &String| {
        let mut here = places.iter().filter(|p| p.port == *name).map(|p| p.address);
        let first = here
            .next()
            .ok_or_else(|| format!("port.{name} has no SIP: leave it out"))?;
        match here.find(|other| *other != first) {
            None => Ok(first),
            Some(other) => Err(format!(
                "port.{name} has SIP at {first} and {other}: one is possible over a socket"
            )),
        }
    };
    profile.port.keys().map(of).collect()
}

/// The profile of a trial at a rate: packets a second over all streams, calls at once, or calls a second.
#[must_use]
pub fn trial(profile: &Profile, search: &Search, rate: f64) -> Profile {
    let mut profile = profile.clone();
    profile.duration = search.trial;
    match &mut profile.calls {
        Some(calls) if search.of == Of::CallsASecond => {
            calls.rate = Rate::Constant(rate);
            calls.limit = None;
        }
        Some(calls) => {
            calls.concurrent = rate as u32;
            calls.hold = None;
            // They come up first, then the trial is as long as was asked for.
            let ramp = rate / calls.rate.at(0.0).max(1.0);
            profile.duration += ramp.ceil() as u32;
        }
        None => {
            let all: f64 = profile.streams.iter().map(|s| f64::from(s.count)).sum();
            for streams in &mut profile.streams {
                streams.rate = Some(rate * f64::from(streams.count) / all.max(1.0));
            }
        }
    }
    profile
}

/// Adds the profile's flood: the engine asks whom its frames are for.
///
/// # Errors
/// With what cannot be, or that nobody answers.
pub fn flood(profile: &Profile, engine: &mut Engine, load: &mut Load) -> Result<(), String> {
    let Some(flood) = &profile.flood else {
        return Ok(());
    };
    let Flood {
        target,
        kinds,
        media_ports,
        first_source,
        sources,
        rate,
        ..
    } = flood;
    let port = profile
        .port_number(&flood.port)
        .ok_or_else(|| format!("there is no [port.{}]", flood.port))?;
    let host = engine.hosts().get(port).cloned();
    let host = host.ok_or_else(|| format!("there is no port {port}"))?;
    let beside = |a: &&(std::net::IpAddr, u8)| a.0.is_ipv4() == target.is_ipv4();
    let local = host.addresses.iter().find(beside).map(|a| a.0);
    let local = local.ok_or_else(|| {
        format!(
            "flood: port {} has no address of {target}'s family",
            flood.port
        )
    })?;
    let peer = engine
        .resolve(port, local, target.ip())
        .map_err(|e| e.to_string())?;
    let settings = FloodSettings {
        ethernet: (host.mac, peer, host.vlan),
        target: *target,
        media_ports: *media_ports,
        crowd: Crowd {
            first: *first_source,
            count: *sources,
        },
        shots: kinds.clone(),
    };
    let begin = nanos(flood.begin);
    load.raw.push(Raw {
        port,
        rate: *rate,
        begin,
        end: flood
            .length
            .map_or(Nanos::MAX, |length| begin.saturating_add(nanos(length))),
        source: Box::new(Flooding::new(settings, SEED)?),
    });
    Ok(())
}

fn nanos(seconds: f64) -> Nanos {
    (seconds * SECOND as f64) as Nanos
}

fn side(profile: &Profile, place: &Place) -> Result<Side, String> {
    Ok(Side {
        port: number(profile, place)?,
        address: place.address,
    })
}

fn call_settings(profile: &Profile, calls: &Calls) -> Result<CallSettings, String> {
    let (caller, called) = (side(profile, &calls.from)?, side(profile, &calls.to)?);
    let settings = CallSettings::new(caller, Some(called), calls.appliance, 1.0);
    let settings = CallSettings {
        rate: calls.rate,
        spread: calls.spread,
        concurrent: calls.concurrent,
        hold: calls.hold.map(nanos),
        hold_spread: calls.hold_spread,
        hangup: calls.hangup,
        media: calls.media,
        ptime: calls.ptime,
        media_ports: calls.media_ports,
        answer_after: Nanos::from(calls.answer_after) * MILLISECOND,
        ring_after: calls
            .ring
            .then(|| Nanos::from(calls.ring_after) * MILLISECOND),
        limit: calls.limit,
        patience: nanos(calls.patience),
        refuse: calls.refuse.map(|refuse| (refuse.one_of, refuse.code)),
        users: match &calls.users {
            Some(who) => Some(Users::new(
                who.count,
                &who.user,
                &who.password,
                &who.domain,
            )?),
            None => None,
        },
        ..settings
    };
    settings.names(&calls.number, &calls.caller)
}

fn register_settings(
    profile: &Profile,
    registrations: &Registrations,
) -> Result<RegisterSettings, String> {
    let Registrations {
        users,
        user,
        password,
        domain,
        ..
    } = registrations;
    Ok(RegisterSettings {
        from: side(profile, &registrations.from)?,
        appliance: registrations.appliance,
        rate: registrations.rate,
        spread: registrations.spread,
        users: Users::new(*users, user, password, domain)?,
        expires: registrations.expires,
        repeat: registrations.repeat,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_profiles_of_this_folder_can_all_be_run() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
        let mut names = Vec::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let profile = Profile::read(&path).unwrap();
            assert!(!profile.about.is_empty(), "{}", path.display());
            let sends = load(&profile, 1).unwrap();
            let any = sends.agent.is_some() || sends.mixed.is_some() || profile.flood.is_some();
            assert!(any, "{}", path.display());
            if let Some(search) = &profile.search {
                assert!(load(&trial(&profile, search, search.from), 1).is_ok());
            }
            names.push(profile.name);
        }
        assert_eq!(names.len(), 8, "{names:?}");
    }

    #[test]
    fn a_trial_of_calls_a_second_has_them_at_that_rate_and_as_long_as_they_are() {
        let text = include_str!("../profiles/sip-cps.toml");
        let search = "[search]\nof = \"calls_a_second\"\nfrom = 100\nto = 4000\nresolution = 50\ntrial = 20\n";
        let profile = Profile::parse("x", &format!("{text}\n{search}")).unwrap();
        let wanted = profile.search.as_ref().unwrap();
        let trial = trial(&profile, wanted, 700.0);
        let (before, calls) = (profile.calls.as_ref().unwrap(), trial.calls.unwrap());
        assert_eq!((calls.rate, trial.duration), (Rate::Constant(700.0), 20));
        assert_eq!(
            (calls.hold, calls.concurrent),
            (before.hold, before.concurrent)
        );
    }

    #[test]
    fn everything_that_a_call_can_be_told_stands_in_a_profile() {
        let text = include_str!("../profiles/sip-cps.toml");
        let more = "ring = false\nlimit = 7\npatience = 2.5\nrefuse = { one_of = 4, code = 486 }\n\
            users = { count = 3, user = \"u%d\", password = \"p%d\", domain = \"example.com\" }\n";
        let text = text.replacen("[calls]\n", &format!("[calls]\n{more}"), 1);
        let profile = Profile::parse("x", &text).unwrap();
        let calls = profile.calls.as_ref().unwrap();
        let settings = call_settings(&profile, calls).unwrap();
        assert_eq!((settings.ring_after, settings.limit), (None, Some(7)));
        assert_eq!(settings.patience, 5 * SECOND / 2);
        assert_eq!(settings.refuse, Some((4, 486)));
        assert_eq!(settings.users.unwrap().count, 3);
    }

    #[test]
    fn a_trial_has_the_rate_that_was_asked_for() {
        let text = include_str!("../profiles/rtp-25g.toml");
        let profile = Profile::parse("x", text).unwrap();
        let sends = load(&trial(&profile, profile.search.as_ref().unwrap(), 3e6), 1).unwrap();
        let mixed = sends.mixed.unwrap();
        assert_eq!((mixed.streams.len(), mixed.rate), (20_000, Some(3e6)));
        // No rate is no limit.
        let mixed = load(&profile, 1).unwrap().mixed.unwrap();
        assert_eq!(mixed.rate, None);
    }
}
