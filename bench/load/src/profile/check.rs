//! What a profile may not say.

use super::{Of, Place, Profile};
use crate::sip::Rate;

/// The first thing that cannot be, with what would be right.
pub(super) fn check(profile: &Profile) -> Option<String> {
    let Profile {
        calls,
        registrations,
        flood,
        streams,
        search,
        ..
    } = profile;
    if profile.port.is_empty() || profile.port.len() > 2 {
        return Some("there must be one or two ports: [port.carrier], [port.core]".to_owned());
    }
    for (name, port) in &profile.port {
        if port.addresses.is_empty() {
            return Some(format!(
                "port.{name}.addresses is empty: give it an address such as `192.0.2.10/24`"
            ));
        }
        if port.vlan.is_some_and(|v| !(1..=4094).contains(&v)) {
            return Some(format!("port.{name}.vlan must be 1 to 4094"));
        }
    }
    if profile.duration == 0 {
        return Some("duration must be at least 1 second".to_owned());
    }
    if let Some(calls) = calls {
        let problem = place(profile, "calls.from", &calls.from)
            .or_else(|| place(profile, "calls.to", &calls.to))
            .or_else(|| rate("calls.rate", calls.rate))
            .or_else(|| ptime("calls.ptime", calls.ptime));
        if problem.is_some() {
            return problem;
        }
        if calls.patience.is_nan() || calls.patience <= 0.0 {
            return Some("calls.patience must be above 0 seconds".to_owned());
        }
        if calls.media_ports.0 >= calls.media_ports.1 {
            return Some("calls.media_ports must be the first and the last port".to_owned());
        }
    }
    if let Some(registrations) = registrations {
        let problem = place(profile, "registrations.from", &registrations.from)
            .or_else(|| rate("registrations.rate", registrations.rate));
        if problem.is_some() {
            return problem;
        }
    }
    if let Some(flood) = flood {
        if profile.port_number(&flood.port).is_none() {
            return Some(format!("flood.port: there is no [port.{}]", flood.port));
        }
        if flood.sources == 0 {
            return Some("flood.sources must be at least 1".to_owned());
        }
    }
    for streams in streams {
        let problem = place(profile, "streams.from", &streams.from)
            .or_else(|| place(profile, "streams.to", &streams.to))
            .or_else(|| ptime("streams.ptime", streams.ptime));
        if problem.is_some() {
            return problem;
        }
    }
    if let Err(problem) = profile.pass.check() {
        return Some(problem);
    }
    let search = search.as_ref()?;
    if !(search.from > 0.0 && search.from < search.to && search.resolution > 0.0) {
        return Some("search needs 0 < from < to, and a resolution above 0".to_owned());
    }
    if search.of == Of::CallsASecond && calls.as_ref().is_none_or(|c| c.hold.is_none()) {
        return Some("a search of calls a second needs [calls] with hold".to_owned());
    }
    (calls.is_none() && streams.is_empty())
        .then(|| "search needs [calls] or [[streams]] to search the rate of".to_owned())
}

fn place(profile: &Profile, key: &str, place: &Place) -> Option<String> {
    let Some(port) = profile.port.get(&place.port) else {
        return Some(format!("{key}: there is no [port.{}]", place.port));
    };
    let address = place.address.ip();
    let known = port.addresses.iter().any(|a| a.address == address);
    (!known).then(|| format!("{key}: {address} is not in port.{}.addresses", place.port))
}

fn rate(key: &str, rate: Rate) -> Option<String> {
    rate.check()
        .err()
        .map(|problem| format!("{key}: {problem}"))
}

fn ptime(key: &str, value: u8) -> Option<String> {
    (!(4..=180).contains(&value)).then(|| format!("{key} must be 4 to 180 milliseconds"))
}
