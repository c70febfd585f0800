//! The thread that stops ports and starts them: a driver may take seconds for it, which nobody else shall wait for.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use tandem_dpdk::{Error, Port, Steering};

use crate::clock;
use crate::message::Queues;
use crate::waker::Waker;

/// A port to be restarted, and all of its queues, each with the worker that it is of.
pub(crate) struct Job {
    pub(crate) index: usize,
    pub(crate) port: Arc<Port>,
    pub(crate) queues: Vec<(usize, Queues)>,
}

/// How it went.
pub(crate) struct Done {
    pub(crate) index: usize,
    pub(crate) queues: Vec<(usize, Queues)>,
    pub(crate) result: Result<Steering, Error>,
    /// Nanoseconds.
    pub(crate) took: u64,
}

/// The control thread's end.
pub(crate) struct Restarter {
    jobs: Sender<Job>,
    done: Receiver<Done>,
}

impl Restarter {
    /// Both ends; the other one is for a thread of its own, and ends with this one.
    pub(crate) fn new(waker: Arc<Waker>) -> (Self, Runner) {
        let (jobs, jobs_out) = channel();
        let (done_in, done) = channel();
        let runner = Runner {
            jobs: jobs_out,
            done: done_in,
            waker,
        };
        (Self { jobs, done }, runner)
    }

    /// Has a port restarted.
    pub(crate) fn start(&self, job: Job) {
        // The thread lives as long as this end.
        let _ = self.jobs.send(job);
    }

    /// One that is done.
    pub(crate) fn done(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }
}

/// The thread's end.
pub(crate) struct Runner {
    jobs: Receiver<Job>,
    done: Sender<Done>,
    waker: Arc<Waker>,
}

impl Runner {
    /// Runs until the other end is gone.
    pub(crate) fn run(self) {
        for Job {
            index,
            port,
            mut queues,
        } in self.jobs
        {
            let since = clock::now();
            let all = queues.iter_mut();
            let (rx, tx): (Vec<_>, Vec<_>) =
                all.map(|(_, q)| (q.rx.as_mut(), q.tx.as_mut())).unzip();
            let result = port.restart(rx.into_iter().flatten(), tx.into_iter().flatten());
            let took = clock::now().saturating_sub(since);
            let done = Done {
                index,
                queues,
                result,
                took,
            };
            // Nobody waits for it when the process ends.
            let _ = self.done.send(done);
            self.waker.wake();
        }
    }
}
