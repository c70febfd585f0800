//! Journal records: a version, then the state of a call, or of a registered user agent's flow, in postcard.

use crate::core::Binding;
use crate::record::Record;

/// The version of what follows it in a journal record.
const VERSION: u8 = 4;

/// The same of a flow: no call's version will ever be this.
const BINDING: u8 = 0x81;

/// Encodes a flow's state.
pub(crate) fn encode_binding(binding: &Binding) -> Vec<u8> {
    let mut body = vec![BINDING];
    body.extend(postcard::to_allocvec(binding).unwrap_or_default());
    body
}

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
        Some((&VERSION, rest)) => whole(rest),
        Some((version, _)) => Err(format!("it has version {version}, not {VERSION}")),
    }
}

/// Decodes a flow's state, or says why it cannot; none when this is a call's.
pub(crate) fn decode_binding(body: &[u8]) -> Option<Result<Binding, String>> {
    body.strip_prefix(&[BINDING]).map(whole)
}

fn whole<'b, T: serde::Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes follow it", rest.len())),
        Err(e) => Err(e.to_string()),
    }
}
