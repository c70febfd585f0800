//! SIP as text, written for this room alone: the simulated phones share no code with what they test.

use std::net::SocketAddr;

/// A message as a phone reads it.
#[derive(Clone, Debug)]
pub struct Text {
    /// The first line.
    pub start: String,
    /// Names as written, and values.
    pub headers: Vec<(String, String)>,
    /// What follows the empty line.
    pub body: String,
}

impl Text {
    /// Reads a message; none when it has no such form, or its length is not what it says.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect::<Option<Vec<_>>>()?;
        let message = Self {
            start,
            headers,
            body: body.to_owned(),
        };
        let length: usize = message.value("Content-Length")?.parse().ok()?;
        (length == body.len()).then_some(message)
    }

    /// The status of a response.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        let rest = self.start.strip_prefix("SIP/2.0 ")?;
        rest.get(..3)?.parse().ok()
    }

    /// The method: of a response the one in CSeq.
    #[must_use]
    pub fn method(&self) -> &str {
        match self.code() {
            Some(_) => self.cseq().1,
            None => self.start.split(' ').next().unwrap_or_default(),
        }
    }

    /// The Request-URI.
    #[must_use]
    pub fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// CSeq.
    #[must_use]
    pub fn cseq(&self) -> (u32, &str) {
        let (number, method) = self
            .value("CSeq")
            .and_then(|v| v.split_once(' '))
            .unwrap_or_default();
        (number.parse().unwrap_or(0), method)
    }

    /// The first value of a header.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut fitting = self.headers.iter();
        fitting
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// Its number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u32> {
        self.value(name)?.parse().ok()
    }

    /// All values of a header.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// The tag of From.
    #[must_use]
    pub fn from_tag(&self) -> String {
        parameter(self.value("From").unwrap_or_default(), "tag")
    }

    /// The tag of To; empty without one.
    #[must_use]
    pub fn to_tag(&self) -> String {
        parameter(self.value("To").unwrap_or_default(), "tag")
    }

    /// The topmost Via's branch.
    #[must_use]
    pub fn branch(&self) -> String {
        parameter(self.value("Via").unwrap_or_default(), "branch")
    }

    /// The URI of Contact.
    #[must_use]
    pub fn contact(&self) -> Option<String> {
        self.value("Contact").map(|v| uri(v).to_owned())
    }

    /// Whether the message requires reliable provisional responses.
    #[must_use]
    pub fn is_reliable(&self) -> bool {
        self.values("Require").any(|v| v.contains("100rel"))
    }
}

/// A parameter of a header's value, outside of its brackets; empty without one.
#[must_use]
pub fn parameter(value: &str, name: &str) -> String {
    let outside = value.rsplit_once('>').map_or(value, |(_, r)| r);
    outside
        .split(';')
        .filter_map(|p| p.trim().split_once('='))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.to_owned())
        .unwrap_or_default()
}

/// The URI in brackets, or the value itself.
#[must_use]
pub fn uri(value: &str) -> &str {
    value
        .split_once('<')
        .and_then(|(_, r)| r.split_once('>'))
        .map_or(value, |(u, _)| u)
}

/// Where a URI (or a name-addr) leads.
#[must_use]
pub fn address(value: &str) -> Option<SocketAddr> {
    let rest = uri(value).strip_prefix("sip:")?;
    let host = rest.split(['@']).next_back()?.split([';', '?']).next()?;
    host.parse()
        .ok()
        .or_else(|| format!("{host}:5060").parse().ok())
}

/// An offer or an answer: one line of audio.
#[must_use]
pub fn sdp(address: SocketAddr, port: u16, version: u32) -> String {
    let ip = address.ip();
    format!(
        "v=0\r\no=- 7 {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\n"
    )
}

/// A message from its first line and headers.
#[must_use]
pub fn write(start: &str, headers: &[(&str, String)], body: &str) -> String {
    let mut out = format!("{start}\r\n");
    for (name, value) in headers {
        out += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        out += "Content-Type: application/sdp\r\n";
    }
    out + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}
