//! Media anchoring: ports on both sides, the offer/answer model (RFC 3264), and the flow pairs
//! that follow from it.
//!
//! [`Ports`] hands out our media ports; a [`Session`] is one call's media. Give the session every
//! SDP that passes, in order, as [`Session::offer`] or [`Session::answer`]; send on what it
//! returns; say [`Session::settle`] when the call is answered; drain [`Session::command`] for
//! the dataplane and [`Session::counter`].
//!
//! What is done with the SDP cases that a proxy could treat in several ways:
//!
//! | the SDP says | what happens |
//! |---|---|
//! | `c=` null (`0.0.0.0`, `::`) | hold: the far end sees it null too; the flow stays, without a remote address, with the hold timeout |
//! | `a=sendonly`, `recvonly`, `inactive` | passes; the hold timeout counts |
//! | port 0 | stays 0; ports and flow are freed with the answer |
//! | RTP, also with `a=crypto` (SRTP) | relayed as RTP, end to end |
//! | DTLS-SRTP (`UDP/TLS/RTP/...`, or `a=fingerprint` without `a=crypto`) | relayed unparsed on the RTP port, since its handshake is not RTP; RTCP only with `a=rtcp-mux` |
//! | other UDP protocols (`udptl`, `UDP/BFCP`, `UDP/DTLS/SCTP`) | relayed unparsed |
//! | TCP protocols, unknown ones | the line is passed with port 0 and without attributes (`sdp_media_disabled`): it would lead around us, and show the peer's address |
//! | ICE | its attributes are removed: both ends fall back to plain addresses |
//! | `a=rtcp-mux` | passes; RTCP goes to the RTP port when both have it |
//! | more than one port in `m=`, multicast, a domain name in `c=`, no `c=` | refused, 488 |
//! | more than 16 media lines, more than 16 KiB | refused, 488 |
//! | what is not SDP | refused, 400 |

mod answer;
mod before;
mod formats;
mod line;
mod offer;
mod ports;
mod refusal;
mod session;
mod terms;

pub(crate) use before::SessionBefore;
pub(crate) use ports::PortNews;
pub use ports::{End, Ports, RealmMedia, Usage, Want};
pub use refusal::Refusal;
pub(crate) use session::More;
pub use session::{MediaGuard, MediaSettings, Party, RestorePortsError, Session};
