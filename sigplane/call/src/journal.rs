//! Journal records: a version, then the call's state in postcard.

use crate::record::Record;

/// The version of what follows it in a journal record.
const VERSION: u8 = 3;

/// Encodes a call's state.
pub(crate) fn encode(record: &Record) -> Vec<u8> {
    let mut body = vec![VERSION];
    // postcard fails only on types without a known length, which a record does not have.
    body.extend(postcard::to_allocvec(record).unwrap_or_default());
    body
}

/// Decodes a call's state, or says why it cannot.
pub(crate) fn decode(body: &[u8]) -> Result<Record, String> {
    match body.split_first() {
        None => Err("it is empty".into()),
        Some((&VERSION, rest)) => match postcard::take_from_bytes::<Record>(rest) {
            Ok((record, [])) => Ok(record),
            Ok((_, rest)) => Err(format!("{} bytes follow it", rest.len())),
            Err(e) => Err(e.to_string()),
        },
        Some((version, _)) => Err(format!("it has version {version}, not {VERSION}")),
    }
}
