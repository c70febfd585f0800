//! `[dns]`: whom names are asked from.

use std::net::{IpAddr, SocketAddr};

use super::{DAY, Read, millis, seconds};
use crate::mistake::Report;
use crate::model::Dns;
use crate::section::{Section, Value, string};

/// Where DNS servers listen.
const PORT: u16 = 53;

pub(super) fn dns<'d>(report: &mut Report<'_>, mut s: Section<'d>) -> Read<'d, Dns> {
    let value = Dns {
        servers: s.list(report, "servers", server).unwrap_or_default(),
        timeout: millis(report, &mut s, "timeout", 100..=30_000, 2_000),
        stale: seconds(report, &mut s, "stale", 0..=7 * DAY, DAY),
    };
    Read {
        value,
        section: s.finish(report),
    }
}

/// A server: an address, with a port if it is not 53.
fn server(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<SocketAddr> {
    let text = string(report, value, key)?;
    let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    let Ok(server) = address.or_else(|_| text.parse::<SocketAddr>()) else {
        report.add(
            value.span().start,
            key,
            format!("`{text}` is not the address of a DNS server"),
            "write one such as \"192.0.2.53\", \"2001:db8::53\" or \"192.0.2.53:5353\"",
        );
        return None;
    };
    let ip = server.ip();
    if server.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
        report.add(
            value.span().start,
            key,
            format!("`{text}` cannot be a server"),
            "write the address that the server listens on",
        );
        return None;
    }
    Some(server)
}
