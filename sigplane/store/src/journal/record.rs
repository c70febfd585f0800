//! One record: length, CRC32, and what they protect.
//!
//! ```text
//! u32 length of the payload | u32 CRC32 of length and payload | payload
//! payload: u8 version | u8 flags | u64 sequence | u64 key
//!          | with BODY: u32 length, bytes | with CDR or FS_CDR: postcard of policy::Cdr or policy::FsCdr, to the end
//! LOCATION and DIALOG say that this table of the database wants to know of the body, or that there is none any more.
//! ```
//! All numbers are little-endian.

mod before;

use tandem_policy::{Cdr, CdrQuality, Follower, FsCdr};

use super::{Change, Entry};

/// The bytes before the payload.
pub(super) const HEADER: usize = 8;
/// The payload's fixed part.
const FIXED: usize = 18;
/// The largest payload that is believed: far above any call's state, small enough that a damaged
/// length is noticed.
const MAX_PAYLOAD: usize = 16 * 1024 * 1024;
/// Goes up when the payload, or [`Cdr`], changes its form. The one before is still read: CDRs that wait for the database outlive an update.
const VERSION: u8 = 3;
/// Without the figures behind a [`Cdr`].
const BEFORE: u8 = 2;
/// With CDRs as in [`before`].
const LONG_BEFORE: u8 = 1;

const BODY: u8 = 1;
const CDR: u8 = 2;
const LOCATION: u8 = 4;
const DIALOG: u8 = 8;
/// No record has this and [`CDR`].
const FS_CDR: u8 = 16;

/// A record as it lies in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// Ascending over the whole journal.
    pub(super) sequence: u64,
    /// The call.
    pub(super) key: u64,
    /// Its state; none ends it.
    pub(super) body: Option<&'a [u8]>,
    /// Its CDR, still encoded.
    cdr: Option<&'a [u8]>,
    version: u8,
    /// A CDR of FreeSWITCH, still encoded.
    fs_cdr: Option<&'a [u8]>,
    /// The table that follows it.
    follower: Option<Follower>,
    /// The whole record's length, header included.
    pub(super) length: usize,
}

impl Record<'_> {
    /// Whether it carries a CDR.
    pub(super) fn has_cdr(&self) -> bool {
        self.cdr.is_some()
    }

    /// What the database is to have of it: the CDR, and the table that follows it.
    pub(super) fn changes(&self) -> Result<impl Iterator<Item = Change> + use<>, Bad> {
        let cdr = self.cdr()?.map(|cdr| Change::Cdr(Box::new(cdr)));
        let fs_cdr = self
            .fs_cdr
            .map(|bytes| postcard::from_bytes(bytes).map_err(|_| Bad::Payload("FreeSWITCH's CDR")))
            .transpose()?;
        let fs_cdr = fs_cdr.map(|cdr| Change::FsCdr(Box::new(cdr)));
        let row = self.follower.map(|follower| Change::Row {
            follower,
            key: self.key,
            body: self.body.map(<[u8]>::to_vec),
        });
        Ok(cdr.into_iter().chain(fs_cdr).chain(row))
    }

    /// Whether the database is to have something of it.
    pub(super) fn is_for_the_database(&self) -> bool {
        self.has_cdr() || self.fs_cdr.is_some() || self.follower.is_some()
    }

    /// Its CDR.
    pub(super) fn cdr(&self) -> Result<Option<Cdr>, Bad> {
        let read = |bytes| match self.version {
            LONG_BEFORE => postcard::from_bytes::<before::Cdr>(bytes).map(Cdr::from),
            BEFORE => postcard::from_bytes(bytes),
            _ => postcard::from_bytes::<(Cdr, Option<CdrQuality>, Option<CdrQuality>)>(bytes).map(
                |(mut cdr, caller, callee)| {
                    cdr.caller_quality = caller.unwrap_or_default();
                    cdr.callee_quality = callee.unwrap_or_default();
                    cdr
                },
            ),
        };
        self.cdr
            .map(|bytes| read(bytes).map_err(|_| Bad::Payload("its CDR")))
            .transpose()
    }
}

/// What the database wants of a record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted<'a> {
    pub(super) cdr: Option<&'a Cdr>,
    /// Not beside a CDR of ours.
    pub(super) fs_cdr: Option<&'a FsCdr>,
    /// Its body, or that there is none any more, for this table.
    pub(super) follower: Option<Follower>,
}

impl<'a> Wanted<'a> {
    pub(super) fn of(entry: &'a Entry) -> Self {
        Self {
            cdr: entry.cdr.as_deref(),
            fs_cdr: None,
            follower: entry.follower,
        }
    }
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// They end before the record does.
    Short,
    /// The length cannot be right.
    Length,
    /// The checksum does not fit.
    Checksum,
    /// Whole, but of another version of this software.
    Version(u8),
    /// Whole, but this part of it is not what it should be.
    Payload(&'static str),
}

impl Bad {
    /// Whether a write that was cut off can have left this behind.
    pub(super) const fn may_be_torn(self) -> bool {
        matches!(self, Self::Short | Self::Length | Self::Checksum)
    }
}

impl std::fmt::Display for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short => f.write_str("the record is cut off"),
            Self::Length => f.write_str("the record's length is not believable"),
            Self::Checksum => f.write_str("the record's checksum is wrong"),
            Self::Version(v) => write!(
                f,
                "the record has version {v}, this software reads {LONG_BEFORE} to {VERSION}"
            ),
            Self::Payload(what) => write!(f, "{what} is not readable"),
        }
    }
}

/// Appends a record to `out`; returns its length.
pub(super) fn encode(
    out: &mut Vec<u8>,
    sequence: u64,
    key: u64,
    body: Option<&[u8]>,
    wanted: Wanted<'_>,
) -> usize {
    let Wanted {
        cdr,
        fs_cdr,
        follower,
    } = wanted;
    let follower = match follower {
        None => 0,
        Some(Follower::Location) => LOCATION,
        Some(Follower::Dialog) => DIALOG,
    };
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    let flags = if body.is_some() { BODY } else { 0 }
        | if cdr.is_some() { CDR } else { 0 }
        | if fs_cdr.is_some() { FS_CDR } else { 0 }
        | follower;
    out.extend_from_slice(&[VERSION, flags]);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&key.to_le_bytes());
    if let Some(body) = body {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(body);
    }
    if let Some(cdr) = cdr {
        // Plain values into memory: postcard cannot fail here.
        let (caller, callee) = (cdr.caller_quality.said(), cdr.callee_quality.said());
        let whole = (cdr, caller, callee);
        out.extend_from_slice(&postcard::to_allocvec(&whole).unwrap_or_default());
    }
    if let Some(cdr) = fs_cdr {
        out.extend_from_slice(&postcard::to_allocvec(cdr).unwrap_or_default());
    }
    let length = out.len() - start;
    let payload = u32::try_from(length - HEADER)
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    let crc = checksum(payload, out.get(start + HEADER..).unwrap_or_default()).to_le_bytes();
    for (place, byte) in out
        .iter_mut()
        .skip(start)
        .zip(payload.into_iter().chain(crc))
    {
        *place = byte;
    }
    length
}

/// Reads the record at the start of `bytes`.
pub(super) fn decode(bytes: &[u8]) -> Result<Record<'_>, Bad> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(Bad::Short)?;
    let (crc, rest) = rest.split_first_chunk::<4>().ok_or(Bad::Short)?;
    let size = u32::from_le_bytes(*length) as usize;
    if !(FIXED..=MAX_PAYLOAD).contains(&size) {
        return Err(Bad::Length);
    }
    let payload = rest.get(..size).ok_or(Bad::Short)?;
    if checksum(*length, payload) != u32::from_le_bytes(*crc) {
        return Err(Bad::Checksum);
    }
    decode_payload(payload)
}

fn decode_payload(payload: &[u8]) -> Result<Record<'_>, Bad> {
    let (&[version, flags], rest) = payload.split_first_chunk::<2>().ok_or(Bad::Length)?;
    if !matches!(version, LONG_BEFORE | BEFORE | VERSION) {
        return Err(Bad::Version(version));
    }
    let (sequence, rest) = rest.split_first_chunk::<8>().ok_or(Bad::Length)?;
    let (key, mut rest) = rest.split_first_chunk::<8>().ok_or(Bad::Length)?;
    let mut body = None;
    if flags & BODY != 0 {
        let (length, behind) = rest
            .split_first_chunk::<4>()
            .ok_or(Bad::Payload("its body"))?;
        let (bytes, behind) = behind
            .split_at_checked(u32::from_le_bytes(*length) as usize)
            .ok_or(Bad::Payload("its body"))?;
        body = Some(bytes);
        rest = behind;
    }
    Ok(Record {
        sequence: u64::from_le_bytes(*sequence),
        key: u64::from_le_bytes(*key),
        body,
        cdr: (flags & CDR != 0).then_some(rest),
        version,
        fs_cdr: (flags & FS_CDR != 0).then_some(rest),
        follower: match flags & (LOCATION | DIALOG) {
            0 => None,
            LOCATION => Some(Follower::Location),
            DIALOG => Some(Follower::Dialog),
            _ => return Err(Bad::Payload("which table follows it")),
        },
        length: HEADER + payload.len(),
    })
}

/// Whether a whole record lies anywhere in `bytes`: if so, what is before it was damaged and not
/// merely cut off. A chance hit has to pass the checksum and the ascending sequence.
pub(super) fn any_record_in(bytes: &[u8], after: u64) -> bool {
    (0..bytes.len()).any(|at| {
        bytes
            .get(at..)
            .and_then(|rest| decode(rest).ok())
            .is_some_and(|record| record.sequence > after)
    })
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_comes_back_as_it_went() {
        let mut bytes = Vec::new();
        let mut cdr = crate::journal::tests::cdr("a");
        cdr.callee_quality.events = 3;
        let wanted = Wanted {
            cdr: Some(&cdr),
            fs_cdr: None,
            follower: Some(Follower::Dialog),
        };
        let length = encode(&mut bytes, 7, 9, Some(b"state"), wanted);
        assert_eq!(length, bytes.len());
        let record = decode(&bytes).unwrap();
        assert_eq!(
            (record.sequence, record.key, record.body),
            (7, 9, Some(&b"state"[..]))
        );
        assert_eq!(record.cdr().unwrap(), Some(cdr));
        assert_eq!(record.length, length);
    }

    /// What version 1 wrote for the CDR of [`crate::journal::tests::cdr`], with an answer.
    const WRITTEN_BEFORE: &str = "b700000037b1b154010b0700000000000000090000000000000005000000737461746501610d61406578616d706c652e636f6d01660007696e626f756e64117369703a61406578616d706c652e636f6d117369703a62406578616d706c652e636f6d0f7369703a62403139322e302e322e31113139382e35312e3130302e313a35303630127369703a3139322e302e322e393a3530363080d095ffbc3101f4d395ffbc31e8d795ffbc31e60309427573792048657265030102030400000000";

    #[test]
    fn a_cdr_of_the_version_before_is_read() {
        let bytes: Vec<u8> = (0..WRITTEN_BEFORE.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&WRITTEN_BEFORE[at..at + 2], 16).unwrap())
            .collect();
        let record = decode(&bytes).unwrap();
        assert_eq!((record.sequence, record.key), (7, 9));
        let expected = crate::journal::tests::cdr("a");
        let cdr = record.cdr().unwrap().unwrap();
        assert_eq!(cdr.call_uuid, expected.call_uuid);
        assert_eq!(cdr.answer_ms, Some(1_700_000_000_500));
        assert_eq!(cdr.cause, expected.cause);
        let media = &cdr.caller_media;
        assert_eq!(
            (media.packets, media.bytes, media.lost, media.jitter),
            (1, 2, 3, 4)
        );
        assert_eq!((cdr.tenant.as_str(), cdr.attempts), ("", 0));
    }

    #[test]
    fn a_cdr_of_version_2_has_nothing_behind_it() {
        let cdr = crate::journal::tests::cdr("a");
        let mut payload = vec![BEFORE, CDR];
        payload.extend([7u64, 9].map(u64::to_le_bytes).concat());
        payload.extend(postcard::to_allocvec(&cdr).unwrap());
        let record = decode_payload(&payload).unwrap();
        assert_eq!(record.cdr().unwrap(), Some(cdr));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        encode(&mut bytes, 7, 9, Some(b"state"), Wanted::default());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(decode(&damaged).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = decode(&bytes);
            let _ = decode_payload(&bytes);
        }
    }
}
