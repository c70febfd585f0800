//! The appliance's one configuration file, read and checked the same way by both daemons and by
//! `tandemctl config check`.
//!
//! Pure: text in, [`Config`] or every mistake out, each with its line and its remedy.
#![forbid(unsafe_code)]

mod model;

pub use model::{
    Admin, Config, Dataplane, Database, Dispatcher, Idle, KernelListen, Media, Node, Port, Realm,
    Routing, Side, Sip,
};
