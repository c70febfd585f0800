//! The dataplane's controller: installs flows, asks for counters, and lets events pass.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tandem_e2e::{Failure, Result, topology, wait};
use tandem_link::{
    Command, Cookie, DataplaneHello, FlowId, FlowKind, FlowSpec, FromDataplane, LegSpec, MediaKind,
    RateLimit,
};
use tandem_net::{Handshake, Incoming, LinkError, Progress, Rings, Session};

use crate::lab::Flow;

const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at what the dataplane tells.
const STEP: Duration = Duration::from_millis(20);
/// Commands on flows that may be under way.
const UNDER_WAY: usize = 64;

/// A session, which a thread of its own reads.
pub(crate) struct Controller {
    asks: Sender<Sender<Counters>>,
}

/// All counters, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(HashMap<String, u64>);

impl Counters {
    pub(crate) fn value(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Those that moved since then, for people.
    pub(crate) fn moved(&self, since: &Self) -> String {
        let mut moved: Vec<String> = self
            .0
            .iter()
            .filter(|(name, value)| **value != since.value(name))
            .map(|(name, value)| format!("{name} {}", value.wrapping_sub(since.value(name))))
            .collect();
        moved.sort();
        moved.join(", ")
    }

    /// The sum of those that begin and end so: of all workers, of all ports.
    pub(crate) fn sum(&self, begin: &str, end: &str) -> u64 {
        let of = |name: &String| name.starts_with(begin) && name.ends_with(end);
        self.0.iter().filter(|(n, _)| of(n)).map(|(_, v)| v).sum()
    }
}

impl Controller {
    /// Connects, and installs the flows, numbered behind those that are there.
    pub(crate) fn start(socket: &Path, flows: &[Flow], there: u64) -> Result<Self> {
        let (session, _hello, rings) = connect(socket)?;
        let mut rings = rings;
        let own = rings.first_mut().ok_or_else(|| Failure::new("no rings"))?;
        install(own, flows, there)?;
        let (asks, asked) = channel();
        std::thread::Builder::new()
            .name("controller".into())
            .spawn(move || serve(session, rings, &asked))
            .map_err(Failure::while_("starting a thread"))?;
        Ok(Self { asks })
    }

    /// What the dataplane counts.
    pub(crate) fn counters(&self) -> Result<Counters> {
        let (answer, answered) = channel();
        let gone = |_| Failure::new("the dataplane closed its session");
        self.asks
            .send(answer)
            .map_err(|_| Failure::new("the dataplane closed its session"))?;
        answered.recv_timeout(PATIENCE).map_err(gone)
    }
}

fn connect(socket: &Path) -> Result<(Session, DataplaneHello, Vec<Rings>)> {
    let mut handshake =
        Some(Handshake::begin(socket, 1, 1).map_err(Failure::while_("connecting"))?);
    let found = wait::until("a welcome", PATIENCE, || {
        match handshake.take()?.proceed() {
            Ok(Progress::Waiting(again)) => {
                handshake = Some(again);
                None
            }
            Ok(Progress::Up(session, hello, rings)) => Some(Ok((*session, hello, rings))),
            Err(error) => Some(Err(error)),
        }
    })?;
    found.map_err(Failure::while_("connecting"))
}

fn install(rings: &mut Rings, flows: &[Flow], there: u64) -> Result<()> {
    let while_ = || Failure::while_::<LinkError>("installing flows");
    for (number, flow) in flows.iter().enumerate() {
        let command = Command::PutFlow(spec(there + number as u64 + 1, flow));
        rings
            .command(number as u64 + 1, command)
            .map_err(while_())?;
        rings.flush();
        if rings.unanswered() >= UNDER_WAY || number + 1 == flows.len() {
            wait::until("the flows' answers", PATIENCE, || {
                loop {
                    match rings.receive() {
                        Ok(Some(Incoming::Message(FromDataplane::Done { result, .. }))) => {
                            if let Err(error) = result {
                                return Some(Err(Failure::new(format!("a flow: {error}"))));
                            }
                        }
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(error) => return Some(Err(while_()(error))),
                    }
                }
                rings.flush();
                (rings.unanswered() == 0).then_some(Ok(()))
            })??;
        }
    }
    Ok(())
}

fn spec(number: u64, flow: &Flow) -> FlowSpec {
    let leg = |realm: u16, local: IpAddr, peer: IpAddr| {
        let ports = flow.side(realm.into());
        LegSpec {
            realm,
            local,
            port: ports.subject,
            remote: Some(SocketAddr::new(peer, ports.peer)),
            remote_rtcp: Some(SocketAddr::new(peer, ports.peer + 1)),
            latched: None,
            latched_rtcp: None,
            learn: 0,
            dscp: 46,
            strict: false,
            event_type: None,
        }
    };
    FlowSpec {
        id: FlowId(number),
        cookie: Cookie(number),
        kind: FlowKind::Rtp,
        media: MediaKind::Audio,
        clock_rate: 0,
        a: leg(0, topology::OUTSIDE, topology::CALLER),
        b: leg(1, topology::INSIDE, topology::SERVERS[0]),
        timeout_s: 0,
        // As many packets a second come by each flow as there are, far more than by a call.
        limit: RateLimit::default(),
    }
}

/// Until nobody asks any more, or the session ends.
fn serve(mut session: Session, rings: Vec<Rings>, asked: &Receiver<Sender<Counters>>) {
    let _rings = rings;
    let mut open: Option<(u64, Counters, Sender<Counters>)> = None;
    let mut seq = 0;
    loop {
        match asked.recv_timeout(STEP) {
            Ok(answer) => {
                seq += 1;
                open = Some((seq, Counters::default(), answer));
                if session.command(seq, Command::Counters).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        loop {
            match session.receive() {
                Ok(Some(FromDataplane::Counters { values, .. })) => {
                    if let Some((_, counters, _)) = &mut open {
                        counters
                            .0
                            .extend(values.into_iter().map(|v| (v.name, v.value)));
                    }
                }
                Ok(Some(FromDataplane::Done { seq: done, .. })) => {
                    if open.as_ref().is_some_and(|(seq, ..)| *seq == done)
                        && let Some((_, counters, answer)) = open.take()
                    {
                        // Nobody waits any more: nothing to do.
                        let _ = answer.send(counters);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) if open.is_some() => std::thread::sleep(Duration::from_millis(1)),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}
