//! A worker's way to the exception thread.

use std::sync::Arc;

use tandem_dpdk::Mbuf;
use tandem_link::PoliceLimits;
use tandem_shm::{DatagramMeta, Producer};

use crate::counters::WorkerCounters;
use crate::passed::ToKernel;
use crate::police::{Class, Policer};
use crate::waker::Waker;

/// Rings to the exception thread, policed.
pub(crate) struct ToException {
    frames: rtrb::Producer<ToKernel>,
    sip: Producer,
    policer: Policer,
    waker: Arc<Waker>,
    counters: Arc<WorkerCounters>,
    /// Something was put into a ring since the last [`Self::flush`].
    frames_waiting: bool,
    sip_waiting: bool,
}

impl ToException {
    pub(crate) fn new(
        frames: rtrb::Producer<ToKernel>,
        sip: Producer,
        policer: Policer,
        waker: Arc<Waker>,
        counters: Arc<WorkerCounters>,
    ) -> Self {
        Self {
            frames,
            sip,
            policer,
            waker,
            counters,
            frames_waiting: false,
            sip_waiting: false,
        }
    }

    /// Gives a frame to the kernel, if its class is not above its rate.
    pub(crate) fn frame(&mut self, realm: u16, frame: Mbuf, now: u64) {
        let class = Class::of(frame.data());
        // What the network lives by has half of the ring for itself, and fragments have a quarter at most.
        let kept = self.frames.buffer().capacity() / 4 * class.kept_quarters();
        if self.frames.slots() <= kept {
            self.counters.exception_ring_full.add(1);
        } else if !self.policer.pass(class, now) {
            match class {
                Class::Fragment => self.counters.exception_fragment_policed.add(1),
                _ => self.counters.exception_policed.add(1),
            }
        } else if self.frames.push(ToKernel { realm, frame }).is_ok() {
            self.counters.exception_given.add(1);
            self.frames_waiting = true;
        } else {
            self.counters.exception_ring_full.add(1);
        }
    }

    /// Lets so much through from now on.
    pub(crate) fn police(&mut self, limits: &PoliceLimits) {
        self.policer.set_fragments(limits.fragments);
    }

    /// Gives a SIP datagram to the kernel, to be sent.
    pub(crate) fn sip(&mut self, meta: &DatagramMeta, payload: &[u8]) {
        if self.sip.push(meta, payload).is_ok() {
            self.counters.sip_sent_by_kernel.add(1);
            self.sip_waiting = true;
        } else {
            self.counters.sip_not_sent.add(1);
        }
    }

    /// Wakes the exception thread if there is something for it.
    #[inline]
    pub(crate) fn flush(&mut self) {
        if std::mem::take(&mut self.frames_waiting) {
            self.waker.wake();
        }
        if std::mem::take(&mut self.sip_waiting) {
            self.sip.flush();
        }
    }
}
