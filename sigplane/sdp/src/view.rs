//! The view of a checked description.

use std::ops::Range;

use crate::error::SdpError;
use crate::lines::{Line, index, slice, words};
use crate::value::{Direction, Host, Rtcp, Transport, number};

/// How much of a description is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Its size in bytes.
    pub bytes: usize,
    /// Its media lines.
    pub media: usize,
}

impl Default for Limits {
    /// 16 KiB and 16 media lines: a browser's offer with audio, video and data is below 8 KiB.
    fn default() -> Self {
        Self {
            bytes: 16 * 1024,
            media: 16,
        }
    }
}

/// A session description that was checked once; everything in it borrows the bytes.
#[derive(Clone, Debug)]
pub struct Sdp<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) lines: Vec<Line>,
    pub(crate) media: Vec<Media<'a>>,
    origin: Host<'a>,
    connection: Option<Host<'a>>,
}

/// A media section: an `m=` line and what follows it, with what it inherits from the session part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    /// `audio`, `video`, `image`, ...
    pub kind: &'a [u8],
    /// The port; 0 says that the line is not used.
    pub port: u16,
    /// The number of ports behind the slash; 1 without.
    pub port_count: u32,
    /// The protocol field, as written.
    pub protocol: &'a [u8],
    /// What the protocol field means.
    pub transport: Transport,
    /// The formats, as written.
    pub formats: &'a [u8],
    /// The address that counts for this section: its own `c=`, or the session's.
    pub connection: Option<Host<'a>>,
    /// Its own direction, or the session's.
    pub direction: Direction,
    /// `a=rtcp`; the first if there are several.
    pub rtcp: Option<Rtcp<'a>>,
    /// `a=rtcp-mux` (RFC 5761).
    pub rtcp_mux: bool,
    /// Any `a=candidate` or `a=ice-...`, its own or the session's.
    pub ice: bool,
    /// `a=crypto` (RFC 4568).
    pub crypto: bool,
    /// `a=fingerprint` (RFC 8122), its own or the session's.
    pub fingerprint: bool,
    /// Where its port field is.
    pub(crate) port_at: Range<usize>,
    /// Its lines, the `m=` line first, as positions in the line index.
    pub(crate) lines: Range<usize>,
    /// Whether it has a `c=` line of its own.
    pub(crate) own_connection: bool,
}

impl<'a> Sdp<'a> {
    /// Checks a description.
    ///
    /// # Errors
    /// Names the line and what is wrong with it.
    pub fn parse(bytes: &'a [u8], limits: Limits) -> Result<Self, SdpError> {
        if bytes.len() > limits.bytes {
            return Err(SdpError::TooLong {
                size: bytes.len(),
                limit: limits.bytes,
            });
        }
        let lines = index(bytes)?;
        let first = lines.first().ok_or(SdpError::Empty)?;
        if slice(bytes, first.start..first.end) != b"v=0" {
            return Err(SdpError::BadVersion);
        }
        let mut reader = Reader::new(bytes, limits.media);
        for (number, line) in lines.iter().enumerate() {
            reader.line(number, line)?;
        }
        let Reader {
            session,
            media,
            origin,
            ..
        } = reader;
        let origin = origin.ok_or(SdpError::NoOrigin)?;
        Ok(Self {
            bytes,
            lines,
            media,
            origin,
            connection: session.connection,
        })
    }

    /// The address of the `o=` line.
    #[must_use]
    pub const fn origin(&self) -> Host<'a> {
        self.origin
    }

    /// The address of the session's `c=` line.
    #[must_use]
    pub const fn connection(&self) -> Option<Host<'a>> {
        self.connection
    }

    /// The media sections, in order.
    #[must_use]
    pub fn media(&self) -> &[Media<'a>] {
        &self.media
    }

    /// The encoding that `a=rtpmap` of this section gives a payload type, as `opus/48000/2` (RFC 8866 section 6.6).
    #[must_use]
    pub fn rtpmap(&self, media: &Media<'a>, payload_type: u8) -> Option<&'a [u8]> {
        let lines = self.lines.get(media.lines.clone()).unwrap_or_default();
        lines
            .iter()
            .filter(|line| line.kind == b'a')
            .find_map(|line| {
                if !attribute_name(self.bytes, line).eq_ignore_ascii_case(b"rtpmap") {
                    return None;
                }
                let value = slice(self.bytes, attribute_value(self.bytes, line));
                let mut words = value.split(|b| *b == b' ').filter(|word| !word.is_empty());
                let number = words.next().and_then(number::<u8>)?;
                let encoding = words.next()?.trim_ascii();
                (number == payload_type).then_some(encoding)
            })
    }

    /// The lines, without their ends.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.lines.iter().map(|l| slice(self.bytes, l.start..l.end))
    }
}

/// What a section can inherit from the session part.
#[derive(Default)]
struct Session<'a> {
    connection: Option<Host<'a>>,
    direction: Direction,
    ice: bool,
    fingerprint: bool,
}

/// Takes the lines in order.
struct Reader<'a> {
    bytes: &'a [u8],
    limit: usize,
    origin: Option<Host<'a>>,
    session: Session<'a>,
    media: Vec<Media<'a>>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], limit: usize) -> Self {
        Self {
            bytes,
            limit,
            origin: None,
            session: Session::default(),
            media: Vec::new(),
        }
    }

    fn line(&mut self, number: usize, line: &Line) -> Result<(), SdpError> {
        if line.kind == b'm' {
            return self.media_line(number, line);
        }
        if let Some(section) = self.media.last_mut() {
            section.lines.end = number + 1;
        }
        match line.kind {
            b'o' => self.origin_line(number, line),
            b'c' => self.connection_line(number, line),
            b'a' => self.attribute(number, line),
            _ => Ok(()),
        }
    }

    fn origin_line(&mut self, number: usize, line: &Line) -> Result<(), SdpError> {
        let number = number + 1;
        if self.origin.is_some() || !self.media.is_empty() {
            return Err(SdpError::Repeated { line: number });
        }
        let at = origin_address(self.bytes, line).ok_or(SdpError::BadOrigin { line: number })?;
        self.origin = Host::read(self.bytes, at);
        match self.origin {
            Some(_) => Ok(()),
            None => Err(SdpError::BadOrigin { line: number }),
        }
    }

    fn connection_line(&mut self, number: usize, line: &Line) -> Result<(), SdpError> {
        let number = number + 1;
        let host =
            Host::read(self.bytes, line.value()).ok_or(SdpError::BadConnection { line: number })?;
        let repeated = match self.media.last_mut() {
            Some(section) => {
                section.connection = Some(host);
                std::mem::replace(&mut section.own_connection, true)
            }
            None => self.session.connection.replace(host).is_some(),
        };
        if repeated {
            Err(SdpError::Repeated { line: number })
        } else {
            Ok(())
        }
    }

    fn attribute(&mut self, number: usize, line: &Line) -> Result<(), SdpError> {
        let name = attribute_name(self.bytes, line);
        let direction = Direction::read(name);
        let fingerprint = name.eq_ignore_ascii_case(b"fingerprint");
        let ice = is_ice(name);
        let Some(section) = self.media.last_mut() else {
            self.session.direction = direction.unwrap_or(self.session.direction);
            self.session.fingerprint |= fingerprint;
            self.session.ice |= ice;
            return Ok(());
        };
        section.direction = direction.unwrap_or(section.direction);
        section.fingerprint |= fingerprint;
        section.ice |= ice;
        section.crypto |= name.eq_ignore_ascii_case(b"crypto");
        section.rtcp_mux |= name.eq_ignore_ascii_case(b"rtcp-mux");
        if name.eq_ignore_ascii_case(b"rtcp") {
            let rtcp = Rtcp::read(self.bytes, attribute_value(self.bytes, line))
                .ok_or(SdpError::BadRtcp { line: number + 1 })?;
            section.rtcp.get_or_insert(rtcp);
        }
        Ok(())
    }

    fn media_line(&mut self, number: usize, line: &Line) -> Result<(), SdpError> {
        if self.media.len() >= self.limit {
            return Err(SdpError::TooManyMedia { limit: self.limit });
        }
        let section = self
            .section(number, line)
            .ok_or(SdpError::BadMedia { line: number + 1 })?;
        self.media.push(section);
        Ok(())
    }

    fn section(&self, number: usize, line: &Line) -> Option<Media<'a>> {
        let bytes = self.bytes;
        let mut words = words(bytes, line.value());
        let (kind, port_at, protocol) = (words.next()?, words.next()?, words.next()?);
        let formats = words.next()?.start..line.end;
        let mut port = slice(bytes, port_at.clone()).splitn(2, |b| *b == b'/');
        let protocol = slice(bytes, protocol);
        Some(Media {
            kind: slice(bytes, kind),
            port: port.next().and_then(self::number)?,
            port_count: port.next().map_or(Some(1), self::number)?,
            protocol,
            transport: Transport::read(protocol),
            formats: slice(bytes, formats),
            connection: self.session.connection,
            direction: self.session.direction,
            rtcp: None,
            rtcp_mux: false,
            ice: self.session.ice,
            crypto: false,
            fingerprint: self.session.fingerprint,
            port_at,
            lines: number..number + 1,
            own_connection: false,
        })
    }
}

/// Where `IN <type> <address>` is in an `o=` line: its last three words. A sender that leaves the
/// user name empty has one word less; at least two must precede.
pub(crate) fn origin_address(bytes: &[u8], line: &Line) -> Option<Range<usize>> {
    let words: Vec<_> = words(bytes, line.value()).collect();
    let first = words.len().checked_sub(3).filter(|first| *first >= 2)?;
    Some(words.get(first)?.start..line.end)
}

/// The name of an `a=` line: up to the colon.
pub(crate) fn attribute_name<'a>(bytes: &'a [u8], line: &Line) -> &'a [u8] {
    let value = slice(bytes, line.value());
    value
        .split(|b| *b == b':')
        .next()
        .unwrap_or(value)
        .trim_ascii()
}

/// Where the value of an `a=` line is: behind the colon.
pub(crate) fn attribute_value(bytes: &[u8], line: &Line) -> Range<usize> {
    let value = line.value();
    let colon = slice(bytes, value.clone()).iter().position(|b| *b == b':');
    colon.map_or(value.end, |at| value.start + at + 1)..value.end
}

/// Whether an attribute belongs to ICE (RFC 8839).
pub(crate) fn is_ice(name: &[u8]) -> bool {
    let starts = |prefix: &[u8]| {
        name.get(..prefix.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    starts(b"ice-")
        || [
            &b"candidate"[..],
            b"remote-candidates",
            b"end-of-candidates",
        ]
        .iter()
        .any(|n| name.eq_ignore_ascii_case(n))
}
