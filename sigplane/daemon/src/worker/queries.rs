//! Answers to the management API, from the core's views.

use std::collections::HashMap;

use tandem_admin::{Call, Counter, DirectionFigures, Flow, FlowLeg, Plane, Target};
use tandem_call::{CallState, CallView, TargetView};
use tandem_link::{DirectionStats, FlowKind, FlowReport, LegSpec, LegStats};
use tandem_policy::defence::Source;

use super::Worker;
use crate::ask::{Ask, Refusal, WorkerStatus};

impl Worker {
    /// Answers a question, or passes it on to the dataplane. Who asked may be gone by now.
    pub(super) fn ask(&mut self, ask: Ask) {
        let up = self.link.hello().is_some();
        match ask {
            Ask::Status(answer) => drop(answer.send(self.status())),
            Ask::Targets(answer) => drop(answer.send(self.targets())),
            Ask::Calls(answer) => drop(answer.send(self.core.calls().map(call).collect())),
            Ask::Statistics(answer) if up => self.requests.counters(answer, self.own_counters()),
            Ask::Statistics(answer) => drop(answer.send(self.own_counters())),
            Ask::Flows(answer) if up => self.requests.flows(answer),
            Ask::Flows(answer) => drop(answer.send(Err(Refusal::dataplane_down()))),
            Ask::Capture {
                params,
                packets,
                answer,
            } if up => {
                // Each side may know the call by a Call-ID of its own.
                let named = params.call_id.as_ref();
                let call_ids = named.map_or_else(Vec::new, |n| self.core.call_ids(n.as_bytes()));
                let of_call = |id: &str| call_ids.iter().any(|c| c == id.as_bytes());
                let calls = self.core.calls().filter(|call| of_call(&call.call_id));
                let flows = calls.flat_map(|call| call.flows).collect();
                self.requests
                    .start_capture(&params, call_ids, flows, packets, answer);
            }
            Ask::Capture { answer, .. } => drop(answer.send(Err(Refusal::dataplane_down()))),
            Ask::Blocked(answer) => drop(answer.send(self.blocked())),
            Ask::Block { params, answer } => drop(answer.send(self.block_source(&params))),
            Ask::Unblock { address, answer } => {
                let _ = answer.send(self.unblock_source(Source::of(address)));
            }
            Ask::StopCapture(id) => self.requests.stop_capture(id),
        }
        self.send_requests();
    }

    /// Sends the shell's own commands.
    pub(super) fn send_requests(&mut self) {
        while let Some((seq, command)) = self.requests.command() {
            // Without a session its end is on the way, and with it the answers.
            self.link.command(seq, command);
        }
    }

    fn status(&mut self) -> WorkerStatus {
        let mut status = WorkerStatus {
            dataplane: self
                .link
                .hello()
                .map(|hello| (hello.boot, hello.epoch, hello.workers)),
            cdrs_pending: self.journal.pending_cdrs() as u64,
            journal_sequence: self.journal.last_sequence(),
            ..WorkerStatus::default()
        };
        for call in self.core.calls() {
            status.calls += 1;
            status.confirmed_calls += u64::from(call.state == CallState::Confirmed);
            status.flows += call.flows.len() as u64;
        }
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
        let (journal, live) = self.journal.size();
        let mut gauges = vec![
            ("journal_bytes", journal),
            ("journal_live_bytes", live),
            ("journal_sync_failures", self.journal.sync_failures()),
            ("journal_sound", u64::from(self.journal.is_sound())),
        ];
        if let Some(rings) = self.link.rings() {
            gauges.push(("net_ring_corrupt", rings.corrupt()));
            gauges.push((
                "net_ring_dropped_by_dataplane",
                rings.dropped_by_dataplane(),
            ));
        }
        gauges.extend(
            self.streams
                .iter()
                .flat_map(crate::streams::Handle::counters),
        );
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

fn target(view: TargetView, description: String) -> Target {
    Target {
        set: view.set,
        uri: view.destination,
        addresses: view.addresses.iter().map(ToString::to_string).collect(),
        state: view.state.to_owned(),
        priority: view.priority,
        calls: view.calls,
        failures: view.failures,
        timeouts: view.timeouts,
        latency_last_us: view.latency_last_us,
        latency_mean_us: view.latency_mean_us,
        latency_max_us: view.latency_max_us,
        description,
    }
}

fn call(view: CallView) -> Call {
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
