//! Stopping a port and starting it again, without giving it up.

use tandem_dpdk_sys as sys;

use crate::{Error, Port, RxQueue, Steering, TxQueue, start};

/// Drivers whose devices cannot be started again once they were stopped: `net_af_packet` closes its sockets, and `net_tap`
/// takes the kernel's interface down, for which the process has no privilege any more.
const FOR_GOOD: &[&str] = &["net_af_packet", "net_tap", "net_pcap"];

/// Drivers of shared memory with another process.
const BY_PROCESSES: &[&str] = &["net_memif", "net_vhost", "net_virtio_user", "net_ring"];

impl Port {
    /// Whether the driver can start a device again that it has stopped.
    #[must_use]
    pub fn can_restart(&self) -> bool {
        !FOR_GOOD.contains(&self.driver())
    }

    /// Whether another process empties its transmit queues, so that a queue which takes nothing says nothing of the port: that
    /// process may have been stopped, and a restart would cut what works.
    #[must_use]
    pub fn waits_for_a_process(&self) -> bool {
        BY_PROCESSES.contains(&self.driver())
    }

    /// Whether it is a link of shared memory to another process, of which this process is the client: its driver connects
    /// when the port is started, and only then.
    #[must_use]
    pub fn is_client(&self) -> bool {
        let roles = ["role=client", "role=slave"];
        let mut parameters = self.device().devargs().split(',');
        self.driver() == "net_memif" && parameters.any(|parameter| roles.contains(&parameter))
    }

    /// Stops the device and starts it again, with empty queues and all that was set: what it had received or was to send is
    /// lost. It takes as long as the driver does, for a NIC up to some seconds, and its link comes later.
    ///
    /// `rx` and `tx` are all of its queues: who has them knows that nobody else is inside of the driver.
    ///
    /// # Errors
    /// If a queue is missing, the driver cannot do it, or it fails. A port that was stopped and not started gives no
    /// packets and takes none; it may be tried again.
    pub fn restart<'a>(
        &self,
        rx: impl IntoIterator<Item = &'a mut RxQueue>,
        tx: impl IntoIterator<Item = &'a mut TxQueue>,
    ) -> Result<Steering, Error> {
        // Borrowed until the end.
        let rx: Vec<&'a mut RxQueue> = rx.into_iter().collect();
        let tx: Vec<&'a mut TxQueue> = tx.into_iter().collect();
        let opened = self.opened();
        let setup = self.setup();
        let wanted = (setup.config.rx_queues, setup.config.tx_queues);
        let has_rx = (0..wanted.0).all(|number| rx.iter().any(|q| q.is(number, opened)));
        let has_tx = (0..wanted.1).all(|number| tx.iter().any(|q| q.is(number, opened)));
        if !has_rx || !has_tx {
            return Err(Error::QueuesOut(self.device().to_string()));
        }
        if !self.can_restart() {
            let (device, driver) = (self.device().to_string(), self.driver().to_owned());
            return Err(Error::NoRestart { device, driver });
        }
        let number = self.number();
        // SAFETY: the port exists; all of its queues are borrowed here, so nobody is inside of the driver. Without rules,
        // the first call changes nothing. Needed: the device is DPDK's. The same for the start.
        opened.check("stopping it", unsafe {
            sys::tnd_flow_flush(number);
            sys::rte_eth_dev_stop(number)
        })?;
        // SAFETY: as above. DPDK sets MAC addresses, promiscuous and all-multicast mode again.
        opened.check("starting it again", unsafe {
            sys::rte_eth_dev_start(number)
        })?;
        Ok(start::steer(opened, setup))
    }
}
