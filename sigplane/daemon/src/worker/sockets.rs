//! The kernel's sockets, and the choice between them and the rings.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tandem_call::{Path, SendError, Share};
use tandem_config::Config;
use tandem_net::{BindError, KernelSocket, Rings, SIP_DSCP, Unreachable};

use super::counters::{Count, Counters};
use super::order::By;

/// What IP and UDP headers need of a port's MTU at most, with room for a tunnel on the way.
const HEADERS: u16 = 100;

/// Every kernel socket: those of the realms' SIP addresses, and the listeners outside of the
/// dataplane.
pub(crate) struct Sockets {
    sockets: Vec<(Path, KernelSocket)>,
    /// By realm: the longest payload that goes out in one frame.
    frames: Vec<usize>,
}

/// How a datagram goes.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) path: Path,
    pub(crate) local: SocketAddr,
    pub(crate) destination: SocketAddr,
    /// Of a stream, where to connect to when there is no connection with the destination.
    pub(crate) connect: Option<SocketAddr>,
    /// Of a stream: only by the connection that is there.
    pub(crate) existing: bool,
    /// Over TLS, whose certificate a server must show; none for the address itself.
    pub(crate) server_name: Option<Arc<str>>,
}

impl Sockets {
    /// Binds all of them. The second value has the listeners' addresses, in the configuration's
    /// order.
    pub(crate) fn bind(config: &Config) -> Result<(Self, Vec<SocketAddr>), BindError> {
        let mut sockets = Vec::new();
        for (realm, index) in config.realms.iter().zip(0..) {
            for local in &realm.sip {
                sockets.push((Path::Realm(index), KernelSocket::bind_ahead(*local)?));
            }
        }
        let mut listeners = Vec::new();
        for (listener, index) in config.sip.kernel.iter().zip(0..) {
            let socket = KernelSocket::bind(listener.listen)?;
            listeners.push(socket.local());
            sockets.push((Path::Kernel(index), socket));
        }
        let frame = |port: u16| {
            let mtu = config
                .ports
                .get(usize::from(port))
                .map_or(0, |port| port.mtu);
            usize::from(mtu.saturating_sub(HEADERS))
        };
        let frames = config
            .realms
            .iter()
            .map(|realm| frame(realm.port))
            .collect();
        Ok((Self { sockets, frames }, listeners))
    }

    /// The same sockets for another worker.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        let clone = |(path, socket): &(Path, KernelSocket)| Ok((*path, socket.try_clone()?));
        Ok(Self {
            sockets: self.sockets.iter().map(clone).collect::<io::Result<_>>()?,
            frames: self.frames.clone(),
        })
    }

    /// Those that a worker reads: each worker some of them. Every worker sends by all of them.
    pub(super) fn read_by(&self, share: Share) -> impl Iterator<Item = (Path, &KernelSocket)> {
        let readers = share.shards.workers();
        let is_ours = move |(at, _): &(u16, _)| at % readers == share.worker;
        let ours = (0..).zip(self.iter()).filter(is_ours);
        ours.map(|(_, socket)| socket)
    }

    fn iter(&self) -> impl Iterator<Item = (Path, &KernelSocket)> {
        self.sockets.iter().map(|(path, socket)| (*path, socket))
    }

    /// Whether a datagram goes by the dataplane's rings or through the kernel.
    pub(super) fn by(&self, way: &Way, length: usize, rings: Option<&Rings>) -> By {
        match way.path {
            Path::Realm(realm) => {
                let frame = self.frames.get(usize::from(realm)).copied().unwrap_or(0);
                match rings.filter(|_| length <= frame) {
                    Some(rings) => By::Ring(rings.worker_for(way.destination)),
                    None => By::Kernel,
                }
            }
            Path::Kernel(_) | Path::Stream(_) => By::Kernel,
        }
    }

    /// Sends a datagram: to a realm through the rings, if it fits into a frame; else by the
    /// kernel, which fragments. An error that says something of the destination is returned;
    /// anything else is counted, and retransmission makes it good.
    pub(super) fn send(
        &self,
        way: &Way,
        bytes: &[u8],
        rings: Option<&mut Rings>,
        counters: &mut Counters,
    ) -> Option<SendError> {
        if let Path::Realm(realm) = way.path {
            // Without the dataplane the TAP leads nowhere, and the kernel's verdict on the
            // destination would be a verdict on ourselves.
            let Some(rings) = rings else {
                counters.add(Count::SentWithoutDataplane);
                return None;
            };
            if self.by(way, bytes.len(), Some(rings)) != By::Kernel {
                match rings.send(realm, way.local, way.destination, SIP_DSCP, bytes) {
                    Ok(()) => {
                        counters.add(Count::SentByRing);
                        return None;
                    }
                    Err(_) => counters.add(Count::RingFull),
                }
            }
        }
        self.send_by_kernel(way, bytes, counters)
    }

    fn send_by_kernel(
        &self,
        way: &Way,
        bytes: &[u8],
        counters: &mut Counters,
    ) -> Option<SendError> {
        let socket = self
            .iter()
            .find(|(path, s)| *path == way.path && s.local() == way.local);
        let Some((_, socket)) = socket else {
            counters.add(Count::NoSocket);
            return None;
        };
        match socket.send(way.destination, bytes) {
            Ok(()) => {
                counters.add(Count::SentBySocket);
                None
            }
            Err(error) => {
                counters.add(Count::SendFailed);
                match error {
                    tandem_net::SendError::Unreachable(what) => Some(send_error(what)),
                    tandem_net::SendError::Full | tandem_net::SendError::System(_) => None,
                }
            }
        }
    }
}

/// The core's word for it.
pub(super) const fn send_error(what: Unreachable) -> SendError {
    match what {
        Unreachable::Port => SendError::PortUnreachable,
        Unreachable::Host => SendError::HostUnreachable,
    }
}
