//! Telephone numbers in the user parts of SIP URIs (RFC 3261 section 19.1.6, RFC 3966).

/// The most digits of a number: the column `trunk_routing.prefix` has no more, E.164 has 15.
const MOST: usize = 32;

/// A number: up to 32 of `0` to `9`, `*` and `#`, without `+` and without what only serves the eye.
///
/// Numbers are ordered as texts, so a prefix stands before what it is a prefix of.
#[derive(Clone, Copy)]
pub struct Number {
    digits: [u8; MOST],
    length: u8,
}

impl Number {
    /// The number that a user part, or a text of a table, says. Parameters behind `;` are left out, and so are a `+` in front
    /// and the visual separators of RFC 3966; `%23` is `#`. None when it is a name, or too long. An empty text is the empty
    /// number, the prefix of all.
    #[must_use]
    pub fn parse(user: &[u8]) -> Option<Self> {
        let end = user.iter().position(|c| *c == b';').unwrap_or(user.len());
        let mut rest = user.get(..end)?;
        rest = rest.strip_prefix(b"+").unwrap_or(rest);
        let mut number = Self {
            digits: [0; MOST],
            length: 0,
        };
        while let Some((first, behind)) = rest.split_first() {
            let (digit, behind) = match behind {
                [b'2', b'3', behind @ ..] if *first == b'%' => (b'#', behind),
                _ => (*first, behind),
            };
            rest = behind;
            match digit {
                b'-' | b'.' | b'(' | b')' | b' ' => {}
                b'0'..=b'9' | b'*' | b'#' => {
                    *number.digits.get_mut(usize::from(number.length))? = digit;
                    number.length += 1;
                }
                _ => return None,
            }
        }
        Some(number)
    }

    /// Its digits, as ASCII.
    #[must_use]
    pub fn digits(&self) -> &[u8] {
        self.digits
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    /// Whether it begins with another one.
    #[must_use]
    pub fn begins_with(&self, prefix: &Self) -> bool {
        self.digits().starts_with(prefix.digits())
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.digits() == other.digits()
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.digits().cmp(other.digits())
    }
}

impl std::fmt::Debug for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.digits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_user_part_says() {
        let digits = |text: &str| Number::parse(text.as_bytes()).map(|n| format!("{n:?}"));
        for (text, said) in [
            ("+49(30)123-45.67", "49301234567"),
            ("1000;phone-context=example.com", "1000"),
            ("*21#", "*21#"),
            ("*21%23", "*21#"),
            ("", ""),
            (";x", ""),
        ] {
            assert_eq!(digits(text).as_deref(), Some(said), "{text}");
        }
        let long = "1".repeat(33);
        for name in ["alice", "1a", "++1", "1+", "%", "%2", "%2B1", long.as_str()] {
            assert_eq!(digits(name), None, "{name}");
        }
        assert!(digits(&"1".repeat(32)).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_number_or_not(bytes: Vec<u8>) {
            if let Some(number) = Number::parse(&bytes) {
                prop_assert_eq!(Number::parse(number.digits()), Some(number));
            }
        }
    }
}
