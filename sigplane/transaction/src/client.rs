//! Client transactions: a struct per state, consumed by the step that leaves it.

use std::time::Duration;

use crate::Bytes;
use crate::settings::Settings;

/// A client transaction in one of its states.
#[derive(Debug)]
pub(crate) enum Client {
    Calling(Calling),
    Proceeding(Proceeding),
    Failed(Failed),
    Accepted(Accepted),
    Trying(Trying),
    Completed(Completed),
}

/// INVITE without any response yet (RFC 3261 section 17.1.1.2).
#[derive(Debug)]
pub(crate) struct Calling {
    request: Bytes,
    ack_head: Bytes,
    /// The last interval of timer A.
    interval: Duration,
}

/// INVITE with a provisional response: it waits without limit of its own (timer C is the proxy's).
#[derive(Debug)]
pub(crate) struct Proceeding {
    ack_head: Bytes,
}

/// INVITE with a failure: its retransmissions are acknowledged until timer D.
#[derive(Debug)]
pub(crate) struct Failed {
    ack: Bytes,
}

/// INVITE with a 2xx: further 2xx pass until timer M (RFC 6026 section 7.2).
#[derive(Debug)]
pub(crate) struct Accepted;

/// Another request without a final response (Trying and Proceeding of section 17.1.2.2).
#[derive(Debug)]
pub(crate) struct Trying {
    request: Bytes,
    /// The last interval of timer E.
    interval: Duration,
    provisional: bool,
}

/// Another request with its final response: retransmissions are absorbed until timer K.
#[derive(Debug)]
pub(crate) struct Completed;

impl Calling {
    pub(crate) fn new(request: Bytes, ack_head: Bytes, settings: &Settings) -> Self {
        Self {
            request,
            ack_head,
            interval: settings.t1,
        }
    }

    /// Timer A: doubles without bound, timer B ends it.
    pub(crate) fn retransmit(&mut self) -> (Bytes, Duration) {
        self.interval = self.interval.saturating_mul(2);
        (self.request.clone(), self.interval)
    }

    pub(crate) fn provisional(self) -> Proceeding {
        Proceeding {
            ack_head: self.ack_head,
        }
    }

    /// The first final response: as if a provisional one had come before.
    pub(crate) fn failure(self, to: &[u8]) -> Failed {
        self.provisional().failure(to)
    }
}

impl Proceeding {
    pub(crate) fn failure(self, to: &[u8]) -> Failed {
        Failed {
            ack: ack(&self.ack_head, to),
        }
    }
}

impl Failed {
    pub(crate) fn ack(&self) -> Bytes {
        self.ack.clone()
    }
}

impl Trying {
    /// As it was sent.
    pub(crate) fn request(&self) -> Bytes {
        self.request.clone()
    }

    pub(crate) fn new(request: Bytes, settings: &Settings) -> Self {
        Self {
            request,
            interval: settings.t1,
            provisional: false,
        }
    }

    /// Timer E: doubles up to T2; T2 at once after a provisional response.
    pub(crate) fn retransmit(&mut self, settings: &Settings) -> (Bytes, Duration) {
        self.interval = if self.provisional {
            settings.t2
        } else {
            settings.doubled(self.interval)
        };
        (self.request.clone(), self.interval)
    }

    pub(crate) fn provisional(&mut self) {
        self.provisional = true;
    }
}

impl Client {
    /// Whether nothing has been heard from the peer.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Self::Calling(_) => true,
            Self::Trying(state) => !state.provisional,
            _ => false,
        }
    }

    /// Whether a final response is still awaited.
    pub(crate) fn is_open(&self) -> bool {
        matches!(
            self,
            Self::Calling(_) | Self::Proceeding(_) | Self::Trying(_)
        )
    }
}

/// The ACK of a failure (RFC 3261 section 17.1.1.3): the request's values, the response's To.
fn ack(head: &[u8], to: &[u8]) -> Bytes {
    [head, b"To: ", to, b"\r\nContent-Length: 0\r\n\r\n"]
        .concat()
        .into()
}
