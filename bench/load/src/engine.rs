//! The generator between DPDK's ports, on a core of its own.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tandem_dpdk::{
    Burst, Eal, EalSettings, HEADROOM, Mempool, Port, PortConfig, RxQueue, TxQueue, pause,
};

use crate::figures::{Figures, Sample};
use crate::generator::{Device, Generator, Host, HostError, Load, MAX_FRAME, Mac, Sink};
use crate::profile::{self, Idle};
use crate::{MILLISECOND, Nanos};

/// Buffers that the thread keeps at hand.
const CACHE: u32 = 256;
/// Bytes of a packet that fit a buffer.
const ROOM: u16 = 2048;
/// Rounds without anything to do before the loop sleeps.
const PATIENCE: u32 = 200;
/// How long it sleeps: a device's ring holds what comes in that time.
const SLEEP: Duration = Duration::from_micros(20);
/// How long a neighbour may take to answer.
const NEIGHBOUR: Nanos = 10_000 * MILLISECOND;
/// How long a link may take to come up.
const LINK: Nanos = 20_000 * MILLISECOND;

/// DPDK with its ports, ready for one run after another.
///
/// DPDK is there once in a process, on the thread that starts it, which is pinned to its core: all runs are made by that thread.
pub struct Engine {
    hosts: Vec<Host>,
    ports: Vec<EnginePort>,
    pool: Mempool,
    idle: Idle,
    clock: Instant,
}

struct EnginePort {
    port: Port,
    rx: RxQueue,
    tx: TxQueue,
    /// What the device has not taken yet.
    sending: Burst,
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
    /// A port has no link.
    #[error("{0} has no link: is the cable in, and the other end up?")]
    Link(String),
    /// Nobody answers for an address.
    #[error(
        "nobody answers for {0} on port {1}: is the appliance up, and are address, prefix, VLAN and cable right?"
    )]
    Silent(IpAddr, usize),
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
        let devices: Vec<tandem_dpdk::Device> = ports
            .iter()
            .map(|p| p.device.parse())
            .collect::<Result<_, _>>()?;
        let settings = EalSettings {
            main_core: generator.core,
            memory_mb: generator.memory_mb,
            // Virtual devices are attached one by one, so that an error names the culprit.
            devices: devices.iter().filter(|d| d.is_pci()).cloned().collect(),
            further: generator.eal.clone(),
        };
        let eal = Eal::init(&settings.arguments())?;
        let buffers = generator.mbufs;
        let pool = Mempool::create(eal, "tandem-load", buffers, CACHE.min(buffers / 8), ROOM)?;
        let mut engine = Self {
            hosts: Vec::new(),
            ports: Vec::new(),
            pool,
            idle: generator.idle,
            clock: Instant::now(),
        };
        for (port, device) in ports.into_iter().zip(&devices) {
            let config = PortConfig {
                rx_descriptors: port.descriptors,
                tx_descriptors: port.descriptors,
                checksums: false,
                ..PortConfig::default()
            };
            let mut started = Port::start(eal, device, &config, &engine.pool)?;
            let (Some(rx), Some(tx)) = (started.rx.pop(), started.tx.pop()) else {
                continue;
            };
            engine.hosts.push(Host {
                mac: started.report.mac,
                vlan: port.vlan,
                addresses: port
                    .addresses
                    .iter()
                    .map(|a| (a.address, a.prefix))
                    .collect(),
                gateways: port.gateways,
                peer_mac: port.peer_mac.map(|m| m.0),
            });
            let sending = Burst::new();
            engine.ports.push(EnginePort {
                port: started.port,
                rx,
                tx,
                sending,
            });
        }
        Ok(engine)
    }

    /// Its ports as hosts, in order.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Waits until every port has a link.
    ///
    /// # Errors
    /// When one has none.
    pub fn wait_for_links(&self) -> Result<(), EngineError> {
        let since = self.now();
        for port in &self.ports {
            while !port.port.link()?.up {
                if self.now() - since > LINK {
                    return Err(EngineError::Link(port.port.device().to_string()));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    /// The MAC address that frames from `local` on `port` to `remote` are for: it is asked for.
    ///
    /// # Errors
    /// [`EngineError::Silent`] when nobody says it.
    pub fn resolve(
        &mut self,
        port: usize,
        local: IpAddr,
        remote: IpAddr,
    ) -> Result<Mac, EngineError> {
        let since = self.now();
        let mut generator = Generator::new(self.hosts.clone(), Load::default(), since)?;
        generator.seek(port, local, remote)?;
        let (mut received, mut refused) = (Burst::new(), 0);
        while self.now() - since < NEIGHBOUR {
            self.round(&mut generator, &mut received, &mut refused);
            if let Some(mac) = generator.sought(port, local, remote) {
                return Ok(mac);
            }
            pause();
        }
        Err(EngineError::Silent(remote, port))
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
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        self.empty();
        let missed = self.missed();
        let mut refused = 0;
        let mut generator = Generator::new(self.hosts.clone(), load, self.now())?;
        let mut received = Burst::new();
        let mut idle = 0;
        while !generator.is_done() {
            let (now, busy) = self.round(&mut generator, &mut received, &mut refused);
            if generator.is_second(now) {
                let device = Device {
                    refused,
                    missed: self.missed() - missed,
                };
                let sample = generator.sample(now, device);
                if !watch(&sample) {
                    generator.stop(now);
                }
            }
            idle = if busy { 0 } else { idle + 1 };
            if self.idle == Idle::Pause && idle > PATIENCE {
                std::thread::sleep(SLEEP);
            } else if idle > 0 {
                pause();
            }
        }
        let device = Device {
            refused,
            missed: self.missed() - missed,
        };
        Ok(generator.finish(self.now(), device, started))
    }

    /// One round: what came, and what is due. Answers its time, and whether there was something to do.
    #[inline]
    fn round(
        &mut self,
        generator: &mut Generator,
        received: &mut Burst,
        refused: &mut u64,
    ) -> (Nanos, bool) {
        let now = self.now();
        for number in 0..self.ports.len() {
            let Some(port) = self.ports.get_mut(number) else {
                break;
            };
            port.rx.receive(received);
            let mut out = Out {
                ports: &mut self.ports,
                pool: &self.pool,
                refused: 0,
            };
            for packet in received.iter().filter(|p| p.segments() == 1) {
                generator.receive(now, number, packet.data(), &mut out);
            }
            *refused += out.refused;
            received.clear();
        }
        let mut out = Out {
            ports: &mut self.ports,
            pool: &self.pool,
            refused: 0,
        };
        let busy = generator.poll(now, &mut out);
        out.flush();
        *refused += out.refused;
        (now, busy)
    }

    fn now(&self) -> Nanos {
        u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Throws away what lies in the devices from before.
    fn empty(&mut self) {
        let mut received = Burst::new();
        for port in &mut self.ports {
            port.sending.clear();
            for _ in 0..1000 {
                if port.rx.receive(&mut received) == 0 {
                    break;
                }
                received.clear();
            }
        }
    }

    /// Frames that our devices dropped because we did not fetch them.
    fn missed(&self) -> u64 {
        let of = |p: &EnginePort| p.port.stats().map_or(0, |s| s.rx_missed + s.rx_no_buffer);
        self.ports.iter().map(of).sum()
    }
}

/// The devices' side of a round.
struct Out<'a> {
    ports: &'a mut [EnginePort],
    pool: &'a Mempool,
    refused: u64,
}

impl Out<'_> {
    fn flush(&mut self) {
        for port in self.ports.iter_mut() {
            self.refused += u64::from(!port.flush());
        }
    }
}

impl EnginePort {
    /// Gives the device what is to be sent; says whether it took all of it.
    #[inline]
    fn flush(&mut self) -> bool {
        self.sending.is_empty() || {
            self.tx.send(&mut self.sending);
            self.sending.is_empty()
        }
    }
}

impl Sink for Out<'_> {
    #[inline]
    fn frame(&mut self, port: usize, write: impl FnOnce(&mut [u8]) -> usize) -> bool {
        let Some(port) = self.ports.get_mut(port) else {
            return false;
        };
        if port.sending.is_full() {
            self.refused += u64::from(!port.flush());
            if port.sending.is_full() {
                return false;
            }
        }
        let Some(mut packet) = self.pool.take() else {
            return false;
        };
        let start = usize::from(HEADROOM);
        if packet.set_window(start, MAX_FRAME).is_err() {
            return false;
        }
        let length = write(packet.data_mut());
        if length > 0 && packet.set_window(start, length).is_ok() {
            // There is room: it was not full.
            let _ = port.sending.push(packet);
        }
        true
    }
}
