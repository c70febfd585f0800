//! Credentials for a challenge (RFC 7616 with MD5; RFC 2069's way where no `qop` is offered).

use std::fmt::Write as _;

use md5::{Digest as _, Md5};

/// The header line, with its end. None if the challenge cannot be read.
pub(crate) fn credentials(
    challenge: &str,
    user: &str,
    password: &str,
    method: &str,
    uri: &str,
) -> Option<String> {
    let (realm, nonce) = (part(challenge, "realm")?, part(challenge, "nonce")?);
    let ha1 = hash(&format!("{user}:{realm}:{password}"));
    let ha2 = hash(&format!("{method}:{uri}"));
    let start = format!(
        "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm=MD5, "
    );
    let has_qop =
        part(challenge, "qop").is_some_and(|all| all.split(',').any(|q| q.trim() == "auth"));
    Some(if has_qop {
        let response = hash(&format!("{ha1}:{nonce}:00000001:bench:auth:{ha2}"));
        format!("{start}qop=auth, nc=00000001, cnonce=\"bench\", response=\"{response}\"\r\n")
    } else {
        let response = hash(&format!("{ha1}:{nonce}:{ha2}"));
        format!("{start}response=\"{response}\"\r\n")
    })
}

/// A parameter's value, without quotes.
fn part<'a>(challenge: &'a str, name: &str) -> Option<&'a str> {
    let is_start = |at: &(usize, &str)| {
        let before = challenge.get(..at.0).unwrap_or_default();
        before.ends_with([' ', ','])
    };
    let (at, _) = challenge
        .match_indices(&format!("{name}="))
        .find(is_start)?;
    let value = challenge.get(at + name.len() + 1..)?;
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => value.split([',', ' ']).next(),
    }
}

fn hash(text: &str) -> String {
    let mut hex = String::with_capacity(32);
    for byte in Md5::digest(text.as_bytes()) {
        // Writing to a String does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2617 section 3.5, with our own cnonce; the hash by `md5sum`.
    #[test]
    fn credentials_are_those_that_another_program_makes() {
        let challenge = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";
        let line = credentials(
            challenge,
            "Mufasa",
            "Circle Of Life",
            "GET",
            "/dir/index.html",
        )
        .unwrap();
        assert!(
            line.contains("nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\""),
            "{line}"
        );
        assert!(
            line.ends_with("response=\"163596d196a60d15e690f0434f23d82f\"\r\n"),
            "{line}"
        );
        let old =
            "Digest nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", realm=\"testrealm@host.com\"";
        let line = credentials(old, "Mufasa", "Circle Of Life", "GET", "/dir/index.html").unwrap();
        assert!(
            line.ends_with("response=\"670fd8c2df070c60b045671b8b24ff02\"\r\n"),
            "{line}"
        );
        assert!(credentials("Digest realm=\"x\"", "a", "b", "c", "d").is_none());
    }
}
