//! A worker's way out: a batch for each port, sent on its own queue or through another worker.

use std::sync::Arc;

use tandem_dpdk::{Burst, Mbuf, TxQueue};
use tandem_link::Direction;

use crate::capture::Capture;
use crate::counters::WorkerCounters;
use crate::health::outlets::{Outlets, Refusals};
use crate::passed::Passed;
use crate::ports::TxWay;

/// Times that a device is asked at once to take what it did not take.
const RETRIES: usize = 4;

/// The ways out, by port.
pub(crate) struct Sender {
    ways: Vec<Way>,
    /// Rings to the other workers, by worker.
    others: Vec<Option<rtrb::Producer<Passed>>>,
    counters: Arc<WorkerCounters>,
    /// Which ports have a link.
    outlets: Outlets,
    /// Since when a device takes nothing.
    refused: Refusals,
}

enum Way {
    Own {
        queue: TxQueue,
        longest: usize,
        batch: Box<Burst>,
        /// Nothing was taken the last time.
        is_refused: bool,
    },
    /// The queue of one's own is with the control thread, as long as the port is restarted.
    Away {
        longest: usize,
        batch: Box<Burst>,
    },
    Through(u16),
}

impl Sender {
    pub(crate) fn new(
        ways: Vec<TxWay>,
        others: Vec<Option<rtrb::Producer<Passed>>>,
        counters: Arc<WorkerCounters>,
        outlets: Outlets,
        refused: Refusals,
    ) -> Self {
        let way = |way| match way {
            TxWay::Own { queue, longest } => Way::Own {
                queue,
                longest,
                batch: Box::default(),
                is_refused: false,
            },
            TxWay::Through(worker) => Way::Through(worker),
        };
        Self {
            ways: ways.into_iter().map(way).collect(),
            others,
            counters,
            outlets,
            refused,
        }
    }

    /// Puts a packet into its port's batch; sent by [`Self::flush`] at the latest.
    #[inline(always)]
    pub(crate) fn send(
        &mut self,
        port: u16,
        packet: Mbuf,
        now: u64,
        capture: Option<&mut Capture>,
    ) {
        match self.ways.get_mut(usize::from(port)) {
            // Nearly always.
            Some(Way::Own { longest, batch, .. })
                if packet.len() <= *longest && !batch.is_full() && capture.is_none() =>
            {
                let _ = batch.push(packet);
            }
            _ => self.send_otherwise(port, packet, now, capture),
        }
    }

    #[inline(never)]
    fn send_otherwise(&mut self, port: u16, packet: Mbuf, now: u64, capture: Option<&mut Capture>) {
        if let Some(capture) = capture {
            capture.offer(now, port, Direction::Sent, packet.data(), &self.counters);
        }
        match self.ways.get_mut(usize::from(port)) {
            Some(Way::Own { longest, .. }) if packet.len() > *longest => {
                self.counters.tx_too_long.add(1);
            }
            Some(Way::Own { queue, batch, .. }) => {
                if let Err(packet) = batch.push(packet) {
                    if self.outlets.is_up(port) {
                        queue.send(batch);
                    } else {
                        self.counters.tx_link_down.add(batch.clear() as u64);
                    }
                    // Still no room: this one is lost.
                    if batch.push(packet).is_err() {
                        self.counters.tx_full.add(1);
                    }
                }
            }
            Some(Way::Through(worker)) => {
                let worker = *worker;
                if self.pass(worker, Passed::Transmit { port, packet }) {
                    self.counters.tx_handed_off.add(1);
                }
            }
            Some(Way::Away { .. }) => self.counters.tx_port_restarts.add(1),
            // The relay knows the same ports.
            None => self.counters.tx_full.add(1),
        }
    }

    /// Gives a received packet to the worker that owns its flow.
    #[inline]
    pub(crate) fn hand_off(&mut self, worker: u16, port: u16, passes: u8, packet: Mbuf) {
        let passed = Passed::Received {
            port,
            passes,
            packet,
        };
        if self.pass(worker, passed) {
            self.counters.handed_off.add(1);
        }
    }

    /// Sends every batch. What a device does not take stays for the next turn. What a port without a link
    /// would keep until it has one again, and then send much too late, is dropped here.
    #[inline]
    pub(crate) fn flush(&mut self, now: u64) {
        for (port, way) in (0..).zip(&mut self.ways) {
            let Way::Own {
                queue,
                batch,
                is_refused,
                ..
            } = way
            else {
                continue;
            };
            let before = batch.len();
            if before == 0 {
                continue;
            }
            if !self.outlets.is_up(port) {
                self.counters.tx_link_down.add(batch.clear() as u64);
            }
            for _ in 0..RETRIES {
                if batch.is_empty() {
                    break;
                }
                queue.send(batch);
            }
            let refuses = batch.len() == before;
            if refuses != *is_refused {
                *is_refused = refuses;
                self.refused.set(port, refuses.then_some(now));
            }
        }
    }

    /// Gives a port's queue away; what it did not take is dropped. None if it is another worker's.
    pub(super) fn take_away(&mut self, port: u16) -> Option<TxQueue> {
        let way = self.ways.get_mut(usize::from(port))?;
        // No port has this worker.
        match std::mem::replace(way, Way::Through(u16::MAX)) {
            Way::Own {
                queue,
                longest,
                mut batch,
                ..
            } => {
                self.counters.tx_port_restarts.add(batch.clear() as u64);
                self.refused.set(port, None);
                *way = Way::Away { longest, batch };
                Some(queue)
            }
            other => {
                *way = other;
                None
            }
        }
    }

    /// Has a port's queue again.
    pub(super) fn give(&mut self, port: u16, queue: TxQueue) {
        let Some(way) = self.ways.get_mut(usize::from(port)) else {
            return;
        };
        *way = match std::mem::replace(way, Way::Through(u16::MAX)) {
            Way::Away { longest, batch } => Way::Own {
                queue,
                longest,
                batch,
                is_refused: false,
            },
            other => other,
        };
    }

    fn pass(&mut self, worker: u16, passed: Passed) -> bool {
        let ring = self
            .others
            .get_mut(usize::from(worker))
            .and_then(Option::as_mut);
        let taken = ring.is_some_and(|ring| ring.push(passed).is_ok());
        if !taken {
            self.counters.hand_off_full.add(1);
        }
        taken
    }
}
