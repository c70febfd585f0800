//! Numbers and addresses as text, without the machinery of `format!`: each message has a handful of them.

use std::net::{IpAddr, SocketAddr};

/// Appends `number` in decimal digits.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Appends `number` in 16 hexadecimal digits.
pub(crate) fn push_hex(out: &mut Vec<u8>, number: u64) {
    for byte in number.to_be_bytes() {
        for nibble in [byte >> 4, byte & 15] {
            out.push(nibble + if nibble < 10 { b'0' } else { b'a' - 10 });
        }
    }
}

/// Appends an IP address without brackets.
pub(crate) fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            for octet in [a, b, c] {
                push_number(out, octet.into());
                out.push(b'.');
            }
            push_number(out, d.into());
        }
        // Rare enough for the rules of RFC 5952 to come from the library.
        IpAddr::V6(ip) => out.extend_from_slice(ip.to_string().as_bytes()),
    }
}

/// Appends an address and port as they stand in a URI: `192.0.2.1:5060`, `[2001:db8::1]:5060`.
pub(crate) fn push_address(out: &mut Vec<u8>, address: SocketAddr) {
    if let SocketAddr::V6(address) = address {
        return out.extend_from_slice(address.to_string().as_bytes());
    }
    push_ip(out, address.ip());
    out.push(b':');
    push_number(out, address.port().into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_the_library_writes_them(ip in any::<std::net::IpAddr>(), port in any::<u16>(), number in any::<u64>()) {
            let address = SocketAddr::new(ip, port);
            let mut out = Vec::new();
            push_address(&mut out, address);
            prop_assert_eq!(out, address.to_string().into_bytes());
            let mut out = Vec::new();
            push_number(&mut out, number);
            prop_assert_eq!(out, number.to_string().into_bytes());
            let mut out = Vec::new();
            push_ip(&mut out, ip);
            prop_assert_eq!(out, ip.to_string().into_bytes());
            let mut out = Vec::new();
            push_hex(&mut out, number);
            prop_assert_eq!(out, format!("{number:016x}").into_bytes());
        }
    }
}
