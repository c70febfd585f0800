//! What would become of a request.

use tandem_admin::{ErrorCode, RouteTest, RouteTested, Way};
use tandem_call::{RouteQuestion, WayView};
use tandem_policy::routing::Sender;

use super::{Api, ask};
use crate::ask::{Ask, Order, Refusal};

/// Asks the first worker: all have the same tables, rules and limits.
pub(super) async fn test(api: &Api, test: RouteTest) -> Result<RouteTested, Refusal> {
    let wrong = |message: String| Refusal::new(ErrorCode::InvalidParams, message);
    let sender = match test.sender.as_str() {
        "carrier" => Sender::Carrier,
        "user" => Sender::User,
        "pool" => Sender::Pool,
        other => {
            let remedy = "write carrier, user or pool";
            return Err(wrong(format!("{other:?} sends nothing: {remedy}")));
        }
    };
    let source = test.source;
    let host = match source {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let question = RouteQuestion {
        sender,
        source,
        method: test.method.unwrap_or_else(|| "INVITE".to_owned()),
        uri: test.uri,
        from: test.from.unwrap_or_else(|| format!("sip:{host}")),
    };
    let order = |answer| Ask::Order(Order::Route { question, answer });
    let view = ask::first(api, order).await?.map_err(wrong)?;
    let way = |way: WayView| Way {
        trunk: way.trunk,
        set: way.set,
        targets: way.targets as u64,
        calls: way.calls,
        most: way.most,
    };
    Ok(RouteTested {
        tenant: view.tenant,
        trunk: view.trunk,
        country: view.country,
        rules: view.rules,
        headers: view.headers,
        user: view.user,
        refused: view
            .refused
            .map(|(code, reason)| format!("{code} {reason}")),
        ways: view.ways.into_iter().map(way).collect(),
    })
}
