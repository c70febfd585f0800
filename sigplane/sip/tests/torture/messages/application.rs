//! RFC 4475 section 3.3: well formed, but what is asked for is odd.

use super::offer;

/// Without From, To and Call-ID.
pub const INSUF: &[u8] = b"INVITE sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.91;branch=z9hG4bKlacking\r\n\
    Max-Forwards: 70\r\n\
    CSeq: 21 INVITE\r\n\
    Contact: <sip:oskar@192.0.2.91>\r\n\
    Content-Length: 0\r\n\r\n";

/// A Request-URI of a scheme that nobody knows, with an opaque rest.
pub const UNKSCM: &[u8] = b"OPTIONS carrier-pigeon:loft-7,eastwards SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.92;branch=z9hG4bKpigeon\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=pigeon1\r\n\
    Call-ID: pigeon@192.0.2.92\r\n\
    CSeq: 3 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// A Request-URI of a scheme that exists, but has no place in SIP.
pub const NOVELSC: &[u8] = b"OPTIONS coap+tcp://lamp.example.org:5683/light?on SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.93;branch=z9hG4bKlamp\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=lamp1\r\n\
    Call-ID: lamp@192.0.2.93\r\n\
    CSeq: 3 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// Unknown schemes in To, From and Contact.
pub const UNKSM2: &[u8] = b"REGISTER sip:example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.94;branch=z9hG4bKschemes\r\n\
    Max-Forwards: 70\r\n\
    To: <lighthouse:north-shore>\r\n\
    From: <semaphore://hill.example.net/arms>;tag=schemes1\r\n\
    Call-ID: schemes@192.0.2.94\r\n\
    CSeq: 4 REGISTER\r\n\
    Contact: <carrier-pigeon:loft-8>\r\n\
    Content-Length: 0\r\n\r\n";

/// Extensions asked for that nobody supports, of the peer and of the proxies.
pub const BEXT01: &[u8] = b"OPTIONS sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKwishes\r\n\
    Max-Forwards: 70\r\n\
    Require: telepathy, x-second-sight\r\n\
    Proxy-Require: x-clairvoyance, x-patience\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=wishes1\r\n\
    Call-ID: wishes@192.0.2.95\r\n\
    CSeq: 4 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// A body of a type that nobody knows.
pub const INVUT: &[u8] = b"INVITE sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.96;branch=z9hG4bKtype\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=type1\r\n\
    Call-ID: type@192.0.2.96\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:oskar@192.0.2.96>\r\n\
    Content-Type: application/x-knitting-pattern\r\n\
    Content-Length: 33\r\n\r\n\
    <row n=\"1\">knit 2, purl 2</row>\r\n";

/// Credentials of a scheme that nobody knows.
pub const REGAUT01: &[u8] = b"REGISTER sip:example.org SIP/2.0\r\n\
    Via: SIP/2.0/TCP 192.0.2.97;branch=z9hG4bKpassword\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:lena@example.org>;tag=password1\r\n\
    Call-ID: password@192.0.2.97\r\n\
    CSeq: 4 REGISTER\r\n\
    Authorization: Handshake grip=\"firm\", shakes=3\r\n\
    Contact: <sip:lena@192.0.2.97;transport=tcp>\r\n\
    Content-Length: 0\r\n\r\n";

/// Headers that may stand once stand twice and more, with different values.
pub const MULTI01: &[u8] = concat!(
    "INVITE sip:lena@example.org SIP/2.0\r\n\
     Via: SIP/2.0/UDP 192.0.2.98;branch=z9hG4bKechoes\r\n\
     Max-Forwards: 70\r\n\
     From: <sip:oskar@example.net>;tag=echo1\r\n\
     From: <sip:ottilie@example.net>;tag=echo2\r\n\
     To: <sip:lena@example.org>\r\n\
     To: <sip:lars@example.org>\r\n\
     Call-ID: echo-1@192.0.2.98\r\n\
     Call-ID: echo-2@192.0.2.98\r\n\
     CSeq: 1 INVITE\r\n\
     CSeq: 2 INVITE\r\n\
     Max-Forwards: 5\r\n\
     Contact: <sip:oskar@192.0.2.98>\r\n",
    offer!()
)
.as_bytes();

/// Content-Lengths that contradict each other.
pub const MCL01: &[u8] = b"MESSAGE sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKlengths\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=lengths1\r\n\
    Call-ID: lengths@192.0.2.99\r\n\
    CSeq: 3 MESSAGE\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 11\r\n\
    Content-Length: 4\r\n\r\n\
    hello there";

/// An answer to nobody's request, whose second Via is a broadcast address.
pub const BCAST: &[u8] = concat!(
    "SIP/2.0 200 OK\r\n\
     Via: SIP/2.0/UDP 198.51.100.20;branch=z9hG4bKforme\r\n\
     Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKforall\r\n\
     To: <sip:lena@example.org>;tag=all2\r\n\
     From: <sip:oskar@example.net>;tag=all1\r\n\
     Call-ID: for-all@198.51.100.20\r\n\
     CSeq: 1 INVITE\r\n\
     Contact: <sip:lena@192.0.2.100>\r\n",
    offer!()
)
.as_bytes();

/// A request that may go no further.
pub const ZEROMF: &[u8] = b"OPTIONS sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.101;branch=z9hG4bKlast\r\n\
    Max-Forwards: 0\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=last1\r\n\
    Call-ID: last@192.0.2.101\r\n\
    CSeq: 3 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// A parameter of the Contact that nobody knows.
pub const CPARAM01: &[u8] = b"REGISTER sip:example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.102;branch=z9hG4bKoutside\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:lena@example.org>;tag=outside1\r\n\
    Call-ID: outside@192.0.2.102\r\n\
    CSeq: 4 REGISTER\r\n\
    Contact: sip:+15550101@gw.example.org;x-floor=9\r\n\
    Content-Length: 0\r\n\r\n";

/// A parameter of the URI in the Contact that nobody knows.
pub const CPARAM02: &[u8] = b"REGISTER sip:example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.103;branch=z9hG4bKinside\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:lena@example.org>;tag=inside1\r\n\
    Call-ID: inside@192.0.2.103\r\n\
    CSeq: 4 REGISTER\r\n\
    Contact: <sip:+15550101@gw.example.org;x-floor=9>\r\n\
    Content-Length: 0\r\n\r\n";

/// A header within the URI of the Contact.
pub const REGESCRT: &[u8] = b"REGISTER sip:example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.104;branch=z9hG4bKcarried\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:lena@example.org>;tag=carried1\r\n\
    Call-ID: carried@192.0.2.104\r\n\
    CSeq: 4 REGISTER\r\n\
    Contact: <sip:lena@192.0.2.104?Route=%3Csip:edge.example.org%3Blr%3E>\r\n\
    Content-Length: 0\r\n\r\n";

/// An offer by one who accepts answers only of a type that nobody knows.
pub const SDP01: &[u8] = concat!(
    "INVITE sip:lena@example.org SIP/2.0\r\n\
     Via: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bKpicky\r\n\
     Max-Forwards: 70\r\n\
     To: <sip:lena@example.org>\r\n\
     From: <sip:oskar@example.net>;tag=picky1\r\n\
     Call-ID: picky@192.0.2.105\r\n\
     CSeq: 1 INVITE\r\n\
     Accept: application/x-knitting-pattern\r\n\
     Contact: <sip:oskar@192.0.2.105>\r\n",
    offer!()
)
.as_bytes();
