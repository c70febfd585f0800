//! The names that a certificate is for (RFC 5922 section 7).

use std::net::IpAddr;
use std::sync::Arc;

use tandem_sip::{Host, Scheme, Uri};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Names in a certificate.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::streams) struct Names {
    /// DNS names, as they stand there.
    pub(in crate::streams) dns: Vec<String>,
    /// The hosts of `sip:` URIs without a user; those with one are a person's, not a domain's.
    sip: Vec<String>,
    addresses: Vec<IpAddr>,
    /// The common name, if there are no alternative names at all.
    common: Option<String>,
}

impl Names {
    /// Those of a certificate in DER; none when it cannot be read.
    pub(in crate::streams) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let mut names = Self::default();
        let Some(alternatives) = certificate.subject_alternative_name().ok()? else {
            let mut common = certificate.subject().iter_common_name();
            names.common = common
                .next()
                .and_then(|n| n.as_str().ok())
                .map(str::to_owned);
            return Some(names);
        };
        for name in &alternatives.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::URI(uri) => names.sip.extend(sip_host(uri)),
                GeneralName::IPAddress(bytes) => names.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        Some(names)
    }

    /// Whether the certificate is for this name: a domain, an address, or a `sip:` URI of a domain, which only a URI
    /// in the certificate can match.
    pub(in crate::streams) fn matches(&self, wanted: &str, wildcards: bool) -> bool {
        let same = |name: &String| name.trim_end_matches('.').eq_ignore_ascii_case(wanted);
        if let Ok(address) = wanted.trim_matches(['[', ']']).parse::<IpAddr>() {
            return self.addresses.contains(&address) || self.common.as_ref().is_some_and(same);
        }
        if let Some(host) = sip_host(wanted) {
            return self.sip.iter().any(|name| name.eq_ignore_ascii_case(&host));
        }
        let stands_for = |name: &String| {
            let behind = wanted.split_once('.').map(|(_, behind)| behind);
            let pattern = name.strip_prefix("*.");
            wildcards
                && pattern
                    .zip(behind)
                    .is_some_and(|(p, b)| p.eq_ignore_ascii_case(b))
        };
        self.sip.iter().any(same)
            || self.dns.iter().any(|name| same(name) || stands_for(name))
            || self.common.as_ref().is_some_and(same)
    }

    /// The name to show.
    pub(in crate::streams) fn first(&self) -> Option<Arc<str>> {
        let text = self
            .sip
            .first()
            .or(self.dns.first())
            .map(|n| n.as_str().into());
        let address = || self.addresses.first().map(|a| a.to_string().into());
        text.or_else(address)
            .or_else(|| self.common.as_deref().map(Into::into))
    }
}

/// The host of a `sip:` URI that names a domain.
fn sip_host(uri: &str) -> Option<String> {
    let uri = Uri::parse(uri.as_bytes())?;
    if uri.scheme != Scheme::Sip || !uri.user.is_empty() {
        return None;
    }
    match uri.host? {
        Host::Address(address) => Some(address.to_string()),
        Host::Name(name) => Some(String::from_utf8_lossy(name).into_owned()),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            dns: vec!["pbx.example.com".to_owned(), "*.example.net".to_owned()],
            sip: vec!["example.org".to_owned()],
            addresses: vec![[192, 0, 2, 1].into()],
            common: None,
        }
    }

    #[test]
    fn a_name_matches_exactly_and_wildcards_only_when_allowed() {
        let names = names();
        for yes in [
            "PBX.example.com",
            "example.org",
            "sip:example.org",
            "192.0.2.1",
        ] {
            assert!(names.matches(yes, false), "{yes}");
        }
        for no in [
            "example.com",
            "sip:pbx.example.com",
            "a.example.net",
            "192.0.2.2",
            "sip:x@example.org",
        ] {
            assert!(!names.matches(no, false), "{no}");
        }
        assert!(names.matches("a.example.net", true));
        assert!(!names.matches("example.net", true));
        assert!(!names.matches("a.b.example.net", true));
        assert_eq!(names.first().as_deref(), Some("example.org"));
    }
}
