//! UDP through the kernel's own stack.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use rustix::net::sockopt::{self as raw_sockopt, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use thiserror::Error;

use crate::SIP_DSCP;

/// Receive buffer asked for, in bytes: a burst of some thousand SIP datagrams while the SIP thread
/// is busy. The kernel grants what `net.core.rmem_max` allows.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Why a socket could not be bound.
#[derive(Debug, Error)]
#[error("{local}: {source}: {remedy}")]
pub struct BindError {
    /// The address.
    pub local: SocketAddr,
    /// What the system said.
    pub source: io::Error,
    /// What to do about it.
    pub remedy: &'static str,
}

/// What the network said of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// Nobody listens on the port.
    Port,
    /// The host or its network cannot be reached, or a router prohibits it.
    Host,
}

/// An ICMP error (or the kernel's own verdict) on a datagram that was sent from this address,
/// whoever put it on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportError {
    /// Where the datagram had gone.
    pub destination: SocketAddr,
    /// What was said.
    pub error: Unreachable,
}

/// Why a datagram was not sent.
#[derive(Debug, Error)]
pub enum SendError {
    /// There is no way there.
    #[error("the destination is unreachable")]
    Unreachable(Unreachable),
    /// The socket's buffer is full.
    #[error("the socket's send buffer is full")]
    Full,
    /// The system refused for another reason.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// A datagram that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its length in the buffer.
    pub length: usize,
    /// Who sent it.
    pub source: SocketAddr,
    /// How long it has waited in the socket.
    pub waited: Duration,
}

/// A UDP socket bound to one address of ours.
#[derive(Debug)]
pub struct KernelSocket {
    socket: UdpSocket,
    local: SocketAddr,
}

impl KernelSocket {
    /// Binds to an address of this machine.
    ///
    /// # Errors
    /// Names the address and the remedy.
    pub fn bind(local: SocketAddr) -> Result<Self, BindError> {
        Self::make(local, false)
    }

    /// Binds to an address that the machine may get later: a realm's, whose TAP comes up with the
    /// dataplane.
    ///
    /// # Errors
    /// Names the address and the remedy.
    pub fn bind_ahead(local: SocketAddr) -> Result<Self, BindError> {
        Self::make(local, true)
    }

    fn make(local: SocketAddr, ahead: bool) -> Result<Self, BindError> {
        Self::try_make(local, ahead).map_err(|source| {
            let remedy = match source.kind() {
                ErrorKind::AddrInUse => "another program has this address; stop it",
                ErrorKind::AddrNotAvailable => "no interface has this address; add it first",
                ErrorKind::PermissionDenied => "tandem-sigplane lacks the right to use this port",
                _ => "check the address and the machine's resources",
            };
            BindError {
                local,
                source,
                remedy,
            }
        })
    }

    fn try_make(local: SocketAddr, ahead: bool) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = if local.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
        // Large datagrams are fragmented here and on the way: SIP has no smaller form to fall
        // back to, and a lost ICMP "fragmentation needed" must not lose a call.
        if local.is_ipv4() {
            raw_sockopt::set_ip_freebind(&socket, ahead)?;
            raw_sockopt::set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT)?;
            raw_sockopt::set_ip_tos(&socket, SIP_DSCP << 2)?;
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        } else {
            raw_sockopt::set_ipv6_v6only(&socket, true)?;
            raw_sockopt::set_ipv6_freebind(&socket, ahead)?;
            raw_sockopt::set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::DONT)?;
            raw_sockopt::set_ipv6_tclass(&socket, u32::from(SIP_DSCP) << 2)?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        }
        setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        bind(&socket, &local)?;
        let socket = UdpSocket::from(socket);
        // Port 0 asked for any.
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }

    /// The same socket, for another thread.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            local: self.local,
        })
    }

    /// The address that it is bound to.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// The next datagram; none when there is none yet. `buffer` has room for the longest one, 65,536
    /// bytes.
    ///
    /// # Errors
    /// When the system fails; the socket stays usable.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        loop {
            let mut parts = [IoSliceMut::new(buffer)];
            let mut space = nix::cmsg_space!(TimeSpec);
            let received = recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut space),
                MsgFlags::MSG_DONTWAIT,
            );
            let received = match received {
                Ok(received) => received,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => continue,
                Err(e) if is_pending(&e.into()) => continue,
                Err(e) => return Err(e.into()),
            };
            let came = received.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
                _ => None,
            });
            // The kernel counts on the wall clock: when that is set, what waits is as if it did not.
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let waited = came
                .zip(now.ok())
                .map_or(Duration::ZERO, |(came, now)| now.saturating_sub(came));
            let Some(source) = received.address.as_ref().and_then(socket_address) else {
                continue;
            };
            return Ok(Some(Received {
                length: received.bytes,
                source,
                waited,
            }));
        }
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// Why it was not sent.
    pub fn send(&self, destination: SocketAddr, bytes: &[u8]) -> Result<(), SendError> {
        let mut error = match self.socket.send_to(bytes, destination) {
            Ok(_) => return Ok(()),
            Err(e) => e,
        };
        // The first error may belong to an earlier datagram, to another destination: it is in the
        // error queue too. Only the second is this one's.
        if is_pending(&error) || error.kind() == ErrorKind::Interrupted {
            match self.socket.send_to(bytes, destination) {
                Ok(_) => return Ok(()),
                Err(e) => error = e,
            }
        }
        Err(match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EAGAIN | Errno::ENOBUFS) => SendError::Full,
            Some(errno) => match unreachable(errno) {
                Some(unreachable) => SendError::Unreachable(unreachable),
                None => SendError::System(error),
            },
            None => SendError::System(error),
        })
    }

    /// The next transport error; none when there is none (poll reports one as an error
    /// condition). Errors that say nothing of the destination's reachability are passed over.
    ///
    /// # Errors
    /// When the system fails; the socket stays usable.
    pub fn next_error(&self) -> io::Result<Option<TransportError>> {
        loop {
            let mut quoted = [0; 512];
            let mut parts = [IoSliceMut::new(&mut quoted)];
            let mut space = nix::cmsg_space!([u8; 256]);
            let received = recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut space),
                MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
            );
            let received = match received {
                Ok(received) => received,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(e.into()),
            };
            let destination = received.address.as_ref().and_then(socket_address);
            let errno = received.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::Ipv4RecvErr(error, _)
                | ControlMessageOwned::Ipv6RecvErr(error, _) => {
                    Some(Errno::from_raw(i32::try_from(error.ee_errno).unwrap_or(0)))
                }
                _ => None,
            });
            let error = errno.and_then(unreachable);
            if let (Some(destination), Some(error)) = (destination, error) {
                return Ok(Some(TransportError { destination, error }));
            }
        }
    }
}

impl AsFd for KernelSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether an error that a call returned may be about an earlier datagram.
fn is_pending(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .map(Errno::from_raw)
        .is_some_and(|errno| {
            unreachable(errno).is_some() || matches!(errno, Errno::EMSGSIZE | Errno::EPROTO)
        })
}

/// What ICMP's types and codes become in the kernel (`icmp_err_convert`).
fn unreachable(errno: Errno) -> Option<Unreachable> {
    match errno {
        Errno::ECONNREFUSED => Some(Unreachable::Port),
        Errno::EHOSTUNREACH
        | Errno::ENETUNREACH
        | Errno::EHOSTDOWN
        | Errno::ENONET
        | Errno::EACCES
        | Errno::EPERM
        | Errno::ENOPROTOOPT => Some(Unreachable::Host),
        _ => None,
    }
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage
        .as_sockaddr_in()
        .map(|a| SocketAddr::from((a.ip(), a.port())));
    v4.or_else(|| {
        storage
            .as_sockaddr_in6()
            .map(|a| SocketAddrV6::new(a.ip(), a.port(), 0, a.scope_id()).into())
    })
}

#[cfg(test)]
mod tests;
