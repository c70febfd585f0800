//! What routing changes in the headers of a request that goes on.

use tandem_policy::routing::HeaderName;

/// What a number of ours is for, to those that serve it.
pub(crate) const DEST_TYPE: &str = "X-Dest-Type";

/// Headers that are taken out and put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edits {
    /// Whether [`DEST_TYPE`] is taken out.
    without_type: bool,
    remove: Vec<HeaderName>,
    /// Header lines, with their ends.
    add: Vec<u8>,
}

impl Edits {
    /// Takes out what came of [`DEST_TYPE`]: nearly every call does.
    pub(crate) const fn remove_type(&mut self) {
        self.without_type = true;
    }

    /// Takes out every header of this name that came.
    pub(crate) fn remove(&mut self, name: HeaderName) {
        self.remove.push(name);
    }

    /// Puts a header in. Nothing of its value can end the line; an empty one says nothing, and is left out.
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        let value = value.trim_ascii();
        if value.is_empty() {
            return;
        }
        self.add.extend_from_slice(name.as_bytes());
        self.add.extend_from_slice(b": ");
        let plain = |byte: &u8| if byte.is_ascii_control() { b' ' } else { *byte };
        self.add.extend(value.iter().map(plain));
        self.add.extend_from_slice(b"\r\n");
    }

    /// Whether a header that came is taken out.
    pub(crate) fn removes(&self, name: &[u8]) -> bool {
        (self.without_type && name.eq_ignore_ascii_case(DEST_TYPE.as_bytes()))
            || self.remove.iter().any(|removed| removed.is(name))
    }

    /// The header lines that are put in.
    pub(crate) fn added(&self) -> &[u8] {
        &self.add
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_end_its_line() {
        let mut edits = Edits::default();
        edits.add("X-A", b" a\r\nVia: b ");
        edits.add("X-B", b" ");
        assert_eq!(edits.added(), b"X-A: a  Via: b\r\n");
        edits.remove(HeaderName("X-*".into()));
        assert!(edits.removes(b"x-c") && !edits.removes(b"Y"));
        let mut edits = Edits::default();
        assert!(!edits.removes(b"X-Dest-Type"));
        edits.remove_type();
        assert!(edits.removes(b"x-dest-type") && !edits.removes(b"X-C"));
    }
}
