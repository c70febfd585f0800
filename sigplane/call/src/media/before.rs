//! A session as the journal of the version before had it.

use std::collections::VecDeque;
use std::net::IpAddr;

use serde::Deserialize;
use tandem_link::Cookie;

use super::line::{LegState, Line};
use super::offer::Offer;
use super::session::{MediaSettings, More, Notes, Session};

/// A [`Session`] in version 4 of the journal's records.
#[derive(Deserialize)]
pub(crate) struct SessionBefore {
    cookie: Cookie,
    realms: [u16; 2],
    settings: MediaSettings,
    addresses: [Option<IpAddr>; 2],
    lines: Vec<Option<Line>>,
    offer: Option<Offer>,
    kept: Vec<Option<LegState>>,
    #[serde(with = "serde_bytes")]
    tag: Vec<u8>,
    established: bool,
    generation: u8,
}

impl From<SessionBefore> for Session {
    fn from(before: SessionBefore) -> Self {
        Self {
            cookie: before.cookie,
            realms: before.realms,
            settings: before.settings,
            addresses: before.addresses,
            lines: before.lines,
            offer: before.offer,
            kept: before.kept,
            tag: before.tag,
            established: before.established,
            generation: before.generation,
            formats: Vec::new(),
            more: More::default(),
            commands: VecDeque::new(),
            notes: Notes::default(),
        }
    }
}
