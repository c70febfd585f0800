//! What the process may do once it has started: as little as it needs.
//!
//! Ports, TAPs and hugepages are opened with all that the service manager gave us. Then, before the workers and the other
//! threads are made, [`Privileges::drop`] gives up for good what nobody needs any more: other users' rights, capabilities, new
//! privileges by any program, and most system calls. Each thread gives up the rest when it begins
//! ([`Privileges::confine`]): a worker keeps no capability at all.

mod filter;

use std::io;
use std::path::Path;

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::unistd::{User, chown, setgroups, setresgid, setresuid};
use tandem_config::{Dataplane, Seccomp};
use thiserror::Error;
use tracing::{debug, info, warn};

pub(crate) use filter::Kind;

/// Why they could not be given up: a start that ends here is better than one that keeps them.
#[derive(Debug, Error)]
pub(crate) enum PrivilegeError {
    #[error(
        "dataplane.user: there is no {name}: make it (useradd --system {name}), or take the key away"
    )]
    Nobody { name: String },
    #[error("{what}: {error}")]
    System {
        what: &'static str,
        error: io::Error,
    },
    #[error("capabilities: {0}: has the process CAP_NET_ADMIN and CAP_NET_RAW?")]
    Capabilities(#[from] caps::errors::CapsError),
    #[error("seccomp: {0}: with dataplane.seccomp = \"off\" it starts without")]
    Seccomp(filter::Unfit),
}

/// What is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Privileges {
    user: Option<String>,
    seccomp: Seccomp,
    /// A port is a PCI device: its memory is locked.
    has_pci: bool,
}

impl Privileges {
    pub(crate) fn new(config: &Dataplane, has_pci: bool) -> Self {
        Self {
            user: config.user.clone(),
            seccomp: config.seccomp,
            has_pci,
        }
    }

    /// For the whole process, by the thread that makes the others, before it does. The controller, who runs as the
    /// same user, may connect to `socket` then.
    pub(crate) fn drop(&self, socket: &Path) -> Result<(), PrivilegeError> {
        let system = |what| {
            move |error: nix::Error| PrivilegeError::System {
                what,
                error: error.into(),
            }
        };
        prctl::set_no_new_privs().map_err(system("no new privileges"))?;
        let kept = [Kind::Control, Kind::Ports, Kind::Mirror, Kind::Exception]
            .into_iter()
            .flat_map(|kind| self.capabilities(kind))
            .collect();
        // First, since it is a privilege itself.
        for capability in caps::all() {
            if let Err(error) = caps::drop(None, CapSet::Bounding, capability) {
                debug!("{capability} stays in the bounding set: {error}");
            }
        }
        if let Some(name) = &self.user {
            prctl::set_keepcaps(true).map_err(system("keeping capabilities"))?;
            become_user(name, socket)?;
            prctl::set_keepcaps(false).map_err(system("keeping no capabilities"))?;
        }
        keep(&kept)?;
        filter::confine(Kind::Process, self.seccomp).map_err(PrivilegeError::Seccomp)?;
        if self.seccomp == Seccomp::Off {
            warn!("no system call is refused (dataplane.seccomp)");
        }
        let user = self.user.as_deref().unwrap_or("who started us");
        info!(
            "privileges given up: user {user}, seccomp {:?}",
            self.seccomp
        );
        Ok(())
    }

    /// For the calling thread. What fails is logged: the whole process has given up most already.
    pub(crate) fn confine(&self, kind: Kind) {
        if let Err(error) = keep(&self.capabilities(kind)) {
            warn!("{kind:?}: capabilities that are not needed are kept: {error}");
        }
        if let Err(error) = filter::confine(kind, self.seccomp) {
            warn!("{kind:?}: no filter of its own: {error}");
        }
    }

    /// What a thread needs.
    fn capabilities(&self, kind: Kind) -> CapsHashSet {
        match kind {
            // Links, neighbours and carriers of the TAPs.
            Kind::Mirror => [Capability::CAP_NET_ADMIN].into(),
            // Raw sockets for SIP that the kernel sends.
            Kind::Exception => [Capability::CAP_NET_RAW].into(),
            // Memory that devices reach.
            Kind::Control if self.has_pci => [Capability::CAP_IPC_LOCK].into(),
            // Some drivers set their device's modes through the kernel's interface, and make raw queues.
            Kind::Ports if self.has_pci => [
                Capability::CAP_IPC_LOCK,
                Capability::CAP_NET_ADMIN,
                Capability::CAP_NET_RAW,
            ]
            .into(),
            Kind::Control | Kind::Ports | Kind::Worker | Kind::Process => CapsHashSet::new(),
        }
    }
}

/// Of the capabilities that the calling thread has, it keeps these.
fn keep(wanted: &CapsHashSet) -> Result<(), caps::errors::CapsError> {
    let has = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = has.intersection(wanted).copied().collect();
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new())?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)
}

/// Becomes this user, with its own group alone.
fn become_user(name: &str, socket: &Path) -> Result<(), PrivilegeError> {
    let system = |what| {
        move |error: nix::Error| PrivilegeError::System {
            what,
            error: error.into(),
        }
    };
    let user = User::from_name(name).map_err(system("looking a user up"))?;
    let user = user.ok_or_else(|| PrivilegeError::Nobody {
        name: name.to_owned(),
    })?;
    chown(socket, Some(user.uid), Some(user.gid)).map_err(system("giving the socket away"))?;
    setgroups(&[user.gid]).map_err(system("leaving the groups"))?;
    setresgid(user.gid, user.gid, user.gid).map_err(system("changing the group"))?;
    setresuid(user.uid, user.uid, user.uid).map_err(system("changing the user"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_what_it_needs_of_what_it_has() {
        let privileges = Privileges {
            user: None,
            seccomp: Seccomp::Off,
            has_pci: true,
        };
        std::thread::spawn(move || {
            let had = caps::read(None, CapSet::Permitted).unwrap();
            privileges.confine(Kind::Mirror);
            let has = caps::read(None, CapSet::Effective).unwrap();
            let needs: CapsHashSet = [Capability::CAP_NET_ADMIN].into();
            assert_eq!(has, had.intersection(&needs).copied().collect());
            privileges.confine(Kind::Worker);
            for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
                assert_eq!(caps::read(None, set).unwrap(), CapsHashSet::new());
            }
        })
        .join()
        .unwrap();
    }
}
