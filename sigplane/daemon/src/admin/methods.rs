//! What each method does. [`tandem_admin::METHODS`] says who may call it.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use tandem_admin::methods::{Changes, find};
use tandem_admin::{
    Address, AorParams, BlockParams, CallKey, CallNames, ErrorCode, Info, METHODS, MethodName,
    Page, PoliceParams, SetStateParams, Table, TableName, Target, Uptime, method as m,
};
use tokio::time::timeout;

use super::{Api, Caller, ask, config, lists, params, routes};
use crate::ask::{Ask, Order, Refusal};
use crate::http::Count;
use crate::worker::TABLES;

/// Parameters in the audit log, in characters at most.
const AUDITED: usize = 500;

/// Calls a method.
pub(super) async fn call(
    api: &Api,
    caller: &Caller,
    name: &str,
    params: Value,
) -> Result<Value, Refusal> {
    let Some(method) = find(name) else {
        let message = format!("there is no method {name:?}: system.listMethods has all");
        return Err(Refusal::new(ErrorCode::NoSuchMethod, message));
    };
    let shown = match method.changes {
        Changes::Nothing => None,
        Changes::Something => Some(params.clone()),
        Changes::Secrets => Some(Value::Null),
    };
    let result = if caller.role < method.role {
        api.http.shared_counters().add(Count::Forbidden);
        let message = format!(
            "{name} needs the role {}, and {} has {}",
            method.role, caller.name, caller.role
        );
        Err(Refusal::new(ErrorCode::Forbidden, message))
    } else {
        done(api, caller, name, method.params, params).await
    };
    if let Some(params) = shown {
        audit(caller, name, &params, result.as_ref().err());
    }
    result
}

/// Writes a line of the audit log: who, from where, what, and what came of it.
pub(super) fn audit(caller: &Caller, method: &str, params: &Value, refusal: Option<&Refusal>) {
    // As JSON, so that no parameter makes a line of its own.
    let params: String = params.to_string().chars().take(AUDITED).collect();
    let Caller { name, from, role } = caller;
    match refusal {
        None => {
            tracing::info!(target: "audit", "{name} ({role}) from {from}: {method} {params}: done")
        }
        Some(refusal) => {
            let why = &refusal.message;
            tracing::warn!(target: "audit", "{name} ({role}) from {from}: {method} {params}: refused: {why:?}");
        }
    }
}

async fn done(
    api: &Api,
    caller: &Caller,
    name: &str,
    order: &[&str],
    params: Value,
) -> Result<Value, Refusal> {
    match name {
        m::INFO => value(info(api)),
        m::STATUS => value(ask::status(api).await?),
        m::UPTIME => value(uptime(api)),
        m::VERSION => value(format!("tandem {}", env!("CARGO_PKG_VERSION"))),
        m::LIST_METHODS => {
            let may = METHODS.iter().filter(|method| method.role <= caller.role);
            value(may.map(|method| method.name).collect::<Vec<_>>())
        }
        m::METHOD_HELP => value(help(&params::read::<MethodName>(order, params)?)?),
        m::DISPATCHER_LIST => value(ask::targets(api).await?),
        m::DISPATCHER_RELOAD | m::PERMISSIONS_RELOAD => value(reload(api).await?),
        m::DISPATCHER_SET_STATE => set_state(api, params::read(order, params)?).await,
        m::DLG_LIST => value(lists::calls(api, page(order, params)?).await?),
        m::DLG_STATS_ACTIVE => value(lists::call_counts(api).await?),
        m::DLG_END => {
            let CallKey { key } = params::read(order, params)?;
            let ended = lists::ended(api, |answer| Order::End { key, answer }).await?;
            value(ended)
        }
        m::DLG_TERMINATE => {
            let names: CallNames = params::read(order, params)?;
            let question = |answer| Order::Terminate {
                names: names.clone(),
                answer,
            };
            value(lists::ended(api, question).await?)
        }
        m::UL_DUMP => value(lists::registrations(api, page(order, params)?).await?),
        m::UL_LOOKUP => value(registration(api, params::read(order, params)?, false).await?),
        m::UL_RM => value(registration(api, params::read(order, params)?, true).await?),
        m::STATISTICS => {
            let names = params::names(params)?;
            let mut all = ask::statistics(api).await?;
            all.retain(|counter| params::is_wanted(&names, &counter.name));
            value(all)
        }
        m::STATS_FETCH => fetch(api, params, |v| v.to_string().into()).await,
        m::STATS_FETCHN => fetch(api, params, Value::from).await,
        m::HTABLE_LIST => {
            let tables = TABLES.iter().map(|(name, about)| Table {
                name: (*name).to_owned(),
                about: (*about).to_owned(),
            });
            value(tables.collect::<Vec<_>>())
        }
        m::HTABLE_DUMP => {
            let TableName { table } = params::read(order, params)?;
            value(lists::table(api, &table).await?)
        }
        m::ROUTES_TEST => value(routes::test(api, params::read(order, params)?).await?),
        m::PERMISSIONS_DUMP => value(addresses(api).await?),
        m::TLS_RELOAD => tls_reload(api).await.map(|()| Value::Null),
        m::FLOWS => value(ask::first(api, Ask::Flows).await??),
        m::ALARMS => value(api.alarms().await?),
        m::BLOCKED => value(ask::first(api, Ask::Blocked).await?),
        m::BLOCK => {
            let params: BlockParams = params::read(order, params)?;
            let question = |answer| Ask::Block { params, answer };
            value(ask::first(api, question).await??)
        }
        m::UNBLOCK => {
            let BlockParams { address, .. } = params::read(order, params)?;
            let question = |answer| Ask::Unblock { address, answer };
            value(ask::first(api, question).await?)
        }
        m::PORTS => value(ask::first(api, Ask::Ports).await??),
        m::POLICE => {
            let PoliceParams { address } = params::read(order, params)?;
            let question = |answer| Ask::Police { address, answer };
            value(ask::first(api, question).await??)
        }
        m::RELAY_TEST => value(ask::first(api, Ask::Prove).await??),
        m::CAPTURE => Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "a capture needs the unix socket, a connection of its own, and a request with an id",
        )),
        name if config::is_method(name) => config::call(api, name, order, params, caller).await,
        // A method that is in the list and not here: our fault, and a test's to find.
        _ => Err(Refusal::new(
            ErrorCode::Internal,
            format!("{name} is not served"),
        )),
    }
}

fn value(result: impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(result).map_err(|e| Refusal::new(ErrorCode::Internal, e.to_string()))
}

fn uptime(api: &Api) -> Uptime {
    let seconds = |time: std::time::SystemTime| {
        let since = time.duration_since(std::time::SystemTime::UNIX_EPOCH);
        since.unwrap_or_default().as_secs()
    };
    Uptime {
        now: seconds(std::time::SystemTime::now()),
        up_since: seconds(api.started_at),
        uptime: api.started.elapsed().as_secs(),
    }
}

pub(super) fn info(api: &Api) -> Info {
    Info {
        name: "tandem".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: api.node,
        pid: std::process::id(),
        up_since: uptime(api).up_since,
        sip_workers: api.mailboxes.len(),
        state_dir: api.state_dir.display().to_string(),
    }
}

fn help(name: &MethodName) -> Result<String, Refusal> {
    let Some(method) = find(&name.method) else {
        let message = format!("there is no method {:?}", name.method);
        return Err(Refusal::new(ErrorCode::NotFound, message));
    };
    let params = match method.params {
        [] => "no list of parameters".to_owned(),
        params => format!("[{}]", params.join(", ")),
    };
    Ok(format!(
        "{} ({}; role {})",
        method.about, params, method.role
    ))
}

fn page(order: &[&str], params: Value) -> Result<Page, Refusal> {
    params::read(order, params)
}

async fn set_state(api: &Api, params: SetStateParams) -> Result<Value, Refusal> {
    let state = params::state(&params.state)?;
    let targets = ask::targets(api).await?;
    if params.target == "all" {
        let Some(set) = params.set else {
            return Err(params::invalid("`all` needs the set".to_owned()));
        };
        let ids: Vec<i64> = targets
            .iter()
            .filter(|t| t.set == set)
            .map(|t| t.id)
            .collect();
        if ids.is_empty() {
            return Err(params::invalid(format!("there is no target in set {set}")));
        }
        for id in &ids {
            ask::set_state(api, *id, state).await?;
        }
        let mut targets = ask::targets(api).await?;
        targets.retain(|t| ids.contains(&t.id));
        return value(targets);
    }
    let id = which(&targets, &params).map_err(params::invalid)?;
    ask::set_state(api, id, state).await?;
    let target = ask::targets(api).await?.into_iter().find(|t| t.id == id);
    let gone = || params::invalid(format!("target {id} is not in the table any more"));
    value(target.ok_or_else(gone)?)
}

/// The one target that is meant.
fn which(targets: &[Target], params: &SetStateParams) -> Result<i64, String> {
    let wanted = params.target.as_str();
    let is_it = |t: &&Target| {
        let named = t.uri == wanted || t.duid == wanted || t.id.to_string() == wanted;
        named && params.set.is_none_or(|set| set == t.set)
    };
    let mut found = targets.iter().filter(is_it);
    match (found.next(), found.next()) {
        (Some(target), None) => Ok(target.id),
        (None, _) => Err(format!(
            "there is no target {wanted:?}: `dispatcher list` has their ids, URIs and duids"
        )),
        (Some(one), Some(other)) => Err(format!(
            "{wanted:?} may be target {} of set {} or target {} of set {}: write the id, or the set",
            one.id, one.set, other.id, other.set
        )),
    }
}

/// How long reading the tables may take: a million routes are among them, and each statement has its own time limit.
const RELOAD: Duration = Duration::from_secs(60);

async fn reload(api: &Api) -> Result<tandem_admin::Reloaded, Refusal> {
    let late = |_| {
        Refusal::new(
            ErrorCode::DatabaseDown,
            "the database did not answer in time",
        )
    };
    timeout(RELOAD, api.database.reload()).await.map_err(late)?
}

async fn registration(
    api: &Api,
    params: AorParams,
    remove: bool,
) -> Result<tandem_admin::Registration, Refusal> {
    if let Some(table) = params.table.filter(|table| table != "location") {
        let message = format!("there is no table {table:?}: `location` is the one");
        return Err(Refusal::new(ErrorCode::NotFound, message));
    }
    lists::registration(api, &params.aor, remove).await
}

async fn fetch(api: &Api, params: Value, written: impl Fn(u64) -> Value) -> Result<Value, Refusal> {
    let names = params::names(params)?;
    let all = ask::statistics(api).await?.into_iter();
    let wanted = all.filter(|counter| params::is_wanted(&names, &counter.name));
    let object: Map<String, Value> = wanted.map(|c| (c.name, written(c.value))).collect();
    Ok(Value::Object(object))
}

async fn addresses(api: &Api) -> Result<Vec<Address>, Refusal> {
    let tables = ask::first(api, |answer| Ask::Order(Order::Tables(answer))).await?;
    let rows = tables.iter().flat_map(|tables| &tables.address);
    Ok(rows
        .map(|row| Address {
            id: row.id,
            group: row.grp,
            address: row.ip_addr.clone(),
            mask: row.mask,
            port: row.port,
            tag: row.tag.clone(),
        })
        .collect())
}

/// Those of SIP's connections, and those of HTTP.
async fn tls_reload(api: &Api) -> Result<(), Refusal> {
    let failed = |why: String| {
        let message = format!("{why}; the old certificates stay");
        Refusal::new(ErrorCode::Internal, message)
    };
    let streams = ask::first(api, |answer| Ask::Order(Order::ReloadTls(answer))).await?;
    let http = api.http.reload_now().map_err(|e| e.to_string());
    streams.and(http).map_err(failed)
}
