//! `[freeswitch]`

use super::registrar::domain;
use super::streams::{boolean, network, path};
use super::{Read, seconds, tables};
use crate::freeswitch::{Freeswitch, FreeswitchRoute};
use crate::http::{HttpListen, HttpService};
use crate::mistake::Report;
use crate::section::{Section, integer, string};

pub(super) fn freeswitch<'d>(report: &mut Report<'_>, mut s: Section<'d>) -> Read<'d, Freeswitch> {
    let routes = tables(report, &mut s, "route", "freeswitch.route");
    let routes = routes.into_iter().map(|s| route(report, s)).collect();
    let user = s.string(report, "user", "freeswitch");
    if user.contains(':') || !is_plain(&user) {
        s.mistake(
            report,
            "user",
            "cannot be a user of HTTP",
            "write a name without colons and control characters",
        );
    }
    let mut file = |report: &mut Report<'_>, key: &'static str| {
        let full = s.key(key);
        s.value(key).and_then(|v| path(report, v, &full))
    };
    let password_file = file(report, "password_file");
    let event_socket_password_file = file(report, "event_socket_password_file");
    let domains = s.list(report, "domains", domain);
    let passwords = s.value("passwords");
    let passwords = passwords.and_then(|v| boolean(report, v, "freeswitch.passwords"));
    let event_socket = s.value("event_socket");
    let event_socket =
        event_socket.and_then(|v| integer(report, v, "freeswitch.event_socket", 1..=65_535_u16));
    let value = Freeswitch {
        user,
        password_file,
        networks: s.list(report, "networks", network).unwrap_or_default(),
        domains,
        passwords: passwords.unwrap_or(false),
        user_context: context(report, &mut s, "user_context", "default"),
        url: url(report, &mut s),
        context: context(report, &mut s, "context", "public"),
        routes,
        event_socket,
        event_socket_password_file,
        event_socket_interval: seconds(report, &mut s, "event_socket_interval", 1..=60, 2),
    };
    if value.event_socket.is_some() && value.event_socket_password_file.is_none() {
        s.mistake(
            report,
            "event_socket",
            "needs the password of the event sockets",
            "add `event_socket_password_file = \"/etc/tandem/event_socket.password\"`",
        );
    }
    Read {
        value,
        section: s.finish(report),
    }
}

fn route(report: &mut Report<'_>, mut s: Section<'_>) -> FreeswitchRoute {
    let mut text = |report: &mut Report<'_>, key: &'static str| {
        let full = s.key(key);
        let value = s.value(key)?;
        let text = string(report, value, &full)?;
        if !is_plain(text) {
            s.mistake(
                report,
                key,
                "has control characters",
                "write it on one line",
            );
        }
        Some(text.to_owned())
    };
    let dest_type = text(report, "dest_type");
    let number = text(report, "number");
    s.required(report, "context", "context = \"conferences\"");
    let route = FreeswitchRoute {
        dest_type,
        number,
        context: context(report, &mut s, "context", "public"),
    };
    s.finish(report);
    route
}

/// The name of a context: what stands behind `XML` in a transfer.
fn context(
    report: &mut Report<'_>,
    s: &mut Section<'_>,
    key: &'static str,
    default: &str,
) -> String {
    let text = s.string(report, key, default);
    let is_one = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !text.chars().all(is_one) {
        s.mistake(
            report,
            key,
            format!("`{text}` is not a context"),
            "write letters, digits, `_`, `-` and `.` alone",
        );
    }
    text
}

fn url(report: &mut Report<'_>, s: &mut Section<'_>) -> Option<String> {
    let value = s.value("url")?;
    let text = string(report, value, "freeswitch.url")?;
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    let is_one = rest.is_some_and(|rest| {
        let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        !rest.is_empty() && rest.trim_end_matches('/').chars().all(host)
    });
    if !is_one {
        s.mistake(
            report,
            "url",
            format!("`{text}` does not lead to a listener"),
            "write its protocol, address and port: \"http://10.0.0.1:8080\"",
        );
    }
    Some(text.trim_end_matches('/').to_owned())
}

fn is_plain(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// Nobody asks without a password.
pub(crate) fn check(
    report: &mut Report<'_>,
    freeswitch: &Read<'_, Freeswitch>,
    http: &[Read<'_, HttpListen>],
) {
    let serves = |l: &Read<'_, HttpListen>| l.value.services.contains(&HttpService::Freeswitch);
    let Read { value, section } = freeswitch;
    if http.iter().any(serves) && value.password_file.is_none() {
        section.mistake(
            report,
            "password_file",
            "is missing, and a listener serves \"freeswitch\"",
            "add `[freeswitch]` and below it `password_file = \"/etc/tandem/freeswitch.password\"`",
        );
    }
}
