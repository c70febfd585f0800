//! Long lists, while they are shown: on a connection of their own, so that a long one keeps no other waiting.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem_admin::{Call, Flow, Registration, Registrations, method as m};

use super::Hub;
use super::client::Client;
use crate::feed::{Feed, Found};
use crate::model::{call_has, user_has};

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(2);
/// How soon a new wish is seen.
const GLANCE: Duration = Duration::from_millis(100);
/// Rows that are shown at most.
const SHOWN: usize = 1_000;
/// Rows that are asked for at a time.
const PAGE: usize = 5_000;
/// Rows that a search looks at, at most.
const SEARCHED: usize = 500_000;

pub(super) fn start(hub: &Hub) {
    let hub = hub.clone();
    thread::spawn(move || {
        let mut client = None;
        let mut last = (hub.wants(), Instant::now());
        let mut is_due = true;
        loop {
            let wants = hub.wants();
            if wants != last.0 || last.1.elapsed() >= EVERY || is_due {
                let mut feeds = Vec::new();
                if let Some(filter) = &wants.calls {
                    feeds.push(Feed::Calls(with(&hub, &mut client, |c| calls(c, filter))));
                }
                if let Some(filter) = &wants.users {
                    feeds.push(Feed::Users(with(&hub, &mut client, |c| users(c, filter))));
                }
                if wants.flows {
                    feeds.push(Feed::Flows(with(&hub, &mut client, |c| {
                        c.call::<Vec<Flow>>(m::FLOWS, Value::Null)
                    })));
                }
                for feed in feeds {
                    if !hub.feed(feed) {
                        return;
                    }
                }
                last = (wants, Instant::now());
                is_due = false;
            }
            thread::sleep(GLANCE);
        }
    });
}

fn with<T>(
    hub: &Hub,
    client: &mut Option<Client>,
    ask: impl FnOnce(&mut Client) -> Result<T, String>,
) -> Result<T, String> {
    let mut open = match client.take() {
        Some(open) => open,
        None => Client::connect(&hub.options.socket)?,
    };
    let asked = ask(&mut open);
    // After an error nobody knows what the connection is about to say.
    *client = asked.is_ok().then_some(open);
    asked
}

fn calls(client: &mut Client, filter: &str) -> Result<Found<Call>, String> {
    let mut found = Search::new(filter);
    let mut after = 0;
    loop {
        let limit = found.page();
        let page: Vec<Call> = client.call(m::DLG_LIST, json!({"after": after, "limit": limit}))?;
        let Some(last) = page.last() else {
            return Ok(found.end(false));
        };
        after = last.key;
        let is_last = page.len() < limit;
        if found.take(page, |call| call_has(call, filter)) {
            return Ok(found.end(true));
        }
        if is_last {
            return Ok(found.end(false));
        }
    }
}

fn users(client: &mut Client, filter: &str) -> Result<Found<Registration>, String> {
    let mut found = Search::new(filter);
    let mut after = 0;
    loop {
        let limit = found.page();
        let page: Registrations =
            client.call(m::UL_DUMP, json!({"after": after, "limit": limit}))?;
        let is_full = found.take(page.registrations, |user| user_has(user, filter));
        match page.next {
            Some(next) if !is_full => after = next,
            next => return Ok(found.end(next.is_some() || is_full)),
        }
    }
}

/// A search through a long list.
struct Search<T>(Found<T>);

impl<T> Search<T> {
    fn new(filter: &str) -> Self {
        Self(Found {
            filter: filter.to_owned(),
            items: Vec::new(),
            looked_at: 0,
            more: false,
        })
    }

    /// Rows to ask for.
    fn page(&self) -> usize {
        // One more than is shown tells whether there are more.
        if self.0.filter.is_empty() {
            SHOWN + 1
        } else {
            PAGE
        }
    }

    /// Takes a page; true when that is enough.
    fn take(&mut self, page: Vec<T>, fits: impl Fn(&T) -> bool) -> bool {
        self.0.looked_at += page.len();
        self.0.items.extend(page.into_iter().filter(fits));
        let is_full = self.0.items.len() > SHOWN;
        self.0.items.truncate(SHOWN);
        is_full || self.0.looked_at >= SEARCHED
    }

    fn end(mut self, more: bool) -> Found<T> {
        self.0.more = more;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_ends_when_it_has_enough() {
        let mut all = Search::new("");
        assert!(all.take((0..=SHOWN).collect(), |_| true));
        assert_eq!(all.end(true).items.len(), SHOWN);
        let mut few = Search::new("7");
        assert!(!few.take((0..PAGE).collect(), |n| *n == 7));
        let few = few.end(false);
        assert_eq!((few.items, few.looked_at), (vec![7], PAGE));
    }
}
