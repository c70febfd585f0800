//! A message that is written with some of its parts replaced.

use std::ops::Range;

/// The longest message that is written, in bytes: what a buffer has room for in any case. A longer one is the signaling
/// plane's.
const LONGEST: usize = 2_000;

/// What is written. Of too much all is void.
#[derive(Debug)]
pub(crate) struct Out {
    bytes: Box<[u8]>,
    len: usize,
    overflow: bool,
}

impl Out {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; LONGEST].into_boxed_slice(),
            len: 0,
            overflow: false,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.overflow = false;
    }

    pub(crate) fn push(&mut self, text: &[u8]) {
        let end = self.len + text.len();
        match self.bytes.get_mut(self.len..end) {
            Some(place) => {
                place.copy_from_slice(text);
                self.len = end;
            }
            None => self.overflow = true,
        }
    }

    /// A number in decimal.
    pub(crate) fn push_number(&mut self, number: u16) {
        let mut digits = [0; 5];
        let mut at = digits.len();
        let mut rest = number;
        for place in digits.iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
            at -= 1;
            if rest == 0 {
                break;
            }
        }
        self.push(digits.get(at..).unwrap_or_default());
    }

    /// The message; none if it is too long.
    pub(crate) fn message(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len).filter(|_| !self.overflow)
    }
}

impl std::fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Copies a message piece by piece: what is not replaced or left out is as it was.
pub(crate) struct Copy<'a> {
    source: &'a [u8],
    at: usize,
    pub(crate) out: &'a mut Out,
}

impl<'a> Copy<'a> {
    /// From this place on.
    pub(crate) fn new(source: &'a [u8], at: usize, out: &'a mut Out) -> Self {
        Self { source, at, out }
    }

    /// Copies up to this place.
    pub(crate) fn until(&mut self, place: usize) {
        self.out
            .push(self.source.get(self.at..place).unwrap_or_default());
        self.at = self.at.max(place);
    }

    /// Copies up to a range, and leaves that out. Ranges come in their order.
    pub(crate) fn without(&mut self, range: Range<usize>) {
        self.until(range.start);
        self.at = self.at.max(range.end);
    }
}
