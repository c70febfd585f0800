//! `tandemctl routes`: what would become of a request.

use std::net::IpAddr;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use tandem_admin::{RouteTest, RouteTested, Way, method};

use crate::client::{Client, Failure};
use crate::show::print;
use crate::table::table;

#[derive(Subcommand)]
pub(crate) enum Routes {
    /// What rules, tables and limits would do with a request that nobody has sent
    Test(Question),
}

#[derive(Args)]
pub(crate) struct Question {
    /// Its Request-URI: sip:+4930123@acme.example
    uri: String,
    /// Who sends it
    #[arg(long, value_enum, default_value = "carrier")]
    sender: Sender,
    /// The address that it comes from
    #[arg(long)]
    source: IpAddr,
    /// The URI in From
    #[arg(long)]
    from: Option<String>,
    /// Its method
    #[arg(long)]
    method: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Sender {
    /// A carrier
    Carrier,
    /// A registered user agent
    User,
    /// A media server
    Pool,
}

pub(crate) fn routes(client: &mut Client, json: bool, command: Routes) -> Result<(), Failure> {
    let Routes::Test(question) = command;
    let sender = match question.sender {
        Sender::Carrier => "carrier",
        Sender::User => "user",
        Sender::Pool => "pool",
    };
    let test = RouteTest {
        sender: sender.to_owned(),
        source: question.source,
        uri: question.uri,
        from: question.from,
        method: question.method,
    };
    let tested: RouteTested = client.call(method::ROUTES_TEST, json!(test))?;
    print(json, &tested, shown)
}

fn shown(tested: &RouteTested) -> String {
    let or_none = |text: &str| {
        if text.is_empty() {
            "none".to_owned()
        } else {
            text.to_owned()
        }
    };
    let mut lines = vec![
        format!("tenant   {}", or_none(&tested.tenant)),
        format!("trunk    {}", or_none(&tested.trunk)),
        format!(
            "country  {}",
            tested.country.as_deref().unwrap_or("not known")
        ),
        format!("rules    {}", or_none(&tested.rules.join(", "))),
    ];
    lines.extend(tested.headers.iter().map(|h| format!("adds     {h}")));
    lines.extend(tested.user.iter().map(|user| format!("asks for {user}")));
    lines.extend(tested.refused.iter().map(|why| format!("refused  {why}")));
    let mut text = lines.join("\n") + "\n";
    if !tested.ways.is_empty() {
        let rows: Vec<_> = tested.ways.iter().map(row).collect();
        text += &table(&["trunk", ">set", ">targets", ">calls", ">at most"], &rows);
    }
    text
}

fn row(way: &Way) -> Vec<String> {
    let number = |n: Option<String>| n.unwrap_or_else(|| "-".to_owned());
    vec![
        if way.trunk.is_empty() {
            "-".to_owned()
        } else {
            way.trunk.clone()
        },
        way.set.to_string(),
        way.targets.to_string(),
        number(way.calls.map(|n| n.to_string())),
        number(way.most.map(|n| n.to_string())),
    ]
}
