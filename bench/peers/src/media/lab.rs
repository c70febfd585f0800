//! The namespaces, wires and flows.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tandem_bench_peers::wires;
use tandem_e2e::{Failure, Lab, Namespace, Options, Result, topology};

use crate::frames::{Ends, Frames, Mac, Ports};
use crate::generate::{Setup, Side};
use crate::pcap;
use crate::random::Random;

/// The generator has this core, and the threads of the subject that do not relay.
pub(crate) const GENERATOR_CORE: u16 = 0;
/// The subject relays on this one.
pub(crate) const SUBJECT_CORE: u16 = 1;
/// Our media ports.
const FIRST_PORT: u16 = 10_240;
const LAST_PORT: u16 = 65_535;
/// The peers' first media port.
const PEER_PORT: u16 = 10_000;
/// The most flows: each has two ports on either side.
pub(crate) const MOST_FLOWS: u32 = 27_000;
/// Packets in a `net_memif` ring, as a power of two: few enough that the rings stay in the cores' caches (with 1,024 testpmd
/// takes twice as long for a packet), and many, as a NIC has that shall live through a pause.
const MEMIF_RING: u8 = 8;
const MEMIF_DEEP: u8 = 12;

/// What frames go over.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wire {
    /// `net_memif`: shared memory between two processes.
    Memif,
    /// The same; the frames have no UDP checksums (RFC 768 lets IPv4 do that): none to verify, none to mend.
    MemifBare,
    /// The same with frames as in `memif` and deep rings: what it takes to live through pauses without loss.
    MemifDeep,
    /// `net_pcap`, which plays a file without end and forgets what is sent: no generator.
    Pcap,
    /// The same with frames without UDP checksums.
    PcapBare,
    /// One `net_null` port: empty frames from nowhere.
    Null,
    /// veth pairs; DPDK by `net_af_packet`, others by the kernel's sockets.
    Veth,
}

impl Wire {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memif => "memif",
            Self::MemifBare => "memif-bare",
            Self::MemifDeep => "memif-deep",
            Self::Pcap => "pcap",
            Self::PcapBare => "pcap-bare",
            Self::Null => "null",
            Self::Veth => "veth",
        }
    }

    /// Whether its frames have UDP checksums.
    pub(crate) fn checksums(self) -> bool {
        !matches!(self, Self::MemifBare | Self::PcapBare)
    }
}

/// A flow's ports, on the carrier's side and on the core's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) sides: [Ports; 2],
}

impl Flow {
    /// Its ports on the carrier's side (0) or on the core's.
    pub(crate) fn side(&self, n: usize) -> Ports {
        let [carrier, core] = self.sides;
        if n == 0 { carrier } else { core }
    }
}

/// Flows of ours: ports in random order.
pub(crate) fn flows(count: u32) -> Vec<Flow> {
    let mut random = Random::new(1);
    let pairs = u32::from((LAST_PORT - FIRST_PORT) / 2);
    let mut side = || {
        let mut ports: Vec<u16> = (0..pairs).map(|n| FIRST_PORT + 2 * n as u16).collect();
        random.shuffle(&mut ports);
        ports
    };
    let subject = [side(), side()];
    (0..count.min(pairs))
        .map(|n| {
            let ports = |subject: &Vec<u16>| Ports {
                peer: PEER_PORT + 2 * n as u16,
                subject: subject.get(n as usize).copied().unwrap_or(FIRST_PORT),
            };
            Flow {
                sides: [ports(&subject[0]), ports(&subject[1])],
            }
        })
        .collect()
}

/// The laboratory, with the peers' ends of all wires in one namespace.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) options: Options,
}

impl Bench {
    pub(crate) fn new() -> Result<Self> {
        let options = Options {
            probe_interval: 0,
            media_timeout: 0,
            media_ports: (FIRST_PORT, LAST_PORT),
            ..Options::default()
        };
        let lab = Lab::wires(options.clone())?;
        wires::lay(&lab)?;
        let generator = lab.carrier.name();
        for link in [topology::CORE_LINK, "plain1"] {
            lab.core
                .run(&format!("ip link set {link} netns {generator}"))?;
        }
        for link in [
            topology::CARRIER_LINK,
            topology::CORE_LINK,
            "plain0",
            "plain1",
        ] {
            // Nobody answers there but the generator.
            for setting in [
                format!("ip addr flush dev {link}"),
                format!("sysctl -qw net.ipv6.conf.{link}.disable_ipv6=1"),
                format!("ip link set {link} txqueuelen 10000 arp off up"),
            ] {
                lab.carrier.run(&setting)?;
            }
        }
        for port in ["k-carrier", "k-core"] {
            lab.appliance
                .run(&format!("sysctl -qw net.ipv6.conf.{port}.disable_ipv6=1"))?;
        }
        Ok(Self { lab, options })
    }

    /// A folder for a subject's files.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        self.lab.peer_dir(name)
    }

    /// The ports of a DPDK program.
    pub(crate) fn devices(&self, wire: Wire) -> Vec<String> {
        let memif = |n| self.memif(wire, "server", n);
        match wire {
            Wire::Memif | Wire::MemifBare | Wire::MemifDeep => vec![memif(0), memif(1)],
            Wire::Pcap | Wire::PcapBare => (0..2)
                .map(|n| {
                    let file = self.pcap_file(n);
                    format!("net_pcap{n},rx_pcap={},infinite_rx=1", file.display())
                })
                .collect(),
            Wire::Null => vec!["net_null0,size=214".into()],
            Wire::Veth => vec![
                packet(0, topology::CARRIER_PORT),
                packet(1, topology::CORE_PORT),
            ],
        }
    }

    /// What the generator needs to know: its ports, and the flows' addresses and ports.
    pub(crate) fn setup(&self, wire: Wire, kernel: bool, flows: &[Flow]) -> Result<Setup> {
        let side = |n: usize| {
            let link = match (n, kernel) {
                (0, false) => topology::CARRIER_LINK,
                (_, false) => topology::CORE_LINK,
                (0, true) => "plain0",
                (_, true) => "plain1",
            };
            Ok(Side {
                device: match wire {
                    Wire::Veth => packet(n, link),
                    _ => self.memif(wire, "client", n),
                },
                ends: self.ends(wire, n, kernel)?,
                ports: flows.iter().map(|flow| flow.side(n)).collect(),
            })
        };
        Ok(Setup {
            core: GENERATOR_CORE,
            memory_mb: 256,
            sides: [side(0)?, side(1)?],
            checksums: wire.checksums(),
        })
    }

    /// Writes what `net_pcap` plays.
    pub(crate) fn record(&self, wire: Wire, flows: &[Flow]) -> Result<()> {
        for n in 0..2 {
            let ports: Vec<Ports> = flows.iter().map(|flow| flow.side(n)).collect();
            let ends = self.ends(wire, n, false)?;
            let mut order: Vec<u32> = (0..ports.len() as u32).collect();
            Random::new(n as u64 + 1).shuffle(&mut order);
            let mut frames = Frames::new(ends, &ports, wire.checksums());
            pcap::write(&self.pcap_file(n), &mut frames, &order)?;
        }
        Ok(())
    }

    /// Tells the appliance's kernel where the generator is.
    pub(crate) fn neighbours(&self, wire: Wire, kernel: bool) -> Result<()> {
        let devices = if kernel {
            ["k-carrier", "k-core"]
        } else {
            [topology::CARRIER_TAP, topology::CORE_TAP]
        };
        for (n, device) in devices.into_iter().enumerate() {
            let (mac, address) = self.ends(wire, n, kernel)?.peer;
            let mac = text_of(mac);
            self.lab.appliance.run(&format!(
                "ip neigh replace {address} lladdr {mac} dev {device} nud permanent"
            ))?;
        }
        Ok(())
    }

    /// Who is at the ends of a side's wire.
    fn ends(&self, wire: Wire, side: usize, kernel: bool) -> Result<Ends> {
        let n = side as u8;
        let (peer, subject) = match (side, kernel) {
            (0, false) => (topology::CALLER, topology::OUTSIDE),
            (_, false) => (topology::SERVERS[0], topology::INSIDE),
            (0, true) => (wires::CALLER, wires::OUTSIDE),
            (_, true) => (wires::SERVER, wires::INSIDE),
        };
        let (peer_mac, subject_mac) = match wire {
            Wire::Memif | Wire::MemifBare | Wire::MemifDeep | Wire::Null => {
                (memif_mac(2, n), memif_mac(1, n))
            }
            // The driver's own.
            Wire::Pcap | Wire::PcapBare => (memif_mac(2, n), [2, 0x70, 0x63, 0x61, 0x70, n]),
            Wire::Veth => {
                let links = match (side, kernel) {
                    (0, false) => (topology::CARRIER_LINK, topology::CARRIER_PORT),
                    (_, false) => (topology::CORE_LINK, topology::CORE_PORT),
                    (0, true) => ("plain0", "k-carrier"),
                    (_, true) => ("plain1", "k-core"),
                };
                (
                    mac_of(&self.lab.carrier, links.0)?,
                    mac_of(&self.lab.appliance, links.1)?,
                )
            }
        };
        Ok(Ends {
            peer: (peer_mac, ipv4(peer)),
            subject: (subject_mac, ipv4(subject)),
        })
    }

    fn memif(&self, wire: Wire, role: &str, n: usize) -> String {
        let ring = match wire {
            Wire::MemifDeep => MEMIF_DEEP,
            _ => MEMIF_RING,
        };
        let socket = self.lab.dir().join("memif.sock");
        let whose = if role == "server" { 1 } else { 2 };
        let mac = text_of(memif_mac(whose, n as u8));
        format!(
            "net_memif{n},role={role},id={n},socket={},socket-abstract=no,rsize={ring},mac={mac}",
            socket.display()
        )
    }

    fn pcap_file(&self, n: usize) -> PathBuf {
        self.lab.dir().join(format!("side{n}.pcap"))
    }
}

fn packet(n: usize, interface: &str) -> String {
    format!("net_af_packet{n},iface={interface},blocksz=4096,framesz=2048,framecnt=8192,qpairs=1")
}

fn memif_mac(whose: u8, n: u8) -> Mac {
    [2, 0, 0, 0, whose, n]
}

fn text_of(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn mac_of(namespace: &Namespace, link: &str) -> Result<Mac> {
    let text = namespace.run(&format!("cat /sys/class/net/{link}/address"))?;
    let bytes: Vec<u8> = text
        .trim()
        .split(':')
        .filter_map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    bytes
        .try_into()
        .map_err(|_| Failure::new(format!("{link} has the address `{text}`")))
}

fn ipv4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn flows_have_ports_of_their_own() {
        let all = flows(10_000);
        assert_eq!(all.len(), 10_000);
        for side in 0..2 {
            let subject: HashSet<u16> = all.iter().map(|f| f.sides[side].subject).collect();
            let peer: HashSet<u16> = all.iter().map(|f| f.sides[side].peer).collect();
            assert_eq!((subject.len(), peer.len()), (10_000, 10_000));
            assert!(subject.iter().all(|p| p % 2 == 0 && *p >= FIRST_PORT));
        }
        assert_eq!(flows(MOST_FLOWS).len(), MOST_FLOWS as usize);
    }
}
