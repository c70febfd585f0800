//! What a call costs in the proxy core: no socket, no thread, no journal file, no dataplane.
//!
//! INVITE, 180, 200, ACK, BYE, 200 between a carrier and a media server, with SDP of two codecs; the dataplane's
//! answers are made up. The messages of the peers are laid out beforehand as far as they can be.
//!
//!     cargo run --release -p tandem-bench-micro --bin tandem-bench-calls -- 20000
//!
//! Time depends on the machine; instructions do not. For these:
//!
//!     valgrind --tool=callgrind --callgrind-out-file=callgrind.out \
//!         target/release/tandem-bench-calls 2000 0
//!
//! The second number is how many dialogs are held to see what each keeps; 0 leaves that out. `--toggle-collect=` with the
//! name of `Core::input` leaves the peers' part out of the instructions.

use std::error::Error;
use std::hint::black_box;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_bench_micro::{Counting, INSIDE, OUTSIDE, config, counted, held};
use tandem_call::{Core, Input, Now, Output, Path, Tables};
use tandem_link::{Command, DataplaneHello, FlowReport, FlowSpec, FromDataplane, LegStats};
use tandem_link::{SlotTable, VERSION};
use tandem_policy::{AddressRow, DispatcherRow};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CARRIER: &str = "203.0.113.10:5060";
const POOL: &str = "10.0.0.11:5060";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tandem-bench-calls: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let calls: u64 = match std::env::args().nth(1) {
        Some(text) => text
            .parse()
            .map_err(|_| format!("{text:?} is not a number of calls"))?,
        None => 20_000,
    };
    let held: u64 = match std::env::args().nth(2) {
        Some(text) => text
            .parse()
            .map_err(|_| format!("{text:?} is not a number of dialogs"))?,
        None => calls.min(20_000),
    };
    let mut bench = Bench::new()?;
    // Tables grow to their size.
    for call in 0..calls.min(1_000) {
        bench.call(call)?;
    }
    (bench.journal_bytes, bench.journal_records) = (0, 0);
    let (allocations, bytes) = counted();
    let begin = Instant::now();
    for call in 0..calls {
        bench.call(1_000_000 + call)?;
    }
    let ns = begin.elapsed().as_nanos();
    let (more, more_bytes) = counted();
    let per = |total: u64| total as f64 / calls as f64;
    println!(
        "{calls} calls: {:.2} us, {:.1} allocations, {:.0} bytes allocated a call; the journal got {:.0} bytes in {:.1} \
         records a call",
        ns as f64 / calls as f64 / 1e3,
        per(more - allocations),
        per(more_bytes - bytes),
        per(bench.journal_bytes),
        per(bench.journal_records),
    );
    // Established and left standing: what a dialog keeps.
    if held == 0 {
        return Ok(());
    }
    let (young, live) = bench.live_bytes(held)?;
    println!(
        "{held} dialogs held: {live} bytes allocated a dialog, its share of the tables included; {young} while the \
         transactions of its set-up live"
    );
    // What `dlg.list` asks of a SIP worker at a time, and `dlg.stats_active`.
    let timed = |what: &mut dyn FnMut()| {
        let begin = Instant::now();
        (0..100).for_each(|_| what());
        begin.elapsed().as_secs_f64() * 1e4
    };
    let last = bench.core.calls_after(0, usize::MAX).pop();
    let middle = last.map_or(0, |call| call.key / 2);
    let page = timed(&mut || drop(black_box(bench.core.calls_after(middle, 100))));
    let counts = timed(&mut || {
        black_box(bench.core.call_counts());
    });
    println!(
        "{held} dialogs held: {page:.0} us for 100 of them to be listed, {counts:.0} us for all to be counted"
    );
    Ok(())
}

/// A core and its world.
struct Bench {
    core: Core,
    now: Now,
    carrier: SocketAddr,
    pool: SocketAddr,
    outside: SocketAddr,
    inside: SocketAddr,
    /// The last messages that went to each side.
    to_carrier: Vec<u8>,
    to_pool: Vec<u8>,
    flow: Option<FlowSpec>,
    journal_bytes: u64,
    journal_records: u64,
}

impl Bench {
    fn new() -> Result<Self, Box<dyn Error>> {
        let config = config()?;
        let mut bench = Self {
            core: Core::new(config, [7; 16]),
            now: Now {
                mono: Duration::from_secs(1_000),
                wall_ms: 1_700_000_000_000,
            },
            carrier: CARRIER.parse()?,
            pool: POOL.parse()?,
            outside: OUTSIDE.parse()?,
            inside: INSIDE.parse()?,
            to_carrier: Vec::new(),
            to_pool: Vec::new(),
            flow: None,
            journal_bytes: 0,
            journal_records: 0,
        };
        bench
            .core
            .input(bench.now, Input::Tables(Arc::new(tables())));
        let hello = DataplaneHello {
            version: VERSION,
            boot: 1,
            epoch: 1,
            workers: 1,
            slots: SlotTable::deal(&[0]),
            realms: vec![],
            flows: 0,
        };
        bench.core.input(bench.now, Input::DataplaneUp(&hello));
        bench.drain();
        Ok(bench)
    }

    /// One call from INVITE to BYE.
    fn call(&mut self, number: u64) -> Result<(), Box<dyn Error>> {
        let tag = self.establish(number)?;
        let bye = request("BYE", number, 2, &format!(";tag={tag}"), "");
        self.carrier_says(bye.as_bytes());
        let ok = answer(&self.to_pool, "200 OK", &tag, "")?;
        self.pool_says(ok.as_bytes());
        if !self.to_carrier.starts_with(b"SIP/2.0 200") {
            return Err("the BYE was not answered".into());
        }
        // Transactions end by their timers.
        self.now.mono += Duration::from_millis(10);
        self.now.wall_ms += 10;
        while self
            .core
            .next_timeout()
            .is_some_and(|at| at <= self.now.mono)
        {
            self.core.input(self.now, Input::Timer);
            self.drain();
        }
        Ok(())
    }

    fn establish(&mut self, number: u64) -> Result<String, Box<dyn Error>> {
        let invite = request("INVITE", number, 1, "", &sdp("203.0.113.10"));
        self.carrier_says(invite.as_bytes());
        if !self.to_pool.starts_with(b"INVITE") {
            return Err("no INVITE at the media server".into());
        }
        let tag = format!("t{number:x}");
        let asked = self.to_pool.clone();
        self.pool_says(answer(&asked, "180 Ringing", &tag, "")?.as_bytes());
        self.pool_says(answer(&asked, "200 OK", &tag, &sdp("10.0.0.11"))?.as_bytes());
        let ack = request("ACK", number, 1, &format!(";tag={tag}"), "");
        self.carrier_says(ack.as_bytes());
        if !self.to_pool.starts_with(b"ACK") {
            return Err("no ACK at the media server".into());
        }
        Ok(tag)
    }

    /// The bytes that each of so many established calls keeps: while its transactions live, and 32 s later.
    fn live_bytes(&mut self, calls: u64) -> Result<(u64, u64), Box<dyn Error>> {
        let settle = |bench: &mut Self| {
            bench.now.mono += Duration::from_secs(40);
            while bench
                .core
                .next_timeout()
                .is_some_and(|at| at <= bench.now.mono)
            {
                bench.core.input(bench.now, Input::Timer);
                bench.drain();
            }
        };
        settle(self);
        let before = held();
        let calls = calls.max(1);
        for call in 0..calls {
            self.establish(10_000_000 + call)?;
        }
        let young = held().saturating_sub(before) / calls;
        settle(self);
        let live = held().saturating_sub(before) / calls;
        Ok((young, live))
    }

    fn carrier_says(&mut self, bytes: &[u8]) {
        let message = Input::Message {
            path: Path::Realm(0),
            source: self.carrier,
            local: self.outside,
            waited: Duration::ZERO,
            bytes,
        };
        self.core.input(self.now, message);
        self.drain();
    }

    fn pool_says(&mut self, bytes: &[u8]) {
        let message = Input::Message {
            path: Path::Realm(1),
            source: self.pool,
            local: self.inside,
            waited: Duration::ZERO,
            bytes,
        };
        self.core.input(self.now, message);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.core.output() {
            match output {
                Output::Send {
                    destination, bytes, ..
                } => {
                    if destination == self.pool {
                        self.to_pool = bytes;
                    } else {
                        self.to_carrier = bytes;
                    }
                }
                Output::Journal { body, .. } => {
                    self.journal_records += 1;
                    self.journal_bytes += body.map_or(0, |b| b.len() as u64);
                }
                Output::Command { seq, command } => self.command(seq, command),
                // The targets are addresses.
                Output::Locate(_)
                | Output::PassOn { .. }
                | Output::Tell(_)
                | Output::Registered(_)
                | Output::UserAt(_)
                | Output::Sight { .. }
                | Output::Pardon(_)
                | Output::WhoIs { .. } => {}
            }
        }
    }

    fn command(&mut self, seq: u64, command: Command) {
        match command {
            Command::PutFlow(spec) => self.flow = Some(spec),
            Command::RemoveFlow { flow: id, .. } => {
                if let Some(spec) = self.flow.take() {
                    let report = report(FlowSpec { id, ..spec });
                    self.core.input(
                        self.now,
                        Input::Dataplane(FromDataplane::Flow { seq, report }),
                    );
                }
            }
            _ => {}
        }
        let done = FromDataplane::Done {
            seq,
            result: Ok(()),
        };
        self.core.input(self.now, Input::Dataplane(done));
    }
}

fn report(spec: FlowSpec) -> FlowReport {
    FlowReport {
        worker: 0,
        a: LegStats::default(),
        b: LegStats::default(),
        idle: false,
        spec,
    }
}

fn request(method: &str, number: u64, cseq: u32, to_tag: &str, body: &str) -> String {
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    format!(
        "{method} sip:+4930123456@198.51.100.1:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {CARRIER};rport;branch=z9hG4bK{method}{number}\r\n\
         Max-Forwards: 70\r\n\
         From: \"A caller\" <sip:+4940987654@203.0.113.10>;tag=f{number:x}\r\n\
         To: <sip:+4930123456@198.51.100.1>{to_tag}\r\n\
         Call-ID: {number:016x}@203.0.113.10\r\n\
         CSeq: {cseq} {method}\r\n\
         Contact: <sip:+4940987654@{CARRIER}>\r\n\
         Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO\r\n\
         Supported: 100rel, timer\r\n\
         User-Agent: carrier\r\n\
         {kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What a media server answers.
fn answer(request: &[u8], status: &str, tag: &str, body: &str) -> Result<String, Box<dyn Error>> {
    let request = std::str::from_utf8(request)?;
    let mut out = format!("SIP/2.0 {status}\r\n");
    for line in request.lines().skip(1).take_while(|l| !l.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "Via" | "Record-Route" | "From" | "Call-ID" | "CSeq" => {
                out.push_str(line);
                out.push_str("\r\n");
            }
            "To" => {
                out.push_str(line);
                if !line.contains("tag=") {
                    out.push_str(";tag=");
                    out.push_str(tag);
                }
                out.push_str("\r\n");
            }
            _ => {}
        }
    }
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    out.push_str(&format!(
        "Contact: <sip:+4930123456@{POOL}>\r\nUser-Agent: media\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    Ok(out)
}

fn sdp(address: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0 101\r\n\
         a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
    )
}

fn tables() -> Tables {
    let target = |id, setid, at: &str| DispatcherRow {
        id,
        setid,
        destination: format!("sip:{at}"),
        flags: 0,
        priority: 0,
        attrs: String::new(),
        description: String::new(),
    };
    Tables {
        dids: std::sync::Arc::default(),
        routes: std::sync::Arc::default(),
        subscribers: std::sync::Arc::default(),
        dispatcher: vec![target(1, 1, POOL), target(2, 100, CARRIER)],
        address: vec![AddressRow {
            id: 1,
            grp: 1,
            ip_addr: "203.0.113.10".into(),
            mask: 32,
            port: 0,
            tag: String::new(),
        }],
    }
}
