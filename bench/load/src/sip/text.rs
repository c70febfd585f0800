//! Bytes of messages: numbers and patterns, written without the formatting machinery.

/// Appends a number in decimal.
pub(crate) fn decimal(out: &mut Vec<u8>, number: u64) {
    padded(out, number, 0);
}

/// The same with zeros in front of it, to at least so many digits.
pub(crate) fn padded(out: &mut Vec<u8>, mut number: u64, width: usize) {
    // 20 digits are the most that a u64 has.
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        used += 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let used = used.max(width.min(digits.len()));
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// Appends eight hexadecimal digits.
pub(crate) fn hex(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&hex_digits(number));
}

/// Eight hexadecimal digits.
pub(crate) fn hex_digits(number: u32) -> [u8; 8] {
    let mut digits = [0; 8];
    for (digit, shift) in digits.iter_mut().zip([28, 24, 20, 16, 12, 8, 4, 0]) {
        let value = u8::try_from(number >> shift & 15).unwrap_or(0);
        *digit = if value < 10 {
            b'0' + value
        } else {
            b'a' + value - 10
        };
    }
    digits
}

/// Reads eight hexadecimal digits, as [`hex`] writes them.
pub(crate) fn read_hex(digits: &[u8]) -> Option<u32> {
    if digits.len() != 8 {
        return None;
    }
    digits.iter().try_fold(0, |number: u32, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u32::from(value))
    })
}

/// Reads a decimal number that is all there is.
pub(crate) fn read_decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    digits.iter().try_fold(0u32, |number, digit| {
        let value = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(value)
    })
}

/// A name with a number in it, written as printf has it: `user%d`, or `user%06d` with zeros in front to six digits.
/// Without it, it is the same for every number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    before: Vec<u8>,
    after: Vec<u8>,
    width: Option<usize>,
}

impl Pattern {
    /// # Errors
    /// What stands behind the percent sign is neither `d` nor `01d` to `020d`, or there is white space.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}`: write %d or, with zeros in front to six digits, %06d");
        if text
            .bytes()
            .any(|b| b.is_ascii_whitespace() || b.is_ascii_control())
        {
            return Err(format!("`{text}`: white space cannot be part of it"));
        }
        let Some((before, rest)) = text.split_once('%') else {
            return Ok(Self {
                before: text.as_bytes().to_vec(),
                after: Vec::new(),
                width: None,
            });
        };
        let (inside, after) = rest.split_once('d').ok_or_else(bad)?;
        let width = if inside.is_empty() {
            0
        } else {
            let width = inside.strip_prefix('0').and_then(|w| w.parse().ok());
            width.filter(|w| (1..=20).contains(w)).ok_or_else(bad)?
        };
        Ok(Self {
            before: before.as_bytes().to_vec(),
            after: after.as_bytes().to_vec(),
            width: Some(width),
        })
    }

    /// An empty name.
    pub(crate) const fn nothing() -> Self {
        Self {
            before: Vec::new(),
            after: Vec::new(),
            width: None,
        }
    }

    /// Appends the name with this number.
    pub(crate) fn write(&self, out: &mut Vec<u8>, number: u64) {
        out.extend_from_slice(&self.before);
        if let Some(width) = self.width {
            padded(out, number, width);
            out.extend_from_slice(&self.after);
        }
    }

    /// The name with this number.
    pub(crate) fn with(&self, number: u64) -> Vec<u8> {
        let mut name = Vec::new();
        self.write(&mut name, number);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_has_its_number_where_it_says() {
        let text =
            |pattern: &str, n| String::from_utf8(Pattern::new(pattern).unwrap().with(n)).unwrap();
        assert_eq!(text("user%06dx", 7), "user000007x");
        assert_eq!(text("+49%d", 1_234_567), "+491234567");
        assert_eq!(text("alice", 9), "alice");
        for bad in ["%", "%m", "%00d", "%021d", "%6d", "a b"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_the_library_writes_them(n: u64, w in 0_usize..20, h: u32) {
            let mut out = Vec::new();
            padded(&mut out, n, w);
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{n:0w$}"));
            let mut out = Vec::new();
            hex(&mut out, h);
            prop_assert_eq!(read_hex(&out), Some(h));
            prop_assert_eq!(String::from_utf8(out).unwrap(), format!("{h:08x}"));
            prop_assert_eq!(read_decimal(h.to_string().as_bytes()), Some(h));
        }
    }
}
