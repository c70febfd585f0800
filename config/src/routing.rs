//! `[[trunk]]`, `[[tenant]]` and `[[rule]]`: where requests go beyond one pool and one trunk.

use serde::Serialize;

use crate::model::Network;

/// `[[trunk]]`: a carrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trunk {
    /// `name`, in the table `trunk_routing`, in rules, CDRs and metrics.
    pub name: String,
    /// `set`: the dispatcher set of its session border controllers.
    pub set: u32,
    /// `networks`: where its calls may come from besides. Default none.
    pub networks: Vec<Network>,
    /// `max_calls` that go out by it at a time; 0 for no limit. Default 0.
    pub max_calls: u32,
    /// `max_cps`: new calls that go out by it in any second; 0 for no limit. Default 0.
    pub max_cps: u32,
    /// `max_calls_in`: calls that come in from it at a time. Default 0.
    pub max_calls_in: u32,
    /// `max_cps_in`: new calls that come in from it in any second. Default 0.
    pub max_cps_in: u32,
    /// `failover`: final responses after which the next carrier is tried. Default none given: 401 to 403, 407, 408 and 5xx.
    pub failover: Option<Vec<String>>,
    /// `called`: what becomes of the number that is called. The first that matches counts.
    pub called: Vec<Rewrite>,
    /// `calling`: the same of the caller's number.
    pub calling: Vec<Rewrite>,
    /// `caller_id`: the caller's number in any case. Default none.
    pub caller_id: Option<String>,
    /// `from_domain`: the host in From. Default none: as it came.
    pub from_domain: Option<String>,
    /// `asserted`. Default `"pass"`.
    pub asserted: Asserted,
}

impl Trunk {
    /// Whether From is shown to it as another one.
    #[must_use]
    pub const fn changes_from(&self) -> bool {
        !self.calling.is_empty() || self.caller_id.is_some() || self.from_domain.is_some()
    }
}

/// What becomes of a user part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rewrite {
    /// `match`: a regular expression.
    #[serde(rename = "match")]
    pub pattern: String,
    /// `to`: what stands in the place of what it matches, with `$1` for its groups.
    pub to: String,
}

/// What becomes of P-Asserted-Identity towards a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Asserted {
    /// `"pass"`: it goes as it came.
    Pass,
    /// `"set"`: there is one in any case.
    Set,
    /// `"remove"`: it does not go.
    Remove,
}

/// `[[tenant]]`: a customer with domains of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tenant {
    /// `name`, in tables, rules, CDRs and metrics.
    pub name: String,
    /// `domains`, at least one, in lower case.
    pub domains: Vec<String>,
    /// `pool_set`: the dispatcher set of its media servers. Default none: `routing.pool_set`.
    pub pool_set: Option<u32>,
    /// `max_calls`: its calls at a time; 0 for no limit. Default 0.
    pub max_calls: u32,
    /// `max_cps`: its new calls in any second; 0 for no limit. Default 0.
    pub max_cps: u32,
}

/// `[[rule]]`: what becomes of requests that fit. What is empty asks nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// `name`, in logs and counters.
    pub name: String,
    /// `from`: who sends.
    pub from: Vec<Sender>,
    /// `trunk`: names of trunks that it comes from.
    pub trunk: Vec<String>,
    /// `tenant`: names of tenants.
    pub tenant: Vec<String>,
    /// `domain`: hosts of the Request-URI; `*.` in front stands for all below.
    pub domain: Vec<String>,
    /// `method`: methods.
    pub method: Vec<String>,
    /// `prefix`: how the called number begins.
    pub prefix: Vec<String>,
    /// `number`: a regular expression over the user part of the Request-URI.
    pub number: Option<String>,
    /// `country`: codes by ISO 3166-1 alpha-2 of the sender's address, or `"unknown"`.
    pub country: Vec<String>,
    /// `remove_headers`: names; `*` at the end stands for anything.
    pub remove_headers: Vec<String>,
    /// `add_headers`: `"Name: value"`, with Kamailio's variables.
    pub add_headers: Vec<Header>,
    /// `action`; none to ask the rules behind this one.
    pub action: Option<Action>,
    /// `set` of `dispatch`.
    pub set: Option<u32>,
    /// `sets` of `nearest`.
    pub sets: Vec<u32>,
    /// `trunks` of `trunk`.
    pub trunks: Vec<String>,
    /// `code` of `reject`.
    pub code: Option<u16>,
    /// `reason` of `reject`.
    pub reason: Option<String>,
}

/// `[[site]]`: where dispatcher sets are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Site {
    /// `name`
    pub name: String,
    /// `sets`, at least one.
    pub sets: Vec<u32>,
    /// `latitude` in degrees, north counts up.
    pub latitude: Degrees,
    /// `longitude` in degrees, east counts up.
    pub longitude: Degrees,
}

/// An angle in millionths of a degree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Degrees(pub i32);

impl Degrees {
    /// In degrees.
    #[must_use]
    pub fn degrees(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl Serialize for Degrees {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.degrees())
    }
}

/// A header that is added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// `"carrier"`
    Carrier,
    /// `"user"`: a registered user agent.
    User,
    /// `"pool"`: a media server.
    Pool,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// `"dispatch"` to `set`.
    Dispatch,
    /// `"nearest"` of `sets`.
    Nearest,
    /// `"trunk"`: out by `trunks`, one after the other.
    Trunk,
    /// `"routes"`: out by the table `trunk_routing`.
    Routes,
    /// `"did"`: by the table `did_routing`.
    Did,
    /// `"default"`: as without rules.
    Default,
    /// `"reject"` with `code` and `reason`.
    Reject,
}
