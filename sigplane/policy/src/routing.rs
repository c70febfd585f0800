//! Where numbers lead: the tables `did_routing` and `trunk_routing` in memory. Tables in, decisions out; a table is
//! built once, then only read, so all SIP workers share it.

mod dids;
mod number;
mod prefixes;
mod trunks;

pub use dids::{Did, Dids};
pub use number::Number;
pub use prefixes::Prefixes;
pub use trunks::TrunkRoutes;
