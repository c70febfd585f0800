//! Whether all is well: workers that make no progress, ports without a link. The control thread looks in each of
//! its turns; nothing here is on a packet's way but a worker's store of its stamp.

mod alarms;
pub(crate) mod outlets;
mod ports;
pub(crate) mod pulse;
mod watchdog;

use std::sync::Arc;
use std::time::Duration;

use tandem_config::Config;
use tandem_link::AlarmKind;
use tracing::{error, warn};

use crate::counters::ControlCounters;
use crate::ports::StartedPort;
use alarms::Alarms;
use outlets::{Outlets, Refusals};
use ports::{PortWatch, Seen};
use pulse::{Phase, Pulse};
use watchdog::{Finding, Limits, Watchdog};

/// Between two looks at the workers at least, in nanoseconds.
const LOOK: u64 = 50_000_000;

/// Between two looks at the ports: some drivers read a register for it.
const PORT_LOOK: u64 = 200_000_000;

/// A worker, as its watcher knows it.
struct WatchedWorker {
    core: u16,
    pulse: Arc<Pulse>,
    refused: Refusals,
}

/// Who looks after everybody.
pub(crate) struct Health {
    pub(crate) alarms: Alarms,
    workers: Vec<WatchedWorker>,
    /// Names of the ports.
    ports: Vec<String>,
    watchdog: Watchdog,
    last_look: u64,
    last_port_look: u64,
    /// By port.
    watches: Vec<PortWatch>,
    outlets: Outlets,
    manager: Manager,
}

impl Health {
    /// `pulses` and `refusals` are the workers'.
    pub(crate) fn new(
        config: &Config,
        pulses: Vec<Arc<Pulse>>,
        outlets: Outlets,
        refusals: Vec<Refusals>,
    ) -> Self {
        let cores = config.dataplane.workers.iter().copied();
        let workers: Vec<_> = cores
            .zip(pulses)
            .zip(refusals)
            .map(|((core, pulse), refused)| WatchedWorker {
                core,
                pulse,
                refused,
            })
            .collect();
        let abort = config.dataplane.stuck_abort;
        let limits = Limits {
            report: nanoseconds(config.dataplane.stuck_report),
            abort: (!abort.is_zero()).then(|| nanoseconds(abort)),
        };
        Self {
            alarms: Alarms::default(),
            watchdog: Watchdog::new(limits, workers.len()),
            workers,
            ports: config.ports.iter().map(|port| port.name.clone()).collect(),
            last_look: 0,
            last_port_look: 0,
            watches: config.ports.iter().map(|_| PortWatch::default()).collect(),
            outlets,
            manager: Manager::new(),
        }
    }

    /// Looks at everybody, now and then. Answers whose link came or went: the port's index, and whether it came.
    pub(crate) fn look(
        &mut self,
        now: u64,
        ports: &[StartedPort],
        counters: &ControlCounters,
    ) -> Vec<(usize, bool)> {
        if now.saturating_sub(self.last_look) < LOOK {
            return Vec::new();
        }
        self.last_look = now;
        let stamps = self.workers.iter().map(|worker| worker.pulse.stamp());
        for finding in self.watchdog.look(now, stamps) {
            self.found(finding, counters);
        }
        if self.watchdog.all_move() {
            self.manager.all_is_well(now);
        }
        if now.saturating_sub(self.last_port_look) < PORT_LOOK {
            return Vec::new();
        }
        self.last_port_look = now;
        self.look_at_ports(now, ports, counters)
    }

    fn look_at_ports(
        &mut self,
        now: u64,
        ports: &[StartedPort],
        counters: &ControlCounters,
    ) -> Vec<(usize, bool)> {
        let mut changes = Vec::new();
        let all_move = self.watchdog.all_move();
        for (index, (port, watch)) in ports.iter().zip(&mut self.watches).enumerate() {
            let stats = port.port.stats().unwrap_or_default();
            let refused = self
                .workers
                .iter()
                .filter_map(|worker| worker.refused.since(index))
                .map(|since| now.saturating_sub(since));
            let seen = Seen {
                up: port.link_up(),
                received: stats.rx_packets,
                missed: stats.rx_missed,
                // A worker that is stuck takes nothing and gives nothing; that is said of it already.
                refused: refused.max().filter(|_| all_move).unwrap_or(0),
            };
            let name = &port.name;
            for finding in watch.look(now, seen) {
                let (kind, wrong, text) = match finding {
                    ports::Finding::Link { up } => {
                        self.outlets.set(index, up);
                        changes.push((index, up));
                        let text = match up {
                            true => format!("port {name} has a link again"),
                            false => format!("port {name} has no link"),
                        };
                        (AlarmKind::PortDown, !up, text)
                    }
                    ports::Finding::RxStalled => {
                        counters.queues_stalled.add(1);
                        let text =
                            format!("port {name} loses packets and gives none to the workers");
                        (AlarmKind::QueueStalled, true, text)
                    }
                    ports::Finding::TxStalled => {
                        counters.queues_stalled.add(1);
                        let text = format!("port {name} has a link but takes no packets");
                        (AlarmKind::QueueStalled, true, text)
                    }
                    ports::Finding::Flows => {
                        let text = format!("packets flow through port {name} again");
                        (AlarmKind::QueueStalled, false, text)
                    }
                };
                match wrong {
                    true => self.alarms.raise(kind, name, text),
                    false => self.alarms.clear(kind, name, text),
                }
            }
        }
        changes
    }

    /// How often each port's link has come and gone.
    pub(crate) fn link_changes(&self) -> impl Iterator<Item = u64> {
        self.watches.iter().map(PortWatch::changes)
    }

    fn found(&mut self, finding: Finding, counters: &ControlCounters) {
        match finding {
            Finding::Gap { ns } => {
                counters.control_gaps.add(1);
                warn!(
                    "the control thread did not run for {:.1} s: was the process stopped, or has the machine too much to do?",
                    seconds(ns)
                );
            }
            Finding::Stuck { worker, stamp, ns } => {
                counters.workers_stuck.add(1);
                let text = self.describe(worker, stamp, ns);
                self.alarms
                    .raise(AlarmKind::WorkerStuck, &worker.to_string(), text);
            }
            Finding::Moves { worker, ns } => {
                let text = format!("worker {worker} goes on after {:.1} s", seconds(ns));
                self.alarms
                    .clear(AlarmKind::WorkerStuck, &worker.to_string(), text);
            }
            Finding::Hopeless { worker, stamp, ns } => {
                error!(
                    "{}: the dataplane ends itself, to be started again (dataplane.stuck_abort)",
                    self.describe(worker, stamp, ns)
                );
                std::process::abort();
            }
        }
    }

    fn describe(&self, worker: usize, stamp: u64, ns: u64) -> String {
        let (core, state) = match self.workers.get(worker) {
            Some(watched) => (watched.core, watched.pulse.thread_state()),
            None => (0, String::new()),
        };
        format!(
            "worker {worker} on core {core} has made no progress for {:.1} s: it is {}, its thread is {state}",
            seconds(ns),
            Phase::of(stamp).describe(&self.ports)
        )
    }
}

/// The service manager's own watchdog (`WatchdogSec=`), fed while all is well: a control thread that is stuck itself, and
/// workers that stay stuck, end in a restart by the manager.
struct Manager {
    /// Between two words to it, in nanoseconds; none when it does not wait for any.
    every: Option<u64>,
    last: u64,
}

impl Manager {
    fn new() -> Self {
        // Three words in each interval, so that none has to be in time.
        let every = sd_notify::watchdog_enabled().map(|interval| nanoseconds(interval / 3));
        Self { every, last: 0 }
    }

    fn all_is_well(&mut self, now: u64) {
        if self
            .every
            .is_some_and(|every| now.saturating_sub(self.last) >= every)
        {
            self.last = now;
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}
