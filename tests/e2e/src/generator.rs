//! tandem-load at the other end of a laboratory's wires ([`crate::Wires::Memif`]): callers and media servers at once.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::topology::{CALLER, CORE_GENERATOR, OUTSIDE, SERVERS, STRANGER, TRUNK, sip};
use crate::{Failure, Lab, Process, Result};

/// A running generator.
pub struct Generator {
    process: Process,
    figures: PathBuf,
}

impl Generator {
    /// Starts it for so many seconds with these sections of a profile. It has the addresses of the laboratory's peers, on
    /// ports `carrier` and `core`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(lab: &Lab, name: &str, seconds: u32, sections: &str) -> Result<Self> {
        Self::launch(lab, "run", name, seconds, sections)
    }

    /// The same for a search, which one of the sections has to describe.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn search(lab: &Lab, name: &str, sections: &str) -> Result<Self> {
        Self::launch(lab, "search", name, 1, sections)
    }

    fn launch(lab: &Lab, command: &str, name: &str, seconds: u32, sections: &str) -> Result<Self> {
        let text = Self::profile(lab, name, seconds, sections);
        let (profile, figures) = (
            lab.dir().join(format!("{name}.toml")),
            lab.dir().join(format!("{name}.json")),
        );
        lab.write(&profile, &text)?;
        let arguments = [
            command.into(),
            profile.display().to_string(),
            "--json".into(),
            figures.display().to_string(),
        ];
        let program = crate::binary("tandem-load").display().to_string();
        let process = lab.peer(&lab.carrier, name, &program, &arguments, lab.dir())?;
        Ok(Self { process, figures })
    }

    /// A whole profile for the laboratory's wires, with these sections.
    #[must_use]
    pub fn profile(lab: &Lab, name: &str, seconds: u32, sections: &str) -> String {
        let socket = lab.dir().join("run/memif.sock");
        let socket = socket.display();
        let port = |number: u32, side: &str, addresses: &[std::net::IpAddr]| {
            let addresses: Vec<String> = addresses.iter().map(|a| format!("{a}/24")).collect();
            format!(
                "[port.{side}]\n\
                 device = \"net_memif{number},role=client,id={number},socket={socket},socket-abstract=no,rsize=13\"\n\
                 addresses = {addresses:?}\n"
            )
        };
        format!(
            "name = \"{name}\"\nduration = {seconds}\n\
             [generator]\ncore = {CORE_GENERATOR}\nidle = \"pause\"\nmemory_mb = 256\nmbufs = 32767\n{}{}{sections}",
            port(0, "carrier", &[CALLER, TRUNK, STRANGER]),
            port(1, "core", &SERVERS),
        )
    }

    /// `[calls]` from the carrier's caller by the appliance to the first media server; more keys may follow.
    #[must_use]
    pub fn calls(rate: f64, concurrent: u32) -> String {
        format!(
            "[calls]\nfrom = \"carrier:{}\"\nto = \"core:{}\"\nappliance = \"{}\"\nrate = {rate:?}\nconcurrent = {concurrent}\n",
            sip(CALLER),
            sip(SERVERS[0]),
            sip(OUTSIDE)
        )
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it measured, when its time is over: the report. Whether the profile's wishes came true is in its `verdict`.
    ///
    /// # Errors
    /// When it does not end with success in time; with what it said.
    pub fn finish(mut self, limit: Duration) -> Result<Value> {
        let status = self.process.wait(limit)?;
        let said = self.process.tail(30);
        // 1: it is done, and not all that was asked for was reached.
        if !matches!(status.code(), Some(0 | 1)) {
            return Err(Failure::new(format!("tandem-load: {status}:\n{said}")));
        }
        let text =
            std::fs::read_to_string(&self.figures).map_err(Failure::while_("reading figures"))?;
        serde_json::from_str(&text).map_err(Failure::while_("reading figures"))
    }
}
