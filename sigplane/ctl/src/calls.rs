//! `tandemctl calls`, `users`, `tables` and `addresses`: what the appliance has in memory.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use serde_json::json;
use tandem_admin::{
    Address, Call, CallCounts, Ended, Registration, Registrations, Reloaded, Table, TableRow,
    method,
};

use crate::client::{Client, Failure};
use crate::show::{age, ask, print};
use crate::table::table;

/// Calls or users that are asked for at a time.
const PAGE: usize = 1_000;

#[derive(Subcommand)]
pub(crate) enum Calls {
    /// How many are in each state
    Count,
    /// End a call: BYE to both sides, or a refusal before its answer
    End {
        /// Its number, as `tandemctl calls` has it, or its Call-ID on either side
        call: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Users {
    /// Every registered user with the contacts
    List,
    /// A user's contacts
    Show {
        /// user@domain
        aor: String,
    },
    /// Remove a user's contacts; the phone may register again
    Remove {
        /// user@domain
        aor: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Tables {
    /// The tables in memory
    List,
    /// The rows of one
    Dump {
        /// Its name
        table: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum Addresses {
    /// The address table in force: who is a carrier
    List,
    /// Read the tables of the database again
    Reload,
}

/// `tandemctl calls`, page by page.
pub(crate) fn list(client: &mut Client, json: bool, limit: Option<usize>) -> Result<(), Failure> {
    let most = limit.unwrap_or(usize::MAX);
    let mut all: Vec<Call> = Vec::new();
    while all.len() < most {
        let after = all.last().map_or(0, |call| call.key);
        let limit = PAGE.min(most - all.len());
        let params = json!({"after": after, "limit": limit});
        let page: Vec<Call> = client.call(method::DLG_LIST, params)?;
        let is_last = page.len() < limit;
        all.extend(page);
        if is_last {
            break;
        }
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    print(json, &all, |calls| {
        let rows: Vec<Vec<String>> = calls
            .iter()
            .map(|c| {
                let flows: Vec<String> = c.flows.iter().map(u64::to_string).collect();
                vec![
                    c.key.to_string(),
                    c.state.clone(),
                    age(now.as_secs().saturating_sub(c.start_ms / 1_000)),
                    c.direction.clone(),
                    c.from_uri.clone(),
                    c.to_uri.clone(),
                    c.source.clone(),
                    c.target.clone(),
                    flows.join(","),
                    c.call_id.clone(),
                ]
            })
            .collect();
        table(
            &[
                ">call",
                "state",
                ">age",
                "direction",
                "from",
                "to",
                "source",
                "target",
                ">flows",
                "call-id",
            ],
            &rows,
        )
    })
}

pub(crate) fn calls(client: &mut Client, json: bool, command: Calls) -> Result<(), Failure> {
    match command {
        Calls::Count => {
            let counts: CallCounts = ask(client, method::DLG_STATS_ACTIVE)?;
            print(json, &counts, |c| {
                format!(
                    "{} calls: {} not answered yet, {} answered, {} ending\n",
                    c.all, c.starting, c.ongoing, c.ending
                )
            })
        }
        Calls::End { call } => {
            let (method, params) = match call.parse::<u64>() {
                Ok(key) => (method::DLG_END, json!({"key": key})),
                Err(_) => (method::DLG_TERMINATE, json!({"call_id": call})),
            };
            let ended: Ended = client.call(method, params)?;
            print(json, &ended, |e| format!("{} ended\n", e.ended))
        }
    }
}

pub(crate) fn users(client: &mut Client, json: bool, command: Users) -> Result<(), Failure> {
    let one = |client: &mut Client, method, aor: &str| -> Result<Registration, Failure> {
        client.call(method, json!({"aor": aor}))
    };
    match command {
        Users::List => {
            let mut all = Vec::new();
            let mut after = Some(0);
            while let Some(place) = after {
                let params = json!({"after": place, "limit": PAGE});
                let page: Registrations = client.call(method::UL_DUMP, params)?;
                all.extend(page.registrations);
                after = page.next;
            }
            print(json, &all, |all| contacts(all))
        }
        Users::Show { aor } => {
            let found = one(client, method::UL_LOOKUP, &aor)?;
            print(json, &found, |r| contacts(std::slice::from_ref(r)))
        }
        Users::Remove { aor } => {
            let was = one(client, method::UL_RM, &aor)?;
            print(json, &was, |r| {
                format!(
                    "{} had {} contacts, and has none\n",
                    r.aor,
                    r.contacts.len()
                )
            })
        }
    }
}

fn contacts(all: &[Registration]) -> String {
    let mut rows = Vec::new();
    for user in all {
        for contact in &user.contacts {
            rows.push(vec![
                user.aor.clone(),
                contact.contact.clone(),
                age(contact.expires_s),
                format!("{}.{:03}", contact.q / 1_000, contact.q % 1_000),
                contact.received.clone(),
                contact.socket.clone(),
                contact.user_agent.clone(),
            ]);
        }
    }
    table(
        &[
            "user",
            "contact",
            ">expires",
            ">q",
            "received",
            "socket",
            "user agent",
        ],
        &rows,
    )
}

pub(crate) fn tables(client: &mut Client, json: bool, command: Tables) -> Result<(), Failure> {
    match command {
        Tables::List => {
            let tables: Vec<Table> = ask(client, method::HTABLE_LIST)?;
            print(json, &tables, |tables| {
                let rows: Vec<_> = tables
                    .iter()
                    .map(|t| vec![t.name.clone(), t.about.clone()])
                    .collect();
                table(&["table", "what is in it"], &rows)
            })
        }
        Tables::Dump { table: name } => {
            let rows: Vec<TableRow> = client.call(method::HTABLE_DUMP, json!({"table": name}))?;
            print(json, &rows, |rows| {
                let rows: Vec<_> = rows
                    .iter()
                    .map(|r| vec![r.name.clone(), r.value.to_string()])
                    .collect();
                table(&["name", ">value"], &rows)
            })
        }
    }
}

pub(crate) fn addresses(
    client: &mut Client,
    json: bool,
    command: Addresses,
) -> Result<(), Failure> {
    match command {
        Addresses::List => {
            let rows: Vec<Address> = ask(client, method::PERMISSIONS_DUMP)?;
            print(json, &rows, |rows| {
                let rows: Vec<_> = rows
                    .iter()
                    .map(|r| {
                        vec![
                            r.id.to_string(),
                            r.group.to_string(),
                            format!("{}/{}", r.address, r.mask),
                            r.port.to_string(),
                            r.tag.clone(),
                        ]
                    })
                    .collect();
                table(&[">id", ">group", "network", ">port", "tag"], &rows)
            })
        }
        Addresses::Reload => {
            let reloaded: Reloaded = ask(client, method::PERMISSIONS_RELOAD)?;
            print(json, &reloaded, |r| {
                format!("{} rows of address are in force\n", r.address)
            })
        }
    }
}
