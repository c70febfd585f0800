//! What must be there and readable before any decision is taken (RFC 3261 sections 8.1.1 and 16.3).

use tandem_wire::sip::Name;

use crate::message::Message;
use crate::uri::Uri;
use crate::value::{NameAddr, Via};

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

/// Checks the headers that every message has.
///
/// # Errors
/// The first thing that is wrong.
pub fn validate(message: &Message<'_>) -> Result<(), Invalid> {
    // All of them: what stands behind a broken element may be anything.
    let mut vias = message.elements(Name::Via).map(Via::parse).peekable();
    if vias.peek().is_none() {
        return Err(Invalid::Missing(Name::Via));
    }
    if vias.any(|via| via.is_none()) {
        return Err(Invalid::Unreadable(Name::Via));
    }
    for name in [
        Name::From,
        Name::To,
        Name::CallId,
        Name::CSeq,
        Name::MaxForwards,
    ] {
        let mut fields = message.headers(name);
        match fields.next() {
            None if name == Name::MaxForwards => continue,
            None => return Err(Invalid::Missing(name)),
            Some([]) => return Err(Invalid::Unreadable(name)),
            Some(_) => {}
        }
        if fields.next().is_some() {
            return Err(Invalid::Repeated(name));
        }
    }
    for name in [Name::From, Name::To] {
        if message.header(name).and_then(NameAddr::parse).is_none() {
            return Err(Invalid::Unreadable(name));
        }
    }
    if message
        .header(Name::CallId)
        .is_some_and(|v| v.iter().any(u8::is_ascii_whitespace))
    {
        return Err(Invalid::Unreadable(Name::CallId));
    }
    if message.field(Name::MaxForwards).is_some() && message.max_forwards().is_none_or(|n| n > 255)
    {
        return Err(Invalid::Unreadable(Name::MaxForwards));
    }
    let cseq = message.cseq().ok_or(Invalid::Unreadable(Name::CSeq))?;
    match (message.method(), message.request_uri()) {
        (Some(method), _) if method != cseq.method => Err(Invalid::CSeqMethod),
        (_, Some(uri)) if Uri::parse(uri).is_none() => Err(Invalid::RequestUri),
        _ => Ok(()),
    }
}
