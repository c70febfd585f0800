//! Digest authentication (RFC 7616, with the algorithms of RFC 8760): who a request is from.
//!
//! Pure: the time and what is drawn by lot are given. A [`Credentials`] is what came, a [`Secret`] is what the subscriber's row
//! has, [`Nonces`] knows what was offered, and [`Digest::verify`] says whether all of that fits together. Each way in which
//! it does not has its own [`Denied`], so that each has its counter.

mod algorithm;
mod credentials;
mod nonces;
mod secret;

pub use algorithm::Algorithm;
pub use credentials::{Credentials, Unreadable};
pub use nonces::{Fresh, Nonce, Nonces};
pub use secret::Secret;

use nonces::same_text;

/// What is asked of user agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The algorithms that are offered, the most liked first.
    pub algorithms: Vec<Algorithm>,
    /// Whether a response without `qop`, as of RFC 2069, is taken; with MD5 only.
    pub without_qop: bool,
    /// Whether the digest's URI must be the Request-URI, byte by byte.
    pub same_uri: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            without_qop: false,
            same_uri: true,
        }
    }
}

/// Why credentials are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// For another realm.
    Realm,
    /// By an algorithm that was not offered.
    Algorithm,
    /// `qop=auth-int`: a body passes through proxies that may change it.
    AuthInt,
    /// Another `qop`, or none.
    Qop,
    /// The user name is a hash, which nobody offered.
    Userhash,
    /// For another request.
    Uri,
    /// `nc` or `cnonce` is missing or wrong.
    Count,
    /// The nonce is too old: right otherwise.
    Stale,
    /// The nonce is not ours.
    Forged,
    /// The user is not known, or the secret is wrong: which one is not said.
    Wrong,
    /// Right, but it was used before.
    Replayed,
}

impl Denied {
    /// Whether the user agent should simply try again with a new nonce, without asking its user (RFC 7616 section 3.3, `stale`).
    #[must_use]
    pub const fn is_stale(self) -> bool {
        matches!(self, Self::Stale | Self::Replayed)
    }
}

/// A request to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a [u8],
    /// Its Request-URI.
    pub uri: &'a [u8],
    /// The realm of whom it is for.
    pub realm: &'a [u8],
}

/// The judge.
#[derive(Debug)]
pub struct Digest {
    settings: Settings,
    nonces: Nonces,
}

impl Digest {
    /// With these settings and nonces.
    #[must_use]
    pub const fn new(settings: Settings, nonces: Nonces) -> Self {
        Self { settings, nonces }
    }

    /// Other settings, from now on. Which nonces were used is not forgotten.
    pub fn set(&mut self, settings: Settings, lifetime_ms: u64, limit: usize) {
        self.settings = settings;
        self.nonces.set(lifetime_ms, limit);
    }

    /// The values of WWW-Authenticate or Proxy-Authenticate, a header each, the most liked first (RFC 8760 section 2.3). Only
    /// algorithms that this secret can be compared by: a user agent takes the first that it knows. For a user who is not known
    /// it should be some other's, so that the answer does not tell the two apart.
    #[must_use]
    pub fn challenges(
        &self,
        now_ms: u64,
        drawn: u64,
        realm: &[u8],
        stale: bool,
        secret: Option<&Secret>,
    ) -> Vec<Vec<u8>> {
        let nonce = self.nonces.make(now_ms, drawn, realm);
        let mut quoted = Vec::new();
        for byte in realm {
            if matches!(byte, b'"' | b'\\') {
                quoted.push(b'\\');
            }
            quoted.push(*byte);
        }
        let one = |algorithm: &Algorithm| {
            let mut value = b"Digest realm=\"".to_vec();
            value.extend_from_slice(&quoted);
            let rest = format!(
                "\", nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{}",
                algorithm.as_str(),
                if stale { ", stale=true" } else { "" },
            );
            value.extend_from_slice(rest.as_bytes());
            value
        };
        let can = |a: &&Algorithm| secret.is_none_or(|s| s.has(**a));
        self.settings
            .algorithms
            .iter()
            .filter(can)
            .map(one)
            .collect()
    }

    /// Whether these credentials are the user's whose secret this is; none for a user who is not known.
    ///
    /// # Errors
    /// Says why not.
    pub fn verify(
        &mut self,
        now_ms: u64,
        request: Request<'_>,
        credentials: &Credentials<'_>,
        secret: Option<&Secret>,
    ) -> Result<(), Denied> {
        let algorithm = match &credentials.algorithm {
            Some(name) => Algorithm::parse(name).ok_or(Denied::Algorithm)?,
            None => Algorithm::Md5,
        };
        if !self.settings.algorithms.contains(&algorithm) {
            return Err(Denied::Algorithm);
        }
        if *credentials.realm != *request.realm {
            return Err(Denied::Realm);
        }
        if credentials.userhash {
            return Err(Denied::Userhash);
        }
        if self.settings.same_uri && *credentials.uri != *request.uri {
            return Err(Denied::Uri);
        }
        let count = self.count(algorithm, credentials)?;
        let nonce = self.nonces.look(now_ms, &credentials.nonce, request.realm);
        if nonce == Nonce::Forged {
            return Err(Denied::Forged);
        }
        // The same work for a user who is not known: the time it takes says nothing.
        let nobody = Secret::nobody();
        let known = secret.and_then(|s| s.ha1(algorithm, &credentials.username, request.realm));
        let is_known = known.is_some();
        let ha1 = known
            .or_else(|| nobody.ha1(algorithm, &credentials.username, request.realm))
            .unwrap_or_default();
        let expected = response(algorithm, &ha1, request.method, credentials);
        let given = credentials.response.to_ascii_lowercase();
        if !same_text(&expected, &given) || !is_known {
            return Err(Denied::Wrong);
        }
        match nonce {
            Nonce::Fresh(fresh) if self.nonces.use_up(now_ms, fresh, count) => Ok(()),
            Nonce::Fresh(_) => Err(Denied::Replayed),
            Nonce::Stale | Nonce::Forged => Err(Denied::Stale),
        }
    }

    /// How often the nonce was used by now, as the user agent says; none where nobody counts.
    fn count(
        &self,
        algorithm: Algorithm,
        credentials: &Credentials<'_>,
    ) -> Result<Option<u32>, Denied> {
        let Some(qop) = &credentials.qop else {
            let old = self.settings.without_qop && algorithm == Algorithm::Md5;
            return if old { Ok(None) } else { Err(Denied::Qop) };
        };
        if qop.eq_ignore_ascii_case(b"auth-int") {
            return Err(Denied::AuthInt);
        }
        if !qop.eq_ignore_ascii_case(b"auth") {
            return Err(Denied::Qop);
        }
        let is_count = |nc: &&[u8]| nc.len() == 8 && nc.iter().all(u8::is_ascii_hexdigit);
        let digits = credentials.nc.as_deref().filter(is_count);
        let text = digits.and_then(|nc| std::str::from_utf8(nc).ok());
        let count = text.and_then(|nc| u32::from_str_radix(nc, 16).ok());
        let has_cnonce = credentials.cnonce.as_ref().is_some_and(|c| !c.is_empty());
        match count {
            Some(count) if count > 0 && has_cnonce => Ok(Some(count)),
            _ => Err(Denied::Count),
        }
    }
}

/// What the response has to be (RFC 7616 section 3.4.1).
fn response(algorithm: Algorithm, ha1: &[u8], method: &[u8], of: &Credentials<'_>) -> Vec<u8> {
    let ha2 = algorithm.hash(&[method, &of.uri]);
    match (&of.qop, &of.nc, &of.cnonce) {
        (Some(qop), Some(nc), Some(cnonce)) => {
            algorithm.hash(&[ha1, &of.nonce, nc, cnonce, qop, &ha2])
        }
        _ => algorithm.hash(&[ha1, &of.nonce, &ha2]),
    }
}

#[cfg(test)]
mod tests;
