//! RFC 4475 section 3.1.1: odd, but valid.

use super::offer;

/// White space and folds wherever the grammar has room, compact and odd-cased names, an empty Subject,
/// leading zeros, escaped quotes, three Vias in two headers. The To tag names a dialog of nobody.
pub const WSINV: &[u8] = b"INVITE sip:lena@desk.example.org;colour=green SIP/2.0\r\n\
    t  :\r\n\tsip:lena@desk.example.org  ;\r\n   tag   =  7Tq0021\r\n\
    fROM\t: \"Oskar \\\\ \\\"the\\\" Weber\"      <sip:oskar@example.net>\r\n  ;\r\n\ttag = 55of9\r\n\
    mAX-Forwards: 0042\r\n\
    i: folded.0815@198.51.100.20\r\n\
    l    : 4\r\n\
    cSeQ: 00017\r\n   INVITE\r\n\
    Via  : SIP  /  2.0\r\n\t/UDP\r\n     198.51.100.20;branch=first20\r\n\
    s  :\r\n\
    X-Unheard-Of:    one line\r\n  and its second\r\n\tand its third\r\n\
    rOuTe:\r\n <sip:edge.example.org;lr;weight=3;sticky>\r\n\
    v: SIP /2.0/ TCP   relay.example.net  ;\r\n   branch =  z9hG4bKsecond ,\r\n\
    \x20 SIP/ 2.0 /UDP\t203.0.113.77 ;branch=\r\n z9hG4bKthird\r\n\
    C : application / octet-stream\r\n\
    m  : \"A \\\" in \\\"quotes\\\"\" <sip:oskar@example.net>;flavour =\r\n  sweet  ;\r\n plain ; q = 0.7\r\n\
    \r\nbody";

/// Every kind of byte in every place that allows it: a method and a Call-ID of odd token characters, a user
/// part of marks and reserved characters, control characters and UTF-8 in quoted strings.
pub const INTMETH: &[u8] =
    b"a-9.Z!~*_+`'%like~that sip:2+2=4,&so$on/then?;(_-'!*.~%2F@example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP host-3.example.net;branch=z9hG4bK~.!*%_`'+-odd\r\n\
    To: \"rings \\\x07 and deletes \\\x7f, quotes \\\" and \\\\\" \
    <sip:2+2=4,&so$on/then?;(_-'!*.~%2F@example.com>\r\n\
    From: *.nobody_!~+`'%  <sip:%6ea%3Dme@example.net>;tag=_.!%*-+`'~7\r\n\
    Call-ID: {<[(w0rd)]>}/?:\\\"%!*_+`'~-.@z\r\n\
    CSeq: 77 a-9.Z!~*_+`'%like~that\r\n\
    Max-Forwards: 255\r\n\
    X-Name.of!odd%letters: \xd0\x96\xd1\x83\xd0\xba \xe2\x98\x8e \xc2\xa0\r\n\
    Content-Length: 0\r\n\r\n";

/// A user part that, unescaped, would be a URI of its own; escapes in parameters and tags.
pub const ESC01: &[u8] = concat!(
    "INVITE sip:tel%3A%2B15550100%40example.org@example.com SIP/2.0\r\n\
     Via: SIP/2.0/UDP 192.0.2.61;branch=z9hG4bKescaped%3B1\r\n\
     Max-Forwards: 61\r\n\
     To: <sip:%74el%3a%2B15550100%40example.org@example.com>\r\n\
     From: <sip:%4Fskar@example.net;tr%61nsport=udp>;tag=a%20b\r\n\
     Call-ID: escaped%2d1@192.0.2.61\r\n\
     CSeq: 4 INVITE\r\n\
     Contact: <sip:oskar%20weber@192.0.2.61;hint=%22yes%22>\r\n",
    offer!()
)
.as_bytes();

/// Escaped NULs, which end no string here.
pub const ESCNULL: &[u8] = b"REGISTER sip:example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.62:5062;branch=z9hG4bKzero\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:before%00after@example.org>\r\n\
    From: <sip:before%00after@example.org>;tag=nul1\r\n\
    Call-ID: nul-and-nul@192.0.2.62\r\n\
    CSeq: 12 REGISTER\r\n\
    Contact: <sip:%00%00@192.0.2.62:5062>, <sip:%00@192.0.2.62:5062>\r\n\
    Content-Length: 0\r\n\r\n";

/// Percent signs where nothing is escaped: in a method (so it is not OPTIONS) and in display names.
pub const ESC02: &[u8] = b"OP%54I%4fNS sip:example.org SIP/2.0\r\n\
    Via: SIP/2.0/TCP 192.0.2.63;branch=z9hG4bKnoescape%\r\n\
    Max-Forwards: 70\r\n\
    To: \"100%25 %zz\" <sip:%6cena@example.org>\r\n\
    From: half%2 <sip:oskar@example.net>;tag=%%%\r\n\
    Call-ID: not%20a%20blank@192.0.2.63\r\n\
    CSeq: 3 OP%54I%4fNS\r\n\
    Contact: \"%\" <sip:%6fskar@192.0.2.63>\r\n\
    Content-Length: 0\r\n\r\n";

/// No white space between a display name of tokens and the bracket.
pub const LWSDISP: &[u8] = b"OPTIONS sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.64;branch=z9hG4bKtight\r\n\
    Max-Forwards: 70\r\n\
    To: Lena<sip:lena@example.org>\r\n\
    From: Oskar<sip:oskar@example.net>;tag=tight1\r\n\
    Call-ID: tight@192.0.2.64\r\n\
    CSeq: 8 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// Sixty-four bytes of a host label or a value, to make long things of.
macro_rules! long {
    () => {
        "abcdefghijklmnopqrstuvwxyz.0123456789.ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    };
}

/// Every part is longer than one expects, and there are many Vias. The first has no branch at all: the
/// transaction is told from others as in RFC 2543.
pub const LONGREQ: &[u8] = concat!(
    "INVITE sip:lena@example.org;",
    long!(),
    long!(),
    "=",
    long!(),
    long!(),
    " SIP/2.0\r\nVia: SIP/2.0/TCP host-1.example.net;",
    long!(),
    "=",
    long!(),
    "\r\nVia: SIP/2.0/UDP ",
    long!(),
    ".example.net;branch=z9hG4bK",
    long!(),
    long!(),
    long!(),
    "\r\nv: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1, SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK2,\
     \r\n SIP/2.0/TCP 192.0.2.3;branch=z9hG4bK3, SIP/2.0/TCP 192.0.2.4;branch=z9hG4bK4,\
     \r\n SIP/2.0/TCP 192.0.2.5;branch=z9hG4bK5, SIP/2.0/TCP 192.0.2.6;branch=z9hG4bK6,\
     \r\n SIP/2.0/TCP 192.0.2.7;branch=z9hG4bK7, SIP/2.0/TCP 192.0.2.8;branch=z9hG4bK8\
     \r\nTo: \"",
    long!(),
    long!(),
    long!(),
    long!(),
    "\" <sip:lena@example.org;",
    long!(),
    "=",
    long!(),
    ">\r\nFrom: sip:",
    long!(),
    long!(),
    "@example.net;tag=",
    long!(),
    long!(),
    ";",
    long!(),
    "=\"",
    long!(),
    long!(),
    "\"\r\nCall-ID: ",
    long!(),
    long!(),
    long!(),
    long!(),
    "\r\nCSeq: 2147483647 INVITE\r\nMax-Forwards: 70\r\nX-",
    long!(),
    long!(),
    ": ",
    long!(),
    long!(),
    long!(),
    long!(),
    long!(),
    long!(),
    "\r\nContact: <sip:oskar@",
    long!(),
    ".example.net>\r\n",
    offer!()
)
.as_bytes();

/// Two requests in one datagram: the second is no business of a parser that goes by Content-Length.
pub const DBLREQ: &[u8] = concat!(
    "REGISTER sip:example.org SIP/2.0\r\n\
     Via: SIP/2.0/UDP 192.0.2.65;branch=z9hG4bKfirst\r\n\
     Max-Forwards: 70\r\n\
     To: <sip:lena@example.org>\r\n\
     From: <sip:lena@example.org>;tag=one\r\n\
     Call-ID: one-of-two@192.0.2.65\r\n\
     CSeq: 1 REGISTER\r\n\
     Contact: <sip:lena@192.0.2.65>\r\n\
     Content-Length: 0\r\n\r\n\
     INVITE sip:oskar@example.net SIP/2.0\r\n\
     Via: SIP/2.0/UDP 192.0.2.65;branch=z9hG4bKsecond\r\n\
     Max-Forwards: 70\r\n\
     To: <sip:oskar@example.net>\r\n\
     From: <sip:lena@example.org>;tag=two\r\n\
     Call-ID: two-of-two@192.0.2.65\r\n\
     CSeq: 2 INVITE\r\n\
     Contact: <sip:lena@192.0.2.65>\r\n",
    offer!()
)
.as_bytes();

/// A semicolon within the user part starts no parameter of the URI.
pub const SEMIURI: &[u8] = b"OPTIONS sip:lena;room=4%40hall@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.66;branch=z9hG4bKsemi\r\n\
    Max-Forwards: 70\r\n\
    To: sip:lena%3Broom%3D4@example.org\r\n\
    From: <sip:oskar;desk=2@example.net>;tag=semi1\r\n\
    Call-ID: semi@192.0.2.66\r\n\
    CSeq: 8 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// Every transport that has a name, and one that nobody has named.
pub const TRANSPORTS: &[u8] = b"OPTIONS sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.67;branch=z9hG4bKt1\r\n\
    Via: SIP/2.0/PIGEON roof.example.net;branch=z9hG4bKt2\r\n\
    Via: SIP/2.0/TLS [2001:db8::67]:5061;branch=z9hG4bKt3\r\n\
    Via: SIP/2.0/SCTP 192.0.2.67;branch=z9hG4bKt4\r\n\
    Via: SIP/2.0/TCP host-3.example.net:5070;branch=z9hG4bKt5\r\n\
    Max-Forwards: 60\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=ways\r\n\
    Call-ID: ways@192.0.2.67\r\n\
    CSeq: 5 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// A body of several parts, one of them binary: with zeros, line ends and what looks like headers.
pub const MPART01: &[u8] = b"MESSAGE sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.68;branch=z9hG4bKparts\r\n\
    Max-Forwards: 70\r\n\
    Route: <sip:edge.example.org;lr>\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=parts1\r\n\
    Call-ID: parts@192.0.2.68\r\n\
    CSeq: 1 MESSAGE\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed;boundary=\"--cut here--\"\r\n\
    Content-Length: 221\r\n\r\n\
    ----cut here--\r\n\
    Content-Type: text/plain\r\n\
    Content-Transfer-Encoding: 8bit\r\n\r\n\
    Gr\xc3\xbc\xc3\x9fe\r\n\
    ----cut here--\r\n\
    Content-Type: application/octet-stream\r\n\
    Content-Transfer-Encoding: binary\r\n\r\n\
    \x00\x01\x02\r\n\r\nVia: none\r\n\xff\xfe\x80\x00\r\n\
    ----cut here----\r\n";

/// A reason phrase of many scripts and of punctuation.
pub const UNREASON: &[u8] = b"SIP/2.0 200 = {ok}: \"\xe3\x81\xaf\xe3\x81\x84\", \
    \xce\xbd\xce\xb1\xce\xaf; 3<4 & 5>4 \\ 100%\r\n\
    Via: SIP/2.0/UDP 198.51.100.20;branch=z9hG4bKwords\r\n\
    To: <sip:lena@example.org>;tag=said\r\n\
    From: <sip:oskar@example.net>;tag=asked\r\n\
    Call-ID: words@198.51.100.20\r\n\
    CSeq: 9 INVITE\r\n\
    Contact: <sip:lena@192.0.2.69>\r\n\
    Content-Length: 0\r\n\r\n";

/// No reason phrase; the space before it is there.
pub const NOREASON: &[u8] = b"SIP/2.0 180 \r\n\
    Via: SIP/2.0/UDP 198.51.100.20;branch=z9hG4bKsilent\r\n\
    To: <sip:lena@example.org>;tag=quiet\r\n\
    From: <sip:oskar@example.net>;tag=asked\r\n\
    Call-ID: silent@198.51.100.20\r\n\
    CSeq: 10 INVITE\r\n\
    Content-Length: 0\r\n\r\n";
