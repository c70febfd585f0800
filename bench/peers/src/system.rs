//! The systems under test, and what each needs around it.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use tandem_e2e::kamailio::{DOMAIN, PASSWORD};
use tandem_e2e::{Lab, Options, Process, Result, topology};

use tandem_bench_peers::{cpu, wires};

use crate::{kamailio, load};

/// A system under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum System {
    /// Debian's Kamailio.
    Kamailio,
    /// Ours, SIP through the dataplane and its rings.
    Rings,
    /// Ours, SIP through the kernel's sockets.
    Kernel,
}

impl System {
    /// All, in the order of the rounds.
    pub(crate) const ALL: [Self; 3] = [Self::Kamailio, Self::Rings, Self::Kernel];
}

/// What it is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Calls to a media server, by TCP or by UDP.
    Calls { tcp: bool },
    /// The registrar of so many users, by UDP; ours with or without the database's location table.
    Users { count: u32, table: bool },
}

/// A system that runs, and how it is reached.
pub(crate) struct Running {
    pub(crate) lab: Lab,
    _server: Option<Process>,
    _kamailio: Option<Process>,
    pub(crate) system: System,
    pub(crate) from: IpAddr,
    pub(crate) to: SocketAddr,
}

impl Running {
    /// Kamailio's processes, or the signaling plane's.
    pub(crate) fn signaling(&self) -> Result<Vec<u32>> {
        let program = match self.system {
            System::Kamailio => "kamailio",
            System::Rings | System::Kernel => "tandem-sigplane",
        };
        cpu::processes(&self.lab.appliance, program)
    }

    /// The dataplane's; none beside Kamailio.
    pub(crate) fn dataplane(&self) -> Result<Vec<u32>> {
        cpu::processes(&self.lab.appliance, "tandem-dataplane")
    }
}

/// Starts it, on core 1; the peers are on core 0.
pub(crate) fn set_up(system: System, service: Service) -> Result<Running> {
    let options = options(system, service);
    let mut lab = Lab::wires(options.clone())?;
    wires::lay(&lab)?;
    let at = match system {
        System::Rings => topology::SERVERS[0],
        System::Kamailio | System::Kernel => wires::SERVER,
    };
    let server = match service {
        Service::Calls { tcp: false } => Some(load::server(&lab, at, "u1")?),
        Service::Calls { tcp: true } => Some(load::server(&lab, at, "t1")?),
        Service::Users { .. } => None,
    };
    let kamailio = match (system, service) {
        (System::Kamailio, Service::Calls { tcp }) => Some(kamailio::proxy(&lab, tcp)?),
        (System::Kamailio, Service::Users { .. }) => Some(kamailio::registrar(&lab)?),
        (System::Rings | System::Kernel, _) => {
            start_ours(&mut lab, &options, system, service)?;
            None
        }
    };
    let (from, to) = match system {
        System::Rings => (topology::CALLER, topology::OUTSIDE),
        System::Kamailio | System::Kernel => (wires::CALLER, wires::OUTSIDE),
    };
    Ok(Running {
        lab,
        _server: server,
        _kamailio: kamailio,
        system,
        from,
        to: topology::sip(to),
    })
}

fn options(system: System, service: Service) -> Options {
    let callers = vec![topology::CALLER, wires::CALLER];
    let (carriers, more) = match service {
        Service::Calls { .. } => (callers, String::new()),
        Service::Users { count, table } => {
            let trusted = callers.iter().map(|ip| format!("{ip}/32"));
            let trusted: Vec<String> = trusted.collect();
            let more = format!(
                "[registrar]\ndomains = [\"{DOMAIN}\"]\nalgorithms = [\"MD5\"]\nmax_users = {count}\nlocation_table = {table}\n\
                 [defence]\ntrusted = {trusted:?}\n"
            );
            (vec![], more)
        }
    };
    // The kernel leaves these alone: connections of our own need ports of its range.
    let last_port = match service {
        Service::Calls { tcp: true } => 32_767,
        _ => 65_535,
    };
    Options {
        probe_interval: 0,
        media_timeout: 0,
        media_ports: (10_240, last_port),
        pool: vec![match system {
            System::Kernel => topology::sip(wires::SERVER),
            _ => topology::sip(topology::SERVERS[0]),
        }],
        carriers,
        more,
        ..Options::default()
    }
}

fn start_ours(lab: &mut Lab, options: &Options, system: System, service: Service) -> Result<()> {
    let tcp = service == Service::Calls { tcp: true };
    let mut config = options.config(lab.dir()).replace("mbufs", "# mbufs");
    config = config.replace("[dataplane]\n", "[dataplane]\nmax_flows = 65536\n");
    if system == System::Kernel {
        config = config
            .lines()
            .filter(|l| !l.starts_with("sip = "))
            .map(|l| format!("{l}\n"))
            .collect();
        for (side, at) in [("external", wires::OUTSIDE), ("internal", wires::INSIDE)] {
            config += &format!("\n[[sip.kernel]]\nlisten = \"{at}:5060\"\nside = \"{side}\"\n");
        }
    }
    if tcp {
        for (realm, at) in [("carrier", topology::OUTSIDE), ("core", topology::INSIDE)] {
            config += &format!(
                "\n[[sip.listen]]\ntransport = \"tcp\"\nlisten = \"{at}:5060\"\nrealm = \"{realm}\"\n"
            );
        }
    }
    lab.write(&lab.config_file(), &config)?;
    lab.start_dataplane()?;
    lab.start_sigplane()?;
    lab.fill_database()?;
    if tcp {
        lab.sql("UPDATE dispatcher SET destination = destination || ';transport=tcp'")?;
    }
    if let Service::Users { count, .. } = service {
        lab.sql(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {count})
             INSERT INTO subscriber (username, domain, password) SELECT printf('user%06d', i), '{DOMAIN}', '{PASSWORD}' FROM n"
        ))?;
    }
    lab.ctl().run(&["dispatcher", "reload"])?;
    lab.wait_until_ready()?;
    pin(lab)
}

/// Gives the signaling plane core 1.
pub(crate) fn pin(lab: &Lab) -> Result<()> {
    for pid in cpu::processes(&lab.appliance, "tandem-sigplane")? {
        lab.appliance.run(&format!("taskset -apc 1 {pid}"))?;
    }
    Ok(())
}
