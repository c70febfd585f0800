//! The load of the case `registers`: many user agents on one socket, on core 0. Each registers as phones do: REGISTER, 401, REGISTER with
//! credentials (RFC 7616, MD5), 200. sipp can do this too, but not as fast as the systems under test.

mod challenge;
mod latency;
mod user_agent;

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;
use tandem_e2e::sip::Message;
use tandem_e2e::{Failure, Lab, Result, wait};

pub(crate) use latency::Latency;
use tandem_bench_peers::cpu;
use user_agent::{Next, UserAgent};

/// Until a request is sent again (RFC 3261's T1). It does not double: a round with repetitions is not counted anyway.
const REPEAT: Duration = Duration::from_millis(500);
/// How often it is sent, until the registration counts as failed.
const TRIES: u32 = 20;
/// How long at most an answer is waited for before it is looked for something else to do.
const TURN: Duration = Duration::from_millis(1);
/// What the kernel keeps for us, in bytes: no answer may be lost here.
const BUFFER: usize = 16 << 20;
/// Unexpected answers that are kept, for people.
const SHOWN: usize = 3;

/// How fast they register.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many begin each second.
    Rate(u32),
    /// So many are under way at any time: as fast as the answers come.
    Window(usize),
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) registered: u64,
    pub(crate) failed: u64,
    pub(crate) retransmissions: u64,
    /// From the first request to the last answer.
    pub(crate) time: Duration,
    /// From the first REGISTER of a user to the 200.
    pub(crate) latency: Latency,
    /// How much of its core the load itself had.
    pub(crate) busy: f64,
    /// Answers that should not have come, some of them.
    pub(crate) unexpected: Vec<String>,
}

/// All user agents.
pub(crate) struct Phones {
    socket: UdpSocket,
    server: SocketAddr,
    all: Vec<UserAgent>,
}

/// A request that was not answered yet.
struct Open {
    begin: Instant,
    cseq: u32,
    tries: u32,
    text: String,
}

impl Phones {
    /// So many, at an address of the carrier namespace.
    pub(crate) fn new(
        lab: &Lab,
        local: SocketAddr,
        server: SocketAddr,
        count: u32,
    ) -> Result<Self> {
        let socket = lab.udp(&lab.carrier, local)?;
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)
            .map_err(Failure::while_("enlarging the load's buffer"))?;
        let settings = socket.set_read_timeout(Some(TURN));
        settings.map_err(Failure::while_("the load's socket"))?;
        let all = (0..count).map(|n| UserAgent::new(n, local)).collect();
        Ok(Self {
            socket,
            server,
            all,
        })
    }

    /// Has some of them register, once each.
    pub(crate) fn register(&mut self, some: Range<u32>, pace: Pace) -> Result<Seen> {
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut core = CpuSet::new();
                core.set(0)
                    .and_then(|()| sched_setaffinity(Pid::from_raw(0), &core))
                    .map_err(Failure::while_("giving the load core 0"))?;
                let before = cpu::this_thread();
                let mut seen = Pass::new(self, pace).run(some)?;
                let spent = cpu::this_thread().saturating_sub(before);
                seen.busy = spent as f64 / seen.time.as_nanos().max(1) as f64;
                Ok(seen)
            });
            let ended = load.join();
            ended.unwrap_or_else(|_| Err(Failure::new("the load died")))
        })
    }
}

/// One registration of each.
struct Pass<'a> {
    phones: &'a mut Phones,
    pace: Pace,
    open: BTreeMap<u32, Open>,
    /// When to look at a request (by user and CSeq) again.
    due: VecDeque<(Instant, u32, u32)>,
    seen: Seen,
}

impl<'a> Pass<'a> {
    fn new(phones: &'a mut Phones, pace: Pace) -> Self {
        Self {
            phones,
            pace,
            open: BTreeMap::new(),
            due: VecDeque::new(),
            seen: Seen::default(),
        }
    }

    fn run(mut self, some: Range<u32>) -> Result<Seen> {
        let begin = Instant::now();
        let mut waiting = some.clone();
        let mut buffer = vec![0; 65_536];
        while !(waiting.is_empty() && self.open.is_empty()) {
            if wait::interrupted() {
                return Err(Failure::new("interrupted"));
            }
            let begun = some.len() - waiting.len();
            for user in waiting.by_ref().take(self.may_begin(begin, begun)) {
                self.begin(user)?;
            }
            self.repeat()?;
            // An error is the end of the turn; anything else shows in what is not answered.
            if let Ok(length) = self.phones.socket.recv(&mut buffer) {
                let bytes = buffer.get(..length).unwrap_or_default();
                let text = String::from_utf8_lossy(bytes).into_owned();
                self.answer(&Message { text })?;
            }
        }
        self.seen.time = begin.elapsed();
        Ok(self.seen)
    }

    /// How many may begin now.
    fn may_begin(&self, begin: Instant, begun: usize) -> usize {
        let allowed = match self.pace {
            Pace::Rate(rate) => (begin.elapsed().as_secs_f64() * f64::from(rate)) as usize + 1,
            Pace::Window(size) => return size.saturating_sub(self.open.len()),
        };
        allowed.saturating_sub(begun)
    }

    fn begin(&mut self, user: u32) -> Result<()> {
        let Some(agent) = self.phones.all.get_mut(user as usize) else {
            return Err(Failure::new(format!("there is no user {user}")));
        };
        let (cseq, text) = agent.register("");
        self.send(user, Instant::now(), cseq, text)
    }

    fn send(&mut self, user: u32, begin: Instant, cseq: u32, text: String) -> Result<()> {
        transmit(&self.phones.socket, self.phones.server, &text)?;
        self.due.push_back((Instant::now() + REPEAT, user, cseq));
        let open = Open {
            begin,
            cseq,
            tries: 1,
            text,
        };
        self.open.insert(user, open);
        Ok(())
    }

    /// Sends again what is not answered.
    fn repeat(&mut self) -> Result<()> {
        while let Some((_, user, cseq)) = self.due.pop_front_if(|(at, ..)| *at <= Instant::now()) {
            let Some(open) = self.open.get_mut(&user).filter(|o| o.cseq == cseq) else {
                continue;
            };
            if open.tries >= TRIES {
                self.open.remove(&user);
                self.fail(format!("user {user}: no answer"));
                continue;
            }
            open.tries += 1;
            self.seen.retransmissions += 1;
            self.due.push_back((Instant::now() + REPEAT, user, cseq));
            transmit(&self.phones.socket, self.phones.server, &open.text)?;
        }
        Ok(())
    }

    fn answer(&mut self, message: &Message) -> Result<()> {
        let Some(user) = UserAgent::of(message) else {
            return Ok(());
        };
        let (Some(open), Some(agent)) =
            (self.open.get(&user), self.phones.all.get_mut(user as usize))
        else {
            return Ok(());
        };
        let begin = open.begin;
        match agent.next(message) {
            Next::Nothing => {}
            Next::Done => {
                self.open.remove(&user);
                self.seen.registered += 1;
                self.seen.latency.add(begin.elapsed());
            }
            Next::Send(cseq, text) => self.send(user, begin, cseq, text)?,
            Next::Failed => {
                self.open.remove(&user);
                self.fail(message.text.clone());
            }
        }
        Ok(())
    }

    fn fail(&mut self, why: String) {
        self.seen.failed += 1;
        if self.seen.unexpected.len() < SHOWN {
            self.seen.unexpected.push(why);
        }
    }
}

fn transmit(socket: &UdpSocket, to: SocketAddr, text: &str) -> Result<()> {
    let sent = socket.send_to(text.as_bytes(), to);
    sent.map(drop).map_err(Failure::while_("sending the load"))
}
