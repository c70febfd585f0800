//! Captures: each worker copies what matches into a ring of its own, and this thread passes it on.

use tandem_link::{CaptureSpec, FromDataplane};

use super::Control;
use crate::capture::Capture;
use crate::clock;
use crate::link_socket::Ended;
use crate::message::ToWorker;
use crate::session::Running;

/// Bytes of each worker's capture ring.
const CAPTURE_BYTES: usize = 2 << 20;

impl Control {
    pub(super) fn start_capture(&mut self, spec: &CaptureSpec, now: u64) -> Result<(), Ended> {
        self.end_capture(now)?;
        let mut rings = Vec::new();
        for worker in 0..self.workers.len() {
            let (producer, consumer) = rtrb::RingBuffer::new(CAPTURE_BYTES);
            let capture = Capture::new(spec.filter.clone(), spec.snaplen, producer);
            self.command(worker, ToWorker::Capture(Some(Box::new(capture))));
            rings.push(consumer);
        }
        let running = Running::new(spec, rings, self.capture_full(), now, clock::wall());
        if let Some(session) = &mut self.state.session {
            session.capture = Some(running);
        }
        Ok(())
    }

    /// Ends the capture without a word. Answers what ran.
    pub(super) fn stop_capture(&mut self) -> Option<Running> {
        let running = self.state.session.as_mut()?.capture.take()?;
        for worker in 0..self.workers.len() {
            self.command(worker, ToWorker::Capture(None));
        }
        Some(running)
    }

    /// Ends the capture, and tells the controller.
    fn end_capture(&mut self, now: u64) -> Result<(), Ended> {
        let Some(running) = self.stop_capture() else {
            return Ok(());
        };
        let event = FromDataplane::Event(running.ended(self.capture_full()));
        match &mut self.state.session {
            Some(session) => session.connection.send(&event, now),
            None => Ok(()),
        }
    }

    pub(super) fn take_captured(&mut self, now: u64) {
        let Some(session) = &mut self.state.session else {
            return;
        };
        let Some(capture) = &mut session.capture else {
            return;
        };
        let done = match capture.forward(&mut session.connection, now) {
            Ok(true) => self.end_capture(now),
            Ok(false) => Ok(()),
            Err(ended) => Err(ended),
        };
        self.settle(done);
    }

    fn capture_full(&self) -> u64 {
        self.workers
            .iter()
            .map(|w| w.counters.capture_full.value())
            .sum()
    }
}
