//! baresip: a real telephone that plays one file and records another.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::kamailio::{DOMAIN, PASSWORD};
use crate::topology::OUTSIDE;
use crate::wav::Sound;
use crate::{Failure, Lab, Namespace, Process, Result};

/// A running baresip.
pub struct Baresip {
    process: Process,
    folder: PathBuf,
}

impl Baresip {
    /// What lets it listen to [`Self::tell`] at an address.
    #[must_use]
    pub fn listening(address: IpAddr) -> String {
        format!("ctrl_tcp_listen {address}:4444\nmodule_app ctrl_tcp.so\n")
    }

    /// Starts one that answers every call by itself.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn answering(
        lab: &Lab,
        namespace: &Namespace,
        name: &str,
        address: IpAddr,
        says: &Sound,
    ) -> Result<Self> {
        Self::answering_with(lab, namespace, name, address, says, "")
    }

    /// The same with further lines of its configuration.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn answering_with(
        lab: &Lab,
        namespace: &Namespace,
        name: &str,
        address: IpAddr,
        says: &Sound,
        config: &str,
    ) -> Result<Self> {
        let folder = prepare(lab, name, address, says, "auto", config)?;
        Self::start(lab, namespace, name, address, folder, &[])
    }

    /// Starts one that calls `uri` at once.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn calling(
        lab: &Lab,
        namespace: &Namespace,
        name: &str,
        address: IpAddr,
        says: &Sound,
        uri: &str,
    ) -> Result<Self> {
        Self::calling_with(lab, namespace, name, address, says, uri, "")
    }

    /// The same with further lines of its configuration.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn calling_with(
        lab: &Lab,
        namespace: &Namespace,
        name: &str,
        address: IpAddr,
        says: &Sound,
        uri: &str,
        config: &str,
    ) -> Result<Self> {
        let folder = prepare(lab, name, address, says, "manual", config)?;
        let dial = ["-e".to_owned(), format!("/dial {uri}")];
        Self::start(lab, namespace, name, address, folder, &dial)
    }

    fn start(
        lab: &Lab,
        namespace: &Namespace,
        name: &str,
        address: IpAddr,
        folder: PathBuf,
        more: &[String],
    ) -> Result<Self> {
        let family = if address.is_ipv4() { "-4" } else { "-6" };
        let mut arguments = vec![
            family.to_owned(),
            "-f".to_owned(),
            folder.display().to_string(),
        ];
        arguments.extend_from_slice(more);
        let mut process = lab.peer(namespace, name, "baresip", &arguments, &folder)?;
        process.wait_for_words("baresip is ready", 1, Duration::from_secs(10))?;
        Ok(Self { process, folder })
    }

    /// Starts one that registers as `name` with the registrar's password, through the appliance by `transport`,
    /// answers calls, and calls when it is told.
    ///
    /// # Errors
    /// When it is not registered in time.
    pub fn registered(
        lab: &Lab,
        name: &str,
        address: IpAddr,
        says: &Sound,
        transport: &str,
        config: &str,
    ) -> Result<Self> {
        let config = Self::listening(address) + config;
        let folder = prepare(lab, name, address, says, "auto", &config)?;
        let port = if transport == "tls" { 5061 } else { 5060 };
        lab.write(
            &folder.join("accounts"),
            &format!(
                "<sip:{name}@{DOMAIN};transport={transport}>;auth_user={name};auth_pass={PASSWORD};\
                 outbound=\"sip:{OUTSIDE}:{port};transport={transport}\";regint=60;answermode=auto;audio_codecs=pcma\n"
            ),
        )?;
        let mut phone = Self::start(lab, &lab.carrier, name, address, folder, &[])?;
        phone
            .process
            .wait_for_words("200 OK", 1, Duration::from_secs(10))?;
        Ok(phone)
    }

    /// Has it call.
    ///
    /// # Errors
    /// When it does not listen to us.
    pub fn dial(&self, lab: &Lab, address: IpAddr, uri: &str) -> Result<()> {
        self.tell(lab, address, "dial", uri)
    }

    /// Has it do something; its configuration lets it listen ([`Self::listening`]).
    ///
    /// # Errors
    /// When it does not listen to us.
    pub fn tell(&self, lab: &Lab, address: IpAddr, command: &str, what: &str) -> Result<()> {
        let command = format!("{{\"command\":\"{command}\",\"params\":\"{what}\"}}");
        let text = format!("{}:{command},", command.len());
        lab.carrier.enter(|| {
            let told = || {
                let mut control = TcpStream::connect((address, 4444))?;
                control.write_all(text.as_bytes())?;
                // It answers with what it has done.
                control.read(&mut [0; 256])
            };
            told().map(drop).map_err(Failure::while_("telling baresip"))
        })
    }

    /// Kills it: its connections are closed, and it says no word.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Waits until it says something.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait_for_words(&mut self, words: &str, limit: Duration) -> Result<()> {
        self.process.wait_for_words(words, 1, limit)
    }

    /// Waits until its call is up.
    ///
    /// # Errors
    /// When it is not in time.
    pub fn wait_for_call(&mut self, limit: Duration) -> Result<()> {
        self.process.wait_for_words("Call established", 1, limit)
    }

    /// Waits until its call has ended.
    ///
    /// # Errors
    /// When it has not in time.
    pub fn wait_for_end(&mut self, limit: Duration) -> Result<()> {
        self.process
            .wait_for_words("terminated (duration", 1, limit)
    }

    /// Hangs up and ends (SIGTERM).
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn quit(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(Duration::from_secs(10)).map(drop)
    }

    /// What it heard, after it has ended.
    ///
    /// # Errors
    /// When it recorded nothing.
    pub fn heard(&self) -> Result<Sound> {
        let files = std::fs::read_dir(&self.folder).map_err(Failure::while_("its folder"))?;
        let recording = files
            .flatten()
            .map(|f| f.path())
            .find(|p| p.to_string_lossy().ends_with("-dec.wav"))
            .ok_or_else(|| Failure::new(format!("{} recorded nothing", self.process.name())))?;
        Sound::read(&recording)
    }
}

/// Writes its folder: configuration, account, and the sound that it plays.
fn prepare(
    lab: &Lab,
    name: &str,
    address: IpAddr,
    says: &Sound,
    answer: &str,
    more: &str,
) -> Result<PathBuf> {
    let folder = lab.peer_dir(name)?;
    says.write(&folder.join("says.wav"))?;
    let path = folder.display();
    let host = match address {
        IpAddr::V4(a) => a.to_string(),
        IpAddr::V6(a) => format!("[{a}]"),
    };
    lab.write(
        &folder.join("config"),
        &format!(
            "poll_method epoll\n\
             sip_listen {host}:5060\n\
             call_local_timeout 30\n\
             call_max_calls 4\n\
             audio_source aufile,{path}/says.wav\n\
             audio_player aufile,{path}/unused.wav\n\
             audio_alert aufile,{path}/unused.wav\n\
             ausrc_srate 8000\n\
             auplay_srate 8000\n\
             ausrc_channels 1\n\
             auplay_channels 1\n\
             audio_txmode thread\n\
             rtp_ports 20000-20100\n\
             jitter_buffer_delay 5-10\n\
             rtp_stats yes\n\
             module_path {modules}\n\
             module g711.so\n\
             module aufile.so\n\
             module sndfile.so\n\
             module_tmp account.so\n\
             module_app menu.so\n\
             snd_path {path}\n\
             ringback_disabled yes\n\
             statmode_default off\n\
             {more}\n",
            modules = MODULES,
        ),
    )?;
    lab.write(
        &folder.join("accounts"),
        &format!("<sip:{name}@{host}>;regint=0;answermode={answer};audio_codecs=pcma\n"),
    )?;
    lab.write(&folder.join("contacts"), "")?;
    Ok(folder)
}

/// Where Debian has baresip's modules.
const MODULES: &str = "/usr/lib/baresip/modules";
