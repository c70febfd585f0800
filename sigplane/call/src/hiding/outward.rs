//! A message as the carrier side may see it.

use std::net::{IpAddr, SocketAddr};

use tandem_sip::{Index, Name, Start};

use super::HidingConfig;
use super::references;
use super::scrub::Scrub;
use super::splice::{Change, Others, splice};
use crate::body::{self, Found};

/// What a message is looked at with.
pub(crate) struct Outward<'a> {
    pub(crate) rules: &'a HidingConfig,
    /// The Call-ID to show; none for the message's own.
    pub(crate) call_id: Option<&'a [u8]>,
    /// Which of From and To is another one, and its value.
    pub(crate) shown_from: Option<(Name, &'a [u8])>,
    /// Contacts pass: they are those of user agents.
    pub(crate) contacts_pass: bool,
    /// The Call-ID to show for that of another call; none for itself.
    pub(crate) reference: &'a mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
    /// Whether an address is of the inside, as far as anybody can tell.
    pub(crate) is_inside: &'a dyn Fn(IpAddr) -> bool,
    /// Whether it is for certain: one of ours, or of a media server.
    pub(crate) is_known: &'a dyn Fn(IpAddr) -> bool,
    /// Our address, to be shown in the place of the inside's.
    pub(crate) shown: SocketAddr,
}

impl Outward<'_> {
    /// The message as it may be seen; none when it may as it is.
    pub(crate) fn apply(&mut self, bytes: &[u8], index: &Index) -> Option<Vec<u8>> {
        let reason = match &index.start {
            Start::Response { reason, .. } => bytes
                .get(reason.clone())
                .and_then(|r| self.scrub(false).apply(r)),
            Start::Request { .. } => None,
        };
        let others = Others {
            reason,
            body: self.body(bytes, index),
        };
        splice(bytes, index, others, |name, written, value| {
            self.field(name, written, value)
        })
    }

    /// Whether anything in a message may have to change, Call-ID apart: quick, and at most too careful.
    pub(crate) fn concerns(&self, bytes: &[u8]) -> bool {
        self.scrub(false).finds(bytes)
            || memchr::memchr(b'?', bytes).is_some()
            || names(bytes).any(|name| {
                references::refers(name)
                    || self.rules.strips(name)
                    || (self.rules.hide_software
                        && (name.eq_ignore_ascii_case(b"Server")
                            || name.eq_ignore_ascii_case(b"User-Agent")))
            })
    }

    fn field(&mut self, name: Name, written: &[u8], value: &[u8]) -> Change {
        if self.rules.strips(written) {
            return Change::Drop;
        }
        if let Some((_, shown)) = self.shown_from.filter(|(other, _)| *other == name) {
            let scrubbed = self.scrub(false).apply(shown);
            return Change::Value(scrubbed.unwrap_or_else(|| shown.to_vec()));
        }
        match name {
            Name::CallId => self.call_id.map(<[u8]>::to_vec).into(),
            // Each side's own already, or numbers.
            Name::Via
            | Name::Route
            | Name::RecordRoute
            | Name::CSeq
            | Name::MaxForwards
            | Name::ContentLength
            | Name::ContentType => Change::Keep,
            // What is signed cannot be changed by anybody else (RFC 7616, RFC 8224).
            Name::Authorization
            | Name::ProxyAuthorization
            | Name::WwwAuthenticate
            | Name::ProxyAuthenticate
            | Name::Identity => Change::Keep,
            Name::Contact if self.contacts_pass => Change::Keep,
            Name::Server | Name::UserAgent if self.rules.hide_software => Change::Drop,
            // The carrier's own address of record may be a private one that nobody here knows.
            Name::From | Name::To if self.call_id.is_none() => Scrub {
                is_inside: self.is_known,
                ..self.scrub(false)
            }
            .apply(value)
            .into(),
            _ if references::refers(written) => {
                let shown = references::in_value(value, self.reference);
                let scrubbed = self.scrub(false).apply(shown.as_deref().unwrap_or(value));
                scrubbed.or(shown).into()
            }
            _ => {
                let shown = value
                    .contains(&b'?')
                    .then(|| references::in_uris(value, self.reference))
                    .flatten();
                let scrubbed = self.scrub(false).apply(shown.as_deref().unwrap_or(value));
                scrubbed.or(shown).into()
            }
        }
    }

    /// The body, if there are addresses of the inside in it: of SDP, and of kinds that say where
    /// calls and devices are. Others are between the ends.
    fn body(&self, bytes: &[u8], index: &Index) -> Option<Vec<u8>> {
        let body = bytes.get(index.body.clone()).filter(|b| !b.is_empty())?;
        let value = |name: Name| {
            let field = index.fields.iter().find(|f| f.name == name)?;
            bytes.get(field.value.clone())
        };
        let content_type = value(Name::ContentType)?;
        let kind = body::media_type(content_type);
        let tells = matches!(
            kind.as_str(),
            "message/sipfrag" | "application/simple-message-summary"
        ) || kind.ends_with("+xml");
        if tells {
            return self.scrub(false).apply(body);
        }
        let Found::Sdp(place) = body::locate(body, content_type, value(Name::ContentEncoding))
        else {
            return None;
        };
        let sdp = self.scrub(true).apply(body.get(place.clone())?)?;
        Some(body::splice(body, place, &sdp))
    }

    const fn scrub(&self, is_sdp: bool) -> Scrub<'_> {
        Scrub {
            is_inside: self.is_inside,
            domains: self.rules.domains.as_slice(),
            shown: self.shown,
            is_sdp,
        }
    }
}

/// The names of a message's header fields, as written.
fn names(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest)?;
        let (line, after) = rest.split_at(end);
        rest = after.get(1..)?;
        let is_end = line.is_empty() || line == b"\r";
        let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
        (!is_end).then(|| line.get(..colon).unwrap_or_default().trim_ascii())
    })
}
