//! Who may ask: sources in `freeswitch.networks` with the user and the password (RFC 7617).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;
use tandem_policy::defence::{Networks, Source};

use super::Count;
use crate::http::{Request, Response};

/// Wrong passwords of a source in a [`WINDOW`]; what comes then is not looked at.
const WRONG: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Sources that are remembered.
const SOURCES: usize = 4_096;
/// The file is looked at again after so long.
const LOOK: Duration = Duration::from_secs(1);

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Network,
    NoPassword,
    WrongPassword,
    TooMany,
}

impl Refused {
    pub(super) const fn count(self) -> Count {
        match self {
            Self::Network => Count::RefusedNetwork,
            Self::NoPassword => Count::NoPassword,
            Self::WrongPassword => Count::WrongPassword,
            Self::TooMany => Count::TooManyWrong,
        }
    }

    pub(super) fn response(self) -> Response {
        match self {
            Self::Network => Response::text(StatusCode::FORBIDDEN, "not from this address"),
            Self::NoPassword | Self::WrongPassword => {
                Response::text(StatusCode::UNAUTHORIZED, "a user and a password are needed").with(
                    WWW_AUTHENTICATE,
                    "Basic realm=\"tandem\", charset=\"UTF-8\"",
                )
            }
            Self::TooMany => {
                Response::text(StatusCode::TOO_MANY_REQUESTS, "too many wrong passwords")
                    .with(RETRY_AFTER, "60")
            }
        }
    }
}

pub(super) struct Access {
    /// None: from everywhere.
    networks: Option<Networks>,
    user: String,
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The hash of user and password; none while the file cannot be read.
    wanted: Option<[u8; 32]>,
    /// When the file was changed, and when it was looked at.
    changed: Option<SystemTime>,
    looked: Option<Instant>,
    wrong: HashMap<Source, (Instant, u32)>,
}

impl Access {
    pub(super) fn new(config: &tandem_config::Freeswitch) -> Self {
        let networks = config.networks.iter().map(|n| (n.address, n.length));
        let access = Self {
            networks: (!config.networks.is_empty()).then(|| Networks::new(networks)),
            user: config.user.clone(),
            file: config.password_file.clone().unwrap_or_default(),
            state: Mutex::default(),
        };
        access.look(&mut State::default(), Instant::now());
        access
    }

    pub(super) fn check(&self, request: &Request) -> Result<(), Refused> {
        let ip = request.peer.ip();
        if self.networks.as_ref().is_some_and(|n| !n.contains(ip)) {
            return Err(Refused::Network);
        }
        self.password(
            request.header(AUTHORIZATION),
            Source::of(ip),
            Instant::now(),
        )
    }

    fn password(&self, header: Option<&str>, source: Source, now: Instant) -> Result<(), Refused> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_blocked(source, now) {
            return Err(Refused::TooMany);
        }
        self.look(&mut state, now);
        let shown = header
            .and_then(|h| h.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .map(|(_, value)| STANDARD.decode(value.trim()));
        let shown = match shown {
            None => return Err(Refused::NoPassword),
            Some(Ok(shown)) => hash(&shown),
            // No password has this hash.
            Some(Err(_)) => [0; 32],
        };
        let is_it = state
            .wanted
            .is_some_and(|wanted| bool::from(wanted.ct_eq(&shown)));
        if is_it {
            return Ok(());
        }
        state.note(source, now);
        Err(Refused::WrongPassword)
    }

    /// Reads the file if it has changed.
    fn look(&self, state: &mut State, now: Instant) {
        if state.looked.is_some_and(|at| now.duration_since(at) < LOOK) {
            return;
        }
        state.looked = Some(now);
        let changed = std::fs::metadata(&self.file).and_then(|m| m.modified());
        let changed = match changed {
            Ok(changed) if state.changed == Some(changed) => return,
            Ok(changed) => Some(changed),
            Err(_) => None,
        };
        state.changed = changed;
        let path = self.file.display();
        let password = std::fs::read_to_string(&self.file)
            .map_err(|e| e.to_string())
            .and_then(|text| match text.lines().next() {
                None | Some("") => Err("its first line is empty".to_owned()),
                Some(line) => Ok(line.to_owned()),
            });
        state.wanted = match password {
            Ok(password) => Some(hash(format!("{}:{password}", self.user).as_bytes())),
            Err(error) => {
                tracing::error!(
                    "freeswitch.password_file {path}: {error}: nobody is let in until its first line is a password"
                );
                None
            }
        };
    }
}

impl State {
    fn is_blocked(&self, source: Source, now: Instant) -> bool {
        self.wrong
            .get(&source)
            .is_some_and(|(since, wrong)| *wrong >= WRONG && now.duration_since(*since) < WINDOW)
    }

    fn note(&mut self, source: Source, now: Instant) {
        if self.wrong.len() >= SOURCES {
            self.wrong
                .retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
        }
        if self.wrong.len() >= SOURCES && !self.wrong.contains_key(&source) {
            return;
        }
        let (since, wrong) = self.wrong.entry(source).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *wrong) = (now, 0);
        }
        *wrong += 1;
    }
}

fn hash(text: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = digest(&SHA256, text);
    for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn the_password_of_the_file_lets_in_and_a_guesser_is_not_heard() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "geheim\nmore\n").unwrap();
        let access = Access {
            networks: None,
            user: "fs".into(),
            file: file.clone(),
            state: Mutex::default(),
        };
        let source = Source::of([192, 0, 2, 1].into());
        let other = Source::of([192, 0, 2, 2].into());
        let now = Instant::now();
        let ask =
            |header: Option<String>, source, now| access.password(header.as_deref(), source, now);
        assert_eq!(ask(Some(basic("fs:geheim")), source, now), Ok(()));
        assert_eq!(ask(None, source, now), Err(Refused::NoPassword));
        assert_eq!(
            ask(Some("Digest x".into()), source, now),
            Err(Refused::NoPassword)
        );
        for wrong in ["fs:", "fs:geheim ", "FS:geheim", "geheim", "", ":geheim"] {
            assert_eq!(
                ask(Some(basic(wrong)), source, now),
                Err(Refused::WrongPassword),
                "{wrong}"
            );
        }
        assert_eq!(
            ask(Some("basic !".into()), source, now),
            Err(Refused::WrongPassword)
        );
        for _ in 0..WRONG {
            let _ = ask(Some(basic("x")), source, now);
        }
        assert_eq!(
            ask(Some(basic("fs:geheim")), source, now),
            Err(Refused::TooMany)
        );
        assert_eq!(ask(Some(basic("fs:geheim")), other, now), Ok(()));
        assert_eq!(ask(Some(basic("fs:geheim")), source, now + WINDOW), Ok(()));
        // Another password counts before long; without one nobody comes in.
        std::fs::write(&file, "anders").unwrap();
        let changed = SystemTime::now() + Duration::from_secs(5);
        std::fs::File::open(&file)
            .unwrap()
            .set_modified(changed)
            .unwrap();
        assert_eq!(
            ask(Some(basic("fs:anders")), source, now + WINDOW + LOOK),
            Ok(())
        );
        std::fs::remove_file(&file).unwrap();
        let later = now + WINDOW + 2 * LOOK;
        assert_eq!(
            ask(Some(basic("fs:anders")), source, later),
            Err(Refused::WrongPassword)
        );
        assert_eq!(
            ask(Some(basic("fs:")), source, later),
            Err(Refused::WrongPassword)
        );
    }
}
