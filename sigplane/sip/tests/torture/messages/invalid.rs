//! RFC 4475 section 3.1.2: what is to be refused, first half: framing, numbers and the start line.

use super::offer;

/// The line that an odd request line is put before.
macro_rules! call {
    ($line:literal) => {
        concat!(
            $line,
            "\r\n\
             Via: SIP/2.0/UDP 192.0.2.71;branch=z9hG4bKbad\r\n\
             Max-Forwards: 70\r\n\
             To: <sip:lena@example.org>\r\n\
             From: <sip:oskar@example.net>;tag=bad1\r\n\
             Call-ID: bad@192.0.2.71\r\n\
             CSeq: 31 INVITE\r\n\
             Contact: <sip:oskar@192.0.2.71>\r\n",
            offer!()
        )
        .as_bytes()
    };
}

/// Separators with nothing between them, in Via and in Contact.
pub const BADINV01: &[u8] = b"INVITE sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.72;;,;,,\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=seps1;;\r\n\
    Call-ID: seps@192.0.2.72\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:oskar@192.0.2.72>;;,,;,\r\n\
    Content-Length: 0\r\n\r\n";

/// The datagram ends before the body that Content-Length tells of.
pub const CLERR: &[u8] = b"INVITE sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.73;branch=z9hG4bKshort\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=short1\r\n\
    Call-ID: short@192.0.2.73\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:oskar@192.0.2.73>\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 5000\r\n\r\n\
    v=0\r\no=- 1 1 IN IP4 192.0.2.73\r\ns=-\r\n";

/// A length below nothing.
pub const NCL: &[u8] = b"INVITE sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.74;branch=z9hG4bKminus\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=minus1\r\n\
    Call-ID: minus@192.0.2.74\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:oskar@192.0.2.74>\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: -12\r\n\r\n\
    v=0\r\no=- 1 1 IN IP4 192.0.2.74\r\ns=-\r\n";

/// A request whose numbers are beyond what their headers allow.
pub const SCALAR02: &[u8] = b"REGISTER sip:example.org SIP/2.0\r\n\
    Via: SIP/2.0/TCP 192.0.2.75;branch=z9hG4bKbig;ttl=9999\r\n\
    Max-Forwards: 1000\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:lena@example.org>;tag=big1\r\n\
    Call-ID: big@192.0.2.75\r\n\
    CSeq: 99999999999999999999 REGISTER\r\n\
    Expires: 100000000000000000000000\r\n\
    Contact: <sip:lena@192.0.2.75>;expires=777777777777777;q=3\r\n\
    Content-Length: 0\r\n\r\n";

/// A response whose numbers are beyond what their headers allow.
pub const SCALARLG: &[u8] = b"SIP/2.0 503 Service Unavailable\r\n\
    Via: SIP/2.0/UDP 198.51.100.20;branch=z9hG4bKbigger;ttl=256\r\n\
    To: <sip:lena@example.org>;tag=big3\r\n\
    From: <sip:oskar@example.net>;tag=big2\r\n\
    Call-ID: bigger@198.51.100.20\r\n\
    CSeq: 8888888888888 INVITE\r\n\
    Retry-After: 10000000000000000\r\n\
    Warning: 65536 example.org \"too many digits\"\r\n\
    Content-Length: 0\r\n\r\n";

/// A quoted display name in To that is never closed.
pub const QUOTBAL: &[u8] = b"INVITE sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.76;branch=z9hG4bKopen\r\n\
    Max-Forwards: 70\r\n\
    To: \"Lena <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=open1\r\n\
    Call-ID: open@192.0.2.76\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:oskar@192.0.2.76>\r\n\
    Content-Length: 0\r\n\r\n";

/// Brackets round the Request-URI.
pub const LTGTRURI: &[u8] = call!("INVITE <sip:lena@example.org> SIP/2.0");

/// White space within the Request-URI.
pub const LWSRURI: &[u8] = call!("INVITE sip:lena@example.org ;transport= udp SIP/2.0");

/// More than one space between the parts of the request line.
pub const LWSSTART: &[u8] = call!("INVITE   sip:lena@example.org    SIP/2.0");

/// White space behind the version.
pub const TRWS: &[u8] = call!("INVITE sip:lena@example.org SIP/2.0 \t ");

/// A version that is not ours.
pub const BADVERS: &[u8] = b"OPTIONS sip:lena@example.org SIP/7.0\r\n\
    Via: SIP/7.0/UDP 192.0.2.77;branch=z9hG4bKseven\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=seven1\r\n\
    Call-ID: seven@192.0.2.77\r\n\
    CSeq: 7 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// A status code that is no number of three digits; cut to 32 bits it would be 1200.
pub const BIGCODE: &[u8] = b"SIP/2.0 4294968496 Fine\r\n\
    Via: SIP/2.0/UDP 198.51.100.20;branch=z9hG4bKdigits\r\n\
    To: <sip:lena@example.org>;tag=digits2\r\n\
    From: <sip:oskar@example.net>;tag=digits1\r\n\
    Call-ID: digits@198.51.100.20\r\n\
    CSeq: 5 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";
