//! What the agent reads of a message and of SDP, over the index of [`tandem_wire::sip`].

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use tandem_wire::sip::{Index, Name, Start};

use super::text::read_decimal;

/// A message and where everything is in it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) index: &'a Index,
}

impl<'a> View<'a> {
    /// The status of a response; 0 of a request.
    pub(crate) fn status(&self) -> u16 {
        match self.index.start {
            Start::Response { status, .. } => status,
            Start::Request { .. } => 0,
        }
    }

    /// The method of a request; empty of a response.
    pub(crate) fn method(&self) -> &'a [u8] {
        match &self.index.start {
            Start::Request { method, .. } => self.bytes.get(method.clone()).unwrap_or_default(),
            Start::Response { .. } => &[],
        }
    }

    /// The first header of a name; empty when there is none.
    pub(crate) fn header(&self, name: Name) -> &'a [u8] {
        self.headers(name).next().unwrap_or_default()
    }

    /// All headers of a name.
    pub(crate) fn headers(&self, name: Name) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let bytes = self.bytes;
        let fields = self.index.fields.iter().filter(move |f| f.name == name);
        fields.map(move |f| bytes.get(f.value.clone()).unwrap_or_default())
    }

    /// The number and the method of CSeq.
    pub(crate) fn cseq(&self) -> Option<(u32, &'a [u8])> {
        let value = self.header(Name::CSeq);
        let space = value.iter().position(|b| b.is_ascii_whitespace())?;
        let number = read_decimal(value.get(..space)?)?;
        Some((number, value.get(space..)?.trim_ascii()))
    }

    /// The body.
    pub(crate) fn body(&self) -> &'a [u8] {
        self.bytes.get(self.index.body.clone()).unwrap_or_default()
    }
}

/// The tag of From or To.
pub(crate) fn tag(value: &[u8]) -> Option<&[u8]> {
    let parameters = value.rsplit(|b| *b == b'>').next()?;
    parameters.split(|b| *b == b';').skip(1).find_map(|p| {
        let (name, tag) = split_at(p, b'=')?;
        name.trim_ascii()
            .eq_ignore_ascii_case(b"tag")
            .then(|| tag.trim_ascii())
    })
}

/// The URI of Contact, Route and the like: what is in the brackets, or stands before the parameters.
pub(crate) fn uri(value: &[u8]) -> &[u8] {
    if let Some((_, rest)) = split_at(value, b'<') {
        return split_at(rest, b'>').map_or(rest, |(uri, _)| uri);
    }
    let uri = value.split(|b| matches!(b, b';' | b',')).next();
    uri.unwrap_or_default().trim_ascii()
}

/// Where a SIP URI with an address as its host leads; the port is 5060 without one.
pub(crate) fn address(uri: &[u8]) -> Option<SocketAddr> {
    let rest = uri.strip_prefix(b"sip:")?;
    let rest = split_at(rest, b'@').map_or(rest, |(_, host)| host);
    let host = rest.split(|b| matches!(b, b';' | b'?' | b'>')).next()?;
    let host = std::str::from_utf8(host).ok()?;
    if let Ok(full) = SocketAddr::from_str(host) {
        return Some(full);
    }
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let ip = IpAddr::from_str(bare.unwrap_or(host)).ok()?;
    Some(SocketAddr::new(ip, 5060))
}

/// The values of a header that is a list. Commas in brackets or quotes do not end one.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut in_brackets, mut in_quotes) = (false, false);
    let parts = value.split(move |b| {
        match b {
            b'<' if !in_quotes => in_brackets = true,
            b'>' if !in_quotes => in_brackets = false,
            b'"' => in_quotes = !in_quotes,
            _ => {}
        }
        *b == b',' && !in_brackets && !in_quotes
    });
    parts.map(<[u8]>::trim_ascii)
}

/// The audio stream of SDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Audio<'a> {
    /// Where RTP is wanted.
    pub(crate) to: SocketAddr,
    /// The payload types, as written.
    formats: &'a [u8],
}

impl<'a> Audio<'a> {
    /// The first audio stream that is not refused. None when there is none, or no address for it.
    pub(crate) fn of(sdp: &'a [u8]) -> Option<Self> {
        let (mut session, mut found) = (None, None::<(u16, &[u8])>);
        for line in lines(sdp) {
            if let Some(media) = line.strip_prefix(b"m=") {
                if found.is_some() {
                    break;
                }
                found = audio_line(media);
            } else if let Some(connection) = line.strip_prefix(b"c=") {
                let address = connection.rsplit(|b| *b == b' ').next()?;
                let address = std::str::from_utf8(address).ok()?.split('/').next()?;
                // One below the media line takes the place of the session's.
                session = Some(address.parse::<IpAddr>().ok()?);
            }
        }
        let (port, formats) = found?;
        Some(Self {
            to: SocketAddr::new(session?, port),
            formats,
        })
    }

    /// Its payload types in order.
    pub(crate) fn payload_types(&self) -> impl Iterator<Item = u8> {
        let all = self.formats.split(|b| *b == b' ').filter_map(read_decimal);
        all.filter_map(|n| u8::try_from(n).ok())
    }
}

fn audio_line(media: &[u8]) -> Option<(u16, &[u8])> {
    let rest = media.strip_prefix(b"audio ")?;
    let (port, rest) = split_at(rest, b' ')?;
    let (_, formats) = split_at(rest, b' ')?;
    let port = read_decimal(port).and_then(|p| u16::try_from(p).ok())?;
    (port != 0).then_some((port, formats))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn split_at(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(separator, bytes)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SDP: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
        m=video 0 RTP/AVP 96\r\nm=audio 30000 RTP/AVP 96 8 101\r\nc=IN IP6 2001:db8::1\r\n\
        a=rtpmap:96 opus/48000/2\r\nm=audio 40000 RTP/AVP 0\r\nc=IN IP4 192.0.2.7\r\n";

    #[test]
    fn the_audio_stream_is_the_first_that_is_wanted() {
        let audio = Audio::of(SDP).unwrap();
        assert_eq!(audio.to, "[2001:db8::1]:30000".parse().unwrap());
        assert_eq!(audio.payload_types().collect::<Vec<_>>(), [96, 8, 101]);
        assert_eq!(
            Audio::of(b"c=IN IP4 192.0.2.9\nm=audio 0 RTP/AVP 0\n"),
            None
        );
        assert_eq!(Audio::of(b"m=audio 9 RTP/AVP 0\n"), None);
    }

    #[test]
    fn tags_uris_and_addresses_are_read() {
        assert_eq!(
            tag(b"\"a;tag=0\" <sip:a@b;tag=1>;x=y; TAG = z2"),
            Some(&b"z2"[..])
        );
        assert_eq!(tag(b"<sip:a@b;tag=1>"), None);
        assert_eq!(tag(b"sip:a@b;tag=1"), Some(&b"1"[..]));
        assert_eq!(
            uri(b"\"x\" <sip:a@192.0.2.1:5070;lr>;q=1"),
            b"sip:a@192.0.2.1:5070;lr"
        );
        assert_eq!(uri(b"sip:a@b;expires=1"), b"sip:a@b");
        let to = |uri: &str| address(uri.as_bytes()).map(|a| a.to_string());
        assert_eq!(
            to("sip:a@192.0.2.1:5070;lr").as_deref(),
            Some("192.0.2.1:5070")
        );
        assert_eq!(to("sip:192.0.2.1").as_deref(), Some("192.0.2.1:5060"));
        assert_eq!(
            to("sip:[2001:db8::1];lr").as_deref(),
            Some("[2001:db8::1]:5060")
        );
        assert_eq!(
            to("sip:[2001:db8::1]:1").as_deref(),
            Some("[2001:db8::1]:1")
        );
        assert_eq!((to("sip:example.com"), to("tel:1")), (None, None));
        let all: Vec<_> = list(b"\"a, b\" <sip:a,b>, <sip:c;lr>,sip:d").collect();
        assert_eq!(all, [&b"\"a, b\" <sip:a,b>"[..], b"<sip:c;lr>", b"sip:d"]);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let sdp = [b"c=IN IP4 192.0.2.9\nm=audio 9 RTP/AVP ", bytes.as_slice()].concat();
            if let Some(audio) = Audio::of(&sdp) {
                let _ = audio.payload_types().count();
            }
            let _ = (tag(&bytes), uri(&bytes), address(&bytes), list(&bytes).count());
            let _ = Audio::of(&bytes);
        }
    }
}
