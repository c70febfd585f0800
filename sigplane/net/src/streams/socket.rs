//! Making sockets, with the options that all of ours have.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, listen, socket_with};

use super::io::StreamsError;
use super::settings::StreamListener;
use crate::SIP_DSCP;

/// Connections that may wait to be accepted. The kernel grants what `net.core.somaxconn` allows.
const BACKLOG: i32 = 4_096;
/// When the kernel asks a silent peer whether it lives, how often, and how many times.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_COUNT: u32 = 4;

/// Binds a listener.
pub(super) fn listener(setting: &StreamListener) -> Result<TcpListener, StreamsError> {
    let made = || {
        let socket = socket(setting.listen, setting.ahead)?;
        bind(&socket, &setting.listen)?;
        listen(&socket, BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    made().map_err(|source: io::Error| {
        let remedy = match source.kind() {
            ErrorKind::AddrInUse => "another program has this address; stop it",
            ErrorKind::AddrNotAvailable => "no interface has this address; add it first",
            ErrorKind::PermissionDenied => "tandem-sigplane lacks the right to use this port",
            _ => "check the address and the machine's resources",
        };
        StreamsError::Bind {
            listen: setting.listen,
            source,
            remedy,
        }
    })
}

/// Begins to connect from a listener's address, with any port.
pub(super) fn connection(
    setting: &StreamListener,
    destination: SocketAddr,
    write_time: Duration,
) -> io::Result<TcpStream> {
    let socket = socket(setting.listen, setting.ahead)?;
    if !setting.listen.ip().is_unspecified() {
        bind(&socket, &SocketAddr::new(setting.listen.ip(), 0))?;
    }
    match connect(&socket, &destination) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(e) => return Err(e.into()),
    }
    let stream = TcpStream::from(socket);
    prepare(&stream, write_time)?;
    Ok(stream)
}

/// Sets what a connection does not have from its listener.
pub(super) fn prepare(stream: &TcpStream, write_time: Duration) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_COUNT)?;
    // A peer that vanished while we send is given up as early as one that does not read.
    let millis = u32::try_from(write_time.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, millis)?;
    Ok(())
}

/// Has the connection end with a reset when it is closed: what waits is thrown away, and nothing lingers here.
pub(super) fn abort(stream: &TcpStream) {
    // If it fails, the connection ends in the usual way.
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

fn socket(local: SocketAddr, ahead: bool) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let family = if local.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if local.is_ipv4() {
        sockopt::set_ip_freebind(&socket, ahead)?;
        sockopt::set_ip_tos(&socket, SIP_DSCP << 2)?;
    } else {
        sockopt::set_ipv6_v6only(&socket, true)?;
        sockopt::set_ipv6_freebind(&socket, ahead)?;
        sockopt::set_ipv6_tclass(&socket, u32::from(SIP_DSCP) << 2)?;
    }
    Ok(socket)
}
