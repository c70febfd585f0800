//! Answers to the management API, from the core's views.

use std::collections::HashMap;

use tandem_admin::{
    Call, Counter, DirectionFigures, Flow, FlowLeg, PeerFigures, Plane, StreamFigures, Target,
};
use tandem_call::{CallView, TargetView};
use tandem_link::{
    DataplaneHello, DirectionStats, FlowKind, FlowReport, LegSpec, LegStats, PeerReport,
};
use tandem_policy::defence::Source;
use tandem_policy::quality::{self, Codec, Way};

use super::Worker;
use super::counters::Count;
use crate::ask::{Ask, NamedCall, Refusal, WorkerStatus};

impl Worker {
    /// Answers a question, or passes it on to the dataplane. Who asked may be gone by now.
    pub(super) fn ask(&mut self, ask: Ask) {
        let up = self.dataplane().is_some();
        match ask {
            Ask::Status(answer) => drop(answer.send(self.status())),
            Ask::Targets(answer) => drop(answer.send(self.targets())),
            Ask::SetState { id, state, answer } => {
                let now = self.clock.now();
                let done = self.core.set_target_state(now, id, state);
                self.carry_out();
                let _ = answer.send(done);
            }
            Ask::Order(order) => self.order(order),
            Ask::Histograms(answer) => {
                let all = self.core.histograms();
                let _ = answer.send(all.map(|(name, h)| (name, h.clone())).collect());
            }
            Ask::Statistics(answer) => {
                let own = self.own_counters();
                match self.head.as_mut().filter(|_| up) {
                    Some(head) => head.requests.counters(answer, own),
                    None => drop(answer.send(own)),
                }
            }
            Ask::Named { call_id, answer } => drop(answer.send(self.named(call_id.as_bytes()))),
            Ask::Flows(answer) => match self.head.as_mut().filter(|_| up) {
                Some(head) => head.requests.flows(answer),
                None => drop(answer.send(Err(Refusal::dataplane_down()))),
            },
            Ask::Capture {
                params,
                named,
                packets,
                answer,
            } => match self.head.as_mut().filter(|_| up) {
                Some(head) => head.requests.start_capture(&params, named, packets, answer),
                None => drop(answer.send(Err(Refusal::dataplane_down()))),
            },
            Ask::Alarms(answer) => {
                let alarms = self.head.as_ref().map_or_else(Vec::new, |head| match up {
                    true => head.requests.alarms(),
                    false => vec![dataplane_down(head.down_since_ms)],
                });
                let _ = answer.send(alarms);
            }
            Ask::Blocked(answer) => drop(answer.send(self.blocked())),
            Ask::Block { params, answer } => drop(answer.send(self.block_source(&params))),
            Ask::Unblock { address, answer } => {
                let _ = answer.send(self.unblock_source(Source::of(address)));
            }
            Ask::Ports(answer) => match self.head.as_mut().filter(|_| up) {
                Some(head) => head.requests.ports(answer),
                None => drop(answer.send(Err(Refusal::dataplane_down()))),
            },
            Ask::Police { address, answer } => match self.head.as_mut().filter(|_| up) {
                Some(head) => head.requests.police(address, answer),
                None => drop(answer.send(Err(Refusal::dataplane_down()))),
            },
            Ask::Prove(answer) => match self.head.as_mut().filter(|_| up) {
                Some(head) => head.requests.prove(answer),
                None => drop(answer.send(Err(Refusal::dataplane_down()))),
            },
            Ask::StopCapture(id) => {
                if let Some(head) = &mut self.head {
                    head.requests.stop_capture(id);
                }
            }
        }
        self.send_requests();
    }

    /// Sends the shell's own commands.
    pub(super) fn send_requests(&mut self) {
        let Some(head) = &mut self.head else { return };
        while let Some((seq, command)) = head.requests.command() {
            // Without a session its end is on the way, and with it the answers.
            head.link.command(seq, command);
        }
    }

    /// What the dataplane said of itself, while there is a session: the first worker knows.
    fn dataplane(&self) -> Option<&DataplaneHello> {
        self.head.as_ref()?.link.hello()
    }

    /// Each side may know the call by a Call-ID of its own.
    fn named(&mut self, call_id: &[u8]) -> NamedCall {
        let call_ids = self.core.call_ids(call_id);
        let keys = self.core.calls_named(call_id, None, None);
        let calls = keys.into_iter().filter_map(|key| self.core.call(key));
        let flows = calls.flat_map(|call| call.flows).collect();
        NamedCall { call_ids, flows }
    }

    fn status(&mut self) -> WorkerStatus {
        let mut status = WorkerStatus {
            dataplane: self
                .dataplane()
                .map(|hello| (hello.boot, hello.epoch, hello.workers)),
            messages: self.counters.messages(),
            passed_on: self.counters.value(Count::ReceivedFromWorker),
            ..WorkerStatus::default()
        };
        if self.head.is_some() {
            let mut journal = self.journal.lock();
            status.cdrs_pending = journal.pending_cdrs() as u64;
            status.journal_sequence = journal.last_sequence();
        }
        let counts = self.call_counts();
        status.calls = counts.all;
        status.confirmed_calls = counts.ongoing;
        status.flows = self.core.flows();
        for target in self.core.dispatcher() {
            status.targets += 1;
            status.targets_active += u64::from(target.state == "active");
        }
        status
    }

    fn targets(&self) -> Vec<Target> {
        let rows = self.tables.iter().flat_map(|tables| &tables.dispatcher);
        let descriptions: HashMap<i64, &str> =
            rows.map(|row| (row.id, row.description.as_str())).collect();
        let description = |id| {
            descriptions
                .get(&id)
                .copied()
                .unwrap_or_default()
                .to_owned()
        };
        self.core
            .dispatcher()
            .map(|view| {
                let description = description(view.id);
                target(view, description)
            })
            .collect()
    }

    fn own_counters(&self) -> Vec<Counter> {
        let mut gauges = Vec::new();
        // What there is one of is said by the first.
        if self.head.is_some() {
            let journal = self.journal.lock();
            let (size, live) = journal.size();
            gauges.extend([
                ("journal_bytes", size),
                ("journal_live_bytes", live),
                ("journal_sync_failures", journal.sync_failures()),
                ("journal_sound", u64::from(journal.is_sound())),
            ]);
            let change = self.head.iter();
            gauges.extend(change.flat_map(|head| head.change.counters()));
            let streams = self.streams.iter();
            gauges.extend(streams.flat_map(crate::streams::Handle::counters));
            gauges.extend(self.head.iter().flat_map(|head| head.http.counters()));
            gauges.extend(self.head.iter().flat_map(|head| head.freeswitch.iter()));
        }
        if let Some((_, rings)) = &self.session {
            gauges.push(("net_ring_corrupt", rings.corrupt()));
            gauges.push((
                "net_ring_dropped_by_dataplane",
                rings.dropped_by_dataplane(),
            ));
        }
        let counters = self
            .core
            .counters()
            .chain(self.counters.iter())
            .chain(gauges);
        let counter = |(name, value): (&str, u64)| Counter {
            plane: Plane::Signaling,
            name: name.to_owned(),
            value,
        };
        counters.map(counter).collect()
    }
}

fn dataplane_down(since_ms: u64) -> tandem_admin::Alarm {
    tandem_admin::Alarm {
        kind: "dataplane_down".into(),
        subject: "dataplane".into(),
        text: "the dataplane is not connected, so no call can be set up: `systemctl status tandem-dataplane`, and its log says why".into(),
        since_ms,
    }
}

fn target(view: TargetView, description: String) -> Target {
    let attributes = view.attributes;
    let weight = match view.algorithm.as_str() {
        "relative-weight" => attributes.relative_weight,
        _ => attributes.weight,
    };
    Target {
        id: view.id,
        set: view.set,
        uri: view.destination,
        addresses: view.addresses.iter().map(ToString::to_string).collect(),
        state: view.state.to_owned(),
        algorithm: view.algorithm,
        weight,
        max_load: attributes.max_load,
        duid: attributes.duid,
        priority: view.priority,
        calls: view.calls,
        live_asked: false,
        live_calls: None,
        live_channels: None,
        failures: view.failures,
        timeouts: view.timeouts,
        latency_last_us: view.latency_last_us,
        latency_mean_us: view.latency_mean_us,
        latency_max_us: view.latency_max_us,
        description,
    }
}

pub(super) fn call(view: CallView) -> Call {
    Call {
        key: view.key,
        call_id: view.call_id,
        from_uri: view.from_uri,
        to_uri: view.to_uri,
        direction: view.direction.to_owned(),
        state: view.state.as_str().to_owned(),
        source: view.source.to_string(),
        target: view.target,
        start_ms: view.start_ms,
        answer_ms: view.answer_ms,
        flows: view.flows.into_iter().map(|flow| flow.0).collect(),
    }
}

/// A flow pair for people and programs.
pub(super) fn flow(report: &FlowReport) -> Flow {
    Flow {
        id: report.spec.id.0,
        call: report.spec.cookie.0,
        kind: match report.spec.kind {
            FlowKind::Rtp => "rtp",
            FlowKind::Raw => "raw",
            FlowKind::Srtp => "srtp",
        }
        .to_owned(),
        worker: report.worker,
        idle: report.idle,
        a: leg(&report.spec.a, &report.a),
        b: leg(&report.spec.b, &report.b),
    }
}

fn leg(spec: &LegSpec, stats: &LegStats) -> FlowLeg {
    FlowLeg {
        local: (spec.local, spec.port).into(),
        remote: spec.remote,
        latched: stats.latched,
        rtp: figures(&stats.rtp),
        rtcp: figures(&stats.rtcp),
        stream: stream(stats),
        report: (stats.report.reports > 0).then(|| peer(&stats.report)),
        score: score(stats),
    }
}

/// How what came sounds, by the payload types that RFC 3551 fixes: the flow knows no other codecs' names.
fn score(stats: &LegStats) -> Option<u16> {
    let encoding = match stats.rtp.payload_type? {
        0 => "PCMU/8000",
        3 => "GSM/8000",
        4 => "G723/8000",
        8 => "PCMA/8000",
        15 => "G728/8000",
        18 => "G729/8000",
        _ => return None,
    };
    let codec = Codec::of(encoding).filter(|_| stats.rtp.packets > 0)?;
    let round_trip = (stats.report.round_trips > 0).then_some(stats.report.round_trip_us);
    let jitter_ms = stream(stats).jitter_us as f64 / 1_000.0;
    let path_ms = quality::path_ms(round_trip);
    let way = Way::counted(codec, stats.rtp.packets, stats.rtp.lost, jitter_ms, path_ms);
    Some((quality::opinion(quality::rating(codec, way)) * 100.0).round() as u16)
}

fn stream(stats: &LegStats) -> StreamFigures {
    let (stream, rtp) = (&stats.stream, &stats.rtp);
    StreamFigures {
        ssrc: stream.ssrc,
        ssrc_changes: stream.ssrc_changes,
        ssrc_returns: stream.ssrc_returns,
        payload_type: rtp.payload_type,
        payload_type_changes: stream.payload_type_changes,
        jitter_us: u64::from(rtp.jitter) * 1_000_000 / u64::from(rtp.clock_rate.max(1)),
        events: stream.events,
        policed: stream.policed,
    }
}

fn peer(report: &PeerReport) -> PeerFigures {
    let measured = |us: u32| (report.round_trips > 0).then_some(us);
    PeerFigures {
        reports: report.reports,
        fraction_lost: report.fraction_lost,
        worst_fraction_lost: report.worst_fraction_lost,
        lost: report.lost,
        jitter_us: report.jitter_us,
        worst_jitter_us: report.worst_jitter_us,
        round_trip_us: measured(report.round_trip_us),
        worst_round_trip_us: measured(report.worst_round_trip_us),
    }
}

const fn figures(stats: &DirectionStats) -> DirectionFigures {
    DirectionFigures {
        packets: stats.packets,
        bytes: stats.bytes,
        lost: stats.lost,
        reordered: stats.reordered,
        jitter: stats.jitter,
        wrong_source: stats.wrong_source,
        last_seen_ms: stats.last_seen_ms,
    }
}
