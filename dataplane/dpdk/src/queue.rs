//! A port's queues.

use std::{cell::Cell, marker::PhantomData, sync::Arc};

use tandem_dpdk_sys as sys;

use crate::{Burst, port::Opened};

/// A receive queue. There is one of each, so one thread at a time polls it: it may move to another
/// thread, but not be shared.
///
/// ```compile_fail,E0277
/// fn shared<T: Sync>() {}
/// shared::<tandem_dpdk::RxQueue>();
/// ```
#[derive(Debug)]
pub struct RxQueue {
    port: Arc<Opened>,
    queue: u16,
    /// Not to be shared: DPDK allows one caller at a time.
    alone: PhantomData<Cell<()>>,
}

impl RxQueue {
    pub(crate) fn new(port: Arc<Opened>, queue: u16) -> Self {
        Self {
            port,
            queue,
            alone: PhantomData,
        }
    }

    /// Whether it is the one with this number of this port.
    pub(crate) fn is(&self, queue: u16, port: &Arc<Opened>) -> bool {
        self.queue == queue && Arc::ptr_eq(&self.port, port)
    }

    /// Receives packets into the free room of `burst`, and says how many.
    #[inline]
    pub fn receive(&mut self, burst: &mut Burst) -> usize {
        let (port, queue) = (self.port.number(), self.queue);
        // SAFETY: the port is started and stays so while a queue exists; one that was stopped and could not be
        // started again (`Port::restart`) has DPDK's dummy for a driver; the queue was set up; no
        // other caller (`&mut self`, one value per queue); the room is as large as said; what is
        // written are buffers that the device gives up. Needed: the driver is DPDK's.
        burst.receive_with(|room, count| unsafe { sys::tnd_rx_burst(port, queue, room, count) })
    }

    /// DPDK's number of the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The queue's number on its port, from 0.
    #[must_use]
    pub fn queue(&self) -> u16 {
        self.queue
    }
}

/// A transmit queue. There is one of each, so one thread at a time sends on it.
#[derive(Debug)]
pub struct TxQueue {
    port: Arc<Opened>,
    queue: u16,
    /// Not to be shared: DPDK allows one caller at a time.
    alone: PhantomData<Cell<()>>,
}

impl TxQueue {
    pub(crate) fn new(port: Arc<Opened>, queue: u16) -> Self {
        Self {
            port,
            queue,
            alone: PhantomData,
        }
    }

    /// Whether it is the one with this number of this port.
    pub(crate) fn is(&self, queue: u16, port: &Arc<Opened>) -> bool {
        self.queue == queue && Arc::ptr_eq(&self.port, port)
    }

    /// Gives the packets to the device, first to last, and says how many it took. Those that it
    /// did not take stay in `burst`: to be sent again, or to be freed and counted
    /// ([`Burst::clear`]).
    #[inline]
    pub fn send(&mut self, burst: &mut Burst) -> usize {
        if burst.is_empty() {
            return 0;
        }
        let (port, queue) = (self.port.number(), self.queue);
        // SAFETY: as for `RxQueue::receive`; the packets are ours, and those taken are the
        // device's from now on. Needed: the driver is DPDK's.
        burst.send_with(|packets, count| unsafe { sys::tnd_tx_burst(port, queue, packets, count) })
    }

    /// DPDK's number of the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The queue's number on its port, from 0.
    #[must_use]
    pub fn queue(&self) -> u16 {
        self.queue
    }
}
