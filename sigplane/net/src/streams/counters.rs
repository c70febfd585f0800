//! The streams' counters.

use tandem_sip::FrameError;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A counter's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Count {
            $($(#[doc = $doc])+ $variant,)+
        }

        const NAMES: &[&str] = &[$($name,)+];
    };
}

counters! {
    /// Connections accepted.
    Accepted = "stream_accepted",
    /// Connections that we opened.
    Opened = "stream_opened",
    /// Connections that we could not open: refused or unreachable.
    OpenFailed = "stream_open_failed",
    /// Connections that did not come up in time.
    OpenTimeout = "stream_open_timeout",
    /// Connections refused at once: there are too many in all.
    RefusedFull = "stream_refused_full",
    /// Connections refused at once: there are too many from their source.
    RefusedSource = "stream_refused_source",
    /// Connections refused at once: there are too many half-open ones.
    RefusedHalfOpen = "stream_refused_half_open",
    /// Connections refused at once: there are too many half-open ones from their source.
    RefusedHalfOpenSource = "stream_refused_half_open_source",
    /// Connections refused at once, or closed: their source is blocked.
    Blocked = "stream_blocked",
    /// Failures to accept: no descriptors or memory left, mostly. The listener rests for 100 ms.
    AcceptErrors = "stream_accept_errors",
    /// Connections that the peer closed.
    ClosedByPeer = "stream_closed_by_peer",
    /// Connections that the peer reset, or that the network broke.
    Reset = "stream_reset",
    /// Connections closed, since no byte went for too long.
    Idle = "stream_idle",
    /// Accepted connections closed, since no first byte came, or the handshakes took too long.
    HandshakeTimeout = "stream_handshake_timeout",
    /// Connections closed, since a message took too long from its first byte to its last.
    MessageTimeout = "stream_message_timeout",
    /// Connections closed, since the peer took no byte of what waited for it.
    WriteTimeout = "stream_write_timeout",
    /// Connections closed, since too much waited for a slow reader.
    SlowReader = "stream_slow_reader",
    /// Messages received.
    MessagesReceived = "stream_messages_received",
    /// Messages received without the Content-Length that is mandatory on a stream; taken to have no body.
    NoContentLength = "stream_no_content_length",
    /// Keepalives of two line ends, answered.
    Pings = "stream_pings",
    /// Connections closed: what came was neither SIP nor of a known length.
    NotSip = "stream_not_sip",
    /// Connections closed: a Content-Length that is no number or contradicts itself.
    BadContentLength = "stream_bad_content_length",
    /// Connections closed: header fields longer than the limit.
    HeadTooLong = "stream_head_too_long",
    /// Connections closed: a message longer than the limit.
    MessageTooLong = "stream_message_too_long",
    /// Messages given to the system to send.
    MessagesSent = "stream_messages_sent",
    /// Messages that certainly were not delivered.
    MessagesFailed = "stream_messages_failed",
    /// Messages that found no connection, where none can be opened: to a WebSocket peer that is gone.
    NoConnection = "stream_no_connection",
    /// TLS handshakes completed.
    TlsHandshakes = "stream_tls_handshakes",
    /// TLS handshakes failed, or records that are not what they should be.
    TlsFailed = "stream_tls_failed",
    /// TLS connections of a trunk's addresses refused: no certificate, of another authority, or without its name.
    TlsTrunkRefused = "stream_tls_trunk_refused",
    /// TLS handshakes that failed, since a certificate was missing or not good.
    TlsCertificate = "stream_tls_certificate_refused",
    /// TLS files read again.
    TlsReloads = "stream_tls_reloads",
    /// WebSocket handshakes completed.
    WebUpgrades = "stream_web_upgrades",
    /// Requests to WebSocket listeners that are no WebSocket handshakes, answered 400, 405, 426 or 431.
    WebBadRequest = "stream_web_bad_request",
    /// WebSocket handshakes without the subprotocol `sip`, answered 403.
    WebProtocol = "stream_web_wrong_protocol",
    /// WebSocket handshakes with an Origin that is not on the list, answered 403.
    WebOrigin = "stream_web_wrong_origin",
    /// WebSocket connections closed: frames against the protocol.
    WebError = "stream_web_bad_frame",
    /// WebSocket peers that did not answer a ping.
    WebSilent = "stream_web_silent",
}

impl From<FrameError> for Count {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::NotSip => Self::NotSip,
            FrameError::ContentLength => Self::BadContentLength,
            FrameError::HeadTooLong => Self::HeadTooLong,
            FrameError::MessageTooLong => Self::MessageTooLong,
        }
    }
}

/// The counters' values.
#[derive(Debug)]
pub(super) struct Counters([u64; NAMES.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; NAMES.len()])
    }
}

impl Counters {
    pub(super) fn add(&mut self, counter: Count) {
        self.add_many(counter, 1);
    }

    pub(super) fn add_many(&mut self, counter: Count, n: u64) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value += n;
        }
    }

    /// Names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NAMES.iter().copied().zip(self.0.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_errors_count_under_their_own_names() {
        let errors = [
            FrameError::NotSip,
            FrameError::ContentLength,
            FrameError::HeadTooLong,
            FrameError::MessageTooLong,
        ];
        for error in errors {
            let name = NAMES.get(Count::from(error) as usize).copied();
            assert_eq!(name, Some(error.counter()));
        }
    }
}
