//! What FreeSWITCH asks and tells: the XML directory of mod_xml_curl, the CDRs of mod_xml_cdr, a client of
//! mod_event_socket, and the files that make a FreeSWITCH a member of the pool.
//!
//! Text in, values out, and back: no sockets, no clock. HTTP around it, the event socket's connection and the
//! database are the daemon's.
#![forbid(unsafe_code)]

pub mod cdr;
pub mod directory;
pub mod event_socket;
pub mod files;
mod form;
mod xml;

pub use form::{Form, FormError};

/// What a CDR becomes in the database.
pub mod row {
    pub use tandem_policy::FsCdr;
}
