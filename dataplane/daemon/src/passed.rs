//! What threads pass to each other over rings.

use tandem_dpdk::Mbuf;

/// A packet on its way to a worker.
#[derive(Debug)]
pub(crate) enum Passed {
    /// Received by another worker, of a flow that this one owns.
    Received {
        /// Index of the port that it came in on.
        port: u16,
        /// How often it was relayed to ourselves so far.
        passes: u8,
        packet: Mbuf,
    },
    /// Ready to be sent by this worker, who has a queue of the port.
    Transmit {
        /// Index of the port that it leaves by.
        port: u16,
        packet: Mbuf,
    },
}

/// A frame on its way to the kernel.
#[derive(Debug)]
pub(crate) struct ToKernel {
    pub(crate) realm: u16,
    pub(crate) frame: Mbuf,
}
