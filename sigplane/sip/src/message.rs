//! A message: bytes and the index of where things are in them.

use std::ops::Range;

use tandem_wire::sip::{self, Error, Field, Index, Name, Start};

use crate::list::split_list;
use crate::value::{CSeq, NameAddr, Via, number};

/// A SIP message as it came, with its index.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    index: Index,
}

impl<'a> Message<'a> {
    /// Indexes a datagram.
    ///
    /// # Errors
    /// Its framing is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        Ok(Self {
            bytes,
            index: sip::parse(bytes)?,
        })
    }

    /// Indexes a request whose framing is wrong, so that an answer can name the fault: its request
    /// line, its version or its Content-Length.
    ///
    /// # Errors
    /// It is broken beyond that.
    pub fn salvage(bytes: &'a [u8]) -> Result<Self, Error> {
        Ok(Self {
            bytes,
            index: sip::salvage(bytes)?,
        })
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The index.
    #[must_use]
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// Whether it is a request.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        matches!(self.index.start, Start::Request { .. })
    }

    /// A request's method.
    #[must_use]
    pub fn method(&self) -> Option<&'a [u8]> {
        match &self.index.start {
            Start::Request { method, .. } => self.slice(method),
            Start::Response { .. } => None,
        }
    }

    /// A request's Request-URI.
    #[must_use]
    pub fn request_uri(&self) -> Option<&'a [u8]> {
        match &self.index.start {
            Start::Request { uri, .. } => self.slice(uri),
            Start::Response { .. } => None,
        }
    }

    /// A response's status.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self.index.start {
            Start::Response { status, .. } => Some(status),
            Start::Request { .. } => None,
        }
    }

    /// A response's reason phrase.
    #[must_use]
    pub fn reason(&self) -> Option<&'a [u8]> {
        match &self.index.start {
            Start::Response { reason, .. } => self.slice(reason),
            Start::Request { .. } => None,
        }
    }

    /// The first field of this name.
    #[must_use]
    pub fn field(&self, name: Name) -> Option<&Field> {
        self.fields(name).next()
    }

    /// All fields of this name.
    pub fn fields(&self, name: Name) -> impl Iterator<Item = &Field> {
        self.index.fields.iter().filter(move |f| f.name == name)
    }

    /// The first value of this name.
    #[must_use]
    pub fn header(&self, name: Name) -> Option<&'a [u8]> {
        self.field(name).and_then(|f| self.slice(&f.value))
    }

    /// Every value of this name, a value for each field.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.fields(name).filter_map(|f| self.slice(&f.value))
    }

    /// Every element of a list header (Via, Route, Contact, Supported...), over all its fields and
    /// their commas.
    pub fn elements(&self, name: Name) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.headers(name).flat_map(split_list)
    }

    /// The body; empty when there is none.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.slice(&self.index.body).unwrap_or_default()
    }

    /// The topmost Via.
    #[must_use]
    pub fn top_via(&self) -> Option<Via<'a>> {
        self.elements(Name::Via).next().and_then(Via::parse)
    }

    /// From.
    #[must_use]
    pub fn from(&self) -> Option<NameAddr<'a>> {
        self.header(Name::From).and_then(NameAddr::parse)
    }

    /// To.
    #[must_use]
    pub fn to(&self) -> Option<NameAddr<'a>> {
        self.header(Name::To).and_then(NameAddr::parse)
    }

    /// The tag of From; none when there is none.
    #[must_use]
    pub fn from_tag(&self) -> Option<&'a [u8]> {
        self.from().and_then(|f| f.tag())
    }

    /// The tag of To; none when there is none.
    #[must_use]
    pub fn to_tag(&self) -> Option<&'a [u8]> {
        self.to().and_then(|t| t.tag())
    }

    /// Call-ID.
    #[must_use]
    pub fn call_id(&self) -> Option<&'a [u8]> {
        self.header(Name::CallId)
    }

    /// CSeq.
    #[must_use]
    pub fn cseq(&self) -> Option<CSeq<'a>> {
        self.header(Name::CSeq).and_then(CSeq::parse)
    }

    /// The first Contact, unless it is `*`.
    #[must_use]
    pub fn contact(&self) -> Option<NameAddr<'a>> {
        self.elements(Name::Contact)
            .next()
            .and_then(NameAddr::parse)
    }

    /// Max-Forwards; none when absent or not a number.
    #[must_use]
    pub fn max_forwards(&self) -> Option<u32> {
        self.header(Name::MaxForwards).and_then(number)
    }

    /// The media type of the body in lower case without parameters, such as `application/sdp`.
    #[must_use]
    pub fn content_type(&self) -> Option<String> {
        let value = self.header(Name::ContentType)?;
        let end = value.iter().position(|b| *b == b';').unwrap_or(value.len());
        let bare: Vec<u8> = value
            .get(..end)?
            .iter()
            .filter(|b| !b.is_ascii_whitespace())
            .map(u8::to_ascii_lowercase)
            .collect();
        String::from_utf8(bare).ok()
    }

    /// Whether a list header has this token.
    #[must_use]
    pub fn has_token(&self, name: Name, token: &str) -> bool {
        self.elements(name)
            .any(|t| t.eq_ignore_ascii_case(token.as_bytes()))
    }

    fn slice(&self, range: &Range<usize>) -> Option<&'a [u8]> {
        self.bytes.get(range.clone())
    }
}
