//! The systems under test, and what each needs around it.

use serde::Serialize;
use tandem_e2e::{Lab, Options, Process, Result, topology};

use crate::{cpu, kamailio, load, wires};

/// A system under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum System {
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

/// A system that runs, and how it is reached.
pub(crate) struct Running {
    pub(crate) lab: Lab,
    _server: Process,
    _kamailio: Option<Process>,
    system: System,
    pub(crate) from: std::net::IpAddr,
    pub(crate) to: String,
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
pub(crate) fn set_up(system: System, tcp: bool) -> Result<Running> {
    let options = Options {
        probe_interval: 0,
        media_timeout: 0,
        // The kernel leaves these alone: connections of our own need ports of its range.
        media_ports: (10_240, if tcp { 32_767 } else { 65_535 }),
        pool: vec![match system {
            System::Kernel => std::net::SocketAddr::new(wires::SERVER, 5_060),
            _ => topology::sip(topology::SERVERS[0]),
        }],
        carriers: vec![topology::CALLER, wires::CALLER],
        ..Options::default()
    };
    let mut lab = Lab::wires(options.clone())?;
    wires::lay(&lab)?;
    let transport = if tcp { "t1" } else { "u1" };
    if system == System::Kamailio {
        let server = load::server(&lab, wires::SERVER, transport)?;
        let kamailio = kamailio::start(&lab, tcp)?;
        return Ok(Running {
            lab,
            _server: server,
            _kamailio: Some(kamailio),
            system,
            from: wires::CALLER,
            to: format!("{}:5060", wires::OUTSIDE),
        });
    }
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
    let server = match system {
        System::Kernel => load::server(&lab, wires::SERVER, transport)?,
        _ => load::server(&lab, topology::SERVERS[0], transport)?,
    };
    lab.start_dataplane()?;
    lab.start_sigplane()?;
    lab.fill_database()?;
    if tcp {
        lab.sql("UPDATE dispatcher SET destination = destination || ';transport=tcp'")?;
        lab.ctl().run(&["dispatcher", "reload"])?;
    }
    lab.wait_until_ready()?;
    for pid in cpu::processes(&lab.appliance, "tandem-sigplane")? {
        lab.appliance.run(&format!("taskset -apc 1 {pid}"))?;
    }
    let (from, to) = match system {
        System::Kernel => (wires::CALLER, wires::OUTSIDE),
        _ => (topology::CALLER, topology::OUTSIDE),
    };
    Ok(Running {
        lab,
        _server: server,
        _kamailio: None,
        system,
        from,
        to: format!("{to}:5060"),
    })
}
