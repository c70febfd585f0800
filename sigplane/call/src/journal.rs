//! Journal records: a version, then the state of a call, or of a registered user agent's flow, in postcard.

use crate::core::Binding;
use crate::record::Record;

/// The version of what follows it in a journal record.
const VERSION: u8 = 4;

/// The same of a flow: no call's version will ever be this.
const BINDING: u8 = 0x81;

/// What a record holds.
pub(crate) enum Kept {
    /// A call.
    Call(Box<Record>),
    /// A flow with a registered user agent.
    Binding(Binding),
}

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

/// Decodes a record, or says why it cannot.
pub(crate) fn decode(body: &[u8]) -> Result<Kept, String> {
    match body.split_first() {
        None => Err("it is empty".into()),
        Some((&VERSION, rest)) => whole(rest).map(|record| Kept::Call(Box::new(record))),
        Some((&BINDING, rest)) => whole(rest).map(Kept::Binding),
        Some((version, _)) => Err(format!("it has version {version}, not {VERSION}")),
    }
}

fn whole<'b, T: serde::Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes follow it", rest.len())),
        Err(e) => Err(e.to_string()),
    }
}
