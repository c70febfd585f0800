//! What must be there and readable before any decision is taken (RFC 3261 sections 8.1.1 and 16.3).

use tandem_wire::sip::Name;

use crate::message::Message;
use crate::uri::Uri;
use crate::value::{CSeq, NameAddr, Via, number};

/// Why a message is refused: the header that is at fault. The peer broke the protocol; a request gets 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// A mandatory header is absent.
    Missing(Name),
    /// A header that may stand once stands more often.
    Repeated(Name),
    /// A header's value cannot be read.
    Unreadable(Name),
    /// CSeq's method is not the request's.
    CSeqMethod,
    /// The Request-URI's scheme is one that we know, but the rest cannot be read.
    RequestUri,
}

impl Invalid {
    /// The header at fault; `Other` for the request line.
    #[must_use]
    pub const fn header(self) -> Name {
        match self {
            Self::Missing(name) | Self::Repeated(name) | Self::Unreadable(name) => name,
            Self::CSeqMethod => Name::CSeq,
            Self::RequestUri => Name::Other,
        }
    }

    /// A reason phrase for a 400.
    #[must_use]
    pub fn reason(self) -> String {
        match self {
            Self::Missing(name) => format!("Missing {} Header", name.as_str()),
            Self::Repeated(name) => format!("More Than One {} Header", name.as_str()),
            Self::Unreadable(name) => format!("Malformed {} Header", name.as_str()),
            Self::CSeqMethod => "CSeq Method Mismatch".to_owned(),
            Self::RequestUri => "Malformed Request-URI".to_owned(),
        }
    }
}

/// What every message has, each value read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Essentials<'a> {
    /// The topmost Via.
    pub via: Via<'a>,
    /// From, and its text.
    pub from: NameAddr<'a>,
    /// From as it stands there.
    pub from_text: &'a [u8],
    /// To.
    pub to: NameAddr<'a>,
    /// To as it stands there.
    pub to_text: &'a [u8],
    /// Call-ID.
    pub call_id: &'a [u8],
    /// CSeq.
    pub cseq: CSeq<'a>,
    /// Max-Forwards; none when absent.
    pub max_forwards: Option<u32>,
}

/// Checks the headers that every message has.
///
/// # Errors
/// The first thing that is wrong.
pub fn validate(message: &Message<'_>) -> Result<(), Invalid> {
    essentials(message).map(drop)
}

/// The same, and what was read on the way.
///
/// # Errors
/// The first thing that is wrong.
pub fn essentials<'a>(message: &Message<'a>) -> Result<Essentials<'a>, Invalid> {
    // All of them: what stands behind a broken element may be anything.
    let mut vias = message.elements(Name::Via).map(Via::parse);
    let via = vias.next().ok_or(Invalid::Missing(Name::Via))?;
    let via = via.ok_or(Invalid::Unreadable(Name::Via))?;
    if vias.any(|via| via.is_none()) {
        return Err(Invalid::Unreadable(Name::Via));
    }
    let bytes = message.bytes();
    let mut once: [Option<&[u8]>; 5] = [None; 5];
    let mut repeated = [false; 5];
    for field in &message.index().fields {
        let Some(at) = ONCE.iter().position(|name| *name == field.name) else {
            continue;
        };
        if let (Some(value), Some(repeated)) = (once.get_mut(at), repeated.get_mut(at)) {
            *repeated |= value.is_some();
            value.get_or_insert(bytes.get(field.value.clone()).unwrap_or_default());
        }
    }
    let [from, to, call_id, cseq, max_forwards] = once;
    for ((name, value), repeated) in ONCE.into_iter().zip(once).zip(repeated) {
        match value {
            None if name == Name::MaxForwards => {}
            None => return Err(Invalid::Missing(name)),
            Some([]) => return Err(Invalid::Unreadable(name)),
            Some(_) if repeated => return Err(Invalid::Repeated(name)),
            Some(_) => {}
        }
    }
    let (from_text, to_text) = (from.unwrap_or_default(), to.unwrap_or_default());
    let from = NameAddr::parse(from_text).ok_or(Invalid::Unreadable(Name::From))?;
    let to = NameAddr::parse(to_text).ok_or(Invalid::Unreadable(Name::To))?;
    let call_id = call_id.unwrap_or_default();
    if call_id.iter().any(u8::is_ascii_whitespace) {
        return Err(Invalid::Unreadable(Name::CallId));
    }
    let hops = max_forwards.map(|text| number(text).filter(|n| *n <= 255));
    if hops == Some(None) {
        return Err(Invalid::Unreadable(Name::MaxForwards));
    }
    let cseq = CSeq::parse(cseq.unwrap_or_default()).ok_or(Invalid::Unreadable(Name::CSeq))?;
    match (message.method(), message.request_uri()) {
        (Some(method), _) if method != cseq.method => return Err(Invalid::CSeqMethod),
        (_, Some(uri)) if Uri::parse(uri).is_none() => return Err(Invalid::RequestUri),
        _ => {}
    }
    Ok(Essentials {
        via,
        from,
        from_text,
        to,
        to_text,
        call_id,
        cseq,
        max_forwards: hops.flatten(),
    })
}

/// The headers that stand in a message once.
const ONCE: [Name; 5] = [
    Name::From,
    Name::To,
    Name::CallId,
    Name::CSeq,
    Name::MaxForwards,
];
