//! `tandemctl info`, `tls`, `methods` and `rpc`: the appliance itself, and any method by its name.

use clap::Subcommand;
use serde_json::{Value, json};
use tandem_admin::{Info, Uptime, method};

use crate::client::{Client, Failure};
use crate::show::{age, ask, print, write_out};
use crate::table::table;

#[derive(Subcommand)]
pub(crate) enum Tls {
    /// Read the certificates again
    Reload,
}

/// `tandemctl info`
pub(crate) fn info(client: &mut Client, json: bool) -> Result<(), Failure> {
    let info: Info = ask(client, method::INFO)?;
    let uptime: Uptime = ask(client, method::UPTIME)?;
    let version: String = ask(client, method::VERSION)?;
    print(json, &info, |i| {
        let row = |name: &str, value: String| vec![name.to_owned(), value];
        table(
            &["", ""],
            &[
                row("version", version),
                row("node", i.node.to_string()),
                row("process", i.pid.to_string()),
                row("up for", age(uptime.uptime)),
                row("SIP workers", i.sip_workers.to_string()),
                row("state in", i.state_dir.clone()),
            ],
        )
        .trim_start()
        .to_owned()
    })
}

/// `tandemctl tls reload`
pub(crate) fn tls_reload(client: &mut Client, json: bool) -> Result<(), Failure> {
    let done: Value = ask(client, method::TLS_RELOAD)?;
    print(json, &done, |_| {
        "the certificates were read again\n".to_owned()
    })
}

/// `tandemctl methods`
pub(crate) fn methods(client: &mut Client, json: bool) -> Result<(), Failure> {
    let names: Vec<String> = ask(client, method::LIST_METHODS)?;
    if json {
        return print(json, &names, |_| String::new());
    }
    let mut rows = Vec::new();
    for name in names {
        let help: String = client.call(method::METHOD_HELP, json!({"method": name}))?;
        rows.push(vec![name, help]);
    }
    write_out(&table(&["method", "what it is for"], &rows))
}

/// `tandemctl rpc`
pub(crate) fn rpc(client: &mut Client, method: &str, params: &[String]) -> Result<(), Failure> {
    let params = match params {
        [] => Value::Null,
        // An object, or a list, as it is.
        [one] if one.starts_with(['{', '[']) => {
            serde_json::from_str(one).map_err(|e| Failure::Usage(format!("{one}: {e}")))?
        }
        // A list of what can be numbers, and of texts.
        list => list
            .iter()
            .map(|text| match text.parse::<i64>() {
                Ok(number) => number.into(),
                Err(_) => Value::from(text.as_str()),
            })
            .collect(),
    };
    let result = client.call_raw(method, params)?;
    let text = serde_json::to_string_pretty(&result);
    write_out(&(text.map_err(|e| Failure::Protocol(e.to_string()))? + "\n"))
}
