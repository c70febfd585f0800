//! The configurations of mod_xml_curl, mod_xml_cdr and mod_event_socket.

use super::{Member, Services};
use crate::xml::Document;

pub(super) fn xml_curl(services: &Services) -> String {
    let url = format!("{}/freeswitch/directory", services.url);
    let mut document = Document::fragment();
    document
        .begin(
            "configuration",
            &[
                ("name", "xml_curl.conf"),
                ("description", "users of Tandem"),
            ],
        )
        .begin("bindings", &[])
        .begin("binding", &[("name", "tandem")])
        .empty(
            "param",
            &[
                ("name", "gateway-url"),
                ("value", &url),
                ("bindings", "directory"),
            ],
        )
        .param("gateway-credentials", &credentials(services))
        .param("auth-scheme", "basic")
        .param("timeout", "5")
        .param("disable-100-continue", "true");
    document.finish()
}

pub(super) fn xml_cdr(services: &Services) -> String {
    let url = format!("{}/freeswitch/cdr", services.url);
    let mut document = Document::fragment();
    document
        .begin(
            "configuration",
            &[("name", "xml_cdr.conf"), ("description", "CDRs to Tandem")],
        )
        .begin("settings", &[]);
    for (name, value) in [
        ("url", url.as_str()),
        ("cred", &credentials(services)),
        ("auth-scheme", "basic"),
        // What was not taken (not durable, or not to be read) is kept in err-log-dir, to be posted again.
        ("retries", "3"),
        ("delay", "2"),
        ("timeout", "10"),
        ("err-log-dir", "$${log_dir}/xml_cdr"),
        ("log-http-and-disk", "false"),
        ("log-b-leg", "true"),
        ("prefix-a-leg", "true"),
        ("encode", "true"),
        ("disable-100-continue", "false"),
    ] {
        document.param(name, value);
    }
    document.finish()
}

pub(super) fn event_socket(member: &Member, port: u16, password: &str) -> String {
    let address = member
        .address
        .map_or_else(|| "$${local_ip_v4}".to_owned(), |a| a.to_string());
    let mut document = Document::fragment();
    document
        .begin(
            "configuration",
            &[
                ("name", "event_socket.conf"),
                ("description", "for Tandem, during a drain"),
            ],
        )
        .begin("settings", &[])
        .param("nat-map", "false")
        .param("listen-ip", &address)
        .param("listen-port", &port.to_string())
        .param("password", password)
        .param("apply-inbound-acl", "tandem");
    document.finish()
}

fn credentials(services: &Services) -> String {
    format!("{}:{}", services.user, services.password)
}
