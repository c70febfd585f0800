//! What a media line carries, as far as the figures of its flow need it: the clock of its RTP timestamps, and the names of its
//! payload types (RFC 8866 section 6.6, RFC 3551).

use serde::{Deserialize, Serialize};
use tandem_link::MediaKind;
use tandem_sdp::{Media, Sdp};

/// Dynamic payload types that are remembered of a line: an answer has one to three.
const MOST: usize = 8;
/// The longest encoding that is remembered: `telephone-event/48000` has 21.
const LONGEST: usize = 40;

/// What a media line carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Formats {
    pub(super) kind: MediaKind,
    /// The clock rate of dynamic payload types, in Hz: that of the preferred one; 0 when it is not known.
    pub(super) clock_rate: u32,
    /// The preferred payload type that is speech; none when there is none.
    preferred: Option<u8>,
    /// The encodings of dynamic payload types of audio, without events and comfort noise.
    dynamic: Vec<(u8, String)>,
}

impl Formats {
    /// Reads a media section.
    pub(super) fn read(sdp: &Sdp<'_>, media: &Media<'_>) -> Self {
        let mut formats = Self {
            kind: match media.kind {
                b"audio" => MediaKind::Audio,
                _ => MediaKind::Other,
            },
            ..Self::default()
        };
        let payload_types = media.formats.split(|b| *b == b' ').filter_map(payload_type);
        for payload_type in payload_types.take(256) {
            let mapped = sdp.rtpmap(media, payload_type);
            let name = match mapped {
                Some(name) => String::from_utf8_lossy(name).into_owned(),
                None => static_encoding(payload_type).unwrap_or_default().to_owned(),
            };
            if is_beside_speech(&name) {
                continue;
            }
            formats.preferred.get_or_insert(payload_type);
            let Some(rate) = clock_of(&name).filter(|_| payload_type >= 96 || mapped.is_some())
            else {
                continue;
            };
            if payload_type >= 96 && formats.clock_rate == 0 {
                formats.clock_rate = rate;
            }
            let is_news = static_encoding(payload_type) != Some(name.as_str());
            if is_news
                && formats.kind == MediaKind::Audio
                && formats.dynamic.len() < MOST
                && name.len() <= LONGEST
            {
                formats.dynamic.push((payload_type, name));
            }
        }
        formats
    }

    /// The encoding of a payload type that came; of one that is no speech (events, comfort noise) the preferred one's.
    pub(super) fn encoding(&self, payload_type: u8) -> Option<&str> {
        let named = |payload_type: u8| {
            let known = self.dynamic.iter().find(|(p, _)| *p == payload_type);
            let known = known.map(|(_, name)| name.as_str());
            known.or_else(|| static_encoding(payload_type).filter(|name| !is_beside_speech(name)))
        };
        named(payload_type).or_else(|| named(self.preferred?))
    }
}

/// The payload type of telephone-event in a media section (RFC 4733); of several the one with the clock of the speech.
pub(super) fn event_type(sdp: &Sdp<'_>, media: &Media<'_>) -> Option<u8> {
    let payload_types = media.formats.split(|b| *b == b' ').filter_map(payload_type);
    let mut speech = None;
    let mut events = [None; 4];
    let mut room = events.iter_mut();
    for payload_type in payload_types.take(256) {
        let mapped = sdp.rtpmap(media, payload_type).map(String::from_utf8_lossy);
        let name = mapped.as_deref().or_else(|| static_encoding(payload_type));
        let Some(name) = name else { continue };
        if name
            .split('/')
            .next()
            .is_some_and(|n| n.eq_ignore_ascii_case("telephone-event"))
        {
            if let Some(place) = room.next() {
                *place = Some((payload_type, clock_of(name)));
            }
        } else if speech.is_none() && !is_beside_speech(name) {
            speech = clock_of(name);
        }
    }
    let events = || events.iter().flatten();
    let fitting = events().find(|(_, clock)| *clock == speech);
    let chosen = fitting.or_else(|| events().next());
    chosen.map(|(payload_type, _)| *payload_type)
}

fn payload_type(word: &[u8]) -> Option<u8> {
    let number: u8 = std::str::from_utf8(word).ok()?.parse().ok()?;
    (number < 128).then_some(number)
}

/// Whether it comes beside speech: RFC 4733, RFC 3389, RFC 2198.
fn is_beside_speech(encoding: &str) -> bool {
    let name = encoding.split('/').next().unwrap_or_default();
    ["telephone-event", "CN", "red"]
        .iter()
        .any(|n| name.eq_ignore_ascii_case(n))
}

/// The clock rate in an encoding.
fn clock_of(encoding: &str) -> Option<u32> {
    let rate: u32 = encoding.split('/').nth(1)?.parse().ok()?;
    // The dataplane counts in steps of 25; nobody has another clock.
    (25..=800_000).contains(&rate).then_some(rate / 25 * 25)
}

/// Static payload types of audio (RFC 3551 table 4).
const fn static_encoding(payload_type: u8) -> Option<&'static str> {
    Some(match payload_type {
        0 => "PCMU/8000",
        3 => "GSM/8000",
        4 => "G723/8000",
        5 => "DVI4/8000",
        6 => "DVI4/16000",
        7 => "LPC/8000",
        8 => "PCMA/8000",
        9 => "G722/8000",
        10 => "L16/44100/2",
        11 => "L16/44100",
        12 => "QCELP/8000",
        13 => "CN/8000",
        14 => "MPA/90000",
        15 => "G728/8000",
        16 => "DVI4/11025",
        17 => "DVI4/22050",
        18 => "G729/8000",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tandem_sdp::Limits;

    fn read(lines: &str) -> Formats {
        let text = format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{lines}"
        );
        let sdp = Sdp::parse(text.as_bytes(), Limits::default()).unwrap();
        Formats::read(&sdp, &sdp.media()[0])
    }

    #[test]
    fn payload_types_have_their_names_and_clock() {
        let telephone =
            read("m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n");
        assert_eq!(
            (telephone.kind, telephone.clock_rate),
            (MediaKind::Audio, 0)
        );
        assert!(
            telephone.dynamic.is_empty(),
            "nothing is kept of what everybody knows"
        );
        assert_eq!(telephone.encoding(0), Some("PCMU/8000"));
        assert_eq!(
            telephone.encoding(101),
            Some("PCMA/8000"),
            "a digit was the last"
        );
        let web = read(
            "m=audio 4000 RTP/SAVPF 13 126 111 9\r\na=rtpmap:126 telephone-event/8000\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:9 G722/8000\r\n",
        );
        assert_eq!(web.clock_rate, 48_000);
        assert_eq!(web.encoding(111), Some("opus/48000/2"));
        assert_eq!(web.encoding(9), Some("G722/8000"));
        assert_eq!(web.encoding(97), Some("opus/48000/2"));
        let video = read("m=video 4000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n");
        assert_eq!((video.kind, video.clock_rate), (MediaKind::Other, 90_000));
        let odd = read("m=audio 4000 RTP/AVP 96 x 300\r\na=rtpmap:96 a/0\r\n");
        assert_eq!((odd.clock_rate, odd.encoding(96)), (0, None));
        let fax = read("m=image 4000 udptl t38\r\n");
        assert_eq!(
            (fax.kind, fax.encoding(0)),
            (MediaKind::Other, Some("PCMU/8000"))
        );
    }

    #[test]
    fn the_payload_type_of_events_is_that_with_the_clock_of_speech() {
        let event = |lines: &str| {
            let text = format!(
                "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{lines}"
            );
            let sdp = Sdp::parse(text.as_bytes(), Limits::default()).unwrap();
            event_type(&sdp, &sdp.media()[0])
        };
        let two = "a=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 Telephone-Event/8000\r\n";
        let opus = "a=rtpmap:111 opus/48000/2\r\n";
        assert_eq!(
            event(&format!("m=audio 4 RTP/AVP 111 126 110\r\n{opus}{two}")),
            Some(110)
        );
        assert_eq!(
            event(&format!("m=audio 4 RTP/AVP 8 110 126\r\n{two}")),
            Some(126)
        );
        assert_eq!(
            event(&format!("m=audio 4 RTP/AVP 8 110\r\n{two}")),
            Some(110)
        );
        assert_eq!(event("m=audio 4 RTP/AVP 8 101\r\n"), None);
    }

    proptest! {
        #[test]
        fn any_lines_are_read(formats in "[ -~]{0,60}", map in "[ -~]{0,60}") {
            let text = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP {formats}\r\na=rtpmap:{map}\r\n");
            if let Ok(sdp) = Sdp::parse(text.as_bytes(), Limits::default()) {
                for media in sdp.media() {
                    let formats = Formats::read(&sdp, media);
                    prop_assert!(formats.clock_rate <= 1_000_000);
                    for payload_type in 0..=255 {
                        let _ = formats.encoding(payload_type);
                    }
                    let _ = event_type(&sdp, media);
                }
            }
        }
    }
}
