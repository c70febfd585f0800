//! HTTP's counters: of the thread that serves it, read by whoever asks.

use crate::counting::counters;

counters! {
    /// HTTP connections accepted.
    Accepted = "http_accepted",
    /// HTTP connections closed at once: their source is not in `networks`.
    RefusedNetwork = "http_refused_network",
    /// HTTP connections closed at once: there are too many in all.
    RefusedFull = "http_refused_full",
    /// HTTP connections closed at once: there are too many from their source.
    RefusedSource = "http_refused_source",
    /// Failures to accept an HTTP connection: no descriptors or memory left, mostly.
    AcceptErrors = "http_accept_errors",
    /// TLS handshakes of HTTPS that failed.
    TlsFailed = "http_tls_failed",
    /// Connections that spoke HTTP to a listener for HTTPS.
    PlainOnTls = "http_plain_on_tls",
    /// Connections closed: no TLS handshake in time.
    SlowHandshake = "http_slow_handshake",
    /// Connections closed: a request's header that did not come in time.
    SlowHeader = "http_slow_header",
    /// Connections closed: a request's body that did not come in time.
    SlowBody = "http_slow_body",
    /// Connections closed: the client did not take the answer in time.
    SlowReader = "http_slow_reader",
    /// Connections closed: nothing was asked for so long.
    Idle = "http_idle",
    /// Requests that are not HTTP/1, or whose header is too long.
    BadRequest = "http_bad_request",
    /// Connections that broke while they were served.
    Broken = "http_broken",
    /// HTTP requests read whole.
    Requests = "http_requests",
    /// Requests refused with 404: nothing is served there.
    NotFound = "http_not_found",
    /// Requests refused with 405: not with this method.
    WrongMethod = "http_wrong_method",
    /// Requests refused with 413: their body is too long.
    BodyTooLong = "http_body_too_long",
    /// Requests refused with 415: a body of another type than the service reads.
    WrongType = "http_wrong_type",
    /// Requests refused with 401: no token.
    NoToken = "http_no_token",
    /// Requests refused with 401: a token that is not known.
    WrongToken = "http_wrong_token",
    /// Requests refused with 401: a token that has expired.
    ExpiredToken = "http_expired_token",
    /// Requests refused with 403: their token's role is not enough.
    Forbidden = "http_forbidden",
    /// Requests refused with 429: their source has shown too many wrong tokens.
    TooManyWrong = "http_too_many_wrong_tokens",
    /// Answers of 500 and above.
    Failed = "http_failed",
}
