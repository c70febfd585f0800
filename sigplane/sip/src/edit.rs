//! Edits of a message, applied in one pass over the original bytes.

use std::ops::Range;

use tandem_wire::sip::{Name, Start};

use crate::message::Message;

/// Edits that cannot be applied together: they overlap. Our fault, never the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditError;

/// A list of edits of one message. Everything that is not edited passes byte for byte.
///
/// Insertions at the same place appear in the order in which they were asked for.
#[derive(Debug)]
pub struct EditList<'m, 'a> {
    message: &'m Message<'a>,
    splices: Vec<Splice>,
}

#[derive(Debug)]
struct Splice {
    range: Range<usize>,
    text: Vec<u8>,
}

impl<'m, 'a> EditList<'m, 'a> {
    /// No edits yet.
    #[must_use]
    pub const fn new(message: &'m Message<'a>) -> Self {
        Self {
            message,
            splices: Vec::new(),
        }
    }

    /// Replaces a request's Request-URI.
    pub fn request_uri(&mut self, uri: &[u8]) -> &mut Self {
        if let Start::Request { uri: range, .. } = &self.message.index().start {
            self.splice(range.clone(), uri.to_vec());
        }
        self
    }

    /// Replaces the value of the first field of this name; inserts one at the end of the header
    /// fields when there is none.
    pub fn set(&mut self, name: Name, value: &[u8]) -> &mut Self {
        match self.message.field(name) {
            Some(field) => {
                let range = field.value.clone();
                self.splice(range, value.to_vec());
                self
            }
            None => self.append(name.as_str(), value),
        }
    }

    /// Removes every field of this name.
    pub fn remove(&mut self, name: Name) -> &mut Self {
        let lines: Vec<_> = self.message.fields(name).map(|f| f.line.clone()).collect();
        for line in lines {
            self.splice(line, Vec::new());
        }
        self
    }

    /// Inserts a field before all others.
    pub fn prepend(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let index = self.message.index();
        let at = index
            .fields
            .first()
            .map_or(index.headers_end, |f| f.line.start);
        self.splice(at..at, line(name, value));
        self
    }

    /// Inserts a field behind all others.
    pub fn append(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let at = self.message.index().headers_end;
        self.splice(at..at, line(name, value));
        self
    }

    /// Removes every field of this name and puts `values` in the place of the first one, or before all
    /// others when there was none: a field for each value.
    pub fn replace_all<'v>(
        &mut self,
        name: Name,
        values: impl IntoIterator<Item = &'v [u8]>,
    ) -> &mut Self {
        let index = self.message.index();
        let first = self.message.field(name).map(|f| f.line.start);
        let at = first
            .or_else(|| index.fields.first().map(|f| f.line.start))
            .unwrap_or(index.headers_end);
        let mut text = Vec::new();
        for value in values {
            text.extend_from_slice(&line(name.as_str(), value));
        }
        self.splice(at..at, text);
        self.remove(name)
    }

    /// Replaces the body and its Content-Length.
    pub fn body(&mut self, body: &[u8]) -> &mut Self {
        let range = self.message.index().body.clone();
        self.splice(range, body.to_vec());
        let length = body.len().to_string();
        self.remove_extra_lengths();
        self.set(Name::ContentLength, length.as_bytes())
    }

    /// The message with all edits. Bytes behind the body are left out, those before the start line
    /// too.
    ///
    /// # Errors
    /// Two edits touch the same bytes.
    pub fn apply(mut self) -> Result<Vec<u8>, EditError> {
        let bytes = self.message.bytes();
        let index = self.message.index();
        // Stable: insertions at one place keep their order, and come before a removal there.
        self.splices.sort_by_key(|s| (s.range.start, s.range.end));
        let grown: usize = self.splices.iter().map(|s| s.text.len()).sum();
        let mut out = Vec::with_capacity(index.body.end + grown);
        let mut at = match &index.start {
            Start::Request { method, .. } => method.start,
            Start::Response { reason, .. } => bytes
                .iter()
                .position(|b| !matches!(b, b'\r' | b'\n'))
                .unwrap_or(reason.start),
        };
        for splice in &self.splices {
            if splice.range.start < at {
                return Err(EditError);
            }
            out.extend_from_slice(bytes.get(at..splice.range.start).ok_or(EditError)?);
            out.extend_from_slice(&splice.text);
            at = splice.range.end;
        }
        out.extend_from_slice(bytes.get(at..index.body.end).ok_or(EditError)?);
        Ok(out)
    }

    fn remove_extra_lengths(&mut self) {
        let extra: Vec<_> = self
            .message
            .fields(Name::ContentLength)
            .skip(1)
            .map(|f| f.line.clone())
            .collect();
        for line in extra {
            self.splice(line, Vec::new());
        }
    }

    fn splice(&mut self, range: Range<usize>, text: Vec<u8>) {
        self.splices.push(Splice { range, text });
    }
}

fn line(name: &str, value: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(name.len() + value.len() + 4);
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b": ");
    line.extend_from_slice(value);
    line.extend_from_slice(b"\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\n\
        v: SIP/2.0/UDP y\r\nl: 3\r\nX-Odd:\r\n  folded\r\n\r\nabc-trailing";

    /// Found by the fuzzer: a message with as many header fields as may be has more of them behind an edit.
    #[test]
    fn at_the_limit_of_header_fields_an_edit_goes_beyond_it() {
        let fields = tandem_wire::sip::MAX_HEADERS;
        let text = "INVITE sip:a@b SIP/2.0\r\n".to_owned() + &"X: y\r\n".repeat(fields) + "\r\n";
        let message = Message::parse(text.as_bytes()).unwrap();
        let mut list = EditList::new(&message);
        list.set(Name::CallId, b"x");
        let edited = String::from_utf8(list.apply().unwrap()).unwrap();
        assert_eq!(edited.matches("X: y\r\n").count(), fields);
        assert!(edited.contains("Call-ID: x\r\n"));
    }

    fn edited(edit: impl Fn(&mut EditList<'_, '_>)) -> String {
        let message = Message::parse(MESSAGE).unwrap();
        let mut list = EditList::new(&message);
        edit(&mut list);
        String::from_utf8(list.apply().unwrap()).unwrap()
    }

    #[test]
    fn without_edits_only_what_follows_the_body_goes() {
        let plain = edited(|_| {});
        assert_eq!(
            plain.as_bytes(),
            &MESSAGE[..MESSAGE.len() - "-trailing".len()]
        );
    }

    #[test]
    fn vias_give_way_to_ours_and_the_body_has_its_length() {
        let text = edited(|e| {
            e.request_uri(b"sip:c@d");
            e.replace_all(Name::Via, [&b"SIP/2.0/UDP z"[..]]);
            e.body(b"longer body");
            e.append("X-New", b"1");
        });
        assert_eq!(
            text,
            "INVITE sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP z\r\nl: 11\r\nX-Odd:\r\n  folded\r\n\
             X-New: 1\r\n\r\nlonger body"
        );
    }

    #[test]
    fn two_edits_of_one_place_are_an_error() {
        let message = Message::parse(MESSAGE).unwrap();
        let mut list = EditList::new(&message);
        list.request_uri(b"sip:1@x").request_uri(b"sip:2@x");
        assert_eq!(list.apply(), Err(EditError));
    }

    #[test]
    fn a_set_header_that_is_absent_is_added() {
        let text = edited(|e| {
            e.set(Name::MaxForwards, b"69");
        });
        assert!(
            text.contains("folded\r\nMax-Forwards: 69\r\n\r\nabc"),
            "{text}"
        );
    }
}
