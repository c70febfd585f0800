//! Patterns of user parts, and what they are rewritten to.

use regex::bytes::{Regex, RegexBuilder};

/// The most memory that a compiled pattern may take.
const MOST: usize = 1 << 20;

/// A regular expression over the user part of a SIP URI, without its parameters. It is matched in linear time, whatever
/// it is and whatever comes.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Reads one, in the syntax of the `regex` crate: that of Perl, without look-around and back-references.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text)
            .unicode(false)
            .size_limit(MOST)
            .build();
        // The whole message shows the pattern with marks below it: the last line says it.
        built.map(Self).map_err(|error| {
            let whole = error.to_string();
            let last = whole.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        })
    }

    /// Whether it is found in `text`.
    #[must_use]
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

/// What becomes of a user part that a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    pattern: Pattern,
    /// With `$1` or `${name}` for what the pattern's groups matched.
    to: String,
}

impl Rewrite {
    /// What is matched becomes `to`; what stands around it stays.
    ///
    /// # Errors
    /// What is wrong with the pattern.
    pub fn parse(pattern: &str, to: &str) -> Result<Self, String> {
        Ok(Self {
            pattern: Pattern::parse(pattern)?,
            to: to.to_owned(),
        })
    }

    /// What the first of `rewrites` that matches makes of a user part (without its parameters), as it stands in a URI; none if none
    /// does, or if nothing would be left.
    #[must_use]
    pub fn first(rewrites: &[Self], user: &[u8]) -> Option<Vec<u8>> {
        let rewrite = rewrites.iter().find(|r| r.pattern.is_match(user))?;
        let Self { pattern, to } = rewrite;
        let made = pattern.0.replace(user, to.as_bytes());
        (!made.is_empty()).then(|| escaped(&made))
    }
}

/// A text as a user part has it (RFC 3261 section 25.1): what may not stand there is escaped.
fn escaped(text: &[u8]) -> Vec<u8> {
    let mut user = Vec::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,?/%".contains(byte) {
            user.push(*byte);
        } else {
            user.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    user
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rewritten(rewrites: &[(&str, &str)], user: &str) -> Option<String> {
        let rewrites: Vec<Rewrite> = rewrites
            .iter()
            .map(|(pattern, to)| Rewrite::parse(pattern, to).unwrap())
            .collect();
        let made = Rewrite::first(&rewrites, user.as_bytes())?;
        Some(String::from_utf8(made).unwrap())
    }

    #[test]
    fn the_first_that_matches_rewrites() {
        let rules = [
            (r"^\+?49(\d+)$", "0$1"),
            (r"^\+?(?<all>\d+)$", "00${all}"),
            ("^drop$", ""),
            ("^x", "a b@c;"),
        ];
        assert_eq!(rewritten(&rules, "+4930123").as_deref(), Some("030123"));
        assert_eq!(rewritten(&rules, "33123").as_deref(), Some("0033123"));
        assert_eq!(rewritten(&rules, "alice"), None);
        assert_eq!(rewritten(&rules, "drop"), None, "nothing is no user");
        assert_eq!(rewritten(&rules, "x1").as_deref(), Some("a%20b%40c%3B1"));
    }

    #[test]
    fn what_is_wrong_with_a_pattern_is_said() {
        let error = Pattern::parse("^(49").unwrap_err();
        assert!(error.contains("unclosed group"), "{error}");
        let error = Pattern::parse("(a{1000}){1000}").unwrap_err();
        assert!(error.contains("size limit"), "{error}");
    }

    proptest! {
        #[test]
        fn what_comes_out_is_a_user_part(user: Vec<u8>, to in "[ -~]{0,12}") {
            let rewrite = Rewrite::parse("^.{0,4}", &to).unwrap();
            if let Some(made) = Rewrite::first(&[rewrite], &user) {
                prop_assert!(made.iter().all(|c| c.is_ascii_graphic() && !b"@;:<>\"[]".contains(c)));
            }
        }
    }
}
