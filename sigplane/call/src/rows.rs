//! What the journal has of an address of record or a call, as rows of the database's `location` and `dialog`.

use std::net::SocketAddr;

use tandem_policy::registrar::{Binding, Record, decode};
use tandem_policy::{DialogEnd, DialogRow, LocationRow};

use crate::hiding::Flow;
use crate::io::Path;
use crate::journal;
use crate::record::Peer;

/// The rows of an address of record, from the body of its journal record, its contacts in their order. `streams` are the transports of
/// the stream listeners, as `socket` names them, in the order of the configuration. None when this is something else.
#[must_use]
pub fn location_rows(body: &[u8], streams: &[&str]) -> Option<Vec<LocationRow>> {
    contact_rows(&decode(journal::location_of(body)?)?, streams)
}

/// The rows of an address of record; none where its name is none. `streams` as for [`location_rows`].
#[must_use]
pub fn contact_rows(record: &Record, streams: &[&str]) -> Option<Vec<LocationRow>> {
    let (user, domain) = text(&record.aor)
        .rsplit_once('@')
        .map(|(user, domain)| (user.to_owned(), domain.to_owned()))?;
    let row = |binding: &Binding| {
        let (received, socket) = match Flow::from_bytes(&binding.flow) {
            Some(flow) => way(&flow, streams),
            None => Default::default(),
        };
        LocationRow {
            username: user.clone(),
            domain: domain.clone(),
            contact: text(&binding.uri),
            received,
            path: text(&binding.path).replace('\0', ","),
            expires_s: binding.until_s,
            q: binding.q,
            callid: text(&binding.call_id),
            cseq: binding.cseq,
            user_agent: text(&binding.user_agent),
            socket,
            methods: binding.methods,
            instance: text(&binding.instance),
            reg_id: binding.reg_id,
        }
    };
    Some(record.bindings.iter().map(row).collect())
}

/// The row of an answered call, from the body of its journal record. `streams` as for [`location_rows`]. None when this is something else.
#[must_use]
pub fn dialog_row(body: &[u8], streams: &[&str]) -> Option<DialogRow> {
    let record = journal::decode(body).ok()?;
    let dialog = record.answered()?;
    let end = |peer: &Peer| DialogEnd {
        cseq: peer.cseq,
        route_set: text(&peer.routes.join(&b',')),
        contact: text(&peer.target),
        socket: socket(peer.hop.path, peer.hop.local, streams),
    };
    Some(DialogRow {
        callid: text(&record.call_id),
        from_tag: text(&record.from_tag),
        to_tag: text(&dialog.tag),
        caller: end(&record.caller),
        callee: end(&dialog.callee),
        acknowledged: dialog.acked.is_some(),
        start_s: record.answer_ms? / 1_000,
        from_uri: record.from_uri,
        to_uri: record.to_uri,
        req_uri: record.request_uri,
    })
}

/// `received` and `socket`.
fn way(flow: &Flow, streams: &[&str]) -> (String, String) {
    let received = match transport(flow.path, streams) {
        "udp" => format!("sip:{}", flow.peer),
        other => format!("sip:{};transport={other}", flow.peer),
    };
    (received, socket(flow.path, flow.local, streams))
}

fn socket(path: Path, local: SocketAddr, streams: &[&str]) -> String {
    format!("{}:{local}", transport(path, streams))
}

fn transport<'a>(path: Path, streams: &[&'a str]) -> &'a str {
    match path {
        Path::Realm(_) | Path::Kernel(_) => "udp",
        Path::Stream(listener) => streams.get(usize::from(listener)).copied().unwrap_or("tcp"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
