//! Users that register over and over: a load, whose every confirmation is remembered.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use md5::{Digest as _, Md5};

use crate::kamailio::{DOMAIN, PASSWORD};
use crate::sip::Message;
use crate::{Failure, Result};

/// Timer F (RFC 3261 section 17.1.2.2).
const LIMIT: Duration = Duration::from_secs(32);
/// Between two sendings.
const AGAIN: Duration = Duration::from_millis(500);

/// A thread that registers one user after the other.
pub struct Registering {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Outcome>>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Of each user the CSeq that was confirmed last; 0 for none.
    pub confirmed: Vec<u32>,
    /// Confirmations.
    pub count: u64,
    /// How long the slowest answer took.
    pub slowest: Duration,
}

/// The name of a user.
#[must_use]
pub fn user(number: usize) -> String {
    format!("u{number:04}")
}

/// The statement that makes these users.
#[must_use]
pub fn rows(users: usize) -> String {
    let rows: Vec<_> = (0..users)
        .map(|number| format!("('{}', '{DOMAIN}', '{PASSWORD}')", user(number)))
        .collect();
    format!(
        "INSERT INTO subscriber (username, domain, password) VALUES {}",
        rows.join(", ")
    )
}

impl Registering {
    /// Begins, from a socket of the callers' side, at `server`.
    ///
    /// # Errors
    /// When the socket is of no use.
    pub fn start(socket: UdpSocket, server: SocketAddr, users: usize) -> Result<Self> {
        socket
            .set_read_timeout(Some(AGAIN))
            .map_err(Failure::while_("a socket"))?;
        let local = socket
            .local_addr()
            .map_err(Failure::while_("a socket's address"))?;
        let mut agent = Agent {
            socket,
            local,
            server,
            nonce: String::new(),
            nc: 0,
            cseq: vec![0; users],
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut outcome = Outcome {
                confirmed: vec![0; users],
                ..Outcome::default()
            };
            loop {
                for user in 0..users {
                    let begin = Instant::now();
                    let cseq = agent.register(user)?;
                    outcome.slowest = outcome.slowest.max(begin.elapsed());
                    outcome.count += 1;
                    if let Some(confirmed) = outcome.confirmed.get_mut(user) {
                        *confirmed = cseq;
                    }
                }
                if stopped.load(Ordering::Relaxed) {
                    return Ok(outcome);
                }
            }
        });
        Ok(Self { stop, thread })
    }

    /// Ends when all users had their turn once more.
    ///
    /// # Errors
    /// When one of them was refused, or got no answer.
    pub fn finish(self) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| Failure::new("the registering thread died"))?
    }
}

struct Agent {
    socket: UdpSocket,
    local: SocketAddr,
    server: SocketAddr,
    nonce: String,
    nc: u32,
    cseq: Vec<u32>,
}

impl Agent {
    /// Until it is confirmed: the CSeq.
    fn register(&mut self, number: usize) -> Result<u32> {
        // Once more for a nonce that is too old, or of an earlier life of the server.
        for _ in 0..4 {
            let cseq = match self.cseq.get_mut(number) {
                Some(cseq) => {
                    *cseq += 1;
                    *cseq
                }
                None => 1,
            };
            let request = self.request(&user(number), cseq);
            let answer = self.ask(&request, cseq)?;
            match answer.code() {
                200 => return Ok(cseq),
                401 => {
                    let challenge = answer.header("WWW-Authenticate");
                    let nonce = challenge
                        .split_once("nonce=\"")
                        .and_then(|(_, rest)| rest.split_once('"'));
                    self.nonce = nonce.map(|(nonce, _)| nonce.to_owned()).unwrap_or_default();
                    self.nc = 0;
                }
                _ => break,
            }
        }
        Err(Failure::new(format!("{} was refused", user(number))))
    }

    fn request(&mut self, user: &str, cseq: u32) -> String {
        let local = self.local;
        let mut credentials = String::new();
        if !self.nonce.is_empty() {
            self.nc += 1;
            let (nonce, nc) = (&self.nonce, self.nc);
            let ha1 = md5(&format!("{user}:{DOMAIN}:{PASSWORD}"));
            let ha2 = md5(&format!("REGISTER:sip:{DOMAIN}"));
            let response = md5(&format!("{ha1}:{nonce}:{nc:08x}:c:auth:{ha2}"));
            credentials = format!(
                "Authorization: Digest username=\"{user}\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", uri=\"sip:{DOMAIN}\", \
                 algorithm=MD5, qop=auth, nc={nc:08x}, cnonce=\"c\", response=\"{response}\"\r\n"
            );
        }
        format!(
            "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK-{user}-{cseq}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{DOMAIN}>;tag={user}\r\nTo: <sip:{user}@{DOMAIN}>\r\nCall-ID: {user}\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{user}@{local}>;expires=3600\r\n{credentials}Content-Length: 0\r\n\r\n"
        )
    }

    fn ask(&self, request: &str, cseq: u32) -> Result<Message> {
        let call_id = |text: &str| {
            text.lines()
                .find(|l| l.starts_with("Call-ID"))
                .map(str::to_owned)
        };
        let (ours, wanted) = (call_id(request), format!("{cseq} REGISTER"));
        let end = Instant::now() + LIMIT;
        let mut buffer = vec![0; 65_536];
        while Instant::now() < end {
            let sent = self.socket.send_to(request.as_bytes(), self.server);
            sent.map_err(Failure::while_("sending"))?;
            let again = Instant::now() + AGAIN;
            while Instant::now() < again {
                let length = match self.socket.recv(&mut buffer) {
                    Ok(length) => length,
                    Err(e) if e.kind() == ErrorKind::ConnectionRefused => continue,
                    Err(_) => break,
                };
                let bytes = buffer.get(..length).unwrap_or_default();
                let text = String::from_utf8_lossy(bytes).into_owned();
                let message = Message { text };
                if message.code() >= 200
                    && message.header("CSeq") == wanted
                    && call_id(&message.text) == ours
                {
                    return Ok(message);
                }
            }
        }
        Err(Failure::new(format!("no answer to\n{request}")))
    }
}

fn md5(text: &str) -> String {
    let digest = Md5::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
