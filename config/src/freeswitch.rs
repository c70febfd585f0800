//! `[freeswitch]`: services for media servers, and what their files say.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::model::{Network, Registrar};

/// `[freeswitch]`: the services below `/freeswitch/` of an `[[http]]` listener, the members' event sockets, and what
/// `tandemctl export freeswitch` writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Freeswitch {
    /// `user`: who mod_xml_curl and mod_xml_cdr say they are. Default `freeswitch`.
    pub user: String,
    /// `password_file`: its first line is the password of that user. Needed where a listener serves `freeswitch`.
    pub password_file: Option<PathBuf>,
    /// `networks`: who may ask. Default: whoever the listener lets in.
    pub networks: Vec<Network>,
    /// `domains`, in lower case: whose users the directory tells of. None: those of `[registrar]`.
    pub domains: Option<Vec<String>>,
    /// `passwords`: whether the directory has passwords where the table has them, and not hashes alone. Default false.
    pub passwords: bool,
    /// `user_context`: the context of the users' calls. Default `default`.
    pub user_context: String,
    /// `url`: where the members reach the listener.
    pub url: Option<String>,
    /// `context`: of calls from us that no route has. Default `public`.
    pub context: String,
    /// `[[freeswitch.route]]`: contexts of calls from us.
    #[serde(rename = "route")]
    pub routes: Vec<FreeswitchRoute>,
    /// `event_socket`: the port of the members' event sockets; none: they are not asked.
    pub event_socket: Option<u16>,
    /// `event_socket_password_file`: its first line is their password.
    pub event_socket_password_file: Option<PathBuf>,
    /// `event_socket_interval`: how often a member that drains is asked. Default 2 s.
    pub event_socket_interval: Duration,
}

impl Freeswitch {
    /// Whose users the directory tells of.
    #[must_use]
    pub fn domains<'c>(&'c self, registrar: &'c Registrar) -> &'c [String] {
        self.domains.as_ref().unwrap_or(&registrar.domains)
    }
}

/// `[[freeswitch.route]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FreeswitchRoute {
    /// `dest_type`: what `X-Dest-Type` says; none for any.
    pub dest_type: Option<String>,
    /// `number`: a regular expression of FreeSWITCH's dialplan on the called number; none for any.
    pub number: Option<String>,
    /// `context`: where such calls go.
    pub context: String,
}
