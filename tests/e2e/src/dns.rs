//! A DNS server: Debian's dnsmasq, with records of the test's choice and no others.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use crate::{Failure, Lab, Namespace, Process, Result};

/// How long its records count, in seconds.
const TTL: u32 = 2;

/// A running dnsmasq.
pub struct Dns {
    process: Process,
}

impl Dns {
    /// Starts one. The records are lines of its configuration (dnsmasq(8)): `host-record=`, `srv-host=`,
    /// `naptr-record=`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(
        lab: &Lab,
        namespace: &Namespace,
        address: SocketAddr,
        records: &[&str],
    ) -> Result<Self> {
        let folder = lab.peer_dir("dns")?;
        let file = folder.join("dnsmasq.conf");
        let own = [
            "no-daemon".to_owned(),
            "user=root".to_owned(),
            "pid-file=".to_owned(),
            "log-facility=-".to_owned(),
            "log-queries".to_owned(),
            "no-resolv".to_owned(),
            "no-hosts".to_owned(),
            "bind-interfaces".to_owned(),
            format!("listen-address={}", address.ip()),
            format!("port={}", address.port()),
            format!("local-ttl={TTL}"),
            "local=/example/".to_owned(),
        ];
        let lines: Vec<&str> = own
            .iter()
            .map(String::as_str)
            .chain(records.iter().copied())
            .collect();
        fs::write(&file, lines.join("\n") + "\n")
            .map_err(Failure::while_(format!("writing {}", file.display())))?;
        let arguments = [format!("--conf-file={}", file.display())];
        let process = lab.peer(namespace, "dns", "dnsmasq", &arguments, &folder)?;
        crate::wait::until("dnsmasq listening", Duration::from_secs(10), || {
            let sockets = namespace.run("ss -Hlnu").unwrap_or_default();
            sockets.contains(&address.to_string()).then_some(())
        })?;
        Ok(Self { process })
    }

    /// Kills it: nobody answers any more.
    pub fn kill(&mut self) {
        self.process.kill();
    }
}
