//! The other plane: commands, their ends, reports and events; and getting in step again after
//! either plane was away.

use std::collections::HashSet;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tandem_link::{
    Command, CommandError, DataplaneHello, Event, FlowId, FlowReport, FlowSpec, FromDataplane, Leg,
};
use tandem_policy::EndCause;

use super::Core;
use crate::counters::Counter;
use crate::io::{Now, Output, Path};
use crate::media::Session;

/// How often a command is tried when the dataplane is overloaded.
const TRIES: u8 = 5;

/// The session with the dataplane.
#[derive(Debug, Default)]
pub(super) struct Link {
    up: bool,
    /// The list of flows has been compared with the calls: ports that we think free are free.
    in_step: bool,
    seq: u64,
    listing: Option<Listing>,
    pending: FxHashMap<u64, Pending>,
}

/// The answer to `ListFlows`, as it comes in.
#[derive(Debug)]
struct Listing {
    seq: u64,
    reports: Vec<FlowReport>,
}

/// A command without its `Done` yet.
#[derive(Debug)]
struct Pending {
    /// None for a flow that no call has.
    call: Option<u64>,
    command: Command,
    tries: u8,
}

impl Link {
    /// Whether calls can be carried.
    pub(super) const fn is_ready(&self) -> bool {
        self.up && self.in_step
    }

    /// Commands without their answers.
    pub(super) fn unanswered(&self) -> usize {
        self.pending.len() + usize::from(self.listing.is_some())
    }
}

/// How long a life may wait for its first session with the dataplane. What comes meanwhile by datagram comes again, after 500 ms and
/// after 1.5 s (RFC 3261 section 17.1.1.2).
const GRACE: Duration = Duration::from_secs(2);

/// The first moments of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ComingUp {
    /// Nothing came yet.
    Unborn,
    /// No session until now; time is given until then.
    Until(Duration),
    /// There was one, and the planes are in step.
    Over,
}

impl ComingUp {
    /// Something came.
    pub(super) fn begin(&mut self, now: Duration) {
        if *self == Self::Unborn {
            *self = Self::Until(now + GRACE);
        }
    }
}

impl Core {
    /// Whether a call had better come again than be refused, since the dataplane is not there yet.
    pub(super) fn leave_for_later(&mut self, now: Now, path: Path) -> bool {
        let is_early = matches!(self.coming_up, ComingUp::Until(end) if now.mono < end);
        let later = is_early && !matches!(path, Path::Stream(_));
        if later {
            self.counters.add(Counter::CallsLeftForLater);
        }
        later
    }

    pub(super) fn dataplane_up(&mut self, now: Now, hello: &DataplaneHello) {
        if self.config.share.worker == 0 {
            self.counters.add(Counter::DataplaneSessions);
        }
        self.finish_awaiting(now);
        self.ports.set_slots(hello.slots.clone());
        self.link = Link {
            up: true,
            ..Link::default()
        };
        let seq = self.submit(Command::ListFlows);
        self.link.listing = Some(Listing {
            seq,
            reports: Vec::new(),
        });
    }

    pub(super) fn dataplane_down(&mut self, now: Now) {
        self.link = Link::default();
        self.finish_awaiting(now);
    }

    /// The last figures of calls that have ended will not come any more.
    fn finish_awaiting(&mut self, now: Now) {
        self.forget_lapsed_commands();
        let keys: Vec<u64> = self
            .calls
            .open()
            .filter(|(_, c)| c.record.ending.is_some())
            .map(|(key, _)| key)
            .collect();
        for key in keys {
            self.reports_missing(now, key);
        }
    }

    /// Gives the dataplane a command of a call's. Without a session it is dropped: the next one
    /// begins with a comparison of all flows.
    pub(super) fn command_for_call(&mut self, key: u64, command: Command) {
        self.try_command(Some(key), command, 1);
    }

    /// The same, for a try. Returns the command's number, if it was given.
    pub(super) fn try_command(
        &mut self,
        call: Option<u64>,
        command: Command,
        tries: u8,
    ) -> Option<u64> {
        if !self.link.up {
            return None;
        }
        let removes = matches!(command, Command::RemoveFlow { .. });
        let seq = self.submit(command.clone());
        self.link.pending.insert(
            seq,
            Pending {
                call,
                command,
                tries,
            },
        );
        if removes
            && let Some(call) = call.and_then(|key| self.calls.get_mut(&key))
            && call.record.ending.is_some()
        {
            call.awaiting.insert(seq);
        }
        Some(seq)
    }

    fn submit(&mut self, command: Command) -> u64 {
        self.link.seq += 1;
        self.outputs.push_back(Output::Command {
            seq: self.link.seq,
            command,
        });
        self.link.seq
    }

    pub(super) fn dataplane_message(&mut self, now: Now, message: FromDataplane) {
        match message {
            FromDataplane::Flow { seq, report } => self.flow_report(seq, report),
            FromDataplane::Done { seq, result } => self.done(now, seq, result),
            FromDataplane::Event(event) => self.event(now, &event),
            // The shell's business.
            FromDataplane::Welcome(_)
            | FromDataplane::Refused(_)
            | FromDataplane::Counters { .. }
            | FromDataplane::Blocked { .. }
            | FromDataplane::Police { .. }
            | FromDataplane::Port { .. } => {}
        }
    }

    fn flow_report(&mut self, seq: u64, report: FlowReport) {
        if let Some(listing) = self.link.listing.as_mut().filter(|l| l.seq == seq) {
            return listing.reports.push(report);
        }
        let call = self.link.pending.get(&seq).and_then(|p| {
            p.call.filter(
                |_| matches!(p.command, Command::RemoveFlow { flow, .. } if flow == report.spec.id),
            )
        });
        if let Some(key) = call {
            self.add_report(key, &report);
            self.add_lapsed_report(key, &report);
        }
    }

    fn done(&mut self, now: Now, seq: u64, result: Result<(), CommandError>) {
        if let Some(listing) = self.link.listing.take_if(|l| l.seq == seq) {
            return self.reconcile(now, result, listing.reports);
        }
        let Some(pending) = self.link.pending.remove(&seq) else {
            return;
        };
        match result {
            Err(CommandError::Overloaded) if pending.tries < TRIES => {
                self.counters.add(Counter::CommandsRepeated);
                self.try_command(pending.call, pending.command, pending.tries + 1);
            }
            Ok(()) | Err(CommandError::NoSuchFlow) => {}
            Err(_) => {
                self.counters.add(Counter::CommandsFailed);
                if let (Some(key), Command::PutFlow(_)) = (pending.call, &pending.command)
                    && self
                        .calls
                        .get(&key)
                        .is_some_and(|c| c.record.ending.is_none())
                {
                    self.counters.add(Counter::CallsMediaFailed);
                    self.hang_up(now, key, EndCause::Local);
                }
            }
        }
        let Some(key) = pending.call else { return };
        if let Some(call) = self.calls.get_mut(&key)
            && call.awaiting.remove(&seq)
            && call.awaiting.is_empty()
        {
            self.finish(now, key);
        }
        self.lapsed_done(now, key, seq);
    }

    /// Compares the dataplane's flows with the calls': what no call has is removed, what a call
    /// has and the dataplane lacks is installed.
    fn reconcile(&mut self, now: Now, result: Result<(), CommandError>, reports: Vec<FlowReport>) {
        if result.is_err() {
            // Overloaded: asked again, until then no call is taken.
            let seq = self.submit(Command::ListFlows);
            self.link.listing = Some(Listing {
                seq,
                reports: Vec::new(),
            });
            return;
        }
        let mut present: HashSet<FlowId> = HashSet::new();
        let mut idle = HashSet::new();
        for report in &reports {
            let key = report.spec.cookie.0;
            let wanted = self.flow_of_call(key, report.spec.id);
            let Some(wanted) = wanted else {
                self.counters.add(Counter::FlowsOrphaned);
                if !self.remove_lapsed_flow(key, report) {
                    self.try_command(None, Command::remove(&report.spec), 1);
                }
                continue;
            };
            self.take_over(key, report);
            if report.idle {
                self.with_media(key, |session, _| session.timed_out(report.spec.id));
                idle.insert(key);
            }
            if comparable(&wanted) == comparable(&report.spec) {
                present.insert(report.spec.id);
            }
        }
        let missing: Vec<(u64, FlowSpec)> = self
            .calls
            .map(|key, call| {
                let media = call.record.media.as_ref();
                let media = media.filter(|_| call.record.ending.is_none());
                (key, media.map(Session::flows).unwrap_or_default())
            })
            .flat_map(|(key, flows)| flows.into_iter().map(move |flow| (key, flow)))
            .filter(|(_, flow)| !present.contains(&flow.id))
            .collect();
        for (key, flow) in missing {
            self.counters.add(Counter::FlowsReinstalled);
            self.note_lost_figures(key);
            self.command_for_call(key, Command::PutFlow(flow));
        }
        self.link.in_step = true;
        self.coming_up = ComingUp::Over;
        self.settle_lapses(now);
        for key in idle {
            self.check_idle(now, key);
        }
    }

    /// What a live call wants this flow to be.
    fn flow_of_call(&self, key: u64, id: FlowId) -> Option<FlowSpec> {
        let call = self.calls.get(&key).filter(|c| c.record.ending.is_none())?;
        call.record
            .media
            .as_ref()?
            .flows()
            .into_iter()
            .find(|f| f.id == id)
    }

    /// Takes over the sources that the dataplane learned while we were away.
    fn take_over(&mut self, key: u64, report: &FlowReport) {
        let (flow, cookie) = (report.spec.id, report.spec.cookie);
        for (leg, stats) in [(Leg::A, &report.a), (Leg::B, &report.b)] {
            for (rtcp, source) in [(false, stats.latched), (true, stats.latched_rtcp)] {
                if let Some(source) = source {
                    let event = Event::Latched {
                        flow,
                        cookie,
                        leg,
                        rtcp,
                        source,
                    };
                    self.with_media(key, |session, _| session.latched(&event));
                }
            }
        }
        self.journal(key);
    }

    fn event(&mut self, now: Now, event: &Event) {
        match event {
            Event::MediaTimeout { flow, cookie } => {
                self.with_media(cookie.0, |session, _| session.timed_out(*flow));
                self.check_idle(now, cookie.0);
            }
            Event::MediaResumed { flow, cookie } => {
                self.with_media(cookie.0, |session, _| session.resumed(*flow));
            }
            Event::Latched { cookie, .. } => {
                let live = self
                    .calls
                    .get(&cookie.0)
                    .is_some_and(|c| c.record.ending.is_none());
                if live {
                    self.with_media(cookie.0, |session, _| session.latched(event));
                    self.journal(cookie.0);
                }
            }
            Event::Flooded { cookie, .. } => {
                if self.calls.get(&cookie.0).is_some() {
                    self.counters.add(Counter::CallsMediaFlooded);
                }
            }
            // The management API's business.
            Event::Captured { .. } | Event::CaptureEnded { .. } | Event::Alarm(_) => {}
        }
    }

    /// Ends a call without media.
    fn check_idle(&mut self, now: Now, key: u64) {
        let idle = self
            .calls
            .get(&key)
            .and_then(|c| c.record.media.as_ref())
            .is_some_and(Session::all_idle);
        if idle {
            self.hang_up(now, key, EndCause::MediaTimeout);
        }
    }
}

/// A flow without its hints, which do not make it another one.
fn comparable(flow: &FlowSpec) -> FlowSpec {
    let mut flow = flow.clone();
    for leg in [&mut flow.a, &mut flow.b] {
        leg.latched = None;
        leg.latched_rtcp = None;
    }
    flow
}
