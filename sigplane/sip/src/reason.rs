//! Reason (RFC 3326): why a request was sent, or (RFC 6432) what stands behind a response.

use crate::list::{parameter, split_list};

/// One reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason<'a> {
    /// Whose numbers they are: `SIP`, `Q.850`.
    pub protocol: &'a [u8],
    /// The number.
    pub cause: Option<u16>,
    /// For people, without its quotes but with its escapes.
    pub text: Option<&'a [u8]>,
}

impl<'a> Reason<'a> {
    /// Reads an element of a Reason header; none when it is not one.
    #[must_use]
    pub fn parse(element: &'a [u8]) -> Option<Self> {
        let end = element.iter().position(|b| *b == b';');
        let (protocol, parameters) = element.split_at(end.unwrap_or(element.len()));
        let protocol = protocol.trim_ascii();
        if protocol.is_empty() || !protocol.iter().all(|b| b.is_ascii_graphic()) {
            return None;
        }
        let cause = parameter(parameters, "cause");
        let text = parameter(parameters, "text");
        Some(Self {
            protocol,
            cause: cause.and_then(|c| std::str::from_utf8(c).ok()?.parse().ok()),
            text: text.map(|t| {
                t.strip_prefix(b"\"")
                    .and_then(|t| t.strip_suffix(b"\""))
                    .unwrap_or(t)
            }),
        })
    }

    /// The reasons of a header's value, in order.
    pub fn read_all(value: &'a [u8]) -> impl Iterator<Item = Self> {
        split_list(value).filter_map(Self::parse)
    }

    /// The cause value of ITU-T Q.850 that it gives: 0 to 127.
    #[must_use]
    pub fn q850(&self) -> Option<u8> {
        let is_q850 = self.protocol.eq_ignore_ascii_case(b"Q.850");
        let cause = self.cause.filter(|cause| is_q850 && *cause < 128)?;
        u8::try_from(cause).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reasons_of_the_rfc_are_read() {
        let value =
            b"SIP ;cause=600 ;text=\"Busy, everywhere; now\", Q.850;cause=16;text=\"Terminated\"";
        let all: Vec<_> = Reason::read_all(value).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].protocol, all[0].cause), (&b"SIP"[..], Some(600)));
        assert_eq!(all[0].text, Some(&b"Busy, everywhere; now"[..]));
        assert_eq!(all.iter().find_map(Reason::q850), Some(16));
    }

    #[test]
    fn what_is_no_cause_is_none() {
        for value in [
            &b"Q.850"[..],
            b"Q.850;cause",
            b"Q.850;cause=",
            b"Q.850;cause=128",
            b"Q.850;cause=-1",
            b"Q.850;cause=99999999",
            b"SIP;cause=16",
            b"q.850;text=\"16\"",
            b";cause=16",
            b"",
        ] {
            assert_eq!(
                Reason::read_all(value).find_map(|r| r.q850()),
                None,
                "{value:?}"
            );
        }
        assert_eq!(
            Reason::read_all(b"q.850 ; CAUSE = 127").find_map(|r| r.q850()),
            Some(127)
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_reasons_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for reason in Reason::read_all(&bytes) {
                prop_assert!(!reason.protocol.is_empty());
                prop_assert!(reason.q850().is_none_or(|cause| cause < 128));
            }
        }

        #[test]
        fn what_was_written_is_read(cause in 0u16..128, text in "[a-zA-Z0-9 ,;=]{0,40}", first in proptest::bool::ANY) {
            let other = format!("SIP;cause=200;text=\"{text}\"");
            let q850 = format!("Q.850;cause={cause};text=\"{text}\"");
            let value = if first { format!("{q850}, {other}") } else { format!("{other} ,{q850}") };
            let found = Reason::read_all(value.as_bytes()).find_map(|r| r.q850());
            prop_assert_eq!(found.map(u16::from), Some(cause));
            prop_assert!(Reason::read_all(value.as_bytes()).all(|r| r.text == Some(text.as_bytes())));
        }
    }
}
