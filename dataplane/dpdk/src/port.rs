//! A started port.

use std::{
    ffi::CStr,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tandem_dpdk_sys as sys;

use crate::{Device, DpdkErrno, Error, kernel::KernelRings, start::Setup};

/// A started port. Its queues are separate values; the device is stopped and closed when the port
/// and all of its queues are gone. A closed device is not taken up again by the same process.
#[derive(Debug)]
pub struct Port(Arc<Opened>, Setup);

impl Port {
    pub(crate) fn new(opened: Arc<Opened>, setup: Setup) -> Self {
        Self(opened, setup)
    }

    pub(crate) fn opened(&self) -> &Arc<Opened> {
        &self.0
    }

    /// How it was set up.
    pub(crate) fn setup(&self) -> &Setup {
        &self.1
    }

    /// DPDK's number of it: what [`crate::Mbuf::port`] says.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.0.number
    }

    /// The device, as in the configuration.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Its driver, such as `net_af_packet` or `net_ixgbe`.
    #[must_use]
    pub fn driver(&self) -> &str {
        &self.0.driver
    }

    /// The device's counters, from its start.
    ///
    /// # Errors
    /// If the driver cannot read them.
    pub fn stats(&self) -> Result<PortStats, Error> {
        let raw = self.raw_stats()?;
        Ok(PortStats {
            rx_packets: raw.ipackets,
            tx_packets: raw.opackets,
            rx_bytes: raw.ibytes,
            tx_bytes: raw.obytes,
            rx_missed: raw.imissed.saturating_add(self.0.kernel.missed()),
            rx_errors: raw.ierrors,
            tx_errors: raw.oerrors,
            rx_no_buffer: raw.rx_nombuf,
        })
    }

    /// What went through the first receive and the first transmit queues, as far as DPDK has places for it
    /// ([`QUEUES_COUNTED`]). Drivers that do not count by queue leave zeros.
    ///
    /// # Errors
    /// If the driver cannot read them.
    pub fn queue_stats(&self) -> Result<QueueStats, Error> {
        let raw = self.raw_stats()?;
        let pairs = |packets: [u64; QUEUES_COUNTED], bytes: [u64; QUEUES_COUNTED]| {
            packets.into_iter().zip(bytes).collect()
        };
        Ok(QueueStats {
            rx: pairs(raw.q_ipackets, raw.q_ibytes),
            tx: pairs(raw.q_opackets, raw.q_obytes),
        })
    }

    fn raw_stats(&self) -> Result<sys::rte_eth_stats, Error> {
        // SAFETY: plain integers, for which zeroes are a value. Needed: C fills the structure.
        let mut raw: sys::rte_eth_stats = unsafe { std::mem::zeroed() };
        // SAFETY: the port exists; the structure lives over the call. Needed: the counters are the
        // driver's.
        self.0.check("reading its counters", unsafe {
            sys::rte_eth_stats_get(self.0.number, &raw mut raw)
        })?;
        Ok(raw)
    }

    /// All counters that the driver has, by its own names.
    ///
    /// # Errors
    /// If the driver cannot read them.
    pub fn extended_stats(&self) -> Result<Vec<(String, u64)>, Error> {
        const STEP: &str = "reading its extended counters";
        let number = self.0.number;
        // SAFETY: a null table of size 0 asks for the number of entries. Needed: the counters are
        // the driver's.
        let count = self.0.check(STEP, unsafe {
            sys::rte_eth_xstats_get_names(number, std::ptr::null_mut(), 0)
        })?;
        let count = u32::try_from(count).unwrap_or(0);
        let size = usize::try_from(count).unwrap_or(0);
        let mut names = vec![
            sys::rte_eth_xstat_name {
                name: [0; NAME_LEN]
            };
            size
        ];
        let mut values = vec![sys::rte_eth_xstat { id: 0, value: 0 }; size];
        // SAFETY: both tables have `count` entries and live over the calls. Needed: as above.
        let (named, valued) = unsafe {
            (
                sys::rte_eth_xstats_get_names(number, names.as_mut_ptr(), count),
                sys::rte_eth_xstats_get(number, values.as_mut_ptr(), count),
            )
        };
        self.0.check(STEP, named)?;
        let valued = self.0.check(STEP, valued)?;
        Ok(values
            .iter()
            .take(usize::try_from(valued).unwrap_or(0))
            .filter_map(|value| {
                let name = &names.get(usize::try_from(value.id).ok()?)?.name;
                // C's char is a byte with a sign here; the name ends at its first zero.
                let bytes: Vec<u8> = name
                    .iter()
                    .take_while(|c| **c != 0)
                    .map(|c| c.to_ne_bytes()[0])
                    .collect();
                Some((String::from_utf8_lossy(&bytes).into_owned(), value.value))
            })
            .collect())
    }

    /// The link's state, as the driver knows it without waiting.
    ///
    /// # Errors
    /// If the driver cannot tell.
    pub fn link(&self) -> Result<Link, Error> {
        let mut link = sys::tnd_link {
            speed_mbps: 0,
            up: 0,
            full_duplex: 0,
        };
        // SAFETY: the port exists; the structure lives over the call. Needed: the state is the
        // driver's.
        self.0.check("reading its link", unsafe {
            sys::tnd_link_nowait(self.0.number, &raw mut link)
        })?;
        Ok(Link {
            up: link.up != 0,
            speed_mbps: (link.speed_mbps != 0 && link.speed_mbps != u32::MAX)
                .then_some(link.speed_mbps),
            full_duplex: link.full_duplex != 0,
        })
    }
}

/// Bytes of an extended counter's name (`RTE_ETH_XSTATS_NAME_SIZE`).
const NAME_LEN: usize = std::mem::size_of::<sys::rte_eth_xstat_name>();

/// A device's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Packets sent. `net_af_packet` counts those too that the kernel then throws away, because
    /// they are longer than the MTU or the interface is down.
    pub tx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets dropped because the receive queue was full: by the device, or for `net_af_packet`
    /// by the kernel, which the driver does not report.
    pub rx_missed: u64,
    /// Packets received damaged.
    pub rx_errors: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Times that no buffer was left for a packet received.
    pub rx_no_buffer: u64,
}

/// Queues that DPDK has counters for (`RTE_ETHDEV_QUEUE_STAT_CNTRS`).
pub const QUEUES_COUNTED: usize = sys::TND_QUEUES_COUNTED as usize;

/// Packets and bytes by queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Of receive queues.
    pub rx: Vec<(u64, u64)>,
    /// Of transmit queues.
    pub tx: Vec<(u64, u64)>,
}

/// A link's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Whether there is one.
    pub up: bool,
    /// Its speed in Mbit/s, if known.
    pub speed_mbps: Option<u32>,
    /// Both directions at once.
    pub full_duplex: bool,
}

/// A port that is configured, started or not; the last owner stops and closes it.
pub(crate) struct Opened {
    number: u16,
    device: Device,
    driver: String,
    kernel: KernelRings,
}

/// Taking devices up and closing them is one at a time: DPDK's lists of devices have no locks.
pub(crate) fn control() -> MutexGuard<'static, ()> {
    static CONTROL: Mutex<()> = Mutex::new(());
    CONTROL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses a port that has an owner.
pub(crate) fn check_free(number: u16, device: &Device) -> Result<(), Error> {
    match TAKEN.get(usize::from(number)) {
        Some(taken) if !taken.load(Ordering::SeqCst) => Ok(()),
        _ => Err(Error::InUse(device.to_string())),
    }
}

/// Which port numbers have an [`Opened`].
static TAKEN: [AtomicBool; sys::TND_MAX_ETHPORTS as usize] =
    [const { AtomicBool::new(false) }; sys::TND_MAX_ETHPORTS as usize];

impl Opened {
    /// Claims a port that no other value has.
    pub(crate) fn claim(
        number: u16,
        device: &Device,
        driver: String,
        if_index: u32,
    ) -> Result<Self, Error> {
        match TAKEN.get(usize::from(number)) {
            Some(taken) if !taken.swap(true, Ordering::SeqCst) => {
                let kernel = KernelRings::find(&driver, if_index);
                Ok(Self {
                    number,
                    device: device.clone(),
                    driver,
                    kernel,
                })
            }
            _ => Err(Error::InUse(device.to_string())),
        }
    }

    #[inline]
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn driver(&self) -> &str {
        &self.driver
    }

    /// Names the step and the device if DPDK returned an error.
    pub(crate) fn check(&self, step: &'static str, returned: i32) -> Result<i32, Error> {
        DpdkErrno::check(returned).map_err(|errno| Error::Port {
            device: self.device.to_string(),
            driver: self.driver.clone(),
            step,
            errno,
        })
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, port {})", self.device, self.driver, self.number)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let _control = control();
        // SAFETY: no queue of the port is left, so nobody is inside of the driver. A port that was
        // not started is stopped without effect. Nothing can be done about a failure here: the
        // number then stays taken. Needed: the device is DPDK's.
        let closed = unsafe {
            // Without rules, or without the ability to have any, it changes nothing.
            sys::tnd_flow_flush(self.number);
            sys::rte_eth_dev_stop(self.number);
            sys::rte_eth_dev_close(self.number)
        };
        if closed == 0
            && let Some(taken) = TAKEN.get(usize::from(self.number))
        {
            taken.store(false, Ordering::SeqCst);
        }
    }
}

/// A device's properties, as its driver states them.
pub(crate) fn info(number: u16, device: &Device) -> Result<(sys::rte_eth_dev_info, String), Error> {
    // SAFETY: integers and pointers, for which zeroes are a value. Needed: C fills the structure.
    let mut info: sys::rte_eth_dev_info = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives over the call; an unknown number is refused. Needed: only the
    // driver knows.
    let result = unsafe { sys::rte_eth_dev_info_get(number, &raw mut info) };
    DpdkErrno::check(result).map_err(|errno| Error::Port {
        device: device.to_string(),
        driver: "unknown".to_owned(),
        step: "reading its properties",
        errno,
    })?;
    let driver = if info.driver_name.is_null() {
        "unknown".to_owned()
    } else {
        // SAFETY: a string of the driver, which stays loaded. Needed: it is C's.
        unsafe { CStr::from_ptr(info.driver_name) }
            .to_string_lossy()
            .into_owned()
    };
    Ok((info, driver))
}
