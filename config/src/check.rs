//! What can be checked only with the whole file at hand.

mod routing;

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};

use crate::mistake::Report;
use crate::model::{ClientCertificate, Side, StreamTransport};
use crate::parse::{Draft, NO_PORT, Read, freeswitch, http};
use crate::section::Section;
use crate::value::SOCKET_PATH_MAX;

/// Checks the parts against each other.
pub(crate) fn draft(draft: &Draft<'_>, report: &mut Report<'_>) {
    workers(draft, report);
    ports(draft, report);
    sides(draft, report);
    realms(draft, report);
    addresses(draft, report);
    routing(draft, report);
    routing::routing(draft, report);
    registrars(draft, report);
    probing(draft, report);
    sip_workers(draft, report);
    sockets(draft, report);
    streams(draft, report);
    http::check(report, &draft.http);
    freeswitch::check(report, &draft.freeswitch, &draft.http);
}

fn workers(draft: &Draft<'_>, report: &mut Report<'_>) {
    let section = &draft.dataplane.section;
    let workers = &draft.dataplane.value.workers;
    twice(report, section, "workers", workers, "core");
    for port in &draft.ports {
        indices(
            report,
            &port.section,
            "rx_workers",
            &port.value.rx_workers,
            workers.len(),
        );
    }
    let media = &draft.media;
    indices(
        report,
        &media.section,
        "relay_workers",
        &media.value.relay_workers,
        workers.len(),
    );
}

/// A core for each SIP worker, or none for all.
fn sip_workers(draft: &Draft<'_>, report: &mut Report<'_>) {
    let sip = &draft.sip;
    twice(report, &sip.section, "cores", &sip.value.cores, "core");
    let polled = &draft.dataplane.value.workers;
    if let Some(core) = sip.value.cores.iter().find(|core| polled.contains(core)) {
        let problem = format!("core {core} is one of `dataplane.workers`, which never sleep");
        let remedy = "give the SIP workers cores of their own".to_owned();
        sip.section.mistake(report, "cores", problem, remedy);
    }
    let (workers, cores) = (sip.value.workers, sip.value.cores.len());
    if cores == 0 || workers.is_some_and(|workers| usize::from(workers) == cores) {
        return;
    }
    let problem = match workers {
        Some(workers) => format!("there are {workers} SIP workers, and {cores} cores for them"),
        None => "cores are named without the number of workers".to_owned(),
    };
    let remedy = format!("write `workers = {cores}`, or a core for each worker");
    sip.section.mistake(report, "cores", problem, remedy);
}

/// A list of worker indices: each existing, none twice.
fn indices(
    report: &mut Report<'_>,
    section: &Section<'_>,
    key: &str,
    list: &[u16],
    workers: usize,
) {
    // Without workers everything else would be said twice.
    if !section.has(key) || workers == 0 {
        return;
    }
    twice(report, section, key, list, "worker");
    for index in list.iter().filter(|i| usize::from(**i) >= workers) {
        section.mistake(
            report,
            key,
            format!("there is no worker {index}"),
            format!(
                "workers are counted from 0 in `dataplane.workers`: write 0 to {}",
                workers.saturating_sub(1)
            ),
        );
    }
}

fn twice(report: &mut Report<'_>, section: &Section<'_>, key: &str, list: &[u16], what: &str) {
    let mut seen = list.to_vec();
    seen.sort_unstable();
    let mut repeated: Vec<u16> = seen
        .windows(2)
        .filter(|w| w.first() == w.last())
        .flatten()
        .copied()
        .collect();
    repeated.dedup();
    for number in repeated {
        let problem = format!("{what} {number} is named twice");
        section.mistake(report, key, problem, "name each once");
    }
}

fn ports(draft: &Draft<'_>, report: &mut Report<'_>) {
    if draft.ports.is_empty() {
        report.add(
            0,
            "port",
            "there is no port",
            "add a `[[port]]` with `name` and `device`",
        );
    }
    unique(report, &draft.ports, "name", |p| some_text(&p.name));
    unique(report, &draft.ports, "device", |p| some_text(&p.device));
}

/// At least one realm of each side, one of them with a SIP address.
fn sides(draft: &Draft<'_>, report: &mut Report<'_>) {
    for (side, name, who) in [
        (Side::External, "external", "carriers"),
        (Side::Internal, "internal", "media servers"),
    ] {
        let unclear = |r: &Section<'_>| !matches!(r.text("side"), Some("external" | "internal"));
        if draft.realms.iter().any(|r| unclear(&r.section)) {
            // It may be the one that is missing.
            continue;
        }
        let realms: Vec<_> = draft
            .realms
            .iter()
            .filter(|r| r.value.side == side)
            .collect();
        let Some(first) = realms.first() else {
            report.add(
                0,
                "realm",
                format!("there is no realm on the {name} side, where the {who} are"),
                format!("add a `[[realm]]` with `side = \"{name}\"`"),
            );
            continue;
        };
        let in_kernel = draft.kernel.iter().any(|k| k.value.side == side)
            || draft.listen.iter().any(|l| l.value.side == side);
        if !in_kernel && realms.iter().all(|r| !r.section.has("sip")) {
            first.section.mistake(
                report,
                "sip",
                format!("the {name} side has no SIP address in any realm"),
                "add `sip = [\"192.0.2.1:5060\"]` with the appliance's own address",
            );
        }
        if realms.iter().all(|r| !r.section.has("media")) {
            first.section.mistake(
                report,
                "media",
                format!("the {name} side has no media address in any realm"),
                "add `media = [\"192.0.2.1\"]` with the appliance's own address",
            );
        }
    }
}

fn realms(draft: &Draft<'_>, report: &mut Report<'_>) {
    unique(report, &draft.realms, "name", |r| some_text(&r.name));
    unique(report, &draft.realms, "tap", |r| some_text(&r.tap));
    let mut networks = HashMap::new();
    for Read {
        value: realm,
        section,
    } in &draft.realms
    {
        if realm.port != NO_PORT
            && let Some(line) = again(
                report,
                &mut networks,
                (realm.port, realm.vlan),
                section.offset("vlan"),
            )
        {
            let problem = match realm.vlan {
                Some(vlan) => format!("VLAN {vlan} of this port is the realm's of line {line}"),
                None => format!("the untagged frames of this port are the realm's of line {line}"),
            };
            let key = if realm.vlan.is_some() { "vlan" } else { "port" };
            section.mistake(report, key, problem, "give this realm a VLAN of its own");
        }
        for (family, is_v6) in [("IPv4", false), ("IPv6", true)] {
            if realm.sip.iter().filter(|a| a.is_ipv6() == is_v6).count() > 1 {
                let problem = format!("has more than one {family} address");
                section.mistake(report, "sip", problem, "keep one of each family");
            }
        }
        if section.has("sip")
            && !realm.sip.is_empty()
            && realm.media.is_empty()
            && !section.has("media")
        {
            section.mistake(
                report,
                "media",
                "is missing in a realm that has SIP: its calls would have no audio",
                "add `media = [...]` with the appliance's own address in this realm",
            );
        }
        for socket in realm
            .sip
            .iter()
            .filter(|a| realm.media_ports.contains(&a.port()))
        {
            section.mistake(
                report,
                "media_ports",
                format!("the SIP port {} is one of them", socket.port()),
                "move the range away from it",
            );
        }
    }
}

/// An address belongs to one realm, and a socket to one listener.
fn addresses(draft: &Draft<'_>, report: &mut Report<'_>) {
    let mut owners: HashMap<IpAddr, (usize, usize)> = HashMap::new();
    let mut sockets: HashMap<SocketAddr, usize> = HashMap::new();
    for (
        index,
        Read {
            value: realm,
            section,
        },
    ) in draft.realms.iter().enumerate()
    {
        let sip = realm.sip.iter().map(|a| (a.ip(), "sip"));
        let media = realm.media.iter().map(|ip| (*ip, "media"));
        for (ip, key) in sip.chain(media) {
            let offset = section.offset(key);
            let (owner, first) = *owners.entry(ip).or_insert((index, offset));
            if owner != index {
                let problem = format!("{ip} belongs to the realm of line {}", report.line(first));
                section.mistake(report, key, problem, "give each realm addresses of its own");
            }
        }
        for (i, ip) in realm.media.iter().enumerate() {
            if realm.media.iter().take(i).any(|other| other == ip) {
                section.mistake(
                    report,
                    "media",
                    format!("{ip} is named twice"),
                    "name it once",
                );
            }
        }
        sockets.extend(realm.sip.iter().map(|a| (*a, section.offset("sip"))));
    }
    for Read {
        value: kernel,
        section,
    } in &draft.kernel
    {
        if kernel.listen.port() == 0 {
            continue;
        }
        if let Some(line) = again(
            report,
            &mut sockets,
            kernel.listen,
            section.offset("listen"),
        ) {
            let problem = format!("{} is taken by line {line}", kernel.listen);
            section.mistake(report, "listen", problem, "write another address or port");
        }
    }
}

fn routing(draft: &Draft<'_>, report: &mut Report<'_>) {
    let Read {
        value: routing,
        section,
    } = &draft.routing;
    if routing.pool_set == routing.trunk_set {
        let key = if section.has("trunk_set") {
            "trunk_set"
        } else {
            "pool_set"
        };
        section.mistake(
            report,
            key,
            format!(
                "the pool and the trunk are the same set, {}",
                routing.pool_set
            ),
            "write different ones, or calls come back to where they were made",
        );
    }
}

fn registrars(draft: &Draft<'_>, report: &mut Report<'_>) {
    let Read {
        value: routing,
        section,
    } = &draft.routing;
    if routing.registrar_set == Some(routing.trunk_set) {
        section.mistake(
            report,
            "registrar_set",
            format!("set {} is the trunk, outside", routing.trunk_set),
            "write the set of the registrars inside; it may be the pool's",
        );
    }
    if routing.conference_set == Some(routing.trunk_set) {
        section.mistake(
            report,
            "conference_set",
            format!("set {} is the trunk, outside", routing.trunk_set),
            "write the set of the media servers that have the conferences",
        );
    }
}

fn probing(draft: &Draft<'_>, report: &mut Report<'_>) {
    let Read {
        value: dispatcher,
        section,
    } = &draft.dispatcher;
    let (interval, timeout) = (dispatcher.probe_interval, dispatcher.probe_timeout);
    if !interval.is_zero() && timeout >= interval {
        let key = if section.has("probe_timeout") {
            "probe_timeout"
        } else {
            "probe_interval"
        };
        section.mistake(
            report,
            key,
            format!(
                "a probe would wait {} s, and the next one follows after {} s",
                timeout.as_secs(),
                interval.as_secs()
            ),
            "keep `probe_timeout` below `probe_interval`",
        );
    }
}

/// Each stream listener has an address of its own, and TLS a certificate to show.
fn streams(draft: &Draft<'_>, report: &mut Report<'_>) {
    let mut sockets = HashMap::new();
    for Read {
        value: listen,
        section,
    } in &draft.listen
    {
        if listen.listen.port() == 0 {
            continue;
        }
        let key = listen.listen;
        if let Some(line) = again(report, &mut sockets, key, section.offset("listen")) {
            let problem = format!("{key} is taken by line {line}");
            section.mistake(report, "listen", problem, "write another address or port");
        }
        let realm = listen
            .realm
            .and_then(|i| draft.realms.get(usize::from(i)))
            .map(|r| &r.value);
        if let Some(realm) = realm {
            let ip = key.ip();
            if !realm.sip.iter().any(|a| a.ip() == ip) && !realm.media.contains(&ip) {
                section.mistake(
                    report,
                    "listen",
                    format!("{ip} is no address of the realm `{}`", realm.name),
                    "write one of its addresses",
                );
            }
        }
        let is_tls = matches!(
            listen.transport,
            StreamTransport::Tls | StreamTransport::Wss
        );
        if is_tls && draft.tls.value.certificates.is_empty() {
            section.mistake(
                report,
                "transport",
                "needs a certificate, and there is none",
                "add a `[[tls.certificate]]` with `chain` and `key`",
            );
        }
        let asks = listen.client_certificate != ClientCertificate::None;
        if asks && draft.tls.value.client_ca.is_none() {
            section.mistake(
                report,
                "client_certificate",
                "is asked for, but nothing says who may have signed it",
                "add `client_ca = \"/etc/tandem/tls/clients.pem\"` to `[tls]`",
            );
        }
    }
}

/// A unix socket's path has little room.
fn sockets(draft: &Draft<'_>, report: &mut Report<'_>) {
    let link = draft.node.value.link_socket();
    let admin = &draft.admin;
    for (section, key, path) in [
        (&draft.node.section, "run_dir", &link),
        (&admin.section, "socket", &admin.value.socket),
    ] {
        if section.has(key) && path.as_os_str().len() > SOCKET_PATH_MAX {
            let problem = format!("`{}` is too long for a unix socket's path", path.display());
            let remedy = format!("choose a path of at most {SOCKET_PATH_MAX} bytes");
            section.mistake(report, key, problem, remedy);
        }
    }
}

/// No two entries have the same value under `key`.
fn unique<T>(
    report: &mut Report<'_>,
    entries: &[Read<'_, T>],
    key: &str,
    of: impl Fn(&T) -> Option<String>,
) {
    let mut seen = HashMap::new();
    for Read { value, section } in entries {
        let Some(text) = of(value) else { continue };
        if let Some(line) = again(report, &mut seen, text.clone(), section.offset(key)) {
            let problem = format!("`{text}` is taken by line {line}");
            section.mistake(report, key, problem, "write another one");
        }
    }
}

/// The line where a value was seen before, if it was.
pub(crate) fn again<K: Eq + Hash>(
    report: &Report<'_>,
    seen: &mut HashMap<K, usize>,
    key: K,
    offset: usize,
) -> Option<usize> {
    match seen.get(&key) {
        Some(first) => Some(report.line(*first)),
        None => {
            seen.insert(key, offset);
            None
        }
    }
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
