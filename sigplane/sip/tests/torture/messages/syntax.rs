//! RFC 4475 section 3.1.2, second half: addresses, dates and methods that are not as they should be.

use super::offer;

/// Headers within the Request-URI, which belong into the request.
pub const ESCRURI: &[u8] = concat!(
    "INVITE sip:lena@example.org?Subject=hello&Priority=urgent SIP/2.0\r\n\
     Via: SIP/2.0/UDP 192.0.2.81;branch=z9hG4bKinner\r\n\
     Max-Forwards: 70\r\n\
     To: <sip:lena@example.org>\r\n\
     From: <sip:oskar@example.net>;tag=inner1\r\n\
     Call-ID: inner@192.0.2.81\r\n\
     CSeq: 2 INVITE\r\n\
     Contact: <sip:oskar@192.0.2.81>\r\n",
    offer!()
)
.as_bytes();

/// A date in a zone other than GMT.
pub const BADDATE: &[u8] = concat!(
    "INVITE sip:lena@example.org SIP/2.0\r\n\
     Via: SIP/2.0/UDP 192.0.2.82;branch=z9hG4bKclock\r\n\
     Max-Forwards: 70\r\n\
     To: <sip:lena@example.org>\r\n\
     From: <sip:oskar@example.net>;tag=clock1\r\n\
     Call-ID: clock@192.0.2.82\r\n\
     CSeq: 2 INVITE\r\n\
     Date: Tue, 05 Mar 2024 18:30:00 CET\r\n\
     Contact: <sip:oskar@192.0.2.82>\r\n",
    offer!()
)
.as_bytes();

/// A Contact with headers in its URI, but no brackets round it.
pub const REGBADCT: &[u8] = b"REGISTER sip:example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.83;branch=z9hG4bKbare\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:lena@example.org>;tag=bare1\r\n\
    Call-ID: bare@192.0.2.83\r\n\
    CSeq: 6 REGISTER\r\n\
    Contact: sip:lena@192.0.2.83?Route=%3Csip:edge.example.org;lr%3E\r\n\
    Content-Length: 0\r\n\r\n";

/// Spaces between the brackets and the URI in them.
pub const BADASPEC: &[u8] = b"OPTIONS sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.84;branch=z9hG4bKroomy\r\n\
    Max-Forwards: 70\r\n\
    To: \"Lena L.\" <  sip:lena@example.org >\r\n\
    From: \"Oskar W.\" < sip:oskar@example.net  >;tag=roomy1\r\n\
    Call-ID: roomy@192.0.2.84\r\n\
    CSeq: 6 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// Display names that had to be quoted, for the commas and brackets in them.
pub const BADDN: &[u8] = b"OPTIONS sip:l.larsen@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.85;branch=z9hG4bKnames\r\n\
    Max-Forwards: 70\r\n\
    To: Larsen, Lena (desk) <sip:l.larsen@example.org>\r\n\
    From: Weber, Oskar <sip:oskar@example.net>;tag=names1\r\n\
    Call-ID: names@192.0.2.85\r\n\
    CSeq: 6 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// CSeq names another method than the request line, both known.
pub const MISMATCH01: &[u8] = b"MESSAGE sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.86;branch=z9hG4bKtwo\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=two1\r\n\
    Call-ID: two-minds@192.0.2.86\r\n\
    CSeq: 6 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// The same, with a method that nobody knows.
pub const MISMATCH02: &[u8] = concat!(
    "WHISTLE sip:lena@example.org SIP/2.0\r\n\
     Via: SIP/2.0/UDP 192.0.2.87;branch=z9hG4bKwhistle\r\n\
     Max-Forwards: 70\r\n\
     To: <sip:lena@example.org>\r\n\
     From: <sip:oskar@example.net>;tag=whistle1\r\n\
     Call-ID: whistle@192.0.2.87\r\n\
     CSeq: 6 INVITE\r\n\
     Contact: <sip:oskar@192.0.2.87>\r\n",
    offer!()
)
.as_bytes();
