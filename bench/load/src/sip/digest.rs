//! Answers to digest challenges (RFC 7616 with MD5 and SHA-256; RFC 2069's way where no `qop` is offered).

use md5::{Digest as _, Md5};

use super::text::{hex, hex_digits};

/// A user and what proves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Secret<'a> {
    pub(crate) user: &'a [u8],
    pub(crate) password: &'a [u8],
}

/// A challenge that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    realm: Box<[u8]>,
    nonce: Box<[u8]>,
    opaque: Option<Box<[u8]>>,
    has_qop: bool,
    is_sha256: bool,
    /// How often it was answered.
    count: u32,
}

impl Challenge {
    /// Reads a WWW-Authenticate or Proxy-Authenticate header. None when we cannot answer it.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let scheme = value.get(..7)?;
        if !scheme.eq_ignore_ascii_case(b"digest ") {
            return None;
        }
        let parameters = value.get(7..)?;
        let find = |name: &[u8]| parameter(parameters, name);
        let is_sha256 = match find(b"algorithm") {
            None => false,
            Some(name) if name.eq_ignore_ascii_case(b"MD5") => false,
            Some(name) if name.eq_ignore_ascii_case(b"SHA-256") => true,
            Some(_) => return None,
        };
        let has_qop = match find(b"qop") {
            None => false,
            Some(all) => all
                .split(|b| *b == b',')
                .any(|q| q.trim_ascii().eq_ignore_ascii_case(b"auth"))
                .then_some(true)?,
        };
        Some(Self {
            realm: find(b"realm")?.into(),
            nonce: find(b"nonce")?.into(),
            opaque: find(b"opaque").map(Into::into),
            has_qop,
            is_sha256,
            count: 0,
        })
    }

    /// Whether a header says that the nonce alone was at fault.
    pub(crate) fn is_stale(value: &[u8]) -> bool {
        let stale = parameter(value.get(7..).unwrap_or_default(), b"stale");
        stale.is_some_and(|s| s.eq_ignore_ascii_case(b"true"))
    }

    /// Appends the header's value. Every use counts the nonce on.
    pub(crate) fn answer(
        &mut self,
        out: &mut Vec<u8>,
        secret: Secret<'_>,
        method: &[u8],
        uri: &[u8],
        cnonce: u32,
    ) {
        self.count = self.count.wrapping_add(1);
        let Self {
            realm,
            nonce,
            is_sha256,
            ..
        } = self;
        let hash = |parts: &[&[u8]]| hash(*is_sha256, parts);
        let ha1 = hash(&[secret.user, realm, secret.password]);
        let ha2 = hash(&[method, uri]);
        let (count, cnonce) = (hex_digits(self.count), hex_digits(cnonce));
        let response = if self.has_qop {
            hash(&[&ha1, nonce, &count, &cnonce, b"auth", &ha2])
        } else {
            hash(&[&ha1, nonce, &ha2])
        };
        for (name, value) in [
            (&b"Digest username=\""[..], secret.user),
            (b"\", realm=\"", realm),
            (b"\", nonce=\"", nonce),
            (b"\", uri=\"", uri),
            (b"\", response=\"", &response),
        ] {
            out.extend_from_slice(name);
            out.extend_from_slice(value);
        }
        out.extend_from_slice(if *is_sha256 {
            b"\", algorithm=SHA-256"
        } else {
            b"\", algorithm=MD5"
        });
        if self.has_qop {
            out.extend_from_slice(b", qop=auth, nc=");
            out.extend_from_slice(&count);
            out.extend_from_slice(b", cnonce=\"");
            out.extend_from_slice(&cnonce);
            out.push(b'"');
        }
        if let Some(opaque) = &self.opaque {
            out.extend_from_slice(b", opaque=\"");
            out.extend_from_slice(opaque);
            out.push(b'"');
        }
    }
}

/// A parameter's value without quotes. A backslash in one is left as it is: it is hashed so.
fn parameter<'a>(mut rest: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    loop {
        let equals = memchr::memchr(b'=', rest)?;
        let name = rest.get(..equals)?.trim_ascii();
        let behind = rest.get(equals + 1..)?.trim_ascii_start();
        let (value, after) = if let Some(quoted) = behind.strip_prefix(b"\"") {
            let end = memchr::memchr(b'"', quoted)?;
            let after = quoted.get(end + 1..)?;
            let comma = memchr::memchr(b',', after).unwrap_or(after.len());
            (quoted.get(..end)?, after.get(comma..)?)
        } else {
            let end = memchr::memchr(b',', behind).unwrap_or(behind.len());
            (behind.get(..end)?.trim_ascii(), behind.get(end..)?)
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after.strip_prefix(b",").unwrap_or(after);
        if rest.is_empty() {
            return None;
        }
    }
}

/// The hash of the parts with colons between them, in hexadecimal digits.
fn hash(is_sha256: bool, parts: &[&[u8]]) -> Vec<u8> {
    let mut digits = Vec::with_capacity(64);
    let mut add = |bytes: &[u8]| {
        for word in bytes.chunks_exact(4) {
            hex(
                &mut digits,
                u32::from_be_bytes(word.try_into().unwrap_or_default()),
            );
        }
    };
    if is_sha256 {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for (n, part) in parts.iter().enumerate() {
            context.update(if n == 0 { b"" } else { b":" });
            context.update(part);
        }
        add(context.finish().as_ref());
    } else {
        let mut context = Md5::new();
        for (n, part) in parts.iter().enumerate() {
            context.update(if n == 0 { &b""[..] } else { b":" });
            context.update(part);
        }
        add(&context.finalize());
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(challenge: &str, user: &str, password: &str, method: &str, uri: &str) -> String {
        let mut out = Vec::new();
        let secret = Secret {
            user: user.as_bytes(),
            password: password.as_bytes(),
        };
        let mut challenge = Challenge::read(challenge.as_bytes()).unwrap();
        challenge.answer(
            &mut out,
            secret,
            method.as_bytes(),
            uri.as_bytes(),
            0xf2_0001,
        );
        String::from_utf8(out).unwrap()
    }

    /// The challenge is that of RFC 7616 section 3.9.1; the hashes are by md5sum and sha256sum.
    #[test]
    fn the_hashes_are_those_that_other_programs_make() {
        let challenge = |algorithm: &str, qop: &str| {
            format!(
                "Digest realm=\"http-auth@example.org\", {qop}algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        let say = |challenge: &str| {
            answer(
                challenge,
                "Mufasa",
                "Circle of Life",
                "GET",
                "/dir/index.html",
            )
        };
        let with_qop = "qop=\"auth, auth-int\", ";
        let md5 = say(&challenge("MD5", with_qop));
        assert!(
            md5.contains("response=\"008e40c04b80091ccc71c53bb1080530\""),
            "{md5}"
        );
        assert!(
            md5.contains("nc=00000001, cnonce=\"00f20001\", opaque=\"FQhe/"),
            "{md5}"
        );
        let sha = say(&challenge("SHA-256", with_qop));
        assert!(
            sha.contains(
                "response=\"18723dc0b867aa8515f080c3196887f8cccc95fafe17cf9ffdc91fcd0247f5b4\""
            ),
            "{sha}"
        );
        let old = say(&challenge("MD5", ""));
        assert!(
            old.contains("response=\"7b2cc3b30e75b4777ea31027084363fd\"") && !old.contains("qop"),
            "{old}"
        );
    }

    #[test]
    fn what_cannot_be_answered_is_said_so() {
        for bad in [
            "Basic realm=\"x\"",
            "Digest realm=\"x\"",
            "Digest realm=\"x\", nonce=\"y\", algorithm=MD5-sess",
            "Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\"",
            "Digest realm=\"x, nonce=y",
            "Diges",
        ] {
            assert_eq!(Challenge::read(bad.as_bytes()), None, "{bad}");
        }
        assert!(Challenge::is_stale(
            b"Digest nonce=\"a,stale=false\", stale=TRUE"
        ));
        assert!(!Challenge::is_stale(b"Digest nonce=\"stale=true\""));
    }
}
