//! The control thread's orders, and what goes back to it.

use std::sync::Arc;

use tandem_link::CommandError;

use crate::capture::Capture;
use crate::classes::Batch;
use crate::message::{FromWorker, Garbage, Queues, Tag, ToWorker};
use crate::worker::Worker;

/// Orders taken in one turn.
const ORDERS: usize = 16;

/// Flow reports made in one turn.
const REPORTS: usize = 32;

/// Slots of the report ring that lists leave free, for answers and events.
const RESERVE: usize = 256;

/// Slots of the report ring that one order's answers take at most.
const ANSWERS: usize = 8;

/// Sources classified in one turn: some microseconds when their places are not in the cache.
const SOURCES: usize = 32;

/// Sources that are being classified, some in each turn.
pub(crate) struct Classifying {
    tag: Tag,
    batch: Arc<Batch>,
    /// How many of them are.
    done: usize,
    result: Result<(), CommandError>,
}

/// A list of flows that is being given out, some in each turn.
#[derive(Clone, Copy)]
pub(crate) struct Listing {
    tag: Tag,
    /// Where the relay goes on.
    cursor: usize,
}

impl Worker {
    /// Carries out what the control thread wants.
    pub(super) fn take_orders(&mut self, now: u64) -> usize {
        let mut done = self.go_on_listing(now) + self.go_on_classifying();
        for _ in 0..ORDERS {
            // One list at a time, in order with the other commands; and no order whose answer
            // would find no room.
            let is_busy = self.listing.is_some() || self.classifying.is_some();
            if is_busy || self.control.room() < ANSWERS {
                break;
            }
            let Ok(order) = self.orders.pop() else { break };
            self.carry_out(order, now);
            done += 1;
        }
        done
    }

    fn carry_out(&mut self, order: ToWorker, now: u64) {
        match order {
            ToWorker::List { tag } => self.listing = Some(Listing { tag, cursor: 0 }),
            ToWorker::Count { tag, mut counts } => {
                counts.0.clone_from(self.relay.counters());
                self.control.report(FromWorker::Counts { tag, counts });
            }
            ToWorker::Forward(forwarding) => self.relay.set_forwarding(forwarding),
            ToWorker::Session(readers) => {
                self.drop_session();
                self.session = Some(readers);
            }
            ToWorker::NoSession => self.drop_session(),
            ToWorker::Block { tag, source, until } => {
                let result = self.relay.block(now, source, until);
                self.control.report(FromWorker::Done { tag, result });
            }
            ToWorker::Unblock { tag, source } => {
                self.relay.unblock(source);
                if let Some(tag) = tag {
                    let result = Ok(());
                    self.control.report(FromWorker::Done { tag, result });
                }
            }
            ToWorker::Capture(capture) => self.set_capture(capture, now),
            ToWorker::Stateless { tag, by } => {
                // The control thread has the last hold on what was before.
                drop(self.relay.set_stateless(now, Some(by)));
                let result = Ok(());
                self.control.report(FromWorker::Done { tag, result });
            }
            ToWorker::Police { tag, limits } => {
                self.relay.police(&limits);
                self.exception.police(&limits);
                let result = Ok(());
                self.control.report(FromWorker::Done { tag, result });
            }
            ToWorker::Classify { tag, batch } => {
                self.classifying = Some(Classifying {
                    tag,
                    batch,
                    done: 0,
                    result: Ok(()),
                });
            }
            ToWorker::ClassifyDone {
                tag,
                generation,
                networks,
            } => {
                let before = self.relay.classify_done(generation, networks);
                self.discard(Garbage::Networks(before));
                let result = Ok(());
                self.control.report(FromWorker::Done { tag, result });
            }
            ToWorker::TakeQueues { port } => {
                let queues = self.give_queues_back(port);
                self.control.report(FromWorker::Queues { port, queues });
            }
            ToWorker::GiveQueues { port, queues } => self.use_queues(port, queues),
            ToWorker::Prove { tag, forwarding } => {
                // The control thread has the last hold on the snapshot.
                let result = self.relay.prove(now, forwarding);
                self.control.report(FromWorker::Done { tag, result });
            }
            ToWorker::PoliceReport { tag, source } => {
                let report = self.relay.police_report(now, source);
                self.control.report(FromWorker::Police { tag, report });
            }
        }
    }

    /// Nothing is received from the port from now on, nor sent to it.
    fn give_queues_back(&mut self, port: u16) -> Queues {
        let place = self.rx.get_mut(usize::from(port));
        Queues {
            rx: place.and_then(Option::take),
            tx: self.sender.take_away(port),
        }
    }

    fn use_queues(&mut self, port: u16, Queues { rx, tx }: Queues) {
        if let (Some(place), Some(queue)) = (self.rx.get_mut(usize::from(port)), rx) {
            *place = Some(queue);
        }
        if let Some(queue) = tx {
            self.sender.give(port, queue);
        }
    }

    /// Classifies some more sources of a list.
    fn go_on_classifying(&mut self) -> usize {
        let Some(mut going) = self.classifying.take() else {
            return 0;
        };
        let Batch {
            generation,
            sources,
        } = &*going.batch;
        let rest = sources.get(going.done..).unwrap_or_default();
        for (source, class, until) in rest.iter().take(SOURCES) {
            let result = self.relay.classify(*source, *class, *until, *generation);
            going.result = going.result.and(result);
            going.done += 1;
        }
        let is_done = going.done >= sources.len();
        if is_done && self.control.room() >= ANSWERS {
            let Classifying {
                tag, result, batch, ..
            } = going;
            self.control.report(FromWorker::Done { tag, result });
            self.discard(Garbage::Batch(batch));
        } else {
            self.classifying = Some(going);
        }
        1
    }

    fn set_capture(&mut self, mut capture: Option<Box<Capture>>, now: u64) {
        if let Some(capture) = &mut capture {
            for report in self.relay.flows(now) {
                capture.learn(&report.spec);
            }
        }
        if let Some(old) = std::mem::replace(&mut self.capture, capture) {
            self.discard(Garbage::Capture(old));
        }
    }

    /// Lets go of the controller's rings.
    pub(super) fn drop_session(&mut self) {
        if let Some(readers) = self.session.take() {
            self.discard(Garbage::Session(readers));
        }
    }

    fn discard(&mut self, garbage: Garbage) {
        self.control.report(FromWorker::Discard(garbage));
    }

    /// Reports some more flows of a list, as many as the ring has room for.
    fn go_on_listing(&mut self, now: u64) -> usize {
        let Some(Listing { tag, cursor }) = self.listing else {
            return 0;
        };
        let room = self.control.room().saturating_sub(RESERVE).min(REPORTS);
        if room == 0 {
            return 0;
        }
        let mut reported = 0;
        let next = self.relay.flows_from(now, cursor, room, |report| {
            self.control.report(FromWorker::Flow { tag, report });
            reported += 1;
        });
        self.listing = next.map(|cursor| Listing { tag, cursor });
        if self.listing.is_none() {
            self.control.report(FromWorker::Done {
                tag,
                result: Ok(()),
            });
        }
        reported
    }

    /// Hands out what the relay has to say: events, and next hops that it lacks.
    pub(super) fn report(&mut self) {
        while self.control.room() > RESERVE / 2
            && let Some(event) = self.relay.event()
        {
            self.control.report(FromWorker::Event(event));
        }
        while self.control.room() > RESERVE / 2
            && let Some((realm, ip)) = self.relay.needed_next_hop()
        {
            self.control.report(FromWorker::Wanted { realm, ip });
        }
    }
}
