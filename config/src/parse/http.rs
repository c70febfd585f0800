//! `[[http]]`: listeners for HTTP and HTTPS.

use std::collections::HashMap;

use super::streams::{boolean, network, path};
use super::{Read, seconds, tables};
use crate::check::again;
use crate::http::{HttpCertificate, HttpListen, HttpService, MetricsAccess};
use crate::mistake::Report;
use crate::section::{Section, Value, string};
use crate::value;

/// Every `[[http]]`.
pub(super) fn listeners<'d>(
    report: &mut Report<'_>,
    root: &mut Section<'d>,
) -> Vec<Read<'d, HttpListen>> {
    let sections = tables(report, root, "http", "http").into_iter();
    sections.map(|s| listener(report, s)).collect()
}

fn listener<'d>(report: &mut Report<'_>, mut s: Section<'d>) -> Read<'d, HttpListen> {
    let listen = s.required(report, "listen", "listen = \"192.0.2.1:8443\"");
    let listen = listen
        .and_then(|v| value::socket(report, v, "http.listen"))
        .unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
    s.required(report, "services", "services = [\"api\", \"metrics\"]");
    let services = s.some_list(report, "services", service).unwrap_or_default();
    let certificate = s
        .value("certificate")
        .and_then(|v| path(report, v, "http.certificate"));
    let key = s.value("key").and_then(|v| path(report, v, "http.key"));
    let plain = s
        .value("plain")
        .and_then(|v| boolean(report, v, "http.plain"))
        .unwrap_or(false);
    let networks = s.list(report, "networks", network).unwrap_or_default();
    let metrics_access = metrics_access(report, &mut s);
    let value = HttpListen {
        listen,
        services,
        tls: certificate
            .zip(key)
            .map(|(chain, key)| HttpCertificate { chain, key }),
        networks,
        metrics_access,
        max_connections: s.integer(report, "max_connections", 1..=10_000, 256),
        max_per_source: s.integer(report, "max_per_source", 1..=10_000, 64),
        max_body: s.integer(report, "max_body", 1_024..=64 << 20, 1 << 20),
        request_timeout: seconds(report, &mut s, "request_timeout", 1..=300, 10),
        idle_timeout: seconds(report, &mut s, "idle_timeout", 1..=3_600, 60),
    };
    secrecy(report, &s, &value, plain);
    if value.metrics_access == MetricsAccess::Network && value.networks.is_empty() {
        s.mistake(
            report,
            "metrics_access",
            "lets everybody in: there are no `networks`",
            "add `networks = [\"192.0.2.0/24\"]` with those of the monitoring, or write \"token\"",
        );
    }
    Read {
        value,
        section: s.finish(report),
    }
}

/// With a certificate or without is said, not guessed; and what changes something is never said in clear.
fn secrecy(report: &mut Report<'_>, s: &Section<'_>, value: &HttpListen, plain: bool) {
    let has = |key| s.has(key);
    match (has("certificate"), has("key"), plain) {
        (true, true, false) => {}
        (true, true, true) => s.mistake(
            report,
            "plain",
            "stands beside a certificate",
            "remove `plain`, or `certificate` and `key`",
        ),
        (true, false, _) => s.mistake(
            report,
            "key",
            "is missing",
            "add the key of `certificate`: `key = \"/etc/tandem/tls/key.pem\"`",
        ),
        (false, true, _) => s.mistake(
            report,
            "certificate",
            "is missing",
            "add the certificate of `key`: `certificate = \"/etc/tandem/tls/chain.pem\"`",
        ),
        (false, false, false) => s.mistake(
            report,
            "certificate",
            "is missing",
            "add `certificate` and `key`, or `plain = true` for HTTP without TLS",
        ),
        (false, false, true) => {
            let serves = |service| value.services.contains(&service);
            let tokens = serves(HttpService::Api)
                || serves(HttpService::Metrics) && value.metrics_access == MetricsAccess::Token;
            if tokens && !value.listen.ip().is_loopback() {
                s.mistake(
                    report,
                    "plain",
                    format!(
                        "would show tokens to the network of {}",
                        value.listen.ip()
                    ),
                    "add `certificate` and `key`, listen on 127.0.0.1, or serve what needs no tokens",
                );
            }
        }
    }
}

fn service(report: &mut Report<'_>, value: &Value<'_>, key: &str) -> Option<HttpService> {
    let text = string(report, value, key)?;
    let all = [
        HttpService::Api,
        HttpService::Metrics,
        HttpService::Freeswitch,
    ];
    let found = all.into_iter().find(|service| service.name() == text);
    if found.is_none() {
        let problem = format!("`{text}` is no service");
        let remedy = "write \"api\", \"metrics\" or \"freeswitch\"";
        report.add(value.span().start, key, problem, remedy);
    }
    found
}

fn metrics_access(report: &mut Report<'_>, s: &mut Section<'_>) -> MetricsAccess {
    let value = s.value("metrics_access");
    match value.and_then(|v| string(report, v, "http.metrics_access")) {
        Some("network") => MetricsAccess::Network,
        Some("token") | None => MetricsAccess::Token,
        Some(other) => {
            let problem = format!("`{other}` does not say who may read them");
            let remedy = "write \"token\", or \"network\" for all in `networks`";
            s.mistake(report, "metrics_access", problem, remedy);
            MetricsAccess::Token
        }
    }
}

/// No two of them listen at one place.
pub(crate) fn check(report: &mut Report<'_>, listeners: &[Read<'_, HttpListen>]) {
    let mut seen = HashMap::new();
    for Read { value, section } in listeners {
        let key = value.listen;
        if key.port() == 0 {
            continue;
        }
        if let Some(line) = again(report, &mut seen, key, section.offset("listen")) {
            let problem = format!("{key} is taken by line {line}");
            section.mistake(report, "listen", problem, "write another address or port");
        }
    }
}
