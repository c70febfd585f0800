//! The methods that change the configuration.

use serde::Serialize;
use serde_json::Value;
use tandem_admin::{ConfigShow, ConfigText, ConfigWhich, ErrorCode, config_method as m};

use super::{Api, Caller, params};
use crate::ask::Refusal;

/// Whether it is one of these.
pub(super) fn is_method(name: &str) -> bool {
    name.starts_with("tandem.config.")
}

/// Calls one, on behalf of somebody who may.
pub(super) async fn call(
    api: &Api,
    name: &str,
    order: &[&str],
    params: Value,
    caller: &Caller,
) -> Result<Value, Refusal> {
    let change = &api.change;
    let who = format!("{} ({})", caller.name, caller.from);
    match name {
        m::CONFIG_CHECK => {
            let ConfigText { text } = params::read(order, params)?;
            value(change.check(text).await?)
        }
        m::CONFIG_DIFF => {
            let ConfigText { text } = params::read(order, params)?;
            value(change.diff(text).await?)
        }
        m::CONFIG_APPLY => value(change.apply(params::read(order, params)?, who).await?),
        m::CONFIG_ROLLBACK => value(change.rollback(params::read(order, params)?, who).await?),
        m::CONFIG_CONFIRM => {
            let ConfigWhich { digest } = params::read(order, params)?;
            value(change.confirm(digest, who).await?)
        }
        m::CONFIG_REVERT => {
            let ConfigWhich { digest } = params::read(order, params)?;
            value(change.revert(digest, who).await?)
        }
        m::CONFIG_STATUS => value(change.status().await?),
        m::CONFIG_HISTORY => value(change.history().await?),
        m::CONFIG_SHOW => {
            let ConfigShow { revision } = params::read(order, params)?;
            value(change.show(revision).await?)
        }
        // As in the caller: a test finds it.
        _ => Err(Refusal::new(
            ErrorCode::Internal,
            format!("{name} is not served"),
        )),
    }
}

fn value(result: impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(result).map_err(|e| Refusal::new(ErrorCode::Internal, e.to_string()))
}
