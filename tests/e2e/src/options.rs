//! How a laboratory is set up.

use std::path::Path;

use crate::mariadb::MariaDb;
use crate::topology::{
    CARRIER_PORT, CARRIER_TAP, CORE_PORT, CORE_TAP, INSIDE, INSIDE6, OUTSIDE, OUTSIDE6, sip,
};

/// What differs from one laboratory to another.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the appliance's ports are.
    pub wires: Wires,
    /// `dataplane.workers`: cores.
    pub workers: Vec<u16>,
    /// `port.rx_workers`: a veth has a single queue.
    pub rx_workers: Vec<u16>,
    /// `media.relay_workers`.
    pub relay_workers: Vec<u16>,
    /// The carrier realm's VLAN.
    pub vlan: Option<u16>,
    /// `dispatcher.probe_interval` in seconds; 0 does not probe.
    pub probe_interval: u32,
    /// `media.timeout` in seconds.
    pub media_timeout: u32,
    /// `realm.media_ports` of both realms.
    pub media_ports: (u16, u16),
    /// The media servers of the pool, in the order of the rows, as SIP URIs' host and port.
    pub pool: Vec<std::net::SocketAddr>,
    /// The trunk for calls out of the pool.
    pub trunk: Option<std::net::SocketAddr>,
    /// Who may call in.
    pub carriers: Vec<std::net::IpAddr>,
    /// The registrars inside: set 2, which `more` may name.
    pub registrars: Vec<std::net::SocketAddr>,
    /// Which database, and with it `[database]`.
    pub database: Database,
    /// `sip.workers`.
    pub sip_workers: u16,
    /// More of `[sip]`.
    pub sip: String,
    /// More of the configuration file.
    pub more: String,
}

/// What the appliance's ports are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wires {
    /// Ends of veth pairs: the kernel is at the other end, and so are all programs in the namespaces.
    Veth,
    /// Shared memory: one program is at the other end of both ([`crate::generator`]).
    Memif,
}

/// Which database the appliance uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// The embedded one.
    Sqlite,
    /// A server beside it.
    MariaDb,
    /// That which `more` has.
    Elsewhere,
}

/// SQLite, unless the tests shall be run with the other.
fn database() -> Database {
    match std::env::var("TANDEM_DATABASE").as_deref() {
        Ok("mariadb") => Database::MariaDb,
        _ => Database::Sqlite,
    }
}

impl Default for Options {
    fn default() -> Self {
        use crate::topology::{CALLER, CALLER6, SERVERS, TRUNK};
        Self {
            wires: Wires::Veth,
            workers: vec![1],
            rx_workers: vec![0],
            relay_workers: vec![0],
            vlan: None,
            probe_interval: 2,
            media_timeout: 60,
            media_ports: (30_000, 39_999),
            pool: SERVERS.map(sip).to_vec(),
            trunk: Some(sip(TRUNK)),
            carriers: vec![CALLER, CALLER6],
            registrars: vec![],
            database: database(),
            sip_workers: sip_workers(),
            sip: String::new(),
            more: String::new(),
        }
    }
}

/// One, unless the tests shall be run with another number.
fn sip_workers() -> u16 {
    let wanted = std::env::var("TANDEM_SIP_WORKERS").ok();
    wanted.and_then(|n| n.parse().ok()).unwrap_or(1)
}

impl Options {
    /// The configuration file, with everything under `dir`.
    #[must_use]
    pub fn config(&self, dir: &Path) -> String {
        let database = match self.database {
            Database::Sqlite => "[database]\ndialog = true\n".to_owned(),
            Database::MariaDb => MariaDb::config(dir),
            Database::Elsewhere => String::new(),
        };
        let Self {
            workers,
            rx_workers,
            relay_workers,
            probe_interval,
            media_timeout,
            sip_workers,
            ..
        } = self;
        let (first, last) = self.media_ports;
        let vlan = self
            .vlan
            .map_or_else(String::new, |v| format!("vlan = {v}\n"));
        let probing = match probe_interval {
            0 | 5.. => String::new(),
            _ => "probe_timeout = 1\nprobe_failures = 2\nprobe_successes = 2\n".to_owned(),
        };
        let [carrier_device, core_device] = self.devices(dir);
        let dir = dir.display();
        format!(
            r#"# Written by the laboratory.
[node]
id = 1
state_dir = "{dir}/state"
run_dir = "{dir}/run"

[dataplane]
workers = {workers:?}
control_core = 0
idle = "pause"
memory_mb = 512

[[port]]
name = "carrier"
device = "{carrier_device}"
rx_workers = {rx_workers:?}

[[port]]
name = "core"
device = "{core_device}"
rx_workers = {rx_workers:?}

[[realm]]
name = "carrier"
side = "external"
port = "carrier"
{vlan}tap = "{CARRIER_TAP}"
sip = ["{}", "{}"]
media = ["{OUTSIDE}", "{OUTSIDE6}"]
media_ports = [{first}, {last}]

[[realm]]
name = "core"
side = "internal"
port = "core"
tap = "{CORE_TAP}"
sip = ["{}", "{}"]
media = ["{INSIDE}", "{INSIDE6}"]
media_ports = [{first}, {last}]

[media]
relay_workers = {relay_workers:?}
timeout = {media_timeout}

[dispatcher]
probe_interval = {probe_interval}
{probing}
{database}
[sip]
workers = {sip_workers}
{}
{}"#,
            sip(OUTSIDE),
            sip(OUTSIDE6),
            sip(INSIDE),
            sip(INSIDE6),
            self.sip,
            self.more,
        )
    }

    /// The appliance's ports as DPDK writes them: the carrier's and the core's.
    fn devices(&self, dir: &Path) -> [String; 2] {
        let device = |number: usize, port: &str| match self.wires {
            // A larger receive ring than the driver's own: this machine's other core may be busy.
            Wires::Veth => format!(
                "net_af_packet{number},iface={port},blocksz=4096,framesz=2048,framecnt=8192,qpairs=1"
            ),
            Wires::Memif => {
                let socket = dir.join("run/memif.sock");
                let socket = socket.display();
                format!(
                    "net_memif{number},role=server,id={number},socket={socket},socket-abstract=no"
                )
            }
        };
        [device(0, CARRIER_PORT), device(1, CORE_PORT)]
    }

    /// What goes into the database: who may call, and where calls go.
    #[must_use]
    pub fn rows(&self) -> String {
        let mut sql = String::from("BEGIN; DELETE FROM dispatcher; DELETE FROM address;\n");
        for (i, target) in self.pool.iter().enumerate() {
            sql += &format!(
                "INSERT INTO dispatcher (setid, destination, description) VALUES (1, 'sip:{target}', 'server {}');\n",
                i + 1
            );
        }
        if let Some(trunk) = self.trunk {
            sql += &format!(
                "INSERT INTO dispatcher (setid, destination, description) VALUES (100, 'sip:{trunk}', 'trunk');\n"
            );
        }
        for registrar in &self.registrars {
            sql += &format!(
                "INSERT INTO dispatcher (setid, destination, description) VALUES (2, 'sip:{registrar}', 'registrar');\n"
            );
        }
        for carrier in &self.carriers {
            let mask = if carrier.is_ipv4() { 32 } else { 128 };
            sql += &format!(
                "INSERT INTO address (grp, ip_addr, mask, port, tag) VALUES (1, '{carrier}', {mask}, 0, 'lab');\n"
            );
        }
        sql + "COMMIT;"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_has_no_mistake() {
        let options = Options {
            vlan: Some(100),
            ..Options::default()
        };
        let config = tandem_config::parse(&options.config(Path::new("/tmp/tnd-x"))).unwrap();
        assert_eq!(config.realms[0].vlan, Some(100));
        assert_eq!(config.media.relay_workers, [0]);
        let quiet = Options {
            probe_interval: 0,
            ..Options::default()
        };
        assert!(tandem_config::parse(&quiet.config(Path::new("/tmp/tnd-x"))).is_ok());
    }
}
