//! Ports whose queues have stalled are stopped and started.
//!
//! A port's queues are with its workers. They give them back between two bursts; once all are here, a thread of its own
//! restarts the port; then each goes back to its worker. A worker that does not answer keeps the port as it is.

use std::collections::VecDeque;
use std::sync::Arc;

use tandem_dpdk::{Error, Port};

use super::backoff::Backoff;
use crate::message::{Queues, ToWorker};
use crate::restarter::{Done, Job, Restarter};

/// How long workers have to give their queues back, in nanoseconds.
const GIVE_BACK: u64 = 2_000_000_000;

/// What became of a restart.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The queues are on their way back.
    Restarted { took: u64 },
    /// The driver failed. The queues stay here, until it is tried again after so many nanoseconds.
    Failed { error: Error, again_in: u64 },
    /// This worker did not give its queues back: the others have theirs again.
    Kept { worker: usize },
}

/// All ports.
pub(crate) struct Recovery {
    /// By port.
    ports: Vec<One>,
    restarter: Restarter,
    /// To the workers.
    orders: VecDeque<(usize, ToWorker)>,
    outcomes: Vec<(usize, Outcome)>,
}

/// One port.
struct One {
    port: Arc<Port>,
    /// Who has queues of it.
    workers: Vec<usize>,
    backoff: Backoff,
    step: Step,
    restarts: u64,
    failed: u64,
}

enum Step {
    /// The workers have the queues.
    Idle,
    /// They are asked for them, since then.
    Gathering {
        since: u64,
        queues: Vec<(usize, Queues)>,
    },
    /// The thread has them.
    Restarting,
    /// They are here, since the port could not be started.
    Held { queues: Vec<(usize, Queues)> },
}

impl Recovery {
    /// Of these ports, each with its workers.
    pub(crate) fn new(
        ports: impl Iterator<Item = (Arc<Port>, Vec<usize>)>,
        restarter: Restarter,
    ) -> Self {
        let one = |(port, workers)| One {
            port,
            workers,
            backoff: Backoff::default(),
            step: Step::Idle,
            restarts: 0,
            failed: 0,
        };
        Self {
            ports: ports.map(one).collect(),
            restarter,
            orders: VecDeque::new(),
            outcomes: Vec::new(),
        }
    }

    /// Whether the port is being restarted, or its queues are away for it.
    pub(crate) fn is_busy(&self, index: usize) -> bool {
        let one = self.ports.get(index);
        one.is_some_and(|one| !matches!(one.step, Step::Idle))
    }

    /// Whether the driver may be at work on it: it must not be asked for anything.
    pub(crate) fn is_untouchable(&self, index: usize) -> bool {
        let one = self.ports.get(index);
        one.is_some_and(|one| matches!(one.step, Step::Restarting))
    }

    /// Restarts, and those that failed.
    pub(crate) fn counts(&self, index: usize) -> (u64, u64) {
        let one = self.ports.get(index);
        one.map_or((0, 0), |one| (one.restarts, one.failed))
    }

    /// A port needs a restart: it begins, unless one is going on or the last one was not long ago.
    pub(crate) fn wanted(&mut self, now: u64, index: usize) {
        let Some(one) = self.ports.get_mut(index) else {
            return;
        };
        if !matches!(one.step, Step::Idle) || !one.backoff.may(now) {
            return;
        }
        one.backoff.begin(now);
        one.step = Step::Gathering {
            since: now,
            queues: Vec::new(),
        };
        let port = u16::try_from(index).unwrap_or(u16::MAX);
        let order = |worker: &usize| (*worker, ToWorker::TakeQueues { port });
        self.orders.extend(one.workers.iter().map(order));
    }

    /// A worker gave its queues of a port back.
    pub(crate) fn gave(&mut self, worker: usize, port: u16, queues: Queues) {
        let index = usize::from(port);
        let Some(one) = self.ports.get_mut(index) else {
            return;
        };
        let Step::Gathering { queues: all, .. } = &mut one.step else {
            // Too late: nobody waits for them any more.
            let order = ToWorker::GiveQueues { port, queues };
            return self.orders.push_back((worker, order));
        };
        all.push((worker, queues));
    }

    /// Goes on with all.
    pub(crate) fn go_on(&mut self, now: u64) {
        while let Some(done) = self.restarter.done() {
            self.done(now, done);
        }
        for (index, one) in self.ports.iter_mut().enumerate() {
            match &mut one.step {
                Step::Gathering { queues, .. } if queues.len() >= one.workers.len() => {
                    let queues = std::mem::take(queues);
                    one.begin(index, queues, &self.restarter);
                }
                Step::Gathering { since, queues } if now.saturating_sub(*since) >= GIVE_BACK => {
                    let gave = |worker: &&usize| queues.iter().all(|(w, _)| w != *worker);
                    let worker = one.workers.iter().find(gave).copied().unwrap_or(0);
                    let queues = std::mem::take(queues);
                    one.step = Step::Idle;
                    one.failed += 1;
                    give_back(&mut self.orders, index, queues);
                    self.outcomes.push((index, Outcome::Kept { worker }));
                }
                Step::Held { queues } if one.backoff.may(now) => {
                    let queues = std::mem::take(queues);
                    one.backoff.begin(now);
                    one.begin(index, queues, &self.restarter);
                }
                _ => {}
            }
        }
    }

    fn done(&mut self, now: u64, done: Done) {
        let Done {
            index,
            queues,
            result,
            took,
        } = done;
        let Some(one) = self.ports.get_mut(index) else {
            return;
        };
        let outcome = match result {
            Ok(_) => {
                one.step = Step::Idle;
                one.restarts += 1;
                give_back(&mut self.orders, index, queues);
                Outcome::Restarted { took }
            }
            Err(error) => {
                one.step = Step::Held { queues };
                one.failed += 1;
                let again_in = one.backoff.left(now);
                Outcome::Failed { error, again_in }
            }
        };
        self.outcomes.push((index, outcome));
    }

    /// What became of restarts, each once.
    pub(crate) fn outcomes(&mut self) -> Vec<(usize, Outcome)> {
        std::mem::take(&mut self.outcomes)
    }

    /// The next order for a worker.
    pub(crate) fn order(&mut self) -> Option<(usize, ToWorker)> {
        self.orders.pop_front()
    }

    /// The worker had no room for it: it has a queue in it, and is given later.
    pub(crate) fn not_taken(&mut self, worker: usize, order: ToWorker) {
        self.orders.push_front((worker, order));
    }
}

impl One {
    fn begin(&mut self, index: usize, queues: Vec<(usize, Queues)>, restarter: &Restarter) {
        self.step = Step::Restarting;
        restarter.start(Job {
            index,
            port: Arc::clone(&self.port),
            queues,
        });
    }
}

fn give_back(orders: &mut VecDeque<(usize, ToWorker)>, index: usize, queues: Vec<(usize, Queues)>) {
    let port = u16::try_from(index).unwrap_or(u16::MAX);
    let order = |(worker, queues)| (worker, ToWorker::GiveQueues { port, queues });
    orders.extend(queues.into_iter().map(order));
}
