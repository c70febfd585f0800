//! The realms' TAP devices: persistent ones, made by the service units, opened here by name.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use thiserror::Error;
use tracing::debug;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// Why a realm's TAP could not be opened.
#[derive(Debug, Error)]
pub(crate) enum TapError {
    #[error(
        "realm {realm}: there is no device {tap}: make it first with \
         `ip tuntap add mode tap name {tap}`"
    )]
    Missing { realm: String, tap: String },
    #[error(
        "realm {realm}: {tap} is not a TAP device that we may open ({error}): is it another kind \
         of device (remove it and `ip tuntap add mode tap name {tap}`), is another dataplane \
         using it, and has this process CAP_NET_ADMIN?"
    )]
    Open {
        realm: String,
        tap: String,
        error: io::Error,
    },
    #[error("realm {realm}: {tap}: {what}: {error}")]
    Configure {
        realm: String,
        tap: String,
        what: &'static str,
        error: io::Error,
    },
}

/// An open TAP: one frame per read and write, never blocking.
pub(crate) struct Tap {
    device: SyncDevice,
    /// The kernel's number of it.
    pub(crate) index: u32,
    /// Its name.
    pub(crate) name: String,
}

impl Tap {
    /// Opens a realm's TAP, gives it the port's MAC and MTU where they differ, and brings it up.
    pub(crate) fn open(realm: &str, tap: &str, mac: [u8; 6], mtu: u16) -> Result<Self, TapError> {
        let (realm, tap) = (realm.to_owned(), tap.to_owned());
        // Opening a name that does not exist would make a device that is gone when we are: its
        // addresses and routes would not survive us.
        if !Path::new("/sys/class/net").join(&tap).exists() {
            return Err(TapError::Missing { realm, tap });
        }
        skip_duplicate_detection(&tap);
        let opened = DeviceBuilder::new()
            .name(&tap)
            .layer(Layer::L2)
            .packet_information(false)
            .inherit_enable_state()
            .build_sync();
        let device = match opened {
            Ok(device) => device,
            Err(error) => return Err(TapError::Open { realm, tap, error }),
        };
        match Self::configure(&device, mac, mtu) {
            Ok(index) => Ok(Self {
                device,
                index,
                name: tap,
            }),
            Err((what, error)) => Err(TapError::Configure {
                realm,
                tap,
                what,
                error,
            }),
        }
    }

    fn configure(
        device: &SyncDevice,
        mac: [u8; 6],
        mtu: u16,
    ) -> Result<u32, (&'static str, io::Error)> {
        device
            .set_nonblocking(true)
            .map_err(|e| ("non-blocking mode", e))?;
        if device
            .mac_address()
            .map_err(|e| ("reading its MAC address", e))?
            != mac
        {
            device
                .set_mac_address(mac)
                .map_err(|e| ("setting its MAC address", e))?;
        }
        if device.mtu().map_err(|e| ("reading its MTU", e))? != mtu {
            device.set_mtu(mtu).map_err(|e| ("setting its MTU", e))?;
        }
        device.enabled(true).map_err(|e| ("bringing it up", e))?;
        device.if_index().map_err(|e| ("reading its index", e))
    }

    /// Gives a frame to the kernel.
    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<usize> {
        self.device.send(frame)
    }

    /// Gives a frame in two parts to the kernel.
    pub(crate) fn send_parts(&self, first: &[u8], rest: &[u8]) -> io::Result<usize> {
        self.device
            .send_vectored(&[io::IoSlice::new(first), io::IoSlice::new(rest)])
    }

    /// Takes a frame from the kernel; `WouldBlock` when there is none.
    pub(crate) fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        self.device.recv(room)
    }
}

/// The device has a carrier as long as it is open, so each start of the dataplane would let IPv6
/// check its addresses for duplicates (RFC 4862 section 5.4), and solicit no neighbour for some two
/// seconds: too long for media to come back. Best effort: without IPv6 there is no such setting.
fn skip_duplicate_detection(tap: &str) {
    let setting = Path::new("/proc/sys/net/ipv6/conf")
        .join(tap)
        .join("accept_dad");
    if let Err(error) = std::fs::write(&setting, "0") {
        debug!("{}: {error}", setting.display());
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tap_is_named_with_its_remedy() {
        let opened = Tap::open("carrier", "tnd-none", [2; 6], 1500);
        let error = opened.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("realm carrier"), "{error}");
        assert!(
            error.contains("ip tuntap add mode tap name tnd-none"),
            "{error}"
        );
    }
}
