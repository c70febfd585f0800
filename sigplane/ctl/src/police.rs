//! How SIP is policed by its sources.

use std::net::IpAddr;

use clap::Subcommand;
use tandem_admin::{Police, PoliceParams, PolicedSource, method};

use crate::client::{Client, Failure};
use crate::show::print;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// How many sources are known, and what is known of an address
    Show {
        /// The address
        address: Option<IpAddr>,
    },
}

pub(crate) fn run(client: &mut Client, json: bool, command: Command) -> Result<(), Failure> {
    let Command::Show { address } = command;
    let params = serde_json::to_value(PoliceParams { address })
        .map_err(|e| Failure::Protocol(e.to_string()))?;
    let police: Police = client.call(method::POLICE, params)?;
    print(json, &police, text)
}

fn text(police: &Police) -> String {
    let mut text = String::new();
    if !police.complete {
        text += "nobody has said yet who is trusted: everybody is heard\n";
    }
    text += &format!(
        "trusted     {} addresses, {} networks\nregistered  {} of {} addresses\nunknown     about {} of {} addresses lately, \
         in {} workers\n",
        police.trusted,
        police.networks,
        police.registered,
        police.max_registered,
        police.unknown,
        police.max_unknown,
        police.workers,
    );
    if let Some(source) = &police.source {
        text += &one(source);
    }
    text
}

fn one(source: &PolicedSource) -> String {
    let blocked = if source.blocked { ", blocked" } else { "" };
    let left = source
        .left_s
        .map_or(String::new(), |s| format!(", for {s} s yet"));
    let credit = source.credit.map_or_else(
        || "as much as it likes".to_owned(),
        |n| format!("{n} datagrams at once"),
    );
    format!(
        "\n{} is {}{blocked} (/{}{left}), may send {credit}\n",
        source.source, source.class, source.prefix
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_somebody_is() {
        let mut police = Police {
            workers: 2,
            complete: true,
            trusted: 3,
            networks: 1,
            registered: 10,
            max_registered: 100,
            unknown: 5,
            max_unknown: 64,
            source: None,
        };
        assert_eq!(
            text(&police),
            "trusted     3 addresses, 1 networks\nregistered  10 of 100 addresses\nunknown     about 5 of 64 addresses \
             lately, in 2 workers\n"
        );
        police.source = Some(PolicedSource {
            source: "203.0.113.9".to_owned(),
            class: "registered".to_owned(),
            prefix: 32,
            left_s: Some(61),
            blocked: true,
            credit: Some(7),
        });
        assert!(text(&police).ends_with(
            "\n203.0.113.9 is registered, blocked (/32, for 61 s yet), may send 7 datagrams at once\n"
        ));
    }
}
