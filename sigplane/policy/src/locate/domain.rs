//! Host names.

/// A host name as DNS has it: in lower case, without the dot at its end.
///
/// Letters, digits, hyphens and underscores in labels of 1 to 63 octets, 253 octets in all (RFC
/// 1035 section 2.3.4). The last label is no number, so that no mistyped address is taken for a
/// name (RFC 3696 section 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Box<str>);

impl Domain {
    /// Reads a name; none when it is not one.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        let valid = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let label = |l: &[u8]| (1..=63).contains(&l.len()) && l.iter().all(valid);
        let numeric = |l: &[u8]| l.iter().all(u8::is_ascii_digit);
        let mut labels = text.split(|b| *b == b'.');
        let named = labels.clone().next_back().is_some_and(|l| !numeric(l));
        if text.len() > 253 || !named || !labels.all(label) {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        Some(Self(text.to_ascii_lowercase().into()))
    }

    /// The name of a service's SRV records below this one (RFC 2782); none when that would be too
    /// long.
    #[must_use]
    pub fn service(&self, service: &str) -> Option<Self> {
        Self::parse(format!("{service}.{self}").as_bytes())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_what_is_none() {
        let read = |t: &str| Domain::parse(t.as_bytes()).map(|d| d.to_string());
        assert_eq!(read("Pool.Example.COM."), Some("pool.example.com".into()));
        assert_eq!(read("_sip._udp.a-1"), Some("_sip._udp.a-1".into()));
        for wrong in [
            "",
            ".",
            "a..b",
            ".a",
            "a b",
            "192.0.2.1",
            "192.0.2",
            "::1",
            "a/b",
            "ä.example",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert!(read(&"a".repeat(63)).is_some() && read(&"a".repeat(64)).is_none());
        let long = ["a".repeat(63).as_str(); 4].join(".");
        assert_eq!(read(&long), None);
        assert!(read(&long[..253]).is_some());
    }

    #[test]
    fn a_service_stands_before_its_domain() {
        let domain = Domain::parse(b"example.com").unwrap();
        let service = domain.service("_sips._tcp").unwrap();
        assert_eq!(service.as_str(), "_sips._tcp.example.com");
        let long = Domain::parse(["a".repeat(61).as_str(); 4].join(".").as_bytes()).unwrap();
        assert_eq!(long.service("_sip._udp"), None);
    }
}
