//! Setting a port up.

use std::fmt;
use std::sync::Arc;

use tandem_dpdk_sys as sys;

use crate::{
    Device, Eal, Error, Mempool, Port, RxQueue, TxQueue, link_events,
    port::{self, Opened},
    steering::{self, SLOTS, SlotQueues},
};

/// What is wanted of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortConfig {
    /// Receive queues: one for each worker that polls it.
    pub rx_queues: u16,
    /// Transmit queues: one for each worker that sends on it.
    pub tx_queues: u16,
    /// Descriptors in each receive queue; the driver may round.
    pub rx_descriptors: u16,
    /// Descriptors in each transmit queue; the driver may round.
    pub tx_descriptors: u16,
    /// Bytes of an IP packet at most.
    pub mtu: u16,
    /// Let the device check and fill in checksums, where it can.
    pub checksums: bool,
    /// Receive packets to any MAC address.
    pub promiscuous: bool,
    /// The receive queue of each slot of the UDP port space.
    pub slot_queues: SlotQueues,
    /// Frames may have a VLAN tag.
    pub tagged: bool,
}

impl Default for PortConfig {
    fn default() -> Self {
        Self {
            rx_queues: 1,
            tx_queues: 1,
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            mtu: 1500,
            checksums: true,
            promiscuous: false,
            slot_queues: [0; SLOTS],
            tagged: false,
        }
    }
}

/// A port that was started: the port, and each of its queues once.
#[derive(Debug)]
pub struct Started {
    /// The port.
    pub port: Port,
    /// Its receive queues, in order.
    pub rx: Vec<RxQueue>,
    /// Its transmit queues, in order.
    pub tx: Vec<TxQueue>,
    /// What it can do, and what of the wishes came true.
    pub report: PortReport,
}

/// What a started port can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortReport {
    /// The driver's name.
    pub driver: String,
    /// The MAC address.
    pub mac: [u8; 6],
    /// The MTU in force: the one wanted, unless the device has a fixed one.
    pub mtu: u16,
    /// Bytes of the longest frame to be sent, VLAN tag included, frame check sequence not. A longer
    /// one must not reach the device: `net_af_packet` loses it silently and blocks for a
    /// millisecond.
    pub longest_frame: usize,
    /// Receive queues, and descriptors in each.
    pub rx_queues: u16,
    /// See above.
    pub rx_descriptors: u16,
    /// Transmit queues, and descriptors in each.
    pub tx_queues: u16,
    /// See above.
    pub tx_descriptors: u16,
    /// The device checks IPv4 header checksums.
    pub rx_ipv4_checksum: bool,
    /// The device checks UDP checksums.
    pub rx_udp_checksum: bool,
    /// The device fills in IPv4 header checksums.
    pub tx_ipv4_checksum: bool,
    /// The device fills in UDP checksums.
    pub tx_udp_checksum: bool,
    /// How packets are spread over the receive queues.
    pub steering: Steering,
    /// Packets to any MAC address are received. Without it, and without a filter in the device
    /// (virtual ones), they may come all the same.
    pub promiscuous: bool,
    /// All multicast is received: IPv6 neighbour discovery needs it.
    pub all_multicast: bool,
    /// The device says by an interrupt that its link has come or gone ([`crate::LinkEvents`]).
    pub link_interrupt: bool,
    /// The NUMA node that the device is on, if it is on one.
    pub node: Option<u32>,
}

/// How packets are spread over the receive queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// There is one queue.
    OneQueue,
    /// By a hash of the UDP destination port alone: all packets of a flow, from anywhere, on its owner's queue.
    DestinationPort,
    /// The same, but the device does not let us say which hash has which queue: on one queue, whose ever it is.
    DestinationPortHash,
    /// By so many flow rules on the UDP destination port, on its owner's queue.
    Rules(u16),
    /// By addresses and ports.
    Addresses,
    /// The device does not say: by the driver's own rule.
    Unknown,
}

impl Steering {
    /// Whether media comes to its owner's queue, so that workers have little to hand over.
    #[must_use]
    pub const fn is_exact(self) -> bool {
        matches!(
            self,
            Self::OneQueue | Self::DestinationPort | Self::Rules(_)
        )
    }
}

impl fmt::Display for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneQueue => write!(f, "one queue"),
            Self::DestinationPort => write!(
                f,
                "hash of the UDP destination port, each to its owner's queue"
            ),
            Self::DestinationPortHash => write!(
                f,
                "hash of the UDP destination port, with the device's own table: workers hand over"
            ),
            Self::Rules(count) => write!(f, "{count} flow rules on the UDP destination port"),
            Self::Addresses => write!(f, "hash of addresses and ports: workers hand over"),
            Self::Unknown => write!(f, "the driver's own rule: workers hand over"),
        }
    }
}

impl Port {
    /// Takes the device, sets it up and starts it. Its receive queues take their buffers from
    /// `pool`.
    ///
    /// Wishes that the device cannot fulfil (offloads, steering, promiscuous mode) are left out;
    /// [`Started::report`] says what came true.
    ///
    /// # Errors
    /// If there is no such device, it has fewer queues than wanted, frames do not fit the pool's
    /// buffers, or the driver refuses a step. The device is closed again then.
    pub fn start(
        eal: Eal,
        device: &Device,
        config: &PortConfig,
        pool: &Mempool,
    ) -> Result<Started, Error> {
        let (opened, info) = take_up(eal, device, config, pool)?;
        let number = opened.number();
        let plan = Plan::new(&info, config);
        plan.configure(&opened, config)?;
        let mtu = set_mtu(&opened, &info, config.mtu)?;
        let (rx_descriptors, tx_descriptors) = descriptors(&opened, config)?;
        let node = set_up_queues(
            &opened,
            &info,
            &plan,
            config,
            pool,
            rx_descriptors,
            tx_descriptors,
        )?;
        let link_interrupt = link_events::register(number);
        // SAFETY: the port is configured and all of its queues are set up. Needed: the device is
        // DPDK's. The same for the calls below, which return an error if unsupported.
        opened.check("starting it", unsafe { sys::rte_eth_dev_start(number) })?;
        let promiscuous =
            // SAFETY: as above.
            config.promiscuous && unsafe { sys::rte_eth_promiscuous_enable(number) } == 0;
        // SAFETY: as above.
        let all_multicast = unsafe { sys::rte_eth_allmulticast_enable(number) } == 0;
        let mac = mac(&opened)?;
        let setup = Setup {
            config: *config,
            steering: plan.steering,
            reta_size: info.reta_size,
        };
        let steering = steer(&opened, &setup);

        let report = PortReport {
            driver: opened.driver().to_owned(),
            mac,
            mtu,
            longest_frame: usize::from(mtu) + 14 + 4,
            rx_queues: config.rx_queues,
            rx_descriptors,
            tx_queues: config.tx_queues,
            tx_descriptors,
            rx_ipv4_checksum: plan.rx_offloads & sys::TND_RX_OFFLOAD_IPV4_CKSUM != 0,
            rx_udp_checksum: plan.rx_offloads & sys::TND_RX_OFFLOAD_UDP_CKSUM != 0,
            tx_ipv4_checksum: plan.tx_offloads & sys::TND_TX_OFFLOAD_IPV4_CKSUM != 0,
            tx_udp_checksum: plan.tx_offloads & sys::TND_TX_OFFLOAD_UDP_CKSUM != 0,
            steering,
            promiscuous,
            all_multicast,
            link_interrupt,
            // Drivers of virtual devices say that of the thread that made them.
            node: node.filter(|_| device.is_pci()),
        };
        let opened = Arc::new(opened);
        Ok(Started {
            rx: (0..config.rx_queues)
                .map(|q| RxQueue::new(opened.clone(), q))
                .collect(),
            tx: (0..config.tx_queues)
                .map(|q| TxQueue::new(opened.clone(), q))
                .collect(),
            port: Port::new(opened, setup),
            report,
        })
    }
}

/// How a port was set up, to do it again.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) config: PortConfig,
    /// What was planned, before the device was asked.
    steering: Steering,
    /// Entries of the redirection table.
    reta_size: u16,
}

/// Claims the device, if it can be what is wanted. Nothing is done to it yet.
fn take_up(
    eal: Eal,
    device: &Device,
    config: &PortConfig,
    pool: &Mempool,
) -> Result<(Opened, sys::rte_eth_dev_info), Error> {
    let _control = port::control();
    let number = eal.attach(device)?;
    port::check_free(number, device)?;
    let (info, driver) = port::info(number, device)?;
    check_sizes(device, &driver, &info, config, pool)?;
    Ok((Opened::claim(number, device, driver, info.if_index)?, info))
}

/// Ethernet header, two VLAN tags and the frame check sequence, which some devices leave in.
const FRAME_OVERHEAD: usize = 14 + 2 * 4 + 4;

/// Refuses what the device cannot be.
fn check_sizes(
    device: &Device,
    driver: &str,
    info: &sys::rte_eth_dev_info,
    config: &PortConfig,
    pool: &Mempool,
) -> Result<(), Error> {
    let enough = |direction, has: u16, wanted: u16| {
        if wanted <= has {
            return Ok(());
        }
        let (device, driver) = (device.to_string(), driver.to_owned());
        Err(Error::Queues {
            device,
            driver,
            direction,
            has,
            wanted,
        })
    };
    enough("receive", info.max_rx_queues, config.rx_queues)?;
    enough("transmit", info.max_tx_queues, config.tx_queues)?;
    let (needed, has) = (
        usize::from(config.mtu) + FRAME_OVERHEAD,
        usize::from(pool.room()),
    );
    if needed > has {
        return Err(Error::BufferSize {
            mtu: config.mtu,
            needed,
            has,
        });
    }
    Ok(())
}

/// What of the wishes the device can fulfil.
struct Plan {
    rx_offloads: u64,
    tx_offloads: u64,
    /// Hash functions; 0 for none.
    rss: u64,
    /// The hash's key; empty for the driver's own.
    key: Vec<u8>,
    steering: Steering,
}

impl Plan {
    fn new(info: &sys::rte_eth_dev_info, config: &PortConfig) -> Self {
        let (mut rx_wanted, mut tx_wanted) = (0, 0);
        if config.checksums {
            rx_wanted |= sys::TND_RX_OFFLOAD_IPV4_CKSUM | sys::TND_RX_OFFLOAD_UDP_CKSUM;
            tx_wanted |= sys::TND_TX_OFFLOAD_IPV4_CKSUM | sys::TND_TX_OFFLOAD_UDP_CKSUM;
        }
        let can = info.flow_type_rss_offloads;
        let udp = can & sys::TND_RSS_UDP;
        let (rss, steering) = if config.rx_queues <= 1 {
            (0, Steering::OneQueue)
        } else if udp == 0 {
            (0, Steering::Unknown)
        } else if can & sys::TND_RSS_L4_DST_ONLY != 0 {
            (udp | sys::TND_RSS_L4_DST_ONLY, Steering::DestinationPort)
        } else {
            (udp, Steering::Addresses)
        };
        if rss != 0 {
            rx_wanted |= sys::TND_RX_OFFLOAD_RSS_HASH;
        }
        let key = match (steering, info.hash_key_size) {
            (Steering::DestinationPort, 0) => steering::key(steering::KEY_LEN),
            (Steering::DestinationPort, len) => steering::key(len.into()),
            _ => Vec::new(),
        };
        Self {
            key,
            rx_offloads: rx_wanted & info.rx_offload_capa,
            tx_offloads: tx_wanted & info.tx_offload_capa,
            rss,
            steering,
        }
    }

    fn configure(&self, opened: &Opened, config: &PortConfig) -> Result<(), Error> {
        // SAFETY: integers, enums with a 0 and pointers, for which zeroes are a value: DPDK's
        // defaults. Needed: the structure is C's.
        let mut conf: sys::rte_eth_conf = unsafe { std::mem::zeroed() };
        conf.rxmode.mtu = config.mtu.into();
        conf.rxmode.offloads = self.rx_offloads;
        conf.txmode.offloads = self.tx_offloads;
        conf.rxmode.mq_mode = if self.rss == 0 {
            sys::TND_MQ_RX_NONE
        } else {
            sys::TND_MQ_RX_RSS
        };
        conf.rx_adv_conf.rss_conf.rss_hf = self.rss;
        // The driver only reads it, whatever its type says.
        let mut key = self.key.clone();
        if let (false, Ok(len)) = (key.is_empty(), u8::try_from(key.len())) {
            conf.rx_adv_conf.rss_conf.rss_key = key.as_mut_ptr();
            conf.rx_adv_conf.rss_conf.rss_key_len = len;
        }
        link_events::ask_for(opened.number(), &mut conf);
        // SAFETY: the port exists and is ours; the structure and its key live over the call. Needed: the
        // device is DPDK's.
        let result = unsafe {
            sys::rte_eth_dev_configure(
                opened.number(),
                config.rx_queues,
                config.tx_queues,
                &raw const conf,
            )
        };
        opened.check("configuring it", result).map(drop)
    }
}

/// Has packets come to their owners' queues, as far as the device can. It is started.
pub(crate) fn steer(opened: &Opened, setup: &Setup) -> Steering {
    let planned = setup.steering;
    match planned {
        Steering::DestinationPort => {
            let table = steering::table(setup.reta_size, &setup.config.slot_queues);
            match table.is_some_and(|table| set_table(opened, &table)) {
                true => planned,
                false => Steering::DestinationPortHash,
            }
        }
        Steering::Addresses | Steering::Unknown => {
            make_rules(opened, &setup.config).map_or(planned, Steering::Rules)
        }
        other => other,
    }
}

/// Gives the device its redirection table; whether it took it.
pub(crate) fn set_table(opened: &Opened, table: &[u16]) -> bool {
    let group = usize::from(sys::TND_RETA_GROUP_SIZE);
    let mut groups: Vec<sys::rte_eth_rss_reta_entry64> = table
        .chunks(group)
        .map(|chunk| {
            let mut entry = sys::rte_eth_rss_reta_entry64 {
                mask: u64::MAX,
                reta: [0; sys::TND_RETA_GROUP_SIZE as usize],
            };
            for (place, queue) in entry.reta.iter_mut().zip(chunk) {
                *place = *queue;
            }
            entry
        })
        .collect();
    let size = u16::try_from(table.len()).unwrap_or(0);
    // SAFETY: the port exists and is ours; the table has `size` entries in whole groups and lives over the call.
    // Needed: the device is DPDK's.
    let result =
        unsafe { sys::rte_eth_dev_rss_reta_update(opened.number(), groups.as_mut_ptr(), size) };
    result == 0
}

/// Makes flow rules for all queues, if the device can have all of them: how many.
fn make_rules(opened: &Opened, config: &PortConfig) -> Option<u16> {
    let rules = steering::rules(&config.slot_queues);
    let frames: &[i32] = if config.tagged { &[0, 1] } else { &[0] };
    let mut count = 0;
    for create in [0, 1] {
        count = 0;
        for rule in &rules {
            for (family, tagged) in [0, 1]
                .iter()
                .flat_map(|f| frames.iter().map(move |t| (*f, *t)))
            {
                // SAFETY: the port exists and is ours; all else is by value. Needed: the device is DPDK's.
                let result = unsafe {
                    sys::tnd_flow_udp_port(
                        opened.number(),
                        family,
                        tagged,
                        rule.value,
                        rule.mask,
                        rule.queue,
                        create,
                    )
                };
                if result != 0 {
                    if create != 0 {
                        // SAFETY: as above.
                        unsafe { sys::tnd_flow_flush(opened.number()) };
                    }
                    return None;
                }
                count += 1;
            }
        }
    }
    Some(count)
}

/// Sets the MTU where the device lets us, and says which one is in force.
fn set_mtu(opened: &Opened, info: &sys::rte_eth_dev_info, wanted: u16) -> Result<u16, Error> {
    const NOT_SUPPORTED: i32 = -95;
    let mut now = 0;
    // SAFETY: the port exists and is ours; the place lives over the call. Needed: the device is
    // DPDK's. The same for the call below.
    opened.check("reading its MTU", unsafe {
        sys::rte_eth_dev_get_mtu(opened.number(), &raw mut now)
    })?;
    if wanted > info.max_mtu {
        return Ok(now);
    }
    // SAFETY: as above.
    let result = unsafe { sys::rte_eth_dev_set_mtu(opened.number(), wanted) };
    if result == NOT_SUPPORTED {
        return Ok(now);
    }
    opened.check("setting its MTU", result).map(|_| wanted)
}

/// The numbers of descriptors that the device accepts, next to those wanted.
fn descriptors(opened: &Opened, config: &PortConfig) -> Result<(u16, u16), Error> {
    let (mut rx, mut tx) = (config.rx_descriptors, config.tx_descriptors);
    // SAFETY: the port exists and is ours; both places live over the call. Needed: the limits are
    // the driver's.
    opened.check("adjusting its descriptors", unsafe {
        sys::rte_eth_dev_adjust_nb_rx_tx_desc(opened.number(), &raw mut rx, &raw mut tx)
    })?;
    Ok((rx, tx))
}

/// Sets all queues up; says on which NUMA node.
fn set_up_queues(
    opened: &Opened,
    info: &sys::rte_eth_dev_info,
    plan: &Plan,
    config: &PortConfig,
    pool: &Mempool,
    rx_descriptors: u16,
    tx_descriptors: u16,
) -> Result<Option<u32>, Error> {
    let number = opened.number();
    let (mut rx_conf, mut tx_conf) = (info.default_rxconf, info.default_txconf);
    rx_conf.offloads = plan.rx_offloads;
    tx_conf.offloads = plan.tx_offloads;
    // SAFETY: the port exists. Needed: only the driver knows. Negative is any node, here as there.
    let node = u32::try_from(unsafe { sys::rte_eth_dev_socket_id(number) }).ok();
    let socket = node.unwrap_or(u32::MAX);
    for queue in 0..config.rx_queues {
        // SAFETY: the port is configured with this queue and stopped; the structure lives over
        // the call, the pool for good. Needed: the device is DPDK's.
        opened.check("setting a receive queue up", unsafe {
            sys::rte_eth_rx_queue_setup(
                number,
                queue,
                rx_descriptors,
                socket,
                &raw const rx_conf,
                pool.as_ptr(),
            )
        })?;
    }
    for queue in 0..config.tx_queues {
        // SAFETY: as above.
        opened.check("setting a transmit queue up", unsafe {
            sys::rte_eth_tx_queue_setup(number, queue, tx_descriptors, socket, &raw const tx_conf)
        })?;
    }
    Ok(node)
}

fn mac(opened: &Opened) -> Result<[u8; 6], Error> {
    let mut mac = sys::rte_ether_addr { addr_bytes: [0; 6] };
    // SAFETY: the port exists; the structure lives over the call. Needed: only the driver knows.
    opened.check("reading its MAC address", unsafe {
        sys::rte_eth_macaddr_get(opened.number(), &raw mut mac)
    })?;
    Ok(mac.addr_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EalSettings;

    /// What of steering can run without a NIC: `net_null` takes a redirection table and gives it back, and has neither
    /// flow rules nor a hash of the port alone.
    #[test]
    fn a_device_takes_our_table_and_what_it_lacks_is_said() {
        let settings = EalSettings {
            main_core: 0,
            memory_mb: Some(64),
            devices: Vec::new(),
            further: Vec::new(),
        };
        let eal = Eal::init(&settings.arguments()).unwrap();
        let pool = Mempool::create(eal, "steering", 2047, 0, 2048).unwrap();
        let slot_queues = std::array::from_fn(|slot| u16::try_from(slot % 3).unwrap());
        let config = PortConfig {
            rx_queues: 3,
            slot_queues,
            tagged: true,
            ..PortConfig::default()
        };
        let device: Device = "net_null0".parse().unwrap();
        let started = Port::start(eal, &device, &config, &pool).unwrap();
        assert_eq!(started.report.steering, Steering::Addresses);
        assert_eq!((started.report.rx_queues, started.report.node), (3, None));

        let opened = started.port.opened();
        let table = steering::table(128, &slot_queues).unwrap();
        assert!(set_table(opened, &table));
        let empty = sys::rte_eth_rss_reta_entry64 {
            mask: u64::MAX,
            reta: [0; 64],
        };
        let mut groups = [empty; 2];
        // SAFETY: the port is started; two groups are 128 entries. Needed: only the device knows.
        let result =
            unsafe { sys::rte_eth_dev_rss_reta_query(opened.number(), groups.as_mut_ptr(), 128) };
        assert_eq!(result, 0);
        let taken: Vec<u16> = groups.iter().flat_map(|group| group.reta).collect();
        assert_eq!(taken, table);
        assert!(!set_table(opened, &table[..64]), "it has 128 entries");
    }
}
