//! `[[http]]`.

use tandem_config::{HttpService, MetricsAccess, parse};

const SMALL: &str = include_str!("../tandem.example.toml");

fn said(lines: &str) -> Vec<String> {
    // What serves media servers needs a password.
    let password = "password_file = \"/etc/tandem/freeswitch.password\"";
    let small = SMALL.replace(&format!("# {password}"), password);
    let text = format!("{small}\n[[http]]\n{lines}\n");
    match parse(&text) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_listener_is_read_with_its_defaults() {
    let text = format!(
        "{SMALL}\n[[http]]\nlisten = \"192.0.2.9:8443\"\nservices = [\"api\", \"metrics\"]\n\
         certificate = \"/c.pem\"\nkey = \"/k.pem\"\nnetworks = [\"192.0.2.0/24\"]\n"
    );
    let config = parse(&text).unwrap();
    let http = &config.http[0];
    assert_eq!(http.services, [HttpService::Api, HttpService::Metrics]);
    assert_eq!(http.metrics_access, MetricsAccess::Token);
    assert_eq!((http.max_connections, http.max_per_source), (256, 64));
    assert_eq!(http.max_body, 1 << 20);
    assert_eq!(
        (http.request_timeout.as_secs(), http.idle_timeout.as_secs()),
        (10, 60)
    );
    assert!(http.tls.is_some());
}

#[test]
fn mistakes_name_their_place() {
    let tls = "certificate = \"/c.pem\"\nkey = \"/k.pem\"\n";
    for (lines, needle) in [
        (
            "listen = \"127.0.0.1:80\"\nplain = true",
            "`http.services`: is missing",
        ),
        (
            "services = [\"api\"]\nplain = true",
            "`http.listen`: is missing",
        ),
        (
            "listen = \"127.0.0.1:80\"\nservices = [\"web\"]\nplain = true",
            "`web` is no service",
        ),
        (
            "listen = \"127.0.0.1:80\"\nservices = [\"api\"]",
            "or `plain = true`",
        ),
        (
            "listen = \"192.0.2.9:80\"\nservices = [\"api\"]\nplain = true",
            "would show tokens to the network of 192.0.2.9",
        ),
        (
            "listen = \"192.0.2.9:80\"\nservices = [\"metrics\"]\nplain = true",
            "would show tokens",
        ),
        (
            &format!("listen = \"127.0.0.1:80\"\nservices = [\"api\"]\nplain = true\n{tls}"),
            "stands beside a certificate",
        ),
        (
            "listen = \"192.0.2.9:80\"\nservices = [\"api\"]\nkey = \"/k.pem\"",
            "add the certificate of `key`",
        ),
        (
            "listen = \"192.0.2.9:80\"\nservices = [\"metrics\"]\nplain = true\nmetrics_access = \"network\"",
            "lets everybody in",
        ),
        (
            "listen = \"127.0.0.1:80\"\nservices = [\"api\"]\nplain = true\nmetrics_access = \"all\"",
            "write \"token\"",
        ),
        (
            "listen = \"127.0.0.1:80\"\nservices = [\"api\"]\nplain = true\n[[http]]\nlisten = \"127.0.0.1:80\"\n\
             services = [\"api\"]\nplain = true",
            "is taken by line",
        ),
        (
            "listen = \"127.0.0.1:80\"\nservices = [\"api\"]\nplain = true\nmax_bodi = 5000",
            "did you mean `max_body`?",
        ),
    ] {
        let wrong = said(lines);
        assert_eq!(wrong.len(), 1, "{lines}: {wrong:#?}");
        assert!(wrong[0].contains(needle), "{wrong:#?}");
    }
}

#[test]
fn what_needs_no_token_is_served_without_tls() {
    for lines in [
        "listen = \"127.0.0.1:80\"\nservices = [\"api\", \"metrics\"]\nplain = true",
        "listen = \"192.0.2.9:80\"\nservices = [\"freeswitch\"]\nplain = true",
        "listen = \"192.0.2.9:80\"\nservices = [\"metrics\"]\nplain = true\n\
         metrics_access = \"network\"\nnetworks = [\"192.0.2.0/24\"]",
    ] {
        assert_eq!(said(lines), [""; 0], "{lines}");
    }
}
