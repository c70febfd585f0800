//! Header names, long and compact.

macro_rules! names {
    ($($variant:ident $long:literal $($compact:literal)?,)*) => {
        /// A header's name. `Other` is any that no decision of ours looks at: it passes untouched.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Name {
            $(#[doc = $long] $variant,)*
            /// Any other.
            Other,
        }

        impl Name {
            /// All names but `Other`.
            const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name's variant, whatever its case; compact forms included.
            #[must_use]
            pub fn of(name: &[u8]) -> Self {
                if let [letter] = name {
                    return match letter.to_ascii_lowercase() {
                        $($($compact => Self::$variant,)?)*
                        _ => Self::Other,
                    };
                }
                Self::find(name)
            }

            /// The long form as it is written; empty for `Other`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $long,)*
                    Self::Other => "",
                }
            }
        }
    };
}

/// Slots of [`TABLE`]: more than three times as many as names, so that most hash to a slot of their own.
const SLOTS: usize = 256;

/// The names by their hash: in its slot, or in the next free one. Made by the compiler.
static TABLE: [Name; SLOTS] = table();

impl Name {
    /// The variant of a long name: its slot tells, and one comparison confirms.
    fn find(name: &[u8]) -> Self {
        let mut slot = hash(name);
        // The table has free slots, so this ends.
        while let Some(candidate) = TABLE.get(slot).filter(|c| **c != Self::Other) {
            let spelt = candidate.as_str().as_bytes();
            // Most write it as the RFCs do.
            if name == spelt || name.eq_ignore_ascii_case(spelt) {
                return *candidate;
            }
            slot = (slot + 1) % SLOTS;
        }
        Self::Other
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "the compiler runs it; a slot is below SLOTS"
)]
const fn table() -> [Name; SLOTS] {
    let mut table = [Name::Other; SLOTS];
    let mut rest = Name::ALL;
    while let [name, more @ ..] = rest {
        let mut slot = hash(name.as_str().as_bytes());
        while !matches!(table[slot], Name::Other) {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = *name;
        rest = more;
    }
    table
}

/// Length, first, middle and last letter tell our names apart; letters in lower case.
const fn hash(name: &[u8]) -> usize {
    let [first, .., last] = name else { return 0 };
    let (_, rest) = name.split_at(name.len() / 2);
    let middle = match rest {
        [middle, ..] => *middle | 0x20,
        [] => 0,
    };
    let mixed = name.len() * 7 + (*first | 0x20) as usize * 31;
    (mixed + (*last | 0x20) as usize * 5 + middle as usize * 3) % SLOTS
}

names! {
    Via "Via" b'v',
    From "From" b'f',
    To "To" b't',
    CallId "Call-ID" b'i',
    CSeq "CSeq",
    Contact "Contact" b'm',
    MaxForwards "Max-Forwards",
    Route "Route",
    RecordRoute "Record-Route",
    ContentLength "Content-Length" b'l',
    ContentType "Content-Type" b'c',
    ContentEncoding "Content-Encoding" b'e',
    ContentDisposition "Content-Disposition",
    Supported "Supported" b'k',
    Require "Require",
    ProxyRequire "Proxy-Require",
    Unsupported "Unsupported",
    Allow "Allow",
    Accept "Accept",
    Expires "Expires",
    MinExpires "Min-Expires",
    SessionExpires "Session-Expires" b'x',
    MinSe "Min-SE",
    RSeq "RSeq",
    RAck "RAck",
    Event "Event" b'o',
    AllowEvents "Allow-Events" b'u',
    Subject "Subject" b's',
    ReferTo "Refer-To" b'r',
    ReferredBy "Referred-By" b'b',
    Replaces "Replaces",
    Join "Join",
    Path "Path",
    Authorization "Authorization",
    ProxyAuthorization "Proxy-Authorization",
    WwwAuthenticate "WWW-Authenticate",
    ProxyAuthenticate "Proxy-Authenticate",
    UserAgent "User-Agent",
    Server "Server",
    Warning "Warning",
    RetryAfter "Retry-After",
    Reason "Reason",
    RejectContact "Reject-Contact" b'j',
    AcceptContact "Accept-Contact" b'a',
    RequestDisposition "Request-Disposition" b'd',
    Identity "Identity" b'y',
    IdentityInfo "Identity-Info" b'n',
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_whatever_its_case() {
        for name in Name::ALL {
            let text = name.as_str();
            for spelt in [
                text.to_owned(),
                text.to_ascii_lowercase(),
                text.to_ascii_uppercase(),
            ] {
                assert_eq!(Name::of(spelt.as_bytes()), *name);
            }
            assert_eq!(Name::of(format!("{text}x").as_bytes()), Name::Other);
        }
        for other in ["", "Vix", "X-Via", "Call-IE", "q"] {
            assert_eq!(Name::of(other.as_bytes()), Name::Other, "{other}");
        }
    }

    #[test]
    fn a_name_is_at_most_a_few_slots_from_its_own() {
        for name in Name::ALL {
            let text = name.as_str().as_bytes();
            let steps = (0..SLOTS).find(|n| TABLE[(hash(text) + n) % SLOTS] == *name);
            assert!(steps < Some(5), "{name:?}: {steps:?}");
        }
    }
}
