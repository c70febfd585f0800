//! What an administrator asks of calls, registrations and tables, a page at a time: a long list never keeps the worker
//! from its messages.

use tandem_admin::{CallCounts, Contact, Registration, TableRow};
use tandem_call::{Input, contact_rows};
use tandem_policy::LocationRow;
use tandem_policy::registrar::Record;
use tandem_policy::routing::Purpose;

use super::Worker;
use super::queries::call;
use crate::ask::Order;

/// The tables that `htable.dump` shows: name, what is in it. [`Worker::table`] has the rows; those of several workers with
/// the same name are summed.
pub(crate) const TABLES: &[(&str, &str)] = &[
    (
        "blocked",
        "sources that are not heard, and for how many seconds yet",
    ),
    (
        "limits",
        "trunks and tenants: their calls now, and how many were refused by a limit",
    ),
    ("rules", "how many requests went by each rule"),
];

impl Worker {
    /// The rows of a table in memory.
    fn table(&self, name: &str) -> Vec<(String, u64)> {
        match name {
            "blocked" => self
                .blocked()
                .into_iter()
                .map(|b| (b.source, b.left_s))
                .collect(),
            // All workers share them.
            "limits" if self.head.is_some() => self.limits(),
            "rules" if self.head.is_some() => self.core.config().routing.plan.usages.rules(),
            _ => Vec::new(),
        }
    }

    fn limits(&self) -> Vec<(String, u64)> {
        let usages = &self.core.config().routing.plan.usages;
        let rows = usages.all().into_iter().flat_map(|(purpose, name, used)| {
            let whose = match purpose {
                Purpose::TrunkOut => format!("trunk {name} out"),
                Purpose::TrunkIn => format!("trunk {name} in"),
                Purpose::Tenant => format!("tenant {name}"),
            };
            [("calls", used.calls), ("refused", used.refused)]
                .map(|(what, value)| (format!("{whose} {what}"), value))
        });
        rows.collect()
    }

    /// Answers an order or question. Who asked may be gone by now.
    pub(super) fn order(&mut self, order: Order) {
        match order {
            Order::Calls {
                after,
                most,
                answer,
            } => {
                let page = self.core.calls_after(after, most);
                let _ = answer.send(page.into_iter().map(call).collect());
            }
            Order::Route { question, answer } => {
                let _ = answer.send(self.core.explain_route(&question));
            }
            Order::CallCounts(answer) => drop(answer.send(self.call_counts())),
            Order::End { key, answer } => {
                let _ = answer.send(u64::from(self.end_call(key)));
            }
            Order::Terminate { names, answer } => {
                let tag = |tag: &Option<String>| tag.as_ref().map(|t| t.as_bytes().to_vec());
                let (from, to) = (tag(&names.from_tag), tag(&names.to_tag));
                let keys =
                    self.core
                        .calls_named(names.call_id.as_bytes(), from.as_deref(), to.as_deref());
                let ended = keys.into_iter().filter(|key| self.end_call(*key)).count();
                let _ = answer.send(ended as u64);
            }
            Order::Registrations {
                place,
                most,
                answer,
            } => {
                let now_ms = self.clock.now().wall_ms;
                let (records, next) = self.core.registrations(now_ms, place, most);
                let page = records.iter().map(|r| self.registration(r)).collect();
                let _ = answer.send((page, next));
            }
            Order::Registration {
                aor,
                remove,
                answer,
            } => {
                let now_ms = self.clock.now().wall_ms;
                let found = self.core.registration(now_ms, &aor);
                let found = found.map(|record| self.registration(&record));
                if remove && found.is_some() {
                    self.input(Input::Unregister { aor });
                    self.carry_out();
                }
                let _ = answer.send(found);
            }
            Order::Tables(answer) => drop(answer.send(self.tables.clone())),
            Order::Table { name, answer } => {
                let rows = self.table(&name).into_iter();
                let _ = answer.send(rows.map(|(name, value)| TableRow { name, value }).collect());
            }
            Order::ReloadTls(answer) => match &mut self.streams {
                Some(streams) => streams.reload_and_tell(answer),
                None => drop(answer.send(Ok(()))),
            },
        }
    }

    /// How many calls are in each state.
    pub(super) fn call_counts(&self) -> CallCounts {
        let counts = self.core.call_counts();
        CallCounts {
            starting: counts.setup,
            ongoing: counts.confirmed,
            ending: counts.ending,
            all: counts.setup + counts.confirmed + counts.ending,
        }
    }

    /// Ends a call; false when it is not here, or over.
    fn end_call(&mut self, key: u64) -> bool {
        if !self.core.has_call(key) {
            return false;
        }
        self.input(Input::EndCall { key });
        self.carry_out();
        true
    }

    fn registration(&self, record: &Record) -> Registration {
        let listeners = self.config.sip.listen.iter();
        let streams: Vec<&str> = listeners.map(|l| l.transport.name()).collect();
        let rows = contact_rows(record, &streams).unwrap_or_default();
        let now_ms = self.clock.now().wall_ms;
        Registration {
            aor: String::from_utf8_lossy(&record.aor).into_owned(),
            contacts: rows.into_iter().map(|row| contact(row, now_ms)).collect(),
        }
    }
}

fn contact(row: LocationRow, now_ms: u64) -> Contact {
    let until_ms = row.expires_s.saturating_mul(1_000);
    Contact {
        contact: row.contact,
        expires_s: until_ms.saturating_sub(now_ms).div_ceil(1_000),
        q: row.q,
        received: row.received,
        path: row.path,
        call_id: row.callid,
        cseq: row.cseq,
        user_agent: row.user_agent,
        socket: row.socket,
        instance: row.instance,
        reg_id: row.reg_id,
    }
}
