//! What a datagram to a SIP port is, by its first bytes.

use super::is_token;

/// How far is looked. A method is not that long; of what is longer the parser decides.
const FAR: usize = 64;

/// What a datagram's first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// A request line or a status line may begin here.
    Sip,
    /// Nothing but line ends and zeros, or nothing at all (RFC 5626 section 3.5.1, and what some devices send).
    Keepalive,
    /// STUN (RFC 8489 section 5).
    Stun,
    /// Neither: nobody would answer it.
    Garbage,
}

/// Looks at the first bytes of a datagram. Whatever [`super::parse`] or [`super::salvage`] make something of is
/// never [`First::Garbage`].
#[inline]
#[must_use]
pub fn first(bytes: &[u8]) -> First {
    let line_ends = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
    let Some((_, line)) = bytes.split_at_checked(line_ends.count()) else {
        return First::Garbage;
    };
    let near = line.get(..FAR).unwrap_or(line);
    let method = near.iter().take_while(|b| is_token(**b)).count();
    match near.get(method) {
        Some(b' ') if method > 0 => First::Sip,
        None if method == FAR => First::Sip,
        // The only thing with a slash: `SIP/2.0 `.
        Some(b'/')
            if method == 3
                && near
                    .get(..8)
                    .is_some_and(|v| v.eq_ignore_ascii_case(b"SIP/2.0 ")) =>
        {
            First::Sip
        }
        _ if is_stun(bytes) => First::Stun,
        // Only now: it may look at all of a long datagram of zeros, of which there are few.
        _ if line.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) => First::Keepalive,
        _ => First::Garbage,
    }
}

/// The first two bits are zero, and the magic cookie is in its place.
fn is_stun(bytes: &[u8]) -> bool {
    matches!(bytes, [first, _, _, _, 0x21, 0x12, 0xA4, 0x42, ..] if *first < 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{parse, salvage};
    use proptest::prelude::*;

    #[test]
    fn each_kind_is_what_it_is() {
        let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        stun.extend([7; 12]);
        let long = [b'A'; 100];
        for (bytes, expected) in [
            (&b"INVITE sip:a@b SIP/2.0\r\n"[..], First::Sip),
            (b"\r\n\r\nINVITE sip:a@b SIP/2.0\r\n", First::Sip),
            (b"x y", First::Sip),
            (b"SIP/2.0 200 OK\r\n", First::Sip),
            (b"sip/2.0 200 OK\r\n", First::Sip),
            (&long, First::Sip),
            (b"", First::Keepalive),
            (b"\r\n", First::Keepalive),
            (b"\r\n\r\n", First::Keepalive),
            (b"\0", First::Keepalive),
            (b"\0\0\0\0", First::Keepalive),
            (&stun, First::Stun),
            (b"SIP/3.0 200 OK\r\n", First::Garbage),
            (b"HTTP/1.1 200 OK\r\n", First::Garbage),
            (b" INVITE sip:a@b SIP/2.0\r\n", First::Garbage),
            (b"INVITE\r\n", First::Garbage),
            (b"INVITE", First::Garbage),
            (b"\x80\0\0\x01", First::Garbage),
            (b"\0\0\0\x01", First::Garbage),
            (b"{\"a\": 1}", First::Garbage),
        ] {
            assert_eq!(first(bytes), expected, "{:?}", bytes.escape_ascii());
        }
    }

    /// Begins like SIP more often than random bytes do.
    fn datagrams() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            Just(b"\r\n".to_vec()),
            Just(b"OPTIONS ".to_vec()),
            Just(b"sip:a ".to_vec()),
            Just(b"SIP/2.0".to_vec()),
            Just(b" 200 OK".to_vec()),
            Just(b"\r\nTo: x\r\n\r\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
            proptest::collection::vec(Just(b'M'), 0..200),
        ];
        proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn what_anybody_reads_is_never_garbage(bytes in datagrams()) {
            if first(&bytes) == First::Garbage {
                prop_assert!(parse(&bytes).is_err());
                prop_assert!(salvage(&bytes).is_err());
            }
        }
    }
}
