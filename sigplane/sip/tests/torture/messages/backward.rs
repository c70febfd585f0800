//! RFC 4475 section 3.4: from before RFC 3261.

/// As RFC 2543 had it: no branch, no tag in From, no Max-Forwards, no Content-Length.
pub const INV2543: &[u8] = b"INVITE sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP old.example.net\r\n\
    From: <sip:oskar@example.net>\r\n\
    To: <sip:lena@example.org>\r\n\
    Call-ID: 1999@old.example.net\r\n\
    CSeq: 1 INVITE\r\n\
    Content-Type: application/sdp\r\n\r\n\
    v=0\r\n\
    o=- 1999 1999 IN IP4 192.0.2.106\r\n\
    s=-\r\n\
    c=IN IP4 192.0.2.106\r\n\
    t=0 0\r\n\
    m=audio 41010 RTP/AVP 0\r\n";
