//! A message with some of its values changed, in one pass over its bytes: what is not changed passes
//! byte for byte.

use tandem_sip::{Index, Name, Start};

/// What becomes of a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It stays.
    Keep,
    /// It gets this value.
    Value(Vec<u8>),
    /// It goes.
    Drop,
}

impl From<Option<Vec<u8>>> for Change {
    fn from(value: Option<Vec<u8>>) -> Self {
        value.map_or(Self::Keep, Self::Value)
    }
}

/// What is changed besides the header fields.
#[derive(Debug, Default)]
pub(crate) struct Others {
    /// A response's reason phrase.
    pub(crate) reason: Option<Vec<u8>>,
    /// The body; Content-Length follows it.
    pub(crate) body: Option<Vec<u8>>,
}

/// The message with every field as `change` says, which is given its name, the name as written, and
/// its value; none when nothing changes.
pub(crate) fn splice<'a>(
    bytes: &'a [u8],
    index: &Index,
    others: Others,
    mut change: impl FnMut(Name, &'a [u8], &'a [u8]) -> Change,
) -> Option<Vec<u8>> {
    let mut out = Splices {
        bytes,
        out: Vec::new(),
        copied: 0,
    };
    if let (Some(text), Start::Response { reason, .. }) = (others.reason, &index.start) {
        out.replace(reason.start, reason.end, &text);
    }
    for field in &index.fields {
        let (Some(written), Some(value)) = (
            bytes.get(field.name_range.clone()),
            bytes.get(field.value.clone()),
        ) else {
            continue;
        };
        let change = match (&others.body, field.name) {
            (Some(body), Name::ContentLength) => Change::Value(body.len().to_string().into_bytes()),
            _ => change(field.name, written, value),
        };
        match change {
            Change::Keep => {}
            Change::Value(text) => out.replace(field.value.start, field.value.end, &text),
            Change::Drop => out.replace(field.line.start, field.line.end, b""),
        }
    }
    if let Some(body) = others.body {
        out.replace(index.body.start, index.body.end, &body);
    }
    out.finish()
}

struct Splices<'a> {
    bytes: &'a [u8],
    out: Vec<u8>,
    copied: usize,
}

impl Splices<'_> {
    fn replace(&mut self, from: usize, to: usize, text: &[u8]) {
        if self.out.is_empty() {
            self.out.reserve(self.bytes.len() + 128);
        }
        self.copy(from);
        self.out.extend_from_slice(text);
        self.copied = to;
    }

    fn copy(&mut self, to: usize) {
        let between = self.bytes.get(self.copied..to).unwrap_or_default();
        self.out.extend_from_slice(between);
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        if self.copied == 0 {
            return None;
        }
        self.copy(self.bytes.len());
        Some(self.out)
    }
}
