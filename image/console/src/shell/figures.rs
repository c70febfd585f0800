//! The signaling plane's figures, once a second.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tandem_admin::method as m;

use super::client::Client;
use super::{Hub, now_ms};
use crate::feed::{Feed, Figures};

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(1);

pub(super) fn start(hub: &Hub) {
    let hub = hub.clone();
    thread::spawn(move || {
        let mut client = None;
        loop {
            let begin = Instant::now();
            let got = look(&mut client, &hub);
            if got.is_err() {
                client = None;
            }
            if !hub.feed(Feed::Figures(got)) {
                return;
            }
            thread::sleep(EVERY.saturating_sub(begin.elapsed()));
        }
    });
}

fn look(client: &mut Option<Client>, hub: &Hub) -> Result<Box<Figures>, String> {
    let client = match client {
        Some(client) => client,
        none => none.insert(Client::connect(&hub.options.socket)?),
    };
    Ok(Box::new(Figures {
        status: client.call(m::STATUS, Value::Null)?,
        info: client.call(m::INFO, Value::Null)?,
        counts: client.call(m::DLG_STATS_ACTIVE, Value::Null)?,
        targets: client.call(m::DISPATCHER_LIST, Value::Null)?,
        alarms: client.call(m::ALARMS, Value::Null)?,
        // Without a dataplane there are none.
        ports: client.call(m::PORTS, Value::Null).unwrap_or_default(),
        counters: client.call(m::STATISTICS, Value::Null)?,
        // Last: the rates are of the counters.
        taken_ms: now_ms(),
    }))
}
