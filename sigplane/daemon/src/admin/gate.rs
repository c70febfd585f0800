//! Who may come in by HTTP: the tokens' file, and sources that guess.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use tandem_admin::tokens::{Shown, Tokens};
use tandem_policy::defence::Source;

use super::Caller;
use crate::http::{Count, Counters, Request, Response};

/// So many wrong tokens a source may show in [`WINDOW`]; then it is not looked at until that is over.
const WRONG: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Sources of wrong tokens that are remembered.
const SOURCES: usize = 4_096;

/// The gate.
pub(crate) struct Gate {
    path: PathBuf,
    counters: Arc<Counters>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the file was when it was read last.
    seen: Option<Stamp>,
    tokens: Tokens,
    guesses: HashMap<Source, (u32, Instant)>,
}

/// A file that was changed has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    changed: (i64, i64),
}

impl Gate {
    pub(crate) fn new(path: &Path, counters: Arc<Counters>) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_owned(),
            counters,
            state: Mutex::default(),
        })
    }

    /// Who it is that asks, by its token; or the answer that it gets instead.
    pub(crate) fn admit(&self, request: &Request) -> Result<Caller, Response> {
        let source = Source::of(request.peer.ip());
        let mut state = self.state();
        if state.is_guessing(source) {
            self.counters.add(Count::TooManyWrong);
            let text = "too many wrong tokens: wait a minute";
            return Err(Response::text(StatusCode::TOO_MANY_REQUESTS, text).with(RETRY_AFTER, "60"));
        }
        let Some(shown) = bearer(request) else {
            self.counters.add(Count::NoToken);
            let text = "a token is needed: `Authorization: Bearer tnd_...`";
            return Err(Response::text(StatusCode::UNAUTHORIZED, text)
                .with(WWW_AUTHENTICATE, "Bearer realm=\"tandem\""));
        };
        state.look_at(&self.path);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let (count, what) = match state.tokens.check(shown, now.unwrap_or_default().as_secs()) {
            Shown::Valid(token) => {
                return Ok(Caller {
                    name: token.name.clone(),
                    from: request.peer.to_string(),
                    role: token.role,
                });
            }
            Shown::Expired(token) => (
                Count::ExpiredToken,
                format!("the token {}, which has expired,", token.name),
            ),
            Shown::Unknown => (Count::WrongToken, "a token that is not known".to_owned()),
        };
        self.counters.add(count);
        // As many lines as a source may guess, and no more.
        tracing::warn!(target: "audit", "{what} was shown by {}", request.peer);
        if count == Count::WrongToken {
            state.guessed(source);
        }
        let header = "Bearer realm=\"tandem\", error=\"invalid_token\"";
        Err(
            Response::text(StatusCode::UNAUTHORIZED, "this token does not count")
                .with(WWW_AUTHENTICATE, header),
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Reads the file again if it has changed. With one that cannot be used nobody comes in.
    fn look_at(&mut self, path: &Path) {
        let stamp = stamp(path);
        let now = stamp.as_ref().ok().copied();
        if now.is_some() && now == self.seen {
            return;
        }
        let was_there = self.seen.is_some();
        self.seen = now;
        self.tokens = match stamp.map_err(|e| (e.kind(), e.to_string())) {
            Ok(stamp) => read(path, stamp).unwrap_or_else(|problem| {
                tracing::error!("{}: {problem}; no token counts", path.display());
                Tokens::default()
            }),
            Err((io::ErrorKind::NotFound, _)) if !was_there => Tokens::default(),
            Err((_, problem)) => {
                tracing::error!("{}: {problem}; no token counts", path.display());
                Tokens::default()
            }
        };
    }

    fn is_guessing(&mut self, source: Source) -> bool {
        match self.guesses.get(&source) {
            Some((_, since)) if since.elapsed() >= WINDOW => {
                self.guesses.remove(&source);
                false
            }
            Some((guesses, _)) => *guesses >= WRONG,
            None => false,
        }
    }

    fn guessed(&mut self, source: Source) {
        if self.guesses.len() >= SOURCES && !self.guesses.contains_key(&source) {
            self.guesses
                .retain(|_, (_, since)| since.elapsed() < WINDOW);
            // So many at once can only be one attacker with many addresses, who gains nothing by that.
            if self.guesses.len() >= SOURCES {
                self.guesses.clear();
            }
        }
        let (guesses, _) = self
            .guesses
            .entry(source)
            .or_insert_with(|| (0, Instant::now()));
        *guesses += 1;
    }
}

fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.header(AUTHORIZATION)?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim())
        .filter(|token| !token.is_empty())
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let file = fs::metadata(path)?;
    Ok(Stamp {
        device: file.dev(),
        inode: file.ino(),
        size: file.size(),
        mode: file.mode(),
        changed: (file.ctime(), file.ctime_nsec()),
    })
}

fn read(path: &Path, stamp: Stamp) -> Result<Tokens, String> {
    if stamp.mode & 0o077 != 0 {
        let mode = stamp.mode & 0o777;
        return Err(format!("others may use it (mode {mode:03o}): chmod 600 it"));
    }
    let text = fs::read_to_string(path).map_err(|e| e.to_string())?;
    Tokens::parse(&text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_guesses_is_not_looked_at_and_others_are() {
        let source = |n| Source::of([192, 0, 2, n].into());
        let mut state = State::default();
        for _ in 0..WRONG {
            assert!(!state.is_guessing(source(1)));
            state.guessed(source(1));
        }
        assert!(state.is_guessing(source(1)) && !state.is_guessing(source(2)));
        for n in 0..SOURCES as u32 * 2 {
            state.guessed(Source::of(std::net::Ipv4Addr::from(n).into()));
        }
        assert!(state.guesses.len() <= SOURCES);
    }
}
