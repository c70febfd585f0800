//! Values with a meaning of their own: addresses, names, devices, sides.

use std::net::{IpAddr, SocketAddr};

use crate::Side;
use crate::mistake::Report;
use crate::section::{Value, string};

/// The longest path of a unix socket (`sun_path` in unix(7)), in bytes.
pub(crate) const SOCKET_PATH_MAX: usize = 107;

/// An address that the appliance can have.
pub(crate) fn address(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<IpAddr> {
    let text = string(report, value, key)?;
    let Ok(ip) = text.parse::<IpAddr>() else {
        report.add(
            value.span().start,
            key,
            format!("`{text}` is not an IP address"),
            "write one such as \"192.0.2.1\" or \"2001:db8::1\", without port or prefix length",
        );
        return None;
    };
    usable(report, value, key, ip).then_some(ip)
}

/// An address and port that the appliance can have.
pub(crate) fn socket(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<SocketAddr> {
    let text = string(report, value, key)?;
    let Ok(socket) = text.parse::<SocketAddr>() else {
        report.add(
            value.span().start,
            key,
            format!("`{text}` is not an IP address with a port"),
            "write one such as \"192.0.2.1:5060\" or \"[2001:db8::1]:5060\"",
        );
        return None;
    };
    if socket.port() == 0 {
        report.add(
            value.span().start,
            key,
            "port 0 is no port",
            "write the port, usually 5060",
        );
        return None;
    }
    usable(report, value, key, socket.ip()).then_some(socket)
}

/// A side by its name.
pub(crate) fn side(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<Side> {
    match string(report, value, key)? {
        "external" => Some(Side::External),
        "internal" => Some(Side::Internal),
        other => {
            report.add(
                value.span().start,
                key,
                format!("`{other}` is not a side"),
                "write \"external\" (carriers) or \"internal\" (media servers)",
            );
            None
        }
    }
}

/// A name that can stand in a log line and on a command line.
pub(crate) fn name(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.len() <= 32 && text.chars().all(plain) {
        return Some(text.to_owned());
    }
    report.add(
        value.span().start,
        key,
        format!("`{text}` cannot be used as a name"),
        "write at most 32 letters, digits, `-`, `_` or `.`",
    );
    None
}

/// A network interface's name.
pub(crate) fn interface(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?;
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%');
    if text.len() <= 15 && text.chars().all(plain) && text != "." && text != ".." {
        return Some(text.to_owned());
    }
    report.add(
        value.span().start,
        key,
        format!("`{text}` is not an interface name that Linux accepts"),
        "write 1 to 15 letters, digits, `-` or `_`",
    );
    None
}

/// A PCI address or a DPDK virtual device.
pub(crate) fn device(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<String> {
    let text = string(report, value, key)?;
    if is_pci(text) || is_virtual(text) {
        return Some(text.to_owned());
    }
    report.add(
        value.span().start,
        key,
        format!("`{text}` is neither a PCI address nor a virtual device"),
        "write a PCI address such as \"0000:41:00.0\" (see `dpdk-devbind.py --status`), or a \
         device such as \"net_af_packet0,iface=veth1\"",
    );
    None
}

/// `0000:41:00.0`, with or without the domain.
fn is_pci(text: &str) -> bool {
    let hex = |s: &str, len: usize| s.len() == len && s.chars().all(|c| c.is_ascii_hexdigit());
    let parts: Vec<&str> = text.split(':').collect();
    let (domain, bus, slot) = match parts.as_slice() {
        [domain, bus, slot] => (*domain, *bus, *slot),
        [bus, slot] => ("0000", *bus, *slot),
        _ => return false,
    };
    let function = slot.split_once('.');
    hex(domain, 4)
        && hex(bus, 2)
        && function.is_some_and(|(slot, f)| hex(slot, 2) && matches!(f.as_bytes(), [b'0'..=b'7']))
}

/// `net_driver0,key=value`: DPDK names a virtual device after its driver.
fn is_virtual(text: &str) -> bool {
    let name = text.split(',').next().unwrap_or_default();
    let prefix = ["net_", "eth_", "virtio_user"]
        .iter()
        .any(|p| name.starts_with(p));
    prefix
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_graphic())
}

/// Reports an address that no interface of ours can have.
fn usable(report: &mut Report<'_>, value: &Value<'_>, key: &str, ip: IpAddr) -> bool {
    let (problem, remedy) = match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => (
            "is an IPv4 address in IPv6 clothes",
            "write the IPv4 address itself",
        ),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => (
            "is a link-local address",
            "write a global or unique local address",
        ),
        IpAddr::V4(v4) if v4.is_broadcast() => (
            "is the broadcast address",
            "write the appliance's own address",
        ),
        _ if ip.is_unspecified() => (
            "stands for any address, and the dataplane must know which are its own",
            "write the appliance's own address",
        ),
        _ if ip.is_multicast() => (
            "is a multicast address",
            "write the appliance's own address",
        ),
        _ => return true,
    };
    report.add(value.span().start, key, format!("{ip} {problem}"), remedy);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_apart() {
        assert!(is_pci("0000:41:00.0") && is_pci("41:00.1"));
        assert!(!is_pci("0000:41:00.8") && !is_pci("0000:41:00") && !is_pci("eth0"));
        assert!(is_virtual("net_af_packet0,iface=veth1") && is_virtual("net_null0"));
        assert!(!is_virtual("veth1") && !is_virtual("net_af packet"));
    }
}
