//! The opening handshake (RFC 6455 section 4.2, RFC 7118 section 4).

use tungstenite::handshake::derive_accept_key;

use crate::streams::counters::Count;

/// The longest request, in bytes.
const LONGEST: usize = 8_192;
/// The most header fields.
const FIELDS: usize = 64;
/// The version of the WebSocket protocol.
const VERSION: &str = "13";

/// A request as it comes.
#[derive(Debug, Default)]
pub(in crate::streams) struct Request {
    bytes: Vec<u8>,
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::streams) enum Answer {
    /// It is a handshake: the response, and what came behind the request.
    Switch(Vec<u8>, Vec<u8>),
    /// It is refused: the response, and what to count.
    Refuse(Vec<u8>, Count),
}

/// A refusal: status and reason, further header fields, and what to count.
type Refusal = (&'static str, &'static str, Count);

impl Request {
    /// Takes bytes; an answer once the request is whole.
    pub(in crate::streams) fn receive(
        &mut self,
        bytes: &[u8],
        origins: &[String],
    ) -> Option<Answer> {
        // The end may straddle two pieces.
        let from = self.bytes.len().saturating_sub(3);
        self.bytes.extend_from_slice(bytes);
        let tail = self.bytes.get(from..).unwrap_or_default();
        let end = tail.windows(4).position(|w| w == b"\r\n\r\n");
        let end = end.map(|at| from + at + 4);
        if end.unwrap_or(self.bytes.len()) > LONGEST {
            let too_long = (
                "431 Request Header Fields Too Large",
                "",
                Count::WebBadRequest,
            );
            return Some(refuse(too_long));
        }
        let all = end.map(|_| std::mem::take(&mut self.bytes))?;
        let (head, behind) = all.split_at_checked(end?)?;
        Some(match check(head, origins) {
            Ok(key) => Answer::Switch(switch(&key), behind.to_vec()),
            Err(refusal) => refuse(refusal),
        })
    }

    pub(in crate::streams) fn buffered(&self) -> usize {
        self.bytes.len()
    }
}

/// The handshake's key, if the request is one that we serve.
fn check(head: &[u8], origins: &[String]) -> Result<Vec<u8>, Refusal> {
    const BAD: Refusal = ("400 Bad Request", "", Count::WebBadRequest);
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) | Err(_) => return Err(BAD),
    }
    if request.method != Some("GET") {
        let refusal = (
            "405 Method Not Allowed",
            "Allow: GET\r\n",
            Count::WebBadRequest,
        );
        return Err(refusal);
    }
    if request.version != Some(1) {
        return Err(BAD);
    }
    let values = |name: &'static str| {
        let fields = request.headers.iter();
        fields
            .filter(move |f| f.name.eq_ignore_ascii_case(name))
            .map(|f| f.value.trim_ascii())
    };
    let lists = |name, wanted: &'static [u8], any_case: bool| {
        values(name)
            .flat_map(|v| v.split(|b| *b == b','))
            .any(|element| {
                let element = element.trim_ascii();
                element == wanted || any_case && element.eq_ignore_ascii_case(wanted)
            })
    };
    if !lists("Upgrade", b"websocket", true) || !lists("Connection", b"upgrade", true) {
        let fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
        return Err(("426 Upgrade Required", fields, Count::WebBadRequest));
    }
    if !values("Sec-WebSocket-Version").eq([VERSION.as_bytes()]) {
        let fields = "Sec-WebSocket-Version: 13\r\n";
        return Err(("426 Upgrade Required", fields, Count::WebBadRequest));
    }
    let mut keys = values("Sec-WebSocket-Key");
    // 16 bytes in base64.
    let key = keys.next().filter(|key| {
        key.len() == 24
            && key.ends_with(b"==")
            && key
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b))
    });
    let (Some(key), None) = (key, keys.next()) else {
        return Err(BAD);
    };
    if !origins.is_empty() {
        let mut named = values("Origin");
        let listed = named.next().is_some_and(|origin| {
            origins
                .iter()
                .any(|o| o.as_bytes().eq_ignore_ascii_case(origin))
        });
        if !listed || named.next().is_some() {
            return Err(("403 Forbidden", "", Count::WebOrigin));
        }
    }
    if !lists("Sec-WebSocket-Protocol", b"sip", false) {
        return Err(("403 Forbidden", "", Count::WebProtocol));
    }
    Ok(key.to_vec())
}

fn switch(key: &[u8]) -> Vec<u8> {
    let accept = derive_accept_key(key);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
    )
    .into_bytes()
}

fn refuse((status, fields, count): Refusal) -> Answer {
    // The field that asks for an upgrade needs `Connection` for itself.
    let close = if fields.contains("Connection:") {
        ""
    } else {
        "Connection: close\r\n"
    };
    let response = format!("HTTP/1.1 {status}\r\n{fields}{close}Content-Length: 0\r\n\r\n");
    Answer::Refuse(response.into_bytes(), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /sip HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Origin: https://a.example\r\nSec-WebSocket-Protocol: xmpp, sip\r\n\r\n";

    fn status(request: &str, origins: &[String]) -> String {
        let answer = Request::default().receive(request.as_bytes(), origins);
        let bytes = match answer.unwrap() {
            Answer::Switch(bytes, _) | Answer::Refuse(bytes, _) => bytes,
        };
        String::from_utf8(bytes).unwrap()[9..12].to_owned()
    }

    #[test]
    fn each_fault_has_its_answer() {
        let of = |from: &str, to: &str| status(&GOOD.replace(from, to), &[]);
        assert_eq!(of("", ""), "101");
        assert_eq!(of("GET", "POST"), "405");
        assert_eq!(of("HTTP/1.1", "HTTP/1.0"), "400");
        assert_eq!(of("Upgrade: WebSocket\r\n", ""), "426");
        assert_eq!(of("keep-alive, Upgrade", "keep-alive"), "426");
        assert_eq!(of("Version: 13", "Version: 8"), "426");
        assert_eq!(of("dGhlIHNhbXBsZSBub25jZQ==", "short"), "400");
        assert_eq!(of("xmpp, sip", "xmpp"), "403");
        assert_eq!(of("Sec-WebSocket-Protocol: xmpp, sip\r\n", ""), "403");
        assert_eq!(of("GET /sip", "\u{1}"), "400");
        assert_eq!(of("Host: a", &"h".repeat(9_000)), "431");
        assert_eq!(status(&"x".repeat(8_193), &[]), "431");
    }

    #[test]
    fn origins_are_checked_when_there_is_a_list() {
        let list = ["https://A.example".to_owned()];
        assert_eq!(status(GOOD, &list), "101");
        assert_eq!(status(GOOD, &["https://b.example".to_owned()]), "403");
        assert_eq!(status(&GOOD.replace("Origin", "Other"), &list), "403");
    }

    #[test]
    fn a_request_byte_by_byte_is_taken_and_what_follows_is_kept() {
        let mut request = Request::default();
        let (last, first) = GOOD.as_bytes().split_last().unwrap();
        for byte in first {
            assert_eq!(request.receive(&[*byte], &[]), None);
        }
        let Some(Answer::Switch(response, behind)) = request.receive(&[*last, b'x'], &[]) else {
            panic!("not switched");
        };
        let response = String::from_utf8(response).unwrap();
        // The example of RFC 6455 section 1.3.
        assert!(
            response.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            "{response}"
        );
        assert_eq!(behind, b"x");
    }
}
