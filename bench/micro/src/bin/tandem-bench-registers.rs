//! What a registration costs in the proxy core, and what it keeps: no socket, no thread, no journal file, no database.
//!
//! REGISTER, 401, REGISTER with credentials (MD5), 200, of one user after the other; then everybody once more; then a day's rest of what was only
//! needed for a while.
//!
//!     cargo run --release -p tandem-bench-micro --bin tandem-bench-registers -- 100000
//!
//! The subscribers' own rows are not counted: they are there before. Nor is the journal's index, which is the store's.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use md5::{Digest as _, Md5};
use tandem_bench_micro::{Counting, OUTSIDE, config, counted, held};
use tandem_call::{Core, CoreConfig, Input, Now, Output, Path, RegistrarConfig, Tables};
use tandem_policy::{SubscriberRow, Subscribers, digest, registrar};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const DOMAIN: &str = "example.net";
const PASSWORD: &str = "secret";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tandem-bench-registers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let users: u32 = match std::env::args().nth(1) {
        Some(text) => text
            .parse()
            .map_err(|_| format!("{text:?} is not a number of users"))?,
        None => 100_000,
    };
    let mut bench = Bench::new(users)?;
    let before = held();
    for (name, cseq) in [("first", 1), ("refreshed", 3)] {
        let (allocations, bytes) = counted();
        bench.journal_bytes = 0;
        let begin = Instant::now();
        let mut hashing = Duration::ZERO;
        for user in 0..users {
            hashing += bench.register(user, cseq)?;
        }
        let time = begin.elapsed().saturating_sub(hashing);
        let (more, more_bytes) = counted();
        let per = |total: u64| total as f64 / f64::from(users);
        println!(
            "{name}: {users} registrations: {:.2} us, {:.1} allocations, {:.0} bytes allocated, {:.0} bytes for the journal, \
             {:.0} bytes held each",
            time.as_secs_f64() * 1e6 / f64::from(users),
            per(more - allocations),
            per(more_bytes - bytes),
            per(bench.journal_bytes),
            per(held().saturating_sub(before)),
        );
    }
    bench.rest()?;
    println!(
        "at rest: {:.0} bytes held a registration",
        held().saturating_sub(before) as f64 / f64::from(users)
    );
    Ok(())
}

struct Bench {
    core: Core,
    now: Now,
    local: SocketAddr,
    journal_bytes: u64,
}

impl Bench {
    fn new(users: u32) -> Result<Self, Box<dyn Error>> {
        let row = |user: u32| SubscriberRow {
            id: user.into(),
            username: name(user),
            domain: DOMAIN.into(),
            password: PASSWORD.into(),
            ha1: String::new(),
            ha1b: String::new(),
        };
        let (subscribers, _) = Subscribers::new((0..users).map(row).collect());
        let config = CoreConfig {
            registrar: Some(RegistrarConfig {
                domains: vec![DOMAIN.into()],
                settings: registrar::Settings::default(),
                location_table: true,
                max_records: users as usize,
                digest: digest::Settings::default(),
                nonce_key: [9; 32],
                nonce_lifetime_ms: 300_000,
                max_nonces: 2 * users as usize,
            }),
            ..config()?
        };
        let mut bench = Self {
            core: Core::new(config, [7; 16]),
            now: Now {
                mono: Duration::from_secs(100),
                wall_ms: 1_700_000_000_000,
            },
            local: OUTSIDE.parse()?,
            journal_bytes: 0,
        };
        let tables = Tables {
            dids: std::sync::Arc::default(),
            routes: std::sync::Arc::default(),
            subscribers: Arc::new(subscribers),
            ..Tables::default()
        };
        bench.input(Input::Tables(Arc::new(tables)));
        Ok(bench)
    }

    /// Gives how long the user agent's own part took.
    fn register(&mut self, user: u32, cseq: u32) -> Result<Duration, Box<dyn Error>> {
        let name = name(user);
        let source = SocketAddr::from(([203, 0, 113, 1], 1_024 + u16::try_from(user % 60_000)?));
        let request = |cseq: u32, credentials: &str| {
            format!(
                "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {source};rport;branch=z9hG4bK{name}{cseq}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:{name}@{DOMAIN}>;tag={name}\r\nTo: <sip:{name}@{DOMAIN}>\r\n\
                 Call-ID: {name}-0123456789abcdef\r\nCSeq: {cseq} REGISTER\r\nContact: <sip:{name}@{source}>\r\n\
                 Expires: 3600\r\nUser-Agent: bench\r\n{credentials}Content-Length: 0\r\n\r\n"
            )
        };
        let challenge = self.ask(source, &request(cseq, ""));
        let begin = Instant::now();
        let nonce = challenge
            .split_once("nonce=\"")
            .and_then(|(_, rest)| rest.split_once('"'))
            .ok_or_else(|| format!("no challenge: {challenge}"))?
            .0;
        let ha1 = md5(&format!("{name}:{DOMAIN}:{PASSWORD}"));
        let ha2 = md5(&format!("REGISTER:sip:{DOMAIN}"));
        let response = md5(&format!("{ha1}:{nonce}:00000001:c:auth:{ha2}"));
        let credentials = format!(
            "Authorization: Digest username=\"{name}\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", uri=\"sip:{DOMAIN}\", \
             algorithm=MD5, qop=auth, nc=00000001, cnonce=\"c\", response=\"{response}\"\r\n"
        );
        let request = request(cseq + 1, &credentials);
        let own = begin.elapsed();
        let answer = self.ask(source, &request);
        if !answer.starts_with("SIP/2.0 200") {
            return Err(format!("refused: {answer}").into());
        }
        Ok(own)
    }

    /// Transactions and nonces are over; registrations are not.
    fn rest(&mut self) -> Result<(), Box<dyn Error>> {
        let end = self.now.mono + Duration::from_secs(400);
        while let Some(at) = self.core.next_timeout().filter(|at| *at <= end) {
            self.advance(at.max(self.now.mono));
            self.input(Input::Timer);
        }
        self.advance(end);
        self.register(0, 5).map(drop)
    }

    fn advance(&mut self, to: Duration) {
        let step = to - self.now.mono;
        self.now.mono = to;
        self.now.wall_ms += u64::try_from(step.as_millis()).unwrap_or(u64::MAX);
    }

    fn ask(&mut self, source: SocketAddr, text: &str) -> String {
        // Some time passes: 2,000 a second.
        self.advance(self.now.mono + Duration::from_micros(250));
        self.input(Input::Message {
            path: Path::Realm(0),
            source,
            local: self.local,
            waited: Duration::ZERO,
            bytes: text.as_bytes(),
        })
    }

    /// Gives what was sent.
    fn input(&mut self, input: Input<'_>) -> String {
        self.core.input(self.now, input);
        let mut said = String::new();
        while let Some(output) = self.core.output() {
            match output {
                Output::Send { bytes, .. } => {
                    said = String::from_utf8_lossy(&bytes).into_owned();
                }
                Output::Journal { body, .. } => {
                    self.journal_bytes += body.map_or(0, |body| body.len() as u64);
                }
                _ => {}
            }
        }
        while self
            .core
            .next_timeout()
            .is_some_and(|at| at <= self.now.mono)
        {
            self.core.input(self.now, Input::Timer);
            while self.core.output().is_some() {}
        }
        said
    }
}

fn name(user: u32) -> String {
    format!("user{user:06}")
}

fn md5(text: &str) -> String {
    let digest = Md5::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
