//! The appliance's one configuration file, read and checked the same way by both daemons and by
//! `tandemctl config check`.
//!
//! Pure: text in, [`Config`] or every mistake out, each with its line and its remedy.
//!
//! ```
//! let mistakes = tandem_config::parse("[node]\nid = 0\n").unwrap_err();
//! assert!(mistakes[0].to_string().starts_with("line 1: "));
//! ```
#![forbid(unsafe_code)]

mod check;
mod database;
mod diff;
mod freeswitch;
mod http;
mod keys;
mod mistake;
mod model;
mod parse;
mod place;
mod routing;
mod section;
mod value;

pub use database::{DatabaseHost, DatabaseUrl, MariaDbUrl, Password, url as database_url};
pub use diff::{Change, diff};
pub use freeswitch::{Freeswitch, FreeswitchRoute};
pub use http::{HttpCertificate, HttpListen, HttpService, MetricsAccess};
pub use keys::{Needs, needs};
pub use mistake::Mistake;
pub use model::{
    Admin, Algorithm, Certificate, ClientCertificate, Config, Database, Dataplane, Defence,
    Dispatcher, DispatcherSet, Dns, Hiding, Idle, KernelListen, Listen, Media, MediaSource, Nat,
    Network, Node, Overload, PathRule, Police, Port, Realm, Registrar, Routing, Seccomp, Side, Sip,
    Stateless, StreamTransport, Streams, Tls, TlsTrunk,
};
pub use parse::parse;
pub use place::{place, without_secrets};
pub use routing::{Action, Asserted, Degrees, Header, Rewrite, Rule, Sender, Site, Tenant, Trunk};
