//! The whole room: reading and rewriting of what real senders send, and properties.

use std::net::IpAddr;

use proptest::prelude::*;

use crate::{Direction, Host, Limits, MediaRewrite, Rewrite, Sdp, SdpError, Transport};

fn parse(text: &str) -> Result<Sdp<'_>, SdpError> {
    Sdp::parse(text.as_bytes(), Limits::default())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn rewritten(text: &str, address: &str, media: &[MediaRewrite]) -> String {
    let rewrite = Rewrite {
        address: ip(address),
        media: media.to_vec(),
    };
    String::from_utf8(parse(text).unwrap().rewrite(&rewrite)).unwrap()
}

fn anchor(address: &str, port: u16) -> MediaRewrite {
    MediaRewrite::Anchor {
        address: ip(address),
        port,
        rtcp: port + 1,
    }
}

const PHONE: &str = "v=0\r\no=alice 1 2 IN IP4 10.1.1.1\r\ns=-\r\nc=IN IP4 10.1.1.1\r\nt=0 0\r\n\
    a=ice-lite\r\nm=audio 4000/1 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=rtcp:4001 IN IP4 10.1.1.1\r\na=candidate:1 1 UDP 1 10.1.1.1 4000 typ host\r\na=sendonly\r\n";

const BROWSER: &str = "v=0\r\no=- 4 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
    a=fingerprint:sha-256 AA:BB\r\na=inactive\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=mid:0\r\n\
    a=ice-ufrag:x\r\na=rtcp-mux\r\na=sendrecv\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP6 2001:db8::5\r\na=mid:1\r\n";

#[test]
fn the_view_shows_what_counts_for_each_section() {
    let sdp = parse(BROWSER).unwrap();
    assert_eq!(sdp.origin(), Host::Ip(ip("127.0.0.1")));
    assert_eq!(sdp.connection(), None);
    let [audio, data] = sdp.media() else {
        panic!("{:?}", sdp.media())
    };
    assert_eq!(
        (audio.kind, audio.port, audio.port_count),
        (&b"audio"[..], 9, 1)
    );
    assert_eq!(
        (audio.transport, audio.formats),
        (Transport::DtlsRtp, &b"111"[..])
    );
    assert!(audio.connection.unwrap().is_null());
    assert_eq!(audio.direction, Direction::SendRecv);
    assert_eq!(audio.rtcp.unwrap().port, 9);
    assert!(audio.rtcp_mux && audio.ice && audio.fingerprint && !audio.crypto);
    assert_eq!(data.connection, Some(Host::Ip(ip("2001:db8::5"))));
    assert_eq!(
        (data.direction, data.transport),
        (Direction::Inactive, Transport::Udp)
    );
    assert!(!data.rtcp_mux && !data.ice && data.fingerprint);
}

#[test]
fn the_senders_addresses_are_replaced_and_nothing_else() {
    assert_eq!(
        rewritten(PHONE, "192.0.2.9", &[anchor("192.0.2.9", 30000)]),
        "v=0\r\no=alice 1 2 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
         m=audio 30000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=rtcp:30001 IN IP4 192.0.2.9\r\na=sendonly\r\n"
    );
}

#[test]
fn line_ends_and_trailing_blanks_stay() {
    let text = "v=0\no=- 1 2 IN IP4 h.example\ns=-\r\nc=IN IP4 10.1.1.1/127\nt=0 0\nm=audio 4 RTP/AVP 0\n\n";
    assert_eq!(
        rewritten(text, "2001:db8::1", &[anchor("2001:db8::1", 30000)]),
        "v=0\no=- 1 2 IN IP6 2001:db8::1\ns=-\r\nc=IN IP6 2001:db8::1\nt=0 0\n\
         m=audio 30000 RTP/AVP 0\n\n"
    );
}

#[test]
fn a_null_address_stays_null_in_the_new_family() {
    let text = "v=0\r\no=- 1 2 IN IP4 10.1.1.1\r\nc=IN IP4 0.0.0.0\r\nm=audio 4 RTP/AVP 0\r\n";
    let v4 = rewritten(text, "192.0.2.9", &[anchor("192.0.2.10", 30000)]);
    assert!(
        v4.contains("\r\nc=IN IP4 0.0.0.0\r\nm=audio 30000 "),
        "{v4}"
    );
    assert_eq!(v4.matches("c=").count(), 1, "{v4}");
    let v6 = rewritten(text, "2001:db8::1", &[anchor("2001:db8::1", 30000)]);
    assert!(v6.contains("\r\nc=IN IP6 ::\r\n"), "{v6}");
}

#[test]
fn a_section_on_another_address_gets_its_own_connection_line() {
    let head = "v=0\r\no=- 1 2 IN IP4 10.1.1.1\r\nc=IN IP4 10.1.1.1\r\n";
    let new = "v=0\r\no=- 1 2 IN IP4 192.0.2.9\r\nc=IN IP4 192.0.2.9\r\n";
    let media = [anchor("192.0.2.10", 30000)];
    for (before, after) in [
        (
            "m=audio 4 RTP/AVP 0\r\ni=x\r\na=sendrecv\r\n",
            "m=audio 30000 RTP/AVP 0\r\ni=x\r\nc=IN IP4 192.0.2.10\r\na=sendrecv\r\n",
        ),
        (
            "m=audio 4 RTP/AVP 0\r\n",
            "m=audio 30000 RTP/AVP 0\r\nc=IN IP4 192.0.2.10\r\n",
        ),
        (
            "m=audio 4 RTP/AVP 0",
            "m=audio 30000 RTP/AVP 0\r\nc=IN IP4 192.0.2.10",
        ),
        (
            "m=audio 4 RTP/AVP 0\r\nc=IN IP4 10.1.1.2\r\n",
            "m=audio 30000 RTP/AVP 0\r\nc=IN IP4 192.0.2.10\r\n",
        ),
    ] {
        assert_eq!(
            rewritten(&format!("{head}{before}"), "192.0.2.9", &media),
            format!("{new}{after}")
        );
    }
}

#[test]
fn unused_and_refused_sections() {
    let head = "v=0\r\no=- 1 2 IN IP4 10.1.1.1\r\nc=IN IP4 10.1.1.1\r\n";
    let text = format!(
        "{head}m=audio 0 RTP/AVP 0\r\nc=IN IP4 10.1.1.2\r\na=rtcp:7 IN IP4 10.1.1.1\r\na=x\r\n\
         m=message 2855 TCP/MSRP *\r\na=path:msrp://10.1.1.1:2855/s;tcp\r\na=mid:2\r\n\
         m=video 9 RTP/AVP 99\r\na=rtpmap:99 VP8/90000\r\n"
    );
    // The third section has no entry: refused.
    assert_eq!(
        rewritten(
            &text,
            "192.0.2.9",
            &[MediaRewrite::Off, MediaRewrite::Refuse]
        ),
        "v=0\r\no=- 1 2 IN IP4 192.0.2.9\r\nc=IN IP4 192.0.2.9\r\n\
         m=audio 0 RTP/AVP 0\r\nc=IN IP4 192.0.2.9\r\na=x\r\n\
         m=message 0 TCP/MSRP *\r\na=mid:2\r\nm=video 0 RTP/AVP 99\r\n"
    );
}

#[test]
fn every_refusal_has_its_name() {
    let o = "o=- 1 2 IN IP4 10.1.1.1\r\n";
    let m = "m=audio 4 RTP/AVP 0\r\n";
    for (text, error, counter) in [
        (String::new(), SdpError::Empty, "sdp_empty"),
        ("\r\n\r\n".into(), SdpError::Empty, "sdp_empty"),
        (
            "v=0\r\nhello\r\n".into(),
            SdpError::BadLine { line: 2 },
            "sdp_bad_line",
        ),
        (
            format!("{o}v=0\r\n"),
            SdpError::BadVersion,
            "sdp_bad_version",
        ),
        ("v=1\r\n".into(), SdpError::BadVersion, "sdp_bad_version"),
        (format!("v=0\r\n{m}"), SdpError::NoOrigin, "sdp_no_origin"),
        (
            "v=0\r\no=- 1 2\r\n".into(),
            SdpError::BadOrigin { line: 2 },
            "sdp_bad_origin",
        ),
        (
            "v=0\r\no=1 2 3 4 5 6\r\n".into(),
            SdpError::BadOrigin { line: 2 },
            "sdp_bad_origin",
        ),
        (
            format!("v=0\r\n{o}c=IN IP4\r\n"),
            SdpError::BadConnection { line: 3 },
            "sdp_bad_connection",
        ),
        (
            format!("v=0\r\n{o}{o}"),
            SdpError::Repeated { line: 3 },
            "sdp_repeated_line",
        ),
        (
            format!("v=0\r\n{o}{m}{o}"),
            SdpError::Repeated { line: 4 },
            "sdp_repeated_line",
        ),
        (
            format!("v=0\r\n{o}{m}c=IN IP4 10.0.0.1\r\nc=IN IP4 10.0.0.2\r\n"),
            SdpError::Repeated { line: 5 },
            "sdp_repeated_line",
        ),
        (
            format!("v=0\r\n{o}m=audio 4 RTP/AVP\r\n"),
            SdpError::BadMedia { line: 3 },
            "sdp_bad_media",
        ),
        (
            format!("v=0\r\n{o}m=audio 65536 RTP/AVP 0\r\n"),
            SdpError::BadMedia { line: 3 },
            "sdp_bad_media",
        ),
        (
            format!("v=0\r\n{o}m=audio 4/x RTP/AVP 0\r\n"),
            SdpError::BadMedia { line: 3 },
            "sdp_bad_media",
        ),
        (
            format!("v=0\r\n{o}{m}a=rtcp:x\r\n"),
            SdpError::BadRtcp { line: 4 },
            "sdp_bad_rtcp",
        ),
        (
            format!("v=0\r\n{o}{}", m.repeat(100)),
            SdpError::TooManyMedia { limit: 16 },
            "sdp_too_many_media",
        ),
        (
            format!("v=0\r\n{o}{}", "a=x\r\n".repeat(4000)),
            SdpError::TooLong {
                size: 20_030,
                limit: 16_384,
            },
            "sdp_too_long",
        ),
    ] {
        assert_eq!(parse(&text).err(), Some(error), "{text:?}");
        assert_eq!(error.counter(), counter);
    }
}

/// A line of a description, most of them sensible.
fn line() -> impl Strategy<Value = String> {
    let host = || {
        prop_oneof![
            Just("IN IP4 10.9.9.9"),
            Just("IN IP4 0.0.0.0"),
            Just("IN IP6 2001:db8:9::9"),
            Just("IN IP4 host.example"),
            Just("IN IP4 224.1.1.1/3"),
        ]
    };
    prop_oneof![
        2 => host().prop_map(|h| format!("c={h}")),
        4 => (0_u16..5, prop_oneof![Just("RTP/AVP"), Just("udptl"), Just("TCP/MSRP")])
            .prop_map(|(p, t)| format!("m=audio {} {t} 0 8", p * 11_000)),
        1 => (any::<u16>(), proptest::option::of(host())).prop_map(|(p, h)| match h {
            Some(h) => format!("a=rtcp:{p} {h}"),
            None => format!("a=rtcp:{p}"),
        }),
        1 => Just("a=candidate:1 1 UDP 1 10.9.9.9 4000 typ host".to_owned()),
        1 => Just("a=remote-candidates:1 10.9.9.9 4000".to_owned()),
        1 => Just("a=ice-ufrag:abc".to_owned()),
        2 => prop_oneof![Just("a=sendonly"), Just("a=inactive"), Just("a=rtcp-mux")]
            .prop_map(str::to_owned),
        3 => "[bikstuz]=[ -~]{0,20}",
        1 => "[a-z]=[ -~]{0,30}",
    ]
}

fn description() -> impl Strategy<Value = String> {
    (
        proptest::collection::vec((line(), any::<bool>()), 0..24),
        any::<bool>(),
    )
        .prop_map(|(lines, end)| {
            let mut text = "v=0\r\no=u 1 2 IN IP4 10.9.9.9\r\n".to_owned();
            for (line, crlf) in lines {
                text += &line;
                text += if crlf { "\r\n" } else { "\n" };
            }
            if !end {
                text.truncate(text.trim_end().len());
            }
            text
        })
}

/// Lines that rewriting may change or remove.
fn concerned(line: &str) -> bool {
    ["o=", "c=", "m=", "a="].iter().any(|p| line.starts_with(p))
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(sdp) = Sdp::parse(&bytes, Limits::default()) {
            let _ = sdp.rewrite(&Rewrite { address: ip("192.0.2.1"), media: Vec::new() });
        }
    }

    #[test]
    fn what_was_rewritten_reads_as_our_addresses(
        text in description(),
        media in proptest::collection::vec((1_u16..3, 100_u16..200, any::<bool>()), 16),
        v6: bool,
    ) {
        let Ok(before) = parse(&text) else { return Ok(()) };
        let address = |n: u16| ip(&if v6 { format!("2001:db8::{n}") } else { format!("192.0.2.{n}") });
        let actions: Vec<_> = before.media().iter().zip(&media).map(|(m, (host, port, anchored))| {
            match (m.port, *anchored) {
                (0, _) => MediaRewrite::Off,
                (_, true) => MediaRewrite::Anchor {
                    address: address(*host), port: port * 2, rtcp: port * 2 + 1,
                },
                (_, false) => MediaRewrite::Refuse,
            }
        }).collect();
        let out = before.rewrite(&Rewrite { address: address(1), media: actions.clone() });
        let after = Sdp::parse(&out, Limits { bytes: out.len(), media: 16 }).unwrap();

        prop_assert_eq!(after.origin(), Host::Ip(address(1)));
        prop_assert_eq!(after.media().len(), before.media().len());
        for ((old, new), action) in before.media().iter().zip(after.media()).zip(&actions) {
            prop_assert_eq!((old.kind, old.protocol, old.formats), (new.kind, new.protocol, new.formats));
            prop_assert!(!new.ice);
            match *action {
                MediaRewrite::Anchor { address, port, rtcp } => {
                    prop_assert_eq!(new.port, port);
                    match (old.connection, new.connection) {
                        (Some(o), Some(n)) if o.is_null() => prop_assert!(n.is_null()),
                        (Some(_), Some(n)) => prop_assert_eq!(n, Host::Ip(address)),
                        (o, n) => prop_assert!(o.is_none() && n.is_none_or(|n| n == Host::Ip(address))),
                    }
                    if let (Some(o), Some(n)) = (old.rtcp, new.rtcp) {
                        prop_assert_eq!(n.port, rtcp);
                        prop_assert_eq!(n.host, o.host.map(|_| Host::Ip(address)));
                    }
                    prop_assert_eq!(old.rtcp.is_some(), new.rtcp.is_some());
                    prop_assert_eq!((old.direction, old.rtcp_mux), (new.direction, new.rtcp_mux));
                }
                MediaRewrite::Off | MediaRewrite::Refuse => {
                    prop_assert_eq!(new.port, 0);
                    prop_assert_eq!(new.rtcp, None);
                }
            }
        }
        // Nothing else moved. (What is put behind a last line without line end gives it one.)
        let rest = |text: &str| {
            let text = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\r\n") };
            let kept = text.split_inclusive('\n').filter(|l| !concerned(l)).map(str::to_owned);
            kept.collect::<Vec<_>>()
        };
        let out = String::from_utf8(out).unwrap();
        prop_assert_eq!(rest(&text), rest(&out));
        for gone in ["10.9.9.9", "2001:db8:9::9", "host.example", "224.1.1.1", "a=ice-", "candidate"] {
            for line in out.lines().filter(|l| concerned(l)) {
                prop_assert!(!line.contains(gone), "{}", line);
            }
        }
    }
}
