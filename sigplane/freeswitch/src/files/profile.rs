//! The SIP profile, and the list of our addresses.

use std::net::IpAddr;

use super::{Member, Settings};
use crate::xml::Document;

/// The profile `tandem`: hears us alone, and its gateways lead to us.
pub(super) fn profile(settings: &Settings, member: &Member) -> String {
    let mut document = Document::fragment();
    let address = member
        .address
        .map_or_else(|| "$${local_ip_v4}".to_owned(), |a| a.to_string());
    let port = member.port.to_string();
    document
        .begin("profile", &[("name", "tandem")])
        .comment("Made by tandemctl export freeswitch. Calls to and from the Tandem appliance.")
        .begin("gateways", &[]);
    for (n, sip) in settings.sip.iter().enumerate() {
        let host = sip.ip().to_string();
        let proxy = sip.to_string();
        document
            .begin("gateway", &[("name", &gateway(n))])
            .param("realm", &host)
            .param("proxy", &proxy)
            .param("register", "false")
            .param("caller-id-in-from", "true")
            .param("extension-in-contact", "true")
            .param("ping", "15")
            .end();
    }
    document.end().begin("settings", &[]);
    let is_registrar = if settings.is_registrar {
        "false"
    } else {
        "true"
    };
    for (name, value) in [
        ("sip-ip", address.as_str()),
        ("rtp-ip", &address),
        ("sip-port", &port),
        ("context", "tandem"),
        ("dialplan", "XML"),
        // Nobody else is heard: calls that are not ours get 403.
        ("apply-inbound-acl", "tandem"),
        ("auth-calls", "false"),
        ("disable-register", is_registrar),
        ("accept-blind-reg", "false"),
        ("inbound-reg-force-matching-username", "true"),
        ("disable-transcoding", "false"),
        ("inbound-late-negotiation", "true"),
        ("inbound-codec-negotiation", "generous"),
        ("inbound-codec-prefs", "$${global_codec_prefs}"),
        ("outbound-codec-prefs", "$${global_codec_prefs}"),
        ("rtp-timer-name", "soft"),
        ("rtp-timeout-sec", "300"),
        ("rtp-hold-timeout-sec", "1800"),
        ("dtmf-type", "rfc2833"),
        // The appliance has no NAT on this side, and says itself where its peers are.
        ("aggressive-nat-detection", "false"),
        ("manage-presence", "false"),
        ("rfc2833-pt", "101"),
        ("sip-trace", "no"),
        ("debug", "0"),
    ] {
        document.param(name, value);
    }
    document.finish()
}

/// The name of the gateway to our address number `n`.
pub(super) fn gateway(n: usize) -> String {
    match n {
        0 => "tandem".to_owned(),
        n => format!("tandem-{}", n + 1),
    }
}

/// The list `tandem`: our addresses.
pub(super) fn acl(settings: &Settings) -> String {
    let mut document = Document::fragment();
    document
        .begin("include", &[])
        .begin("list", &[("name", "tandem"), ("default", "deny")]);
    let mut addresses: Vec<IpAddr> = settings.sip.iter().map(|s| s.ip()).collect();
    addresses.extend(&settings.media);
    addresses.sort_unstable();
    addresses.dedup();
    for address in addresses {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let cidr = format!("{address}/{bits}");
        document.empty("node", &[("type", "allow"), ("cidr", &cidr)]);
    }
    document.finish()
}
