//! Putting the threads and their rings together.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use signal_hook::consts::{SIGINT, SIGTERM};
use tandem_config::Config;
use tandem_link::{AlarmKind, SlotTable};
use tandem_relay::{PoliceConfig, PortConfig, RealmConfig, Relay, RelayConfig, TxOffloads};
use tandem_shm::{Reader, payload_buffer};
use thiserror::Error;
use tracing::{error, info};

use crate::control::{Control, State, WorkerLink};
use crate::counters::{Counter, ExceptionCounters, WorkerCounters};
use crate::exception::{Exception, RealmPath};
use crate::forwarding::Realms;
use crate::health::Health;
use crate::health::outlets::{Outlets, Refusals};
use crate::health::pulse::{Beat, Pulse};
use crate::health::recovery::Recovery;
use crate::link_socket::{ListenError, Listener};
use crate::mirror::{Mirror, Tables};
use crate::passed::{Passed, ToKernel};
use crate::police::Policer;
use crate::ports::{self, Hardware, Pools, StartedPort, WorkerQueues, numa};
use crate::privileges::{Kind, PrivilegeError, Privileges};
use crate::report::Reporter;
use crate::restarter::Restarter;
use crate::tap::{Tap, TapError};
use crate::waker::Waker;
use crate::worker::pace::{Pace, Pacer};
use crate::worker::{Sender, ToControl, ToException, Worker};
use crate::{clock, system};

/// Slots of a ring between two threads that pass packets on.
const PASSED: usize = 1024;

/// Slots of a worker's ring to the exception thread.
const EXCEPTIONS: usize = 1024;

/// Slots of a worker's ring for orders, and of that for its reports.
const ORDERS: usize = 1024;
const REPORTS: usize = 2048;

/// Bytes of a worker's ring for SIP that the kernel shall send.
const KERNEL_SIP_BYTES: u32 = 512 << 10;

/// DSCP of the SIP that we send: CS3 (RFC 4594).
const SIP_DSCP: u8 = 24;

/// Why the dataplane could not start.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Dpdk(#[from] tandem_dpdk::Error),
    #[error(transparent)]
    Tap(#[from] TapError),
    #[error(transparent)]
    Relay(#[from] tandem_relay::ConfigError),
    #[error("rings: {0}")]
    Rings(#[from] tandem_shm::ShmError),
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Runs the dataplane until a signal ends it.
pub(crate) fn run(config: Config) -> Result<(), StartError> {
    let boot = clock::wall() ^ u64::from(std::process::id()).rotate_left(48);
    // First of all: it also keeps a second dataplane from starting.
    let listener = Listener::bind(&config.node.link_socket())?;
    let (signal, stop_signal) = UnixStream::pair()?;
    for number in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(number, signal.try_clone()?)?;
    }
    system::reserve_media_ports(&config);

    let Hardware {
        eal,
        pools,
        ports,
        queues,
    } = ports::start(&config)?;
    let paths = open_taps(&config, &ports)?;
    let has_pci = config.ports.iter().any(|port| is_pci(&port.device));
    let privileges = Privileges::new(&config.dataplane, has_pci);
    let realms = Realms::new(paths.iter().map(|path| path.tap.index).collect());
    let slots = SlotTable::deal(&config.media.relay_workers);
    let shared = Shared {
        stop: Arc::new(AtomicBool::new(false)),
        control: Arc::new(Waker::new()?),
        exception: Arc::new(Waker::new()?),
    };

    let count = queues.len();
    let mut mesh = Mesh::new(count);
    let workers = u16::try_from(count).unwrap_or(u16::MAX);
    let (kernel_sip, to_kernel_sip) = tandem_shm::Session::create(1, workers, 1, KERNEL_SIP_BYTES)?;
    let bells = kernel_sip.doorbell_fds().map(|fd| fd.try_clone_to_owned());
    let readers = tandem_shm::attach(
        kernel_sip.memory_fd().try_clone_to_owned()?,
        bells.collect::<Result<_, _>>()?,
        1,
        workers,
    )?;
    let exceptions = readers.into_iter().next();
    let Reader {
        ends: from_kernel_sip,
        doorbell: sip_bell,
    } = exceptions.ok_or(tandem_shm::ShmError::Shape)?;
    let to_kernel_sip = to_kernel_sip.into_iter().flatten();

    let mut made = Vec::new();
    let mut links = Vec::new();
    let mut frames = Vec::new();
    let mut pulses = Vec::new();
    let outlets = Outlets::new(ports.len());
    let mut refusals = Vec::new();
    for ((index, queues), sip) in queues.into_iter().enumerate().zip(to_kernel_sip) {
        let (frame_in, frame_out) = rtrb::RingBuffer::<ToKernel>::new(EXCEPTIONS);
        frames.push(frame_out);
        let counters = Arc::new(WorkerCounters::default());
        let exception = ToException::new(
            frame_in,
            sip.producer,
            Policer::new(clock::now()),
            Arc::clone(&shared.exception),
            Arc::clone(&counters),
        );
        let pulse = Arc::new(Pulse::default());
        pulses.push(Arc::clone(&pulse));
        let refused = Refusals::new(ports.len());
        refusals.push(refused.clone());
        let (worker, link) = make_worker(
            WorkerParts {
                index,
                queues,
                exception,
                counters,
                beat: Beat::new(pulse),
                outlets: outlets.clone(),
                refused,
                privileges: privileges.clone(),
            },
            &config,
            &ports,
            &slots,
            (eal, pools.clone()),
            &mut mesh,
            &shared,
        )?;
        made.push(worker);
        links.push(link);
    }

    let exception_counters = Arc::new(ExceptionCounters::default());
    let exception = Exception {
        realms: paths,
        frames,
        sip: from_kernel_sip
            .into_iter()
            .map(|end| end.consumer)
            .collect(),
        sip_bell,
        to_workers: mesh.rings_of_exception(),
        pool: pools
            .of(numa::of_core(config.dataplane.control_core))
            .clone(),
        waker: Arc::clone(&shared.exception),
        stop: Arc::clone(&shared.stop),
        counters: Arc::clone(&exception_counters),
    };
    let (tables_in, tables) = std::sync::mpsc::channel();
    let (requests, requests_out) = tokio::sync::mpsc::unbounded_channel();
    let resyncs = Arc::new(Counter::default());
    let to_control = Arc::clone(&shared.control);
    let mirror = Mirror {
        devices: realms.devices().to_vec(),
        requests: requests_out,
        deliver: move |tables: &Tables| {
            // When the control thread has ended, so does this one soon.
            let _ = tables_in.send(tables.clone());
            to_control.wake();
        },
        resyncs: Arc::clone(&resyncs),
    };

    privileges.drop(&config.node.link_socket())?;
    let mut threads = Threads {
        stop: Arc::clone(&shared.stop),
        handles: Vec::new(),
    };
    for (index, worker) in made.into_iter().enumerate() {
        threads.spawn(&format!("worker-{index}"), move || worker.run())?;
    }
    let own = privileges.clone();
    threads.spawn("exception", move || {
        own.confine(Kind::Exception);
        exception.run();
    })?;
    let own = privileges.clone();
    threads.spawn("mirror", move || {
        own.confine(Kind::Mirror);
        if let Err(error) = mirror.run() {
            error!("netlink: {error}");
        }
    })?;

    let (restarter, runner) = Restarter::new(Arc::clone(&shared.control));
    let own = privileges.clone();
    threads.spawn("ports", move || {
        own.confine(Kind::Ports);
        runner.run();
    })?;

    privileges.confine(Kind::Control);
    let with_queues = ports.iter().map(|p| (Arc::clone(&p.port), p.workers()));
    let recovery = Recovery::new(with_queues, restarter);
    let mut health = Health::new(&config, pulses, outlets.clone(), refusals, recovery);
    let nodes: Vec<_> = ports.iter().map(|port| port.report.node).collect();
    for foreign in numa::foreign(&config, &nodes, numa::of_core) {
        health
            .alarms
            .raise(AlarmKind::ForeignNode, &foreign.port, foreign.text);
    }
    let mut control = Control {
        config,
        slots,
        workers: links,
        listener,
        waker: Arc::clone(&shared.control),
        stop: stop_signal,
        tables,
        requests,
        realms,
        reporter: Reporter::new(exception_counters, resyncs, ports, pools),
        health,
        state: State::new(boot),
    };
    control.begin();
    println!("ready");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    control.run();
    info!("stopping");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    // The workers may do little; the ports close here, behind them.
    let ports = std::mem::take(&mut control.reporter.ports);
    // Ends the mirror.
    drop(control);
    threads.stop.store(true, Ordering::Relaxed);
    shared.exception.wake();
    threads.join();
    drop(ports);
    drop(kernel_sip);
    Ok(())
}

fn is_pci(device: &str) -> bool {
    let device: Result<tandem_dpdk::Device, _> = device.parse();
    device.is_ok_and(|device| device.is_pci())
}

/// What all threads share.
struct Shared {
    stop: Arc<AtomicBool>,
    control: Arc<Waker>,
    exception: Arc<Waker>,
}

/// A worker's own parts.
struct WorkerParts {
    index: usize,
    queues: WorkerQueues,
    exception: ToException,
    counters: Arc<WorkerCounters>,
    beat: Beat,
    outlets: Outlets,
    refused: Refusals,
    privileges: Privileges,
}

fn make_worker(
    parts: WorkerParts,
    config: &Config,
    ports: &[StartedPort],
    slots: &SlotTable,
    (eal, pools): (tandem_dpdk::Eal, Pools),
    mesh: &mut Mesh,
    shared: &Shared,
) -> Result<(Worker, WorkerLink), StartError> {
    let WorkerParts {
        index,
        queues,
        exception,
        counters,
        beat,
        outlets,
        refused,
        privileges,
    } = parts;
    let core = config.dataplane.workers.get(index).copied().unwrap_or(0);
    // There, so that its tables are in memory of the core's node.
    let settings = relay_config(index, config, ports, slots);
    let relay = system::on_core(core, || Relay::new(settings))?;
    let (orders_in, orders) = rtrb::RingBuffer::new(ORDERS);
    let (reports_in, reports) = rtrb::RingBuffer::new(REPORTS);
    let control = ToControl::new(
        reports_in,
        Arc::clone(&shared.control),
        Arc::clone(&counters),
    );
    let (others, passed) = mesh.of(index);
    let pace = Arc::new(Pace::default());
    let worker = Worker {
        core,
        idle: config.dataplane.idle,
        eal,
        pool: pools.of(numa::of_core(core)).clone(),
        relay,
        rx: queues.rx,
        sender: Sender::new(queues.tx, others, Arc::clone(&counters), outlets, refused),
        passed,
        exception,
        orders,
        control,
        counters: Arc::clone(&counters),
        pacer: Pacer::new(Arc::clone(&pace)),
        stop: Arc::clone(&shared.stop),
        hold_expiry: 0,
        session: None,
        capture: None,
        later: Vec::with_capacity(tandem_dpdk::BURST),
        listing: None,
        classifying: None,
        buffer: payload_buffer(),
        beat,
        privileges,
    };
    Ok((
        worker,
        WorkerLink {
            commands: orders_in,
            reports,
            counters,
            pace,
        },
    ))
}

fn relay_config(
    index: usize,
    config: &Config,
    ports: &[StartedPort],
    slots: &SlotTable,
) -> RelayConfig {
    let port = |p: &StartedPort| PortConfig {
        mac: p.report.mac,
        mtu: p.report.mtu,
        offloads: TxOffloads {
            ipv4: p.report.tx_ipv4_checksum,
            udp: p.report.tx_udp_checksum,
        },
    };
    let realm = |r: &tandem_config::Realm| RealmConfig {
        port: r.port,
        vlan: r.vlan,
        sip: r.sip.clone(),
        media: r.media.clone(),
        media_ports: r.media_ports.clone(),
    };
    RelayConfig {
        worker: u16::try_from(index).unwrap_or(u16::MAX),
        slots: slots.clone(),
        ports: ports.iter().map(port).collect(),
        realms: config.realms.iter().map(realm).collect(),
        sip_dscp: SIP_DSCP,
        learning_ns: u64::try_from(config.media.learning.as_nanos()).unwrap_or(u64::MAX),
        max_flows: config.dataplane.max_flows,
        seed: seed(),
        police: PoliceConfig {
            most_registered: config.police.max_registered,
            most_unknown: config.police.max_unknown,
            trusted_realms: config.realms.iter().map(is_inside).collect(),
            ..PoliceConfig::default()
        },
    }
}

/// Nobody on the internal side is policed: those are our own.
fn is_inside(realm: &tandem_config::Realm) -> bool {
    realm.side == tandem_config::Side::Internal
}

/// Numbers that nobody can guess: what std keys its hash maps with.
fn seed() -> [u8; 16] {
    let number = |n: u8| u128::from(RandomState::new().hash_one(n));
    (number(0) << 64 | number(1)).to_le_bytes()
}

/// Opens every realm's TAP; each frame of it is sent by the first worker that polls its port.
fn open_taps(config: &Config, ports: &[StartedPort]) -> Result<Vec<RealmPath>, StartError> {
    let mut paths = Vec::new();
    for realm in &config.realms {
        let port = usize::from(realm.port);
        let (mac, mtu) = ports
            .get(port)
            .map_or(([0; 6], 1500), |p| (p.report.mac, p.report.mtu));
        let tap = Tap::open(&realm.name, &realm.tap, mac, mtu)?;
        let polls = config.ports.get(port).and_then(|p| p.rx_workers.first());
        let worker = polls.copied().unwrap_or(0).into();
        paths.push(RealmPath {
            tap,
            port: realm.port,
            vlan: realm.vlan,
            worker,
        });
    }
    Ok(paths)
}

/// A ring from every worker, and from the exception thread, to every worker.
struct Mesh {
    /// By receiver, then by sender; the exception thread is the last sender.
    producers: Vec<Vec<Option<rtrb::Producer<Passed>>>>,
    consumers: Vec<Vec<rtrb::Consumer<Passed>>>,
}

impl Mesh {
    fn new(workers: usize) -> Self {
        let mut mesh = Self {
            producers: Vec::new(),
            consumers: Vec::new(),
        };
        for receiver in 0..workers {
            let (mut ins, mut outs) = (Vec::new(), Vec::new());
            for sender in 0..=workers {
                if sender == receiver {
                    ins.push(None);
                } else {
                    let (producer, consumer) = rtrb::RingBuffer::new(PASSED);
                    ins.push(Some(producer));
                    outs.push(consumer);
                }
            }
            mesh.producers.push(ins);
            mesh.consumers.push(outs);
        }
        mesh
    }

    /// A worker's rings to the others, by worker, and those from them.
    fn of(
        &mut self,
        worker: usize,
    ) -> (
        Vec<Option<rtrb::Producer<Passed>>>,
        Vec<rtrb::Consumer<Passed>>,
    ) {
        let to_others = self
            .producers
            .iter_mut()
            .map(|ins| ins.get_mut(worker)?.take())
            .collect();
        let from_others = self
            .consumers
            .get_mut(worker)
            .map(std::mem::take)
            .unwrap_or_default();
        (to_others, from_others)
    }

    /// The exception thread's rings, by worker.
    fn rings_of_exception(&mut self) -> Vec<rtrb::Producer<Passed>> {
        self.producers
            .iter_mut()
            .filter_map(|ins| ins.last_mut()?.take())
            .collect()
    }
}

/// The running threads.
struct Threads {
    stop: Arc<AtomicBool>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.handles
            .push(Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    fn join(&mut self) {
        for handle in self.handles.drain(..) {
            let name = handle.thread().name().unwrap_or_default().to_owned();
            if handle.join().is_err() {
                error!("thread {name} had panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_hears_all_others_and_the_exception_thread() {
        let mut mesh = Mesh::new(3);
        for worker in 0..3 {
            let (to, from) = mesh.of(worker);
            assert_eq!(from.len(), 3);
            let reached: Vec<_> = to.iter().map(Option::is_some).collect();
            assert_eq!(
                reached,
                (0..3).map(|other| other != worker).collect::<Vec<_>>()
            );
        }
        assert_eq!(mesh.rings_of_exception().len(), 3);
    }
}
