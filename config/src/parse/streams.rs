//! `[[sip.listen]]`, `[tls]` and `[streams]`: the transports beside UDP.

use std::net::IpAddr;
use std::path::PathBuf;

use super::{DAY, Read, seconds, table, tables};
use crate::mistake::Report;
use crate::model::{
    Certificate, ClientCertificate, Listen, Network, Side, StreamTransport, Streams, Tls, TlsTrunk,
};
use crate::section::{Section, Value, string};
use crate::value;

/// `[[sip.listen]]`. `realms` has the realms' names and sides.
pub(super) fn listen<'d>(
    report: &mut Report<'_>,
    mut s: Section<'d>,
    realms: &[(String, Side)],
) -> Read<'d, Listen> {
    let transport = s.required(report, "transport", "transport = \"tls\"");
    let transport = transport
        .and_then(|v| stream_transport(report, v))
        .unwrap_or(StreamTransport::Tcp);
    let listen = s.required(report, "listen", "listen = \"192.0.2.1:5061\"");
    let listen = listen
        .and_then(|v| value::socket(report, v, "sip.listen.listen"))
        .unwrap_or_else(|| ([0, 0, 0, 0], 0).into());
    let named = s
        .value("realm")
        .and_then(|v| string(report, v, "sip.listen.realm"));
    let side = s
        .value("side")
        .and_then(|v| value::side(report, v, "sip.listen.side"));
    let (realm, side) = match (named, side) {
        (Some(name), None) => {
            let found = realms.iter().position(|(known, _)| known == name);
            if found.is_none() {
                let known: Vec<&str> = realms.iter().map(|(n, _)| n.as_str()).collect();
                s.mistake(
                    report,
                    "realm",
                    format!("no realm is named `{name}`"),
                    format!("write one of {}", known.join(", ")),
                );
            }
            let side = found
                .and_then(|i| realms.get(i))
                .map_or(Side::External, |(_, side)| *side);
            (found.and_then(|i| u16::try_from(i).ok()), side)
        }
        (None, Some(side)) => (None, side),
        (Some(_), Some(_)) => {
            let remedy = "remove `side`: the realm says on which side it is";
            s.mistake(report, "side", "stands beside `realm`", remedy);
            (None, Side::External)
        }
        // One of them may stand there with a mistake of its own.
        (None, None) if s.has("realm") || s.has("side") => (None, Side::External),
        (None, None) => {
            s.mistake(
                report,
                "realm",
                "is missing",
                "write the realm that the address is in, or `side` for a network outside of the \
                 dataplane",
            );
            (None, Side::External)
        }
    };
    let client_certificate = s
        .value("client_certificate")
        .and_then(|v| client_certificate(report, v))
        .unwrap_or(ClientCertificate::None);
    let is_tls = matches!(transport, StreamTransport::Tls | StreamTransport::Wss);
    if client_certificate != ClientCertificate::None && !is_tls {
        let remedy = "remove it, or make `transport` tls or wss";
        s.mistake(
            report,
            "client_certificate",
            "can be asked for over TLS alone",
            remedy,
        );
    }
    Read {
        value: Listen {
            transport,
            listen,
            realm,
            side,
            client_certificate,
        },
        section: s.finish(report),
    }
}

fn stream_transport(report: &mut Report<'_>, value: &Value<'_>) -> Option<StreamTransport> {
    let key = "sip.listen.transport";
    match string(report, value, key)? {
        "tcp" => Some(StreamTransport::Tcp),
        "tls" => Some(StreamTransport::Tls),
        "ws" => Some(StreamTransport::Ws),
        "wss" => Some(StreamTransport::Wss),
        "udp" => {
            report.add(
                value.span().start,
                key,
                "udp is not a stream",
                "write the address into `sip` of its realm, or into a `[[sip.kernel]]`",
            );
            None
        }
        other => {
            let problem = format!("`{other}` is not a transport");
            let remedy = "write \"tcp\", \"tls\", \"ws\" or \"wss\"";
            report.add(value.span().start, key, problem, remedy);
            None
        }
    }
}

fn client_certificate(report: &mut Report<'_>, value: &Value<'_>) -> Option<ClientCertificate> {
    let key = "sip.listen.client_certificate";
    match string(report, value, key)? {
        "none" => Some(ClientCertificate::None),
        "optional" => Some(ClientCertificate::Optional),
        "required" => Some(ClientCertificate::Required),
        other => {
            let problem = format!("`{other}` is not a policy");
            let remedy = "write \"none\", \"optional\" or \"required\"";
            report.add(value.span().start, key, problem, remedy);
            None
        }
    }
}

/// `[tls]`, `[[tls.certificate]]` and `[[tls.trunk]]`.
pub(super) fn tls<'d>(report: &mut Report<'_>, root: &mut Section<'d>) -> Read<'d, Tls> {
    let mut s = table(report, root, "tls", "tls");
    let ca = s
        .list(report, "ca", path)
        .unwrap_or_else(|| vec![PathBuf::from("/etc/ssl/certs/ca-certificates.crt")]);
    let client_ca = s
        .value("client_ca")
        .and_then(|v| path(report, v, "tls.client_ca"));
    let verify = s
        .value("verify")
        .and_then(|v| boolean(report, v, "tls.verify"))
        .unwrap_or(true);
    let certificates = tables(report, &mut s, "certificate", "tls.certificate")
        .into_iter()
        .map(|s| certificate(report, s))
        .collect();
    let trunks = tables(report, &mut s, "trunk", "tls.trunk")
        .into_iter()
        .map(|s| trunk(report, s))
        .collect();
    Read {
        value: Tls {
            certificates,
            ca,
            client_ca,
            verify,
            trunks,
        },
        section: s.finish(report),
    }
}

fn certificate(report: &mut Report<'_>, mut s: Section<'_>) -> Certificate {
    let names = s.list(report, "names", text).unwrap_or_default();
    for key in ["chain", "key"] {
        if !s.has(key) {
            let remedy = format!("add `{key} = \"/etc/tandem/tls/{key}.pem\"`");
            s.mistake(report, key, "is missing", remedy);
        }
    }
    let chain = s.path(report, "chain", "");
    let key = s.path(report, "key", "");
    s.finish(report);
    Certificate { names, chain, key }
}

fn trunk(report: &mut Report<'_>, mut s: Section<'_>) -> TlsTrunk {
    let networks = s.required(report, "networks", "networks = [\"198.51.100.0/24\"]");
    let networks = networks
        .is_some()
        .then(|| s.some_list(report, "networks", network))
        .flatten()
        .unwrap_or_default();
    let names = s.required(report, "names", "names = [\"sbc.carrier.example\"]");
    let names = names
        .is_some()
        .then(|| s.some_list(report, "names", text))
        .flatten()
        .unwrap_or_default();
    if !s.has("ca") {
        let remedy =
            "add `ca = \"/etc/tandem/tls/carrier-ca.pem\"`, whoever signs its certificates";
        s.mistake(report, "ca", "is missing", remedy);
    }
    let ca = s.path(report, "ca", "");
    s.finish(report);
    TlsTrunk {
        networks,
        names,
        ca,
    }
}

/// `[streams]`
pub(super) fn limits<'d>(report: &mut Report<'_>, root: &mut Section<'d>) -> Read<'d, Streams> {
    let mut s = table(report, root, "streams", "streams");
    let value = Streams {
        max_connections: s.integer(report, "max_connections", 1..=1_000_000, 20_000),
        max_per_source: s.integer(report, "max_per_source", 1..=1_000_000, 1_000),
        max_half_open: s.integer(report, "max_half_open", 1..=1_000_000, 2_000),
        max_half_open_per_source: s.integer(report, "max_half_open_per_source", 1..=1_000_000, 100),
        handshake_timeout: seconds(report, &mut s, "handshake_timeout", 1..=120, 5),
        idle_timeout: seconds(report, &mut s, "idle_timeout", 10..=DAY, 900),
        message_timeout: seconds(report, &mut s, "message_timeout", 1..=300, 10),
        max_unsent: s.integer(report, "max_unsent", 4_096..=64 << 20, 256 << 10),
        trusted: s.list(report, "trusted", network).unwrap_or_default(),
        origins: s.list(report, "origins", text).unwrap_or_default(),
    };
    Read {
        value,
        section: s.finish(report),
    }
}

/// An address, or a network as `192.0.2.0/24`.
pub(super) fn network(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<Network> {
    let text = string(report, value, key)?;
    let (address, length) = text
        .split_once('/')
        .map_or((text, None), |(a, l)| (a, Some(l)));
    let read = address.parse::<IpAddr>().ok().and_then(|address| {
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => width,
            Some(text) => text.parse::<u8>().ok().filter(|l| *l <= width)?,
        };
        Some(Network { address, length })
    });
    if read.is_none() {
        let problem = format!("`{text}` is not an address or network");
        let remedy = "write one such as \"192.0.2.0/24\" or \"2001:db8::/32\"";
        report.add(value.span().start, key, problem, remedy);
    }
    read
}

fn text(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    string(report, value, key).map(str::to_owned)
}

pub(super) fn path(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<PathBuf> {
    let text = string(report, value, key)?;
    if !text.starts_with('/') {
        let problem = format!("`{text}` depends on where the daemon is started");
        report.add(value.span().start, key, problem, "write an absolute path");
        return None;
    }
    Some(PathBuf::from(text))
}

pub(super) fn boolean(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<bool> {
    let read = value.get_ref().as_bool();
    if read.is_none() {
        let problem = "is neither true nor false";
        report.add(
            value.span().start,
            key,
            problem,
            "write true or false, unquoted",
        );
    }
    read
}
