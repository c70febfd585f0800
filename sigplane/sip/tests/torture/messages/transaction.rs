//! RFC 4475 section 3.2: what is odd for transactions.

/// A branch that is the cookie and nothing more, so it tells no request from another.
pub const BADBRANCH: &[u8] = b"OPTIONS sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.88;branch=z9hG4bK\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=cookie1\r\n\
    Call-ID: cookie-only@192.0.2.88\r\n\
    CSeq: 8 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";
