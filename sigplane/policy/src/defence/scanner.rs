//! Programs that look for somebody to steal from, by what they call themselves.

/// What well-known scanners write into User-Agent, in lower case.
pub const SCANNERS: [&str; 9] = [
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sundayddr",
    "sipcli",
    "vaxsipuseragent",
    "siparmyknife",
    "sip-scan",
    "pplsip",
];

/// Texts that a scanner's User-Agent contains, whatever their case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanners(Vec<Vec<u8>>);

impl Scanners {
    /// Empty texts are left out: everything contains them.
    #[must_use]
    pub fn new<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Self {
        Self(
            patterns
                .into_iter()
                .map(|p| p.as_ref().trim().to_ascii_lowercase().into_bytes())
                .filter(|p| !p.is_empty())
                .collect(),
        )
    }

    /// Whether a User-Agent is one of them.
    #[must_use]
    pub fn is_one(&self, user_agent: &[u8]) -> bool {
        self.0.iter().any(|pattern| {
            user_agent
                .windows(pattern.len())
                .any(|part| part.eq_ignore_ascii_case(pattern))
        })
    }
}

impl Default for Scanners {
    fn default() -> Self {
        Self::new(SCANNERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scanners_are_known_by_any_part_of_their_name() {
        let scanners = Scanners::default();
        for (name, is_one) in [
            ("friendly-scanner", true),
            ("SIPVicious 0.3.4", true),
            ("sipcli/v1.8", true),
            ("VaxSIPUserAgent/3.5", true),
            ("baresip v1.1.0 (x86_64/linux)", false),
            ("sipsak 0.9.8.1", false),
            ("FreeSWITCH", false),
            ("", false),
        ] {
            assert_eq!(scanners.is_one(name.as_bytes()), is_one, "{name}");
        }
        assert!(!Scanners::new(["", " "]).is_one(b"anything"));
    }
}
