//! `tandemctl blocked`: sources that are not heard.

use std::net::IpAddr;

use clap::Subcommand;
use serde_json::Value;
use tandem_admin::{BlockParams, Blocked, method};

use crate::client::{Client, Failure};
use crate::show::{age, ask, print};
use crate::table::table;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Every blocked source, why, and for how long yet
    List,
    /// Block a source: an address, or the /64 of an IPv6 address
    Add {
        /// The address
        address: IpAddr,
        /// For so many seconds [default: defence.block of the configuration]
        #[arg(long, value_name = "N")]
        seconds: Option<u32>,
    },
    /// Hear a source again
    Remove {
        /// Any address of it
        address: IpAddr,
    },
}

pub(crate) fn run(client: &mut Client, json: bool, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => list(client, json),
        Command::Add { address, seconds } => block(client, json, address, seconds),
        Command::Remove { address } => unblock(client, json, address),
    }
}

/// `tandemctl blocked list`
fn list(client: &mut Client, json: bool) -> Result<(), Failure> {
    let blocked: Vec<Blocked> = ask(client, method::BLOCKED)?;
    print(json, &blocked, |blocked| {
        let rows: Vec<Vec<String>> = blocked
            .iter()
            .map(|b| vec![b.source.clone(), b.reason.clone(), age(b.left_s)])
            .collect();
        table(&["source", "reason", ">left"], &rows)
    })
}

/// `tandemctl blocked add`
fn block(
    client: &mut Client,
    json: bool,
    address: IpAddr,
    seconds: Option<u32>,
) -> Result<(), Failure> {
    let blocked: Blocked = client.call(method::BLOCK, params(address, seconds)?)?;
    print(json, &blocked, |b| {
        format!("{} is not heard for {}\n", b.source, age(b.left_s))
    })
}

/// `tandemctl blocked remove`
fn unblock(client: &mut Client, json: bool, address: IpAddr) -> Result<(), Failure> {
    let was: bool = client.call(method::UNBLOCK, params(address, None)?)?;
    print(json, &was, |was| match was {
        true => format!("{address} is heard again\n"),
        false => format!("{address} was not blocked\n"),
    })
}

fn params(address: IpAddr, seconds: Option<u32>) -> Result<Value, Failure> {
    serde_json::to_value(BlockParams { address, seconds })
        .map_err(|e| Failure::Protocol(e.to_string()))
}
