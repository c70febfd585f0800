//! Any bytes as a session description: no panic, and what was rewritten reads as our addresses.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libfuzzer_sys::fuzz_target;
use tandem_sdp::{Host, Limits, MediaRewrite, Rewrite, Sdp};

fuzz_target!(|bytes: &[u8]| {
    let Ok(before) = Sdp::parse(bytes, Limits::default()) else { return };
    for address in [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        check(&before, address);
    }
});

fn check(before: &Sdp<'_>, address: IpAddr) {
    // Every third section is refused; those without a port stay so.
    let media: Vec<_> = before
        .media()
        .iter()
        .enumerate()
        .map(|(i, m)| match (m.port, i % 3) {
            (0, _) => MediaRewrite::Off,
            (_, 2) => MediaRewrite::Refuse,
            _ => MediaRewrite::Anchor { address, port: 30_000, rtcp: 30_001 },
        })
        .collect();
    let out = before.rewrite(&Rewrite { address, media: media.clone() });
    // Rewriting may lengthen every line a little; apart from that our own parser must agree.
    let limits = Limits { bytes: usize::MAX, ..Limits::default() };
    let after = Sdp::parse(&out, limits).expect("what was rewritten is a description");
    assert_eq!(after.origin(), Host::Ip(address));
    assert_eq!(after.media().len(), before.media().len());
    for (section, action) in after.media().iter().zip(media) {
        let port = if matches!(action, MediaRewrite::Anchor { .. }) { 30_000 } else { 0 };
        assert_eq!(section.port, port);
        assert!(!section.ice);
        for host in section.connection.into_iter().chain(section.rtcp.and_then(|r| r.host)) {
            assert!(host.is_null() || host == Host::Ip(address));
        }
    }
}
