//! Where requests lead: the rules, trunks and tenants of the configuration, and the tables `did_routing` and
//! `trunk_routing` in memory. Tables in, decisions out; a table is built once, then only read, so all SIP workers share it.

mod carrier;
mod dids;
mod geo;
mod limits;
mod number;
mod pattern;
mod plan;
mod prefixes;
mod rules;
mod trunks;

pub use carrier::{Allowance, Asserted, Codes, Identity, Tenant, Trunk};
pub use dids::{Did, Dids};
pub use geo::{Country, GeoIp, Place};
pub use limits::{Limit, Over, Purpose, Usage, UsageFigures, Usages};
pub use number::Number;
pub use pattern::{Pattern, Rewrite};
pub use plan::RoutePlan;
pub use prefixes::Prefixes;
pub use rules::{Action, Facts, HeaderName, Rule, Sender, Verdict, ask};
pub use trunks::TrunkRoutes;
