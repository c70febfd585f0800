//! Whether all is well: workers that make no progress, ports without a link. The control thread looks in each of
//! its turns; nothing here is on a packet's way but a worker's store of its stamp.

mod alarms;
mod backoff;
pub(crate) mod outlets;
mod ports;
pub(crate) mod pulse;
pub(crate) mod recovery;
mod watchdog;

use std::sync::Arc;
use std::time::Duration;

use tandem_config::Config;
use tandem_dpdk::Port;
use tandem_link::{AlarmKind, PortState};
use tracing::{debug, error, info, warn};

use crate::counters::ControlCounters;
use crate::ports::StartedPort;
use crate::report::ports::Watched;
use alarms::Alarms;
use outlets::{Outlets, Refusals};
use ports::{PortWatch, Seen};
use pulse::{Phase, Pulse};
use recovery::{Outcome, Recovery};
use watchdog::{Finding, Limits, Watchdog};

/// Between two looks at the workers at least, in nanoseconds.
const LOOK: u64 = 50_000_000;

/// Between two looks at the ports: some drivers read a register for it.
const PORT_LOOK: u64 = 200_000_000;

/// A port that has stalled for so long is restarted, unless something else is configured.
const STALL_RESTART: u64 = 3_000_000_000;

/// A client of shared memory that has had no link for so long connects anew.
const RECONNECT: u64 = 1_000_000_000;

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
    pub(crate) recovery: Recovery,
    restarts: RestartAfter,
    manager: Manager,
}

impl Health {
    /// `pulses` and `refusals` are the workers'.
    pub(crate) fn new(
        config: &Config,
        pulses: Vec<Arc<Pulse>>,
        outlets: Outlets,
        refusals: Vec<Refusals>,
        recovery: Recovery,
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
            recovery,
            restarts: RestartAfter(config.dataplane.stall_restart),
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
        self.recover(now, ports, counters);
        if now.saturating_sub(self.last_port_look) < PORT_LOOK {
            return Vec::new();
        }
        self.last_port_look = now;
        self.look_at_ports(now, ports, counters)
    }

    /// A port says that its link has changed: the next look is at the ports, too.
    pub(crate) fn link_event(&mut self) {
        self.last_look = 0;
        self.last_port_look = 0;
    }

    /// Goes on with the ports that are being restarted.
    fn recover(&mut self, now: u64, ports: &[StartedPort], counters: &ControlCounters) {
        self.recovery.go_on(now);
        for (index, outcome) in self.recovery.outcomes() {
            let (Some(port), Some(watch)) = (ports.get(index), self.watches.get_mut(index)) else {
                continue;
            };
            let name = &port.name;
            let text = match outcome {
                Outcome::Restarted { took } => {
                    counters.ports_restarted.add(1);
                    watch.restarted(now);
                    let ms = took as f64 / 1e6;
                    info!("port {name} was stopped and started in {ms:.1} ms");
                    continue;
                }
                Outcome::Failed { again_in, error } => format!(
                    "port {name} was stopped and could not be started: {error}; it is tried again in {:.0} s",
                    seconds(again_in)
                ),
                Outcome::Kept { worker } => format!(
                    "port {name} has stalled and cannot be restarted: worker {worker} does not give its queues back"
                ),
            };
            counters.port_restarts_failed.add(1);
            // A client whose server is not there has the alarm of its link.
            match watch.is_stalled() {
                true => self.alarms.raise(AlarmKind::QueueStalled, name, text),
                false => debug!("{text}"),
            }
        }
        for (index, port) in ports.iter().enumerate() {
            if let Some(watch) = self.watches.get(index) {
                let is_lost = port.port.is_client() && watch.down_for(now) >= Some(RECONNECT);
                let after = self.restarts.of(&port.port).ok();
                let stalls = after.is_some_and(|after| watch.stalled_for(now) >= Some(after));
                if is_lost || stalls {
                    self.recovery.wanted(now, index);
                }
            }
            port.is_untouchable.set(self.recovery.is_untouchable(index));
        }
    }

    /// What is done about a queue that has stalled, for people.
    fn remedy(&self, port: &StartedPort) -> String {
        match self.restarts.of(&port.port) {
            Ok(after) => format!("it is restarted in {:.0} s", seconds(after)),
            Err(why) => format!("it is not restarted, since {why}"),
        }
    }

    fn look_at_ports(
        &mut self,
        now: u64,
        ports: &[StartedPort],
        counters: &ControlCounters,
    ) -> Vec<(usize, bool)> {
        let mut changes = Vec::new();
        let all_move = self.watchdog.all_move();
        for (index, port) in ports.iter().enumerate() {
            if self.recovery.is_busy(index) {
                continue;
            }
            let stats = port.stats();
            let refused = self
                .workers
                .iter()
                .filter_map(|worker| worker.refused.since(index))
                .map(|since| now.saturating_sub(since));
            let seen = Seen {
                up: port.link_up(),
                received: stats.rx_packets,
                missed: stats.rx_missed,
                sent: stats.tx_packets,
                // A worker that is stuck takes nothing and gives nothing; that is said of it already.
                refused: refused.max().filter(|_| all_move).unwrap_or(0),
            };
            let name = &port.name;
            let found = self
                .watches
                .get_mut(index)
                .map(|watch| watch.look(now, seen));
            for finding in found.into_iter().flatten() {
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
                        let text = format!(
                            "port {name} loses packets and gives none to the workers: {}",
                            self.remedy(port)
                        );
                        (AlarmKind::QueueStalled, true, text)
                    }
                    ports::Finding::TxStalled => {
                        counters.queues_stalled.add(1);
                        let text = format!(
                            "port {name} has a link but takes no packets: {}",
                            self.remedy(port)
                        );
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

    /// What is known of a port.
    pub(crate) fn port(&self, index: usize) -> Watched {
        let watch = self.watches.get(index);
        let is_stalled = watch.is_some_and(PortWatch::is_stalled);
        let (restarts, restarts_failed) = self.recovery.counts(index);
        Watched {
            link_changes: watch.map_or(0, PortWatch::changes),
            state: match is_stalled {
                _ if self.recovery.is_busy(index) => PortState::Restarting,
                true => PortState::Stalled,
                false => PortState::Running,
            },
            restarts,
            restarts_failed,
        }
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

/// When a port that has stalled is restarted: as it is configured, else as its driver is.
struct RestartAfter(Option<Duration>);

impl RestartAfter {
    /// After so many nanoseconds; or why never.
    fn of(&self, port: &Port) -> Result<u64, &'static str> {
        match self.0 {
            _ if !port.can_restart() => {
                Err("its driver could not start it again: restart the dataplane if it stays so")
            }
            None if port.waits_for_a_process() => {
                Err("its other end is a process that does not read (dataplane.stall_restart)")
            }
            Some(Duration::ZERO) => Err("that is switched off (dataplane.stall_restart)"),
            Some(after) => Ok(nanoseconds(after)),
            None => Ok(STALL_RESTART),
        }
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
