//! A telephone reduced to text and one socket, for calls that no phone would make.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::{Failure, Result};

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// All of it.
    pub text: String,
}

impl Message {
    /// The status code of an answer; 0 for a request.
    #[must_use]
    pub fn code(&self) -> u16 {
        let mut words = self.text.split(' ');
        match (words.next(), words.next()) {
            (Some("SIP/2.0"), Some(code)) => code.parse().unwrap_or(0),
            _ => 0,
        }
    }

    /// The values of all header lines of this name.
    #[must_use]
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let lines = head.lines().filter_map(|l| l.split_once(':'));
        lines
            .filter(|(n, _)| n.trim().eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim())
            .collect()
    }

    /// The first header line of this name; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers(name).first().copied().unwrap_or_default()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &str {
        self.text
            .split_once("\r\n\r\n")
            .map_or("", |(_, body)| body)
    }
}

impl Message {
    /// The method of a request; empty for an answer.
    #[must_use]
    pub fn method(&self) -> &str {
        if self.code() > 0 {
            ""
        } else {
            self.text.split(' ').next().unwrap_or_default()
        }
    }

    /// The answer to this request with a status line such as `200 OK`, from `contact`.
    #[must_use]
    pub fn answer(&self, status: &str, contact: SocketAddr, body: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in self.headers(name) {
                let untagged =
                    name == "To" && !value.contains(";tag=") && !status.starts_with("100");
                let tag = if untagged { ";tag=callee" } else { "" };
                text += &format!("{name}: {value}{tag}\r\n");
            }
        }
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let length = body.len();
        text + &format!(
            "Contact: <sip:callee@{contact}>\r\n{kind}Content-Length: {length}\r\n\r\n{body}"
        )
    }
}

/// A media server reduced to one socket: the test says what it answers.
pub struct Callee {
    socket: UdpSocket,
    local: SocketAddr,
}

impl Callee {
    /// One on a socket.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn new(socket: UdpSocket) -> Result<Self> {
        let local = socket
            .local_addr()
            .map_err(Failure::while_("a callee's address"))?;
        Ok(Self { socket, local })
    }

    /// The next request of this method, and who sent it.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn expect(&self, method: &str, limit: Duration) -> Result<(Message, SocketAddr)> {
        let end = Instant::now() + limit;
        let mut buffer = vec![0; 65_536];
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let left = left.max(Duration::from_millis(1));
            self.socket
                .set_read_timeout(Some(left))
                .map_err(Failure::while_("a socket"))?;
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            let bytes = buffer.get(..length).unwrap_or_default();
            let message = Message {
                text: String::from_utf8_lossy(bytes).into_owned(),
            };
            if message.method() == method {
                return Ok((message, from));
            }
        }
        Err(Failure::new(format!("no {method} came within {limit:?}")))
    }

    /// The next message, whatever it is.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn next(&self, limit: Duration) -> Result<Message> {
        let mut buffer = vec![0; 65_536];
        self.socket
            .set_read_timeout(Some(limit))
            .map_err(Failure::while_("a socket"))?;
        let length = self
            .socket
            .recv(&mut buffer)
            .map_err(Failure::while_("waiting for a message"))?;
        let bytes = buffer.get(..length).unwrap_or_default();
        Ok(Message {
            text: String::from_utf8_lossy(bytes).into_owned(),
        })
    }

    /// Answers a request.
    ///
    /// # Errors
    /// When the socket refuses it.
    pub fn answer(
        &self,
        (request, from): &(Message, SocketAddr),
        status: &str,
        body: &str,
    ) -> Result<()> {
        self.send(&request.answer(status, self.local, body), *from)
    }

    /// Sends an answer that the test has made itself.
    ///
    /// # Errors
    /// When the socket refuses it.
    pub fn send(&self, answer: &str, to: SocketAddr) -> Result<()> {
        self.socket
            .send_to(answer.as_bytes(), to)
            .map(drop)
            .map_err(Failure::while_("answering"))
    }
}

/// One call of such a telephone.
pub struct Phone {
    socket: UdpSocket,
    local: SocketAddr,
    peer: SocketAddr,
    call_id: String,
    from_tag: String,
}

impl Phone {
    /// A telephone on a socket, that talks to `peer`; `name` makes its Call-ID.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn new(socket: UdpSocket, peer: SocketAddr, name: &str) -> Result<Self> {
        let local = socket
            .local_addr()
            .map_err(Failure::while_("a phone's address"))?;
        Ok(Self {
            socket,
            local,
            peer,
            call_id: format!("{name}@{}", local.ip()),
            from_tag: format!("tag-{name}"),
        })
    }

    /// Its Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// A request outside of a dialog, or inside with the answer's To and Contact.
    #[must_use]
    pub fn request(&self, method: &str, uri: &str, to: &str, cseq: u32, body: &str) -> String {
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/sdp\r\n"
        };
        let number = if method == "ACK" || method == "CANCEL" {
            "INVITE"
        } else {
            method
        };
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK-{id}-{cseq}-{number}{ack};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:phone@{local}>;tag={tag}\r\n\
             To: {to}\r\n\
             Call-ID: {id}\r\n\
             CSeq: {cseq} {method}\r\n\
             Contact: <sip:phone@{local}>\r\n\
             {kind}Content-Length: {length}\r\n\r\n{body}",
            local = self.local,
            id = self.call_id,
            tag = self.from_tag,
            ack = if method == "ACK" { "-ack" } else { "" },
            length = body.len(),
        )
    }

    /// The INVITE to `user` with this body.
    #[must_use]
    pub fn invite(&self, user: &str, body: &str) -> String {
        let uri = format!("sip:{user}@{}", self.peer);
        self.request("INVITE", &uri, &format!("<{uri}>"), 1, body)
    }

    /// A request inside of the dialog that `answer` (a 2xx to our INVITE) made.
    #[must_use]
    pub fn in_dialog(&self, method: &str, answer: &Message, cseq: u32, body: &str) -> String {
        let contact = answer.header("Contact");
        let uri = contact
            .split_once('<')
            .and_then(|(_, rest)| rest.split_once('>'));
        let uri = uri.map_or(contact, |(uri, _)| uri);
        let text = self.request(method, uri, answer.header("To"), cseq, body);
        let mut routes = String::new();
        for route in answer.headers("Record-Route").iter().rev() {
            routes += &format!("Route: {route}\r\n");
        }
        text.replacen("Max-Forwards:", &format!("{routes}Max-Forwards:"), 1)
    }

    /// Acknowledges a 2xx.
    ///
    /// # Errors
    /// When the socket refuses it.
    pub fn acknowledge(&self, answer: &Message) -> Result<()> {
        self.send(self.in_dialog("ACK", answer, 1, "").as_bytes())
    }

    /// Ends the call and waits for the answer.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn hang_up(&self, answer: &Message) -> Result<Message> {
        self.ask(
            &self.in_dialog("BYE", answer, 2, ""),
            Duration::from_secs(10),
        )
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the socket refuses them.
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        self.socket
            .send_to(bytes, self.peer)
            .map(drop)
            .map_err(Failure::while_("sending"))
    }

    /// The next message with our Call-ID that `wanted` takes.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn expect(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Message) -> bool,
    ) -> Result<Message> {
        let end = Instant::now() + limit;
        let mut buffer = vec![0; 65_536];
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let left = left.max(Duration::from_millis(1));
            self.socket
                .set_read_timeout(Some(left))
                .map_err(Failure::while_("a socket"))?;
            let bytes = match self.socket.recv(&mut buffer) {
                Ok(length) => buffer.get(..length).unwrap_or_default(),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                // An ICMP error of a peer that is not there; it may come later.
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => continue,
                Err(e) => return Err(Failure::new(format!("receiving: {e}"))),
            };
            let message = Message {
                text: String::from_utf8_lossy(bytes).into_owned(),
            };
            if message.header("Call-ID") == self.call_id && wanted(&message) {
                return Ok(message);
            }
        }
        Err(Failure::new(format!(
            "{what}: nothing came within {limit:?}"
        )))
    }

    /// Sends a request and waits for its final answer. A non-2xx answer to an INVITE is
    /// acknowledged.
    ///
    /// # Errors
    /// When none comes in time.
    pub fn ask(&self, request: &str, limit: Duration) -> Result<Message> {
        self.send(request.as_bytes())?;
        let answer = self.expect("a final answer", limit, |m| m.code() >= 200)?;
        if request.starts_with("INVITE ") && answer.code() >= 300 {
            let uri = request.split(' ').nth(1).unwrap_or_default();
            let ack = self.request("ACK", uri, answer.header("To"), 1, "");
            // The ACK of a failure belongs to the INVITE's transaction: the same branch.
            self.send(ack.replace("-INVITE-ack;", "-INVITE;").as_bytes())?;
        }
        Ok(answer)
    }
}

/// A session description with one audio line.
#[must_use]
pub fn sdp(address: std::net::IpAddr, port: u16) -> String {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=phone 1 1 IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
    )
}

/// Changes a message at random: the same changes for the same seed.
#[must_use]
pub fn mutate(message: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap_or(1)).unwrap_or(0)
    };
    let mut bytes = message.to_vec();
    for _ in 0..=random(6) {
        let at = random(bytes.len());
        match random(8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, u8::try_from(random(256)).unwrap_or(0)),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => {
                // A piece again, somewhere else.
                let end = (at + random(80)).min(bytes.len());
                let piece = bytes.get(at..end).unwrap_or_default().to_vec();
                let to = random(bytes.len());
                bytes.splice(to..to, piece);
            }
            4 => {
                let end = (at + random(200)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let strange: [&[u8]; 8] = [
                    b"\r\n",
                    b"\0",
                    b"%00",
                    b";;;;",
                    b"99999999999999999999",
                    b"\xff\xfe",
                    b"<<>>\"",
                    b"\r\n ",
                ];
                let piece = strange
                    .get(random(strange.len()))
                    .copied()
                    .unwrap_or_default();
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random(8);
                }
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_codes_are_read() {
        let text = "SIP/2.0 403 Forbidden\r\nVia: a\r\nvia: b\r\n\r\nbody".to_owned();
        let message = Message { text };
        assert_eq!(message.code(), 403);
        assert_eq!(message.headers("Via"), ["a", "b"]);
        assert_eq!(message.body(), "body");
    }

    #[test]
    fn mutations_differ_and_repeat() {
        let text = b"INVITE sip:x@192.0.2.1 SIP/2.0\r\nVia: x\r\n\r\n";
        assert_eq!(mutate(text, 5), mutate(text, 5));
        let different = (0..100).filter(|s| mutate(text, *s) != text).count();
        assert!(different > 90, "{different}");
    }
}
