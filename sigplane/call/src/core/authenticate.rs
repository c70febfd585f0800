//! Who a user agent is: digest authentication (RFC 7616, RFC 3261 section 22), by the subscribers' table.
//!
//! Nothing is remembered of who was only challenged: a challenge is answered without state, and its nonce says itself when it
//! was made. The secrets stay in `policy`.

use tandem_policy::defence::Sight;
use tandem_policy::digest::{Credentials, Denied, Request, Secret, Unreadable};

use super::Core;
use super::registrar::aor_of;
use super::reply::Answer;
use super::request::Arrival;
use crate::counters::Counter;
use crate::io::Now;
use crate::message::Name;

/// Who asks for credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// The registrar: 401.
    Registrar,
    /// The proxy: 407.
    Proxy,
}

impl Core {
    /// The user that a request is from, by the credentials in it.
    ///
    /// # Errors
    /// What it is answered with.
    pub(super) fn authenticate(
        &mut self,
        now: Now,
        arrival: Arrival<'_, '_>,
        realm: &[u8],
        asker: Asker,
    ) -> Result<Vec<u8>, Answer> {
        let message = arrival.message;
        let name = match asker {
            Asker::Registrar => Name::Authorization,
            Asker::Proxy => Name::ProxyAuthorization,
        };
        let values = message.fields().filter(|(n, ..)| *n == name);
        let mut ours = None;
        for (_, _, value) in values {
            match Credentials::parse(value) {
                Ok(credentials) if *credentials.realm == *realm => {
                    ours = Some(credentials);
                    break;
                }
                // For somebody else on the way, or another scheme.
                Ok(_) | Err(Unreadable::Scheme) => {}
                Err(unreadable) => {
                    self.counters.add(Counter::AuthUnreadable);
                    self.saw(arrival.hop, Sight::Failure);
                    return Err(Answer::new(400, unreadable.as_str()));
                }
            }
        }
        let subscribers = std::sync::Arc::clone(&self.subscribers);
        let Some(credentials) = ours else {
            if let Some(aor) = aor_of(message.uri_of_from()) {
                let user = aor.split(|b| *b == b'@').next().unwrap_or_default();
                self.is_user(now, user, realm);
            }
            return Err(self.challenge(now, realm, asker, false, subscribers.any()));
        };
        // `user@domain` is asked for in the domain that it says, which is the realm's.
        let user = credentials.username.split(|b| *b == b'@').next();
        let user = user.unwrap_or_default();
        let suffix = credentials.username.get(user.len()..).unwrap_or_default();
        let own_domain = suffix.strip_prefix(b"@").unwrap_or(realm);
        self.is_user(now, user, realm);
        let newcomers = std::sync::Arc::clone(&self.newcomers.found);
        let secret = subscribers
            .find(user, realm)
            .or_else(|| newcomers.find(user, realm))
            .filter(|_| own_domain.eq_ignore_ascii_case(realm));
        let request = Request {
            method: message.method(),
            uri: message.uri(),
            realm,
        };
        let Some(digest) = self.digest.as_mut() else {
            return Err(Answer::new(403, "Forbidden"));
        };
        let Err(denied) = digest.verify(now.wall_ms, request, &credentials, secret) else {
            self.counters.add(Counter::AuthAccepted);
            return Ok(user.to_vec());
        };
        self.counters.add(counter_of(denied));
        if !denied.is_stale() {
            self.saw(arrival.hop, Sight::Failure);
        }
        Err(match denied {
            Denied::Uri => Answer::new(400, "Credentials Are For Another Request-URI"),
            Denied::Count => Answer::new(400, "Bad nc Or cnonce"),
            Denied::AuthInt => {
                // What we want instead is in the challenge.
                self.challenge(now, realm, asker, false, secret.or(subscribers.any()))
            }
            _ => {
                let like = secret.or(subscribers.any());
                self.challenge(now, realm, asker, denied.is_stale(), like)
            }
        })
    }

    fn challenge(
        &mut self,
        now: Now,
        realm: &[u8],
        asker: Asker,
        stale: bool,
        like: Option<&Secret>,
    ) -> Answer {
        self.counters.add(Counter::AuthChallenges);
        let drawn = self.tokens.number();
        let (mut answer, header) = match asker {
            Asker::Registrar => (Answer::new(401, "Unauthorized"), "WWW-Authenticate"),
            Asker::Proxy => (
                Answer::new(407, "Proxy Authentication Required"),
                "Proxy-Authenticate",
            ),
        };
        let challenges = self
            .digest
            .as_ref()
            .map(|d| d.challenges(now.wall_ms, drawn, realm, stale, like));
        for challenge in challenges.into_iter().flatten() {
            answer = answer.with(header, &challenge);
        }
        answer
    }
}

const fn counter_of(denied: Denied) -> Counter {
    match denied {
        Denied::Realm => Counter::AuthRealm,
        Denied::Algorithm => Counter::AuthAlgorithm,
        Denied::AuthInt => Counter::AuthInt,
        Denied::Qop => Counter::AuthQop,
        Denied::Userhash => Counter::AuthUserhash,
        Denied::Uri => Counter::AuthUri,
        Denied::Count => Counter::AuthCount,
        Denied::Stale => Counter::AuthStale,
        Denied::Forged => Counter::AuthForged,
        Denied::Wrong => Counter::AuthWrong,
        Denied::Replayed => Counter::AuthReplayed,
    }
}
