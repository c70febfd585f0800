//! Calls that are never refused for want of time.

/// Emergency numbers, and the service URNs that stand for them (RFC 5031).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmergencyNumbers(Vec<String>);

impl EmergencyNumbers {
    /// What is dialled: digits, or a URI such as `urn:service:sos`, which stands for its
    /// sub-services too.
    #[must_use]
    pub fn new<T: AsRef<str>>(numbers: impl IntoIterator<Item = T>) -> Self {
        Self(
            numbers
                .into_iter()
                .map(|n| n.as_ref().trim().to_ascii_lowercase())
                .filter(|n| !n.is_empty())
                .collect(),
        )
    }

    /// Whether a Request-URI is one: a URN of the list or below it, or a `sip`, `sips` or `tel` URI
    /// whose user or number is one of the list. Visual separators count for nothing (RFC 3966 section
    /// 5.1.1); parameters of the number neither.
    #[must_use]
    pub fn is_one(&self, uri: &[u8]) -> bool {
        let Some(colon) = uri.iter().position(|b| *b == b':') else {
            return false;
        };
        let (scheme, rest) = uri.split_at(colon);
        let rest = rest.get(1..).unwrap_or_default();
        if scheme.eq_ignore_ascii_case(b"urn") {
            return self.0.iter().any(|n| is_below(uri, n.as_bytes()));
        }
        let user = if scheme.eq_ignore_ascii_case(b"tel") {
            rest
        } else if scheme.eq_ignore_ascii_case(b"sip") || scheme.eq_ignore_ascii_case(b"sips") {
            match rest.iter().position(|b| *b == b'@') {
                Some(at) => rest.get(..at).unwrap_or_default(),
                None => return false,
            }
        } else {
            return false;
        };
        let end = user.iter().position(|b| matches!(b, b';' | b':' | b'?'));
        let user = user.get(..end.unwrap_or(user.len())).unwrap_or_default();
        let dialled = || {
            let digits = user.iter().filter(|b| !b"-.() ".contains(b));
            digits.map(u8::to_ascii_lowercase)
        };
        self.0.iter().any(|n| n.bytes().eq(dialled()))
    }
}

impl Default for EmergencyNumbers {
    /// Numbers that are one wherever they are used, and the URN.
    fn default() -> Self {
        Self::new(["112", "911", "110", "119", "999", "000", "urn:service:sos"])
    }
}

/// Whether a URN is this one or a sub-service of it.
fn is_below(uri: &[u8], urn: &[u8]) -> bool {
    let head = uri.get(..urn.len()).unwrap_or_default();
    head.eq_ignore_ascii_case(urn) && matches!(uri.get(urn.len()), None | Some(b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_and_urns_are_told_from_others() {
        let numbers = EmergencyNumbers::default();
        for (uri, is_one) in [
            ("sip:112@192.0.2.1", true),
            ("sip:112;phone-context=+49@192.0.2.1;user=phone", true),
            ("SIPS:911:secret@example.com", true),
            ("tel:9-1-1;phone-context=+1", true),
            ("urn:service:sos", true),
            ("URN:service:sos.fire", true),
            ("urn:service:sosx", false),
            ("urn:service:counseling", false),
            ("sip:1120@192.0.2.1", false),
            ("sip:+49112@192.0.2.1", false),
            ("sip:112.example.com", false),
            ("sip:alice@112", false),
            ("sip:@example.com", false),
            ("mailto:112@example.com", false),
            ("112", false),
            ("", false),
        ] {
            assert_eq!(numbers.is_one(uri.as_bytes()), is_one, "{uri}");
        }
        assert!(!EmergencyNumbers::new([""]).is_one(b"sip:@example.com"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_one_or_not(uri in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = EmergencyNumbers::default().is_one(&uri);
        }
    }
}
