//! RFC 5118 section 4: IPv6 addresses.

/// References in brackets in the Request-URI, in Via and in Contact.
pub const IPV6_GOOD: &[u8] = b"REGISTER sip:[2001:db8:5118::10] SIP/2.0\r\n\
    Via: SIP/2.0/UDP [2001:db8:5118::a:1]:5062;branch=z9hG4bKgood6\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:lena@example.org>;tag=good6\r\n\
    Call-ID: good6@[2001:db8:5118::a:1]\r\n\
    CSeq: 61 REGISTER\r\n\
    Contact: <sip:lena@[2001:db8:5118::a:1]:5062>\r\n\
    Content-Length: 0\r\n\r\n";

/// The address in the Request-URI has no brackets.
pub const IPV6_BAD: &[u8] = b"REGISTER sip:2001:db8:5118::10 SIP/2.0\r\n\
    Via: SIP/2.0/UDP [2001:db8:5118::a:1];branch=z9hG4bKbad6\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:lena@example.org>;tag=bad6\r\n\
    Call-ID: bad6@[2001:db8:5118::a:1]\r\n\
    CSeq: 62 REGISTER\r\n\
    Contact: <sip:lena@[2001:db8:5118::a:1]>\r\n\
    Content-Length: 0\r\n\r\n";

/// Somebody put the port within the brackets: then it is a part of the address.
pub const PORT_AMBIGUOUS: &[u8] = b"REGISTER sip:[2001:db8:5118::10:5070] SIP/2.0\r\n\
    Via: SIP/2.0/UDP [2001:db8:5118::a:1];branch=z9hG4bKwithin\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:lena@example.org>;tag=within6\r\n\
    Call-ID: within6@[2001:db8:5118::a:1]\r\n\
    CSeq: 63 REGISTER\r\n\
    Contact: <sip:lena@[2001:db8:5118::a:1]>\r\n\
    Content-Length: 0\r\n\r\n";

/// The port behind the brackets.
pub const PORT_UNAMBIGUOUS: &[u8] = b"REGISTER sip:[2001:db8:5118::10]:5070 SIP/2.0\r\n\
    Via: SIP/2.0/UDP [2001:db8:5118::a:1];branch=z9hG4bKbehind\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:lena@example.org>;tag=behind6\r\n\
    Call-ID: behind6@[2001:db8:5118::a:1]\r\n\
    CSeq: 64 REGISTER\r\n\
    Contact: <sip:lena@[2001:db8:5118::a:1]>\r\n\
    Content-Length: 0\r\n\r\n";

/// `received` in brackets, which its grammar does not have, but old implementations write.
pub const VIA_RECEIVED_PARAM_WITH_DELIM: &[u8] = b"BYE sip:[2001:db8:5118::20] SIP/2.0\r\n\
    Via: SIP/2.0/UDP [2001:db8:5118::a:1];received=[2001:db8:5118::a:ff];branch=z9hG4bKdelim\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>;tag=delim2\r\n\
    From: <sip:oskar@example.net>;tag=delim1\r\n\
    Call-ID: delim6@[2001:db8:5118::a:1]\r\n\
    CSeq: 65 BYE\r\n\
    Content-Length: 0\r\n\r\n";

/// `received` without brackets, as the grammar has it.
pub const VIA_RECEIVED_PARAM_NO_DELIM: &[u8] = b"OPTIONS sip:[2001:db8:5118::20] SIP/2.0\r\n\
    Via: SIP/2.0/UDP [2001:db8:5118::a:1];received=2001:db8:5118::a:ff;branch=z9hG4bKnodelim\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@example.net>;tag=nodelim1\r\n\
    Call-ID: nodelim6@[2001:db8:5118::a:1]\r\n\
    CSeq: 66 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// In SDP an address has no brackets.
pub const IPV6_IN_SDP: &[u8] = b"INVITE sip:lena@[2001:db8:5118::10] SIP/2.0\r\n\
    Via: SIP/2.0/UDP [2001:db8:5118::a:1];branch=z9hG4bKsdp6\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@[2001:db8:5118::10]>\r\n\
    From: <sip:oskar@example.net>;tag=sdp6\r\n\
    Call-ID: sdp6@[2001:db8:5118::a:1]\r\n\
    CSeq: 67 INVITE\r\n\
    Contact: <sip:oskar@[2001:db8:5118::a:1]>\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 106\r\n\r\n\
    v=0\r\n\
    o=- 6 6 IN IP6 2001:db8:5118::a:1\r\n\
    s=-\r\n\
    c=IN IP6 2001:db8:5118::a:1\r\n\
    t=0 0\r\n\
    m=audio 41020 RTP/AVP 8\r\n";

/// Addresses of both families in the Vias.
pub const MULT_IP_IN_HEADER: &[u8] = b"BYE sip:lena@host-3.example.net SIP/2.0\r\n\
    Via: SIP/2.0/UDP [2001:db8:5118::a:1]:6050;branch=z9hG4bKmany1\r\n\
    Via: SIP/2.0/UDP 192.0.2.111;branch=z9hG4bKmany2;received=192.0.2.112\r\n\
    Via: SIP/2.0/TCP [2001:db8:5118::a:2];branch=z9hG4bKmany3;received=2001:db8:5118::a:3\r\n\
    Max-Forwards: 68\r\n\
    To: <sip:lena@example.org>;tag=many2\r\n\
    From: <sip:oskar@example.net>;tag=many1\r\n\
    Call-ID: many6@[2001:db8:5118::a:1]\r\n\
    CSeq: 68 BYE\r\n\
    Content-Length: 0\r\n\r\n";

/// One medium of the session over IPv4, one over IPv6.
pub const MULT_IP_IN_SDP: &[u8] = b"INVITE sip:lena@[2001:db8:5118::10] SIP/2.0\r\n\
    Via: SIP/2.0/UDP [2001:db8:5118::a:1];branch=z9hG4bKboth\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@[2001:db8:5118::10]>\r\n\
    From: <sip:oskar@example.net>;tag=both6\r\n\
    Call-ID: both6@[2001:db8:5118::a:1]\r\n\
    CSeq: 69 INVITE\r\n\
    Contact: <sip:oskar@[2001:db8:5118::a:1]>\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 154\r\n\r\n\
    v=0\r\n\
    o=- 7 7 IN IP6 2001:db8:5118::a:1\r\n\
    s=-\r\n\
    t=0 0\r\n\
    m=audio 41030 RTP/AVP 8\r\n\
    c=IN IP4 192.0.2.113\r\n\
    m=video 41040 RTP/AVP 31\r\n\
    c=IN IP6 2001:db8:5118::a:1\r\n";

/// IPv4 addresses mapped into IPv6, in the headers and in SDP.
pub const IPV4_MAPPED_IPV6: &[u8] = b"INVITE sip:lena@example.org SIP/2.0\r\n\
    Via: SIP/2.0/UDP [::ffff:192.0.2.114]:5060;branch=z9hG4bKmapped\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@example.org>\r\n\
    From: <sip:oskar@[::ffff:192.0.2.114]>;tag=mapped6\r\n\
    Call-ID: mapped6@[::ffff:192.0.2.114]\r\n\
    CSeq: 70 INVITE\r\n\
    Contact: <sip:oskar@[::ffff:192.0.2.114]>\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 106\r\n\r\n\
    v=0\r\n\
    o=- 8 8 IN IP6 ::ffff:192.0.2.114\r\n\
    s=-\r\n\
    c=IN IP6 ::ffff:192.0.2.114\r\n\
    t=0 0\r\n\
    m=audio 41050 RTP/AVP 8\r\n";

/// The grammar of RFC 3261 could be read as to allow three colons before an embedded IPv4 address; no
/// address looks like that.
pub const IPV6_BUG_ABNF_3_COLONS: &[u8] =
    b"OPTIONS sip:lena@[2001:db8:::198.51.100.77] SIP/2.0\r\n\
    Via: SIP/2.0/UDP host-3.example.net;branch=z9hG4bKthree\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@[2001:db8:::198.51.100.77]>\r\n\
    From: <sip:oskar@example.net>;tag=three6\r\n\
    Call-ID: three6@example.net\r\n\
    CSeq: 71 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";

/// The same with two.
pub const IPV6_CORRECT_ABNF_2_COLONS: &[u8] =
    b"OPTIONS sip:lena@[2001:db8::198.51.100.77] SIP/2.0\r\n\
    Via: SIP/2.0/UDP [2001:db8::198.51.100.78];branch=z9hG4bKtwo\r\n\
    Max-Forwards: 70\r\n\
    To: <sip:lena@[2001:db8::198.51.100.77]>\r\n\
    From: <sip:oskar@example.net>;tag=two6\r\n\
    Call-ID: two6@example.net\r\n\
    CSeq: 72 OPTIONS\r\n\
    Content-Length: 0\r\n\r\n";
