//! What the journal has of an address of record, as rows of the database's `location`.

use tandem_policy::LocationRow;
use tandem_policy::registrar::{Binding, decode};

use crate::hiding::Flow;
use crate::io::Path;
use crate::journal;

/// The rows of an address of record, from the body of its journal record, its contacts in their order. `streams` are the transports of
/// the stream listeners, as `socket` names them, in the order of the configuration. None when this is something else.
#[must_use]
pub fn location_rows(body: &[u8], streams: &[&str]) -> Option<Vec<LocationRow>> {
    let record = decode(journal::location_of(body)?)?;
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

/// `received` and `socket`.
fn way(flow: &Flow, streams: &[&str]) -> (String, String) {
    let transport = match flow.path {
        Path::Realm(_) | Path::Kernel(_) => "udp",
        Path::Stream(listener) => streams.get(usize::from(listener)).copied().unwrap_or("tcp"),
    };
    let received = match transport {
        "udp" => format!("sip:{}", flow.peer),
        other => format!("sip:{};transport={other}", flow.peer),
    };
    (received, format!("{transport}:{}", flow.local))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
