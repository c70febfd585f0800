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
            /// The name's variant, whatever its case; compact forms included.
            #[must_use]
            pub fn of(name: &[u8]) -> Self {
                if let [letter] = name {
                    return match letter.to_ascii_lowercase() {
                        $($($compact => Self::$variant,)?)*
                        _ => Self::Other,
                    };
                }
                $(if name.eq_ignore_ascii_case($long.as_bytes()) {
                    return Self::$variant;
                })*
                Self::Other
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
