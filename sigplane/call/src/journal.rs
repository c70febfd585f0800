//! Journal records: a version, then the state of a call, or of a registered user agent's flow, in postcard.

use serde::{Deserialize, Serialize};

mod before;

use tandem_policy::CdrQuality;

use crate::core::Binding;
use crate::media::{More, Session};
use crate::record::Record;

/// The version of what follows it in a journal record: a call's state, and [`Behind`] it.
const VERSION: u8 = 6;

/// The versions before it, which are still read: calls outlive an update. This one had nothing behind the state.
const BEFORE: u8 = 5;
const LONG_BEFORE: u8 = 4;

/// What came to a call's state with version 6: each part is there if there is something in it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Behind<M> {
    media: Option<M>,
    caller: Option<CdrQuality>,
    callee: Option<CdrQuality>,
}

/// The same of a flow: no call's version will ever be this.
const BINDING: u8 = 0x81;

/// Encodes a flow's state.
pub(crate) fn encode_binding(binding: &Binding) -> Vec<u8> {
    let mut body = vec![BINDING];
    body.extend(postcard::to_allocvec(binding).unwrap_or_default());
    body
}

/// The same of an administrator's word on a target.
const HELD: u8 = 0x82;

/// A target that the administrator took out, by its place: row ids may change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldTarget {
    pub(crate) set: u32,
    pub(crate) destination: String,
    /// Else it is disabled.
    pub(crate) draining: bool,
}

/// Encodes an administrator's word.
pub(crate) fn encode_held(held: &HeldTarget) -> Vec<u8> {
    let mut body = vec![HELD];
    body.extend(postcard::to_allocvec(held).unwrap_or_default());
    body
}

/// Decodes it, or says why it cannot; none when this is something else.
pub(crate) fn decode_held(body: &[u8]) -> Option<Result<HeldTarget, String>> {
    body.strip_prefix(&[HELD]).map(whole)
}

/// The same of an address of record.
const LOCATION: u8 = 0x83;

/// An address of record's bytes, as the journal has them.
pub(crate) fn tag_location(bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes.len() + 1);
    body.push(LOCATION);
    body.extend_from_slice(bytes);
    body
}

/// An address of record's bytes; none when this is something else.
pub(crate) fn location_of(body: &[u8]) -> Option<&[u8]> {
    body.strip_prefix(&[LOCATION])
}

/// What most records need, in bytes.
const ROOM: usize = 640;

/// Encodes a call's state.
pub(crate) fn encode(record: &Record) -> Vec<u8> {
    let mut body = Vec::with_capacity(ROOM);
    body.push(VERSION);
    let behind = Behind {
        media: record.media.as_ref().and_then(Session::more),
        caller: record.caller_quality.said(),
        callee: record.callee_quality.said(),
    };
    // postcard fails only on types without a known length, which a record does not have.
    postcard::to_extend(&(record, behind), body).unwrap_or_default()
}

/// Decodes a call's state, or says why it cannot.
pub(crate) fn decode(body: &[u8]) -> Result<Record, String> {
    match body.split_first() {
        None => Err("it is empty".into()),
        Some((&VERSION, rest)) => {
            whole::<(Record, Behind<More>)>(rest).map(|(mut record, behind)| {
                if let (Some(session), Some(more)) = (&mut record.media, behind.media) {
                    session.set_more(more);
                }
                record.caller_quality = behind.caller.unwrap_or_default();
                record.callee_quality = behind.callee.unwrap_or_default();
                record
            })
        }
        Some((&BEFORE, rest)) => whole(rest),
        Some((&LONG_BEFORE, rest)) => whole::<before::Record>(rest).map(Record::from),
        Some((version, _)) => Err(format!(
            "it has version {version}, not {LONG_BEFORE} to {VERSION}"
        )),
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

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::{decode, encode};

    /// A call that version 4 wrote: answered, with media, its caller and its callee.
    const WRITTEN_BEFORE: &str = "040002633105616c696365223c7369703a616c696365403230332e302e3131332e31303e3b7461673d616c696365167369703a616c696365403230332e302e3131332e3130147369703a313030403139382e35312e3130302e31147369703a313030403139382e35312e3130302e3100cb00710ac4270102127369703a31302e302e302e31313a35303630000000c6336401c42700cb00710ac4270000001a7369703a75736572403230332e302e3131332e31303a35303630000104757365720103626f621e3c7369703a313030403139382e35312e3130302e313e3b7461673d626f620001000a000001c427000a00000bc427000000187369703a6d656469614031302e302e302e31313a353036300000056d65646961000103626f620080d095ffbc310180d095ffbc31c801024f4b0000019888a0abfef96200012e3c901c0100c633640101000a000001010181808682e8cabfde18000000c6336401a0eb010100cb00710ac0b8020100cb00710ac1b8020101000001000a000001feea0101000a00000ba09c0101000a00000ba19c01010100000000010000010102000100cb00710ac0b8020100cb00710ac1b802000100010003626f6201010000000000000000";

    #[test]
    fn a_call_of_the_version_before_is_read() {
        let body: Vec<u8> = (0..WRITTEN_BEFORE.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&WRITTEN_BEFORE[at..at + 2], 16).unwrap())
            .collect();
        let record = decode(&body).unwrap();
        assert_eq!(record.from_uri, "sip:alice@203.0.113.10");
        assert_eq!(record.answered().unwrap().callee.alias, b"media");
        assert_eq!(record.media.as_ref().unwrap().flows().len(), 1);
        assert_eq!((record.sip_code, record.tenant.as_str()), (200, ""));
        // And again as this one writes it.
        let again = decode(&encode(&record)).unwrap();
        assert_eq!(format!("{again:?}"), format!("{record:?}"));
        // The same as version 5 wrote it: nothing stands behind it.
        let mut between = vec![super::BEFORE];
        between.extend(postcard::to_allocvec(&record).unwrap());
        assert_eq!(
            format!("{:?}", decode(&between).unwrap()),
            format!("{record:?}")
        );
        for end in 0..body.len() {
            assert!(decode(&body[..end]).is_err(), "cut off at {end}");
        }
    }

    #[test]
    fn bytes_at_once_are_encoded_as_bytes_one_by_one() {
        #[derive(Serialize)]
        struct OneByOne(Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>);
        #[derive(Serialize)]
        struct AtOnce(
            #[serde(with = "serde_bytes")] Vec<u8>,
            #[serde(with = "serde_bytes")] Option<Vec<u8>>,
            #[serde(with = "serde_bytes")] Option<Vec<u8>>,
        );
        // Records of an earlier version of ours are read by this one.
        let (long, short) = (vec![7; 300], b"ab".to_vec());
        assert_eq!(
            postcard::to_allocvec(&OneByOne(long.clone(), Some(short.clone()), None)),
            postcard::to_allocvec(&AtOnce(long, Some(short), None)),
        );
    }
}
