//! The shell's own commands to the dataplane: for lists, counters and captures. Their sequence
//! numbers have the highest bit set; the core's, which count from 1, never come there.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use tandem_admin::{
    CaptureEnd, CaptureParams, CaptureStarted, CapturedPacket, Counter, ErrorCode, Flow, Plane,
    Police, PolicedSource, Port,
};
use tandem_config::Config;
use tandem_link::{
    Alarm, BlockedSource, CaptureFilter, CaptureSpec, Command, CommandError, Direction, Event,
    FlowId, FromDataplane, PoliceReport, StatelessSpec,
};
use tokio::sync::mpsc;

use super::counters::{Count, Counters};
use super::ports::port;
use super::queries::flow;
use crate::ask::{Answer, CaptureEvent, NamedCall, Refusal};

/// The bit that makes a sequence number ours.
const OURS: u64 = 1 << 63;
/// Questions to the dataplane that may be open.
const MOST: usize = 64;
/// The limits of a capture: what is asked for is cut to them.
const MAX_PACKETS: u64 = 1_000_000;
const MAX_BYTES: u64 = 256 * 1024 * 1024;
const MAX_SECONDS: u32 = 600;
/// A jumbo frame.
const MAX_SNAPLEN: u32 = 9_216;

/// The open questions, and the capture.
pub(super) struct Requests {
    next: u64,
    open: HashMap<u64, Open>,
    outbox: VecDeque<(u64, Command)>,
    capture: Option<Capture>,
    last_capture: u64,
    /// A list that has come and was not fetched.
    blocked: Option<Vec<BlockedSource>>,
    /// How the last command on who is who went, until that was fetched.
    classes: Option<Result<(), CommandError>>,
    /// The ports' names.
    port_names: Vec<String>,
    /// What the dataplane says is wrong.
    alarms: Vec<Alarm>,
}

enum Open {
    Flows {
        answer: Answer<Result<Vec<Flow>, Refusal>>,
        flows: Vec<Flow>,
    },
    Counters {
        answer: Answer<Vec<Counter>>,
        counters: Vec<Counter>,
    },
    Capture {
        answer: Answer<Result<CaptureStarted, Refusal>>,
        started: CaptureStarted,
    },
    /// The dataplane's list of blocked sources.
    Blocked(Vec<BlockedSource>),
    /// A source is to be blocked, or not any more.
    Told,
    /// How SIP is relayed without us.
    Stateless,
    /// Who is who.
    Classes,
    /// How SIP is policed, as each of the dataplane's workers says.
    Police {
        address: Option<IpAddr>,
        answer: Answer<Result<Police, Refusal>>,
        reports: Vec<PoliceReport>,
    },
    Ports {
        answer: Answer<Result<Vec<Port>, Refusal>>,
        ports: Vec<Port>,
    },
    /// Each of the dataplane's workers relays a packet of its own.
    Proof { answer: Answer<Result<(), Refusal>> },
    /// Nobody waits for this one.
    Stop,
}

struct Capture {
    id: u64,
    packets: mpsc::Sender<CaptureEvent>,
    dropped: u64,
}

impl Requests {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            next: 0,
            open: HashMap::new(),
            outbox: VecDeque::new(),
            capture: None,
            last_capture: 0,
            blocked: None,
            classes: None,
            port_names: config.ports.iter().map(|port| port.name.clone()).collect(),
            alarms: Vec::new(),
        }
    }

    /// The next command to send. To be asked for after every other call.
    pub(super) fn command(&mut self) -> Option<(u64, Command)> {
        self.outbox.pop_front()
    }

    /// Asks for the flows.
    pub(super) fn flows(&mut self, answer: Answer<Result<Vec<Flow>, Refusal>>) {
        if self.open.len() >= MOST {
            let _ = answer.send(Err(busy()));
        } else {
            self.ask(
                Command::ListFlows,
                Open::Flows {
                    answer,
                    flows: Vec::new(),
                },
            );
        }
    }

    /// Asks for the dataplane's counters, to go behind ours.
    pub(super) fn counters(&mut self, answer: Answer<Vec<Counter>>, counters: Vec<Counter>) {
        if self.open.len() >= MOST {
            let _ = answer.send(counters);
        } else {
            self.ask(Command::Counters, Open::Counters { answer, counters });
        }
    }

    /// Starts a capture, of the call that the parameters name if they do.
    pub(super) fn start_capture(
        &mut self,
        params: &CaptureParams,
        named: NamedCall,
        packets: mpsc::Sender<CaptureEvent>,
        answer: Answer<Result<CaptureStarted, Refusal>>,
    ) {
        if self.open.len() >= MOST {
            let _ = answer.send(Err(busy()));
            return;
        }
        self.end_capture("replaced by another capture", 0);
        self.last_capture += 1;
        let id = self.last_capture;
        let spec = capture_spec(id, params, named);
        let started = CaptureStarted {
            id,
            max_packets: spec.max_packets,
            max_bytes: spec.max_bytes,
            max_seconds: spec.max_seconds,
        };
        self.capture = Some(Capture {
            id,
            packets,
            dropped: 0,
        });
        self.ask(
            Command::StartCapture(spec),
            Open::Capture { answer, started },
        );
    }

    /// Stops a capture whose listener is gone.
    pub(super) fn stop_capture(&mut self, id: u64) {
        if self.capture.take_if(|capture| capture.id == id).is_some() {
            self.ask(Command::StopCapture, Open::Stop);
        }
    }

    /// Asks for the blocked sources; [`Self::blocked`] has them then.
    pub(super) fn list_blocked(&mut self) {
        self.ask(Command::ListBlocked, Open::Blocked(Vec::new()));
    }

    /// The blocked sources, once after they have come.
    pub(super) fn blocked(&mut self) -> Option<Vec<BlockedSource>> {
        self.blocked.take()
    }

    /// Has a source blocked, or not any more.
    pub(super) fn tell(&mut self, command: Command) {
        self.ask(command, Open::Told);
    }

    /// Says how SIP is relayed without us.
    pub(super) fn stateless(&mut self, spec: StatelessSpec) {
        self.ask(Command::SetStateless(spec), Open::Stateless);
    }

    /// Tells who is who; [`Self::classes_done`] says how it went.
    pub(super) fn classes(&mut self, command: Command) {
        self.ask(command, Open::Classes);
    }

    /// How the last such command went, once.
    pub(super) fn classes_done(&mut self) -> Option<Result<(), CommandError>> {
        self.classes.take()
    }

    /// Asks how SIP is policed, and what is known of an address.
    pub(super) fn police(
        &mut self,
        address: Option<IpAddr>,
        answer: Answer<Result<Police, Refusal>>,
    ) {
        if self.open.len() >= MOST {
            let _ = answer.send(Err(busy()));
        } else {
            self.ask(
                Command::PoliceReport(address),
                Open::Police {
                    address,
                    answer,
                    reports: Vec::new(),
                },
            );
        }
    }

    /// Asks for the ports.
    pub(super) fn ports(&mut self, answer: Answer<Result<Vec<Port>, Refusal>>) {
        if self.open.len() >= MOST {
            let _ = answer.send(Err(busy()));
        } else {
            let ports = Vec::new();
            self.ask(Command::Ports, Open::Ports { answer, ports });
        }
    }

    /// Has each of the dataplane's workers relay a packet of its own.
    pub(super) fn prove(&mut self, answer: Answer<Result<(), Refusal>>) {
        if self.open.len() >= MOST {
            let _ = answer.send(Err(busy()));
        } else {
            self.ask(Command::Prove, Open::Proof { answer });
        }
    }

    /// The session ended, and with it all that was asked in it.
    pub(super) fn session_ended(&mut self) {
        for (_, open) in self.open.drain() {
            match open {
                Open::Flows { answer, .. } => drop(answer.send(Err(Refusal::dataplane_down()))),
                Open::Counters { answer, counters } => drop(answer.send(counters)),
                Open::Capture { answer, .. } => drop(answer.send(Err(Refusal::dataplane_down()))),
                Open::Police { answer, .. } => drop(answer.send(Err(Refusal::dataplane_down()))),
                Open::Ports { answer, .. } => drop(answer.send(Err(Refusal::dataplane_down()))),
                Open::Proof { answer } => drop(answer.send(Err(Refusal::dataplane_down()))),
                Open::Blocked(_) | Open::Told | Open::Stateless | Open::Classes | Open::Stop => {}
            }
        }
        self.blocked = None;
        // The next session begins with all that stand.
        self.alarms.clear();
        self.classes = None;
        self.outbox.clear();
        self.end_capture("the dataplane went away", 0);
    }

    /// Takes a message that belongs to a question or a capture; gives back the core's.
    pub(super) fn take(
        &mut self,
        message: FromDataplane,
        counters: &mut Counters,
    ) -> Option<FromDataplane> {
        match message {
            FromDataplane::Done { seq, result } if seq & OURS != 0 => {
                self.done(seq, result, counters);
            }
            FromDataplane::Flow { seq, report } if seq & OURS != 0 => {
                if let Some(Open::Flows { flows, .. }) = self.open.get_mut(&seq) {
                    flows.push(flow(&report));
                }
            }
            FromDataplane::Counters { seq, values } if seq & OURS != 0 => {
                if let Some(Open::Counters { counters, .. }) = self.open.get_mut(&seq) {
                    counters.extend(values.into_iter().map(|counter| Counter {
                        plane: Plane::Dataplane,
                        name: counter.name,
                        value: counter.value,
                    }));
                }
            }
            FromDataplane::Blocked { seq, sources } => {
                if let Some(Open::Blocked(all)) = self.open.get_mut(&seq) {
                    all.extend(sources);
                }
            }
            FromDataplane::Police { seq, report } => {
                if let Some(Open::Police { reports, .. }) = self.open.get_mut(&seq) {
                    reports.push(report);
                }
            }
            FromDataplane::Port { seq, report } => {
                if let Some(Open::Ports { ports, .. }) = self.open.get_mut(&seq) {
                    ports.push(port(report));
                }
            }
            FromDataplane::Event(Event::Captured {
                id,
                timestamp_ns,
                port,
                direction,
                length,
                data,
            }) => {
                let packet = CapturedPacket {
                    timestamp_ns,
                    port: self
                        .port_names
                        .get(usize::from(port))
                        .cloned()
                        .unwrap_or_default(),
                    sent: direction == Direction::Sent,
                    length,
                    data: CapturedPacket::hex(&data),
                };
                self.captured(id, packet, counters);
            }
            FromDataplane::Event(Event::Alarm(alarm)) => self.alarm(alarm),
            FromDataplane::Event(Event::CaptureEnded { id, dropped }) => {
                if self
                    .capture
                    .as_ref()
                    .is_some_and(|capture| capture.id == id)
                {
                    self.end_capture("a limit was reached", dropped);
                }
            }
            other => return Some(other),
        }
        None
    }

    /// What is wrong with the dataplane, the oldest first.
    pub(super) fn alarms(&self) -> Vec<tandem_admin::Alarm> {
        let shown = |alarm: &Alarm| tandem_admin::Alarm {
            kind: alarm.kind.as_str().to_owned(),
            subject: alarm.subject.clone(),
            text: alarm.text.clone(),
            since_ms: alarm.since_ms,
        };
        self.alarms.iter().map(shown).collect()
    }

    fn alarm(&mut self, alarm: Alarm) {
        let is_same = |known: &Alarm| (known.kind, &known.subject) == (alarm.kind, &alarm.subject);
        if !alarm.is_raised {
            self.alarms.retain(|known| !is_same(known));
            return tracing::info!("the dataplane's alarm is over: {}", alarm.text);
        }
        tracing::warn!("alarm of the dataplane: {}", alarm.text);
        match self.alarms.iter_mut().find(|known| is_same(known)) {
            Some(known) => *known = alarm,
            None => self.alarms.push(alarm),
        }
    }

    fn ask(&mut self, command: Command, open: Open) {
        self.next += 1;
        let seq = self.next | OURS;
        self.open.insert(seq, open);
        self.outbox.push_back((seq, command));
    }

    fn done(&mut self, seq: u64, result: Result<(), CommandError>, counters: &mut Counters) {
        let failed = |error: CommandError| Refusal::new(ErrorCode::Internal, error.to_string());
        match self.open.remove(&seq) {
            Some(Open::Flows { answer, flows }) => {
                let _ = answer.send(result.map(|()| flows).map_err(failed));
            }
            Some(Open::Counters { answer, counters }) => drop(answer.send(counters)),
            Some(Open::Capture { answer, started }) => {
                let id = started.id;
                if result.is_err() {
                    self.capture.take_if(|capture| capture.id == id);
                }
                if answer
                    .send(result.map(|()| started).map_err(failed))
                    .is_err()
                {
                    self.stop_capture(id);
                }
            }
            Some(Open::Police {
                address,
                answer,
                reports,
            }) => {
                let _ = answer.send(result.map(|()| police(address, &reports)).map_err(failed));
            }
            Some(Open::Ports { answer, ports }) => {
                let _ = answer.send(result.map(|()| ports).map_err(failed));
            }
            Some(Open::Proof { answer }) => drop(answer.send(result.map_err(failed))),
            Some(Open::Classes) => self.classes = Some(result),
            Some(Open::Blocked(sources)) => self.blocked = Some(sources),
            Some(Open::Told) if result.is_err() => counters.add(Count::BlocksNotInstalled),
            Some(Open::Stateless) => {
                if let Err(error) = result {
                    counters.add(Count::StatelessNotTaken);
                    tracing::error!("the dataplane does not relay SIP by itself: {error}");
                }
            }
            Some(Open::Told | Open::Stop) | None => {}
        }
    }

    fn captured(&mut self, id: u64, packet: CapturedPacket, counters: &mut Counters) {
        let Some(capture) = self.capture.as_mut().filter(|capture| capture.id == id) else {
            return;
        };
        match capture.packets.try_send(CaptureEvent::Packet(packet)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                capture.dropped += 1;
                counters.add(Count::CapturePacketsDropped);
            }
            Err(mpsc::error::TrySendError::Closed(_)) => self.stop_capture(id),
        }
    }

    fn end_capture(&mut self, reason: &str, dropped: u64) {
        if let Some(capture) = self.capture.take() {
            let dropped = capture.dropped + dropped;
            let end = CaptureEvent::End(CaptureEnd {
                dropped,
                reason: reason.into(),
            });
            // A full channel ends by being closed; its reader knows what that means.
            let _ = capture.packets.try_send(end);
        }
    }
}

/// What all workers say together: each of them has its own buckets, and all have the same sources.
fn police(address: Option<IpAddr>, reports: &[PoliceReport]) -> Police {
    let most = |of: fn(&PoliceReport) -> u32| reports.iter().map(of).max().unwrap_or(0);
    let sum = |of: fn(&PoliceReport) -> u32| reports.iter().map(|r| u64::from(of(r))).sum();
    let sources = || reports.iter().filter_map(|report| report.source);
    Police {
        workers: reports.len().try_into().unwrap_or(u32::MAX),
        complete: !reports.is_empty() && reports.iter().all(|report| report.complete),
        trusted: most(|r| r.trusted),
        networks: most(|r| r.networks),
        registered: most(|r| r.registered),
        max_registered: most(|r| r.most_registered),
        unknown: sum(|r| r.unknown),
        max_unknown: sum(|r| r.most_unknown),
        source: address
            .zip(sources().next())
            .map(|(address, first)| PolicedSource {
                source: address.to_string(),
                class: first.class.as_str().to_owned(),
                prefix: first.length,
                left_s: first.left_ms.map(|ms| ms.div_ceil(1_000)),
                blocked: sources().any(|source| source.blocked),
                credit: sources().filter_map(|source| source.credit).min(),
            }),
    }
}

fn busy() -> Refusal {
    Refusal::new(
        ErrorCode::Busy,
        "too many questions to the dataplane are open: ask again",
    )
}

fn capture_spec(
    id: u64,
    params: &CaptureParams,
    NamedCall { call_ids, flows }: NamedCall,
) -> CaptureSpec {
    let limit = |wanted: u64, most: u64| if wanted == 0 { most } else { wanted.min(most) };
    let small = |wanted: u32, most: u32| if wanted == 0 { most } else { wanted.min(most) };
    CaptureSpec {
        id,
        filter: CaptureFilter {
            flows: flows.into_iter().chain(params.flow.map(FlowId)).collect(),
            addresses: params.address.into_iter().collect(),
            call_ids,
        },
        snaplen: small(params.snaplen, MAX_SNAPLEN),
        max_packets: limit(params.max_packets, MAX_PACKETS),
        max_bytes: limit(params.max_bytes, MAX_BYTES),
        max_seconds: small(params.max_seconds, MAX_SECONDS),
    }
}
