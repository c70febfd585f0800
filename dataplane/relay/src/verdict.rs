//! What becomes of a frame.

use std::net::SocketAddr;
use std::ops::Range;

use tandem_link::SourceClass;

/// What the worker has to do with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it: it was rewritten in place and its window moved.
    Transmit {
        /// Index of the port.
        port: u16,
        /// Checksums left to the port.
        checksums: TxChecksums,
    },
    /// Give it to the kernel by the realm's TAP. A VLAN tag is already taken out.
    Exception {
        /// Index of the realm.
        realm: u16,
    },
    /// Give its payload to the signaling plane.
    Sip(SipMeta),
    /// It was SIP, and was relayed without the signaling plane: do with it what `send` says. If the kernel is to send it, the
    /// frame is the datagram's payload alone.
    SipRelayed {
        /// Whether the frame is ready.
        send: SipSend,
        /// Index of the realm that it leaves by.
        realm: u16,
        /// Our address.
        source: SocketAddr,
        /// Who gets it.
        destination: SocketAddr,
    },
    /// Give it to the worker that owns its flow, who calls
    /// [`crate::Relay::received_by_hand_off`].
    HandOff {
        /// Index of the worker.
        worker: u16,
        /// Index of the port that it came in on, or would have if it were not ours itself.
        port: u16,
        /// How often it was ours itself so far.
        passes: u8,
    },
    /// Drop it: a counter says why.
    Drop,
}

/// A SIP datagram's place and addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipMeta {
    /// Index of the realm.
    pub realm: u16,
    /// Who sent it.
    pub source: SocketAddr,
    /// What is known of the sender.
    pub class: SourceClass,
    /// Our SIP address that it was sent to.
    pub local: SocketAddr,
    /// The datagram's place in the whole buffer that the frame is a window of.
    pub payload: Range<usize>,
}

/// Checksums left to the sending port; only what [`crate::TxOffloads`] says that it can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxChecksums {
    /// The IPv4 header checksum; the field is 0.
    pub ipv4: bool,
    /// The UDP checksum; the field holds the pseudo header's sum.
    pub udp: bool,
    /// The packet is IPv6.
    pub ipv6: bool,
    /// Bytes of the Ethernet header, VLAN tag included.
    pub l2_len: u8,
    /// Bytes of the IP header.
    pub l3_len: u16,
}

/// What became of a SIP datagram that was to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SipSend {
    /// The frame is ready.
    Transmit {
        /// Index of the port.
        port: u16,
        /// Checksums left to the port.
        checksums: TxChecksums,
    },
    /// No route, or the next hop's Ethernet address is not known yet, or the kernel was just given one that this
    /// would overtake: let the kernel send it.
    Unresolved,
    /// Longer than the port's MTU: let the kernel send it in fragments.
    TooLong,
    /// No such realm, a source that is not a SIP address of the realm, or addresses of two
    /// families: the controller is at fault.
    Refused,
}
