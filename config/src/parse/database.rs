//! `[database]`: where it is, and how it is spoken to.

use super::streams::{boolean, path};
use super::{DAY, Read, millis, seconds};
use crate::database::{DatabaseUrl, url};
use crate::mistake::Report;
use crate::model::{Database, Node};
use crate::section::Section;

pub(super) fn database<'d>(
    report: &mut Report<'_>,
    mut s: Section<'d>,
    node: &Read<'_, Node>,
) -> Read<'d, Database> {
    let file = node.value.state_dir.join("tandem.db");
    let default = format!("sqlite:{}", file.display());
    let text = s.string(report, "url", &default);
    let url = url(&text).unwrap_or_else(|problem| {
        // Not what was written: it may have a password.
        let remedy = format!(
            "write `sqlite:` and a path, as in \"{default}\", or for MariaDB \
             \"mysql://USER@HOST:PORT,HOST/DATABASE\""
        );
        s.mistake(report, "url", problem, remedy);
        DatabaseUrl::Sqlite(file)
    });
    let full = s.key("password_file");
    let password_file = s
        .value("password_file")
        .and_then(|v| path(report, v, &full));
    let full = s.key("tls");
    let tls = s.value("tls").and_then(|v| boolean(report, v, &full));
    let full = s.key("ca");
    let ca = s.value("ca").and_then(|v| path(report, v, &full));
    let full = s.key("acc");
    let acc = s.value("acc").and_then(|v| boolean(report, v, &full));
    let full = s.key("dialog");
    let dialog = s.value("dialog").and_then(|v| boolean(report, v, &full));
    if let DatabaseUrl::MariaDb(url) = &url
        && url.password.is_some()
        && password_file.is_some()
    {
        let remedy = "keep the file and take the password out of the URL";
        s.mistake(report, "password_file", "is a second password", remedy);
    }
    if ca.is_some() && tls != Some(true) {
        let remedy = "add `tls = true`, or remove it";
        s.mistake(report, "ca", "is of no use without TLS", remedy);
    }
    let value = Database {
        url,
        password_file,
        tls: tls.unwrap_or(false),
        ca,
        timeout: millis(report, &mut s, "timeout", 100..=60_000, 5_000),
        acc: acc.unwrap_or(false),
        dialog: dialog.unwrap_or(false),
        reload_interval: seconds(report, &mut s, "reload_interval", 0..=DAY, 30),
    };
    Read {
        value,
        section: s.finish(report),
    }
}
