//! Server transactions: a struct per state, consumed by the step that leaves it.

use std::time::Duration;

use crate::Bytes;
use crate::settings::Settings;

/// A server transaction in one of its states.
#[derive(Debug)]
pub(crate) enum Server {
    Proceeding(Proceeding),
    Failed(Failed),
    Confirmed,
    Accepted,
    Trying(Trying),
    Completed(Completed),
}

/// INVITE without a final response yet (RFC 3261 section 17.2.1).
#[derive(Debug, Default)]
pub(crate) struct Proceeding {
    last: Option<Bytes>,
}

/// INVITE answered with a failure: repeated until the ACK comes or timer H.
#[derive(Debug)]
pub(crate) struct Failed {
    response: Bytes,
    /// The last interval of timer G.
    interval: Duration,
}

/// Another request without a final response (Trying and Proceeding of section 17.2.2).
#[derive(Debug, Default)]
pub(crate) struct Trying {
    last: Option<Bytes>,
}

/// Another request with its final response: repeated on each retransmission until timer J.
#[derive(Debug)]
pub(crate) struct Completed {
    response: Bytes,
}

impl Proceeding {
    pub(crate) fn provisional(&mut self, response: Bytes) {
        self.last = Some(response);
    }

    pub(crate) fn failure(response: Bytes, settings: &Settings) -> Failed {
        Failed {
            response,
            interval: settings.t1,
        }
    }
}

impl Failed {
    /// Timer G.
    pub(crate) fn retransmit(&mut self, settings: &Settings) -> (Bytes, Duration) {
        self.interval = settings.doubled(self.interval);
        (self.response.clone(), self.interval)
    }
}

impl Trying {
    pub(crate) fn provisional(&mut self, response: Bytes) {
        self.last = Some(response);
    }

    pub(crate) fn complete(response: Bytes) -> Completed {
        Completed { response }
    }
}

impl Server {
    /// The response that a retransmitted request is answered with, if any.
    pub(crate) fn replay(&self) -> Option<Bytes> {
        match self {
            Self::Proceeding(state) => state.last.clone(),
            Self::Trying(state) => state.last.clone(),
            Self::Failed(state) => Some(state.response.clone()),
            Self::Completed(state) => Some(state.response.clone()),
            Self::Confirmed | Self::Accepted => None,
        }
    }

    /// Whether a final response is still owed.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Proceeding(_) | Self::Trying(_))
    }
}
