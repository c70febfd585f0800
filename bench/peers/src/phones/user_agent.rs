//! One user agent: what it sends, and what it makes of answers.

use std::net::SocketAddr;

use tandem_e2e::kamailio::{DOMAIN, PASSWORD};
use tandem_e2e::sip::Message;

use super::challenge::credentials;

/// The REGISTER's Request-URI.
const REGISTRAR: &str = "sip:example.com";

/// A user agent with one contact and one Call-ID for all its REGISTERs.
pub(crate) struct UserAgent {
    number: u32,
    local: SocketAddr,
    cseq: u32,
    /// The last request had credentials.
    has_answered: bool,
}

/// What follows an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is none of the request under way.
    Nothing,
    /// A request with this CSeq.
    Send(u32, String),
    /// It is registered.
    Done,
    /// It is not, and that is wrong.
    Failed,
}

impl UserAgent {
    pub(crate) const fn new(number: u32, local: SocketAddr) -> Self {
        Self {
            number,
            local,
            cseq: 0,
            has_answered: false,
        }
    }

    /// The user whose name is in a message's Call-ID.
    pub(crate) fn of(message: &Message) -> Option<u32> {
        let (name, _) = message.header("Call-ID").split_once('@')?;
        name.strip_prefix("user")?.parse().ok()
    }

    /// The next REGISTER and its CSeq, with or without credentials.
    pub(crate) fn register(&mut self, credentials: &str) -> (u32, String) {
        let Self { number, local, .. } = self;
        self.cseq += 1;
        self.has_answered = !credentials.is_empty();
        let (user, cseq, ip) = (name(*number), self.cseq, local.ip());
        let text = format!(
            "REGISTER {REGISTRAR} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bK{number}x{cseq}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{DOMAIN}>;tag=b{number}\r\nTo: <sip:{user}@{DOMAIN}>\r\nCall-ID: {user}@{ip}\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{user}@{local}>\r\nExpires: 3600\r\n{credentials}User-Agent: bench\r\nContent-Length: 0\r\n\r\n"
        );
        (cseq, text)
    }

    pub(crate) fn next(&mut self, answer: &Message) -> Next {
        let cseq = answer.header("CSeq").split(' ').next();
        if cseq.and_then(|n| n.parse().ok()) != Some(self.cseq) || answer.code() < 200 {
            return Next::Nothing;
        }
        let user = name(self.number);
        match answer.code() {
            200 if self.has_answered && answer.header("Contact").contains(&user) => Next::Done,
            401 if !self.has_answered => {
                let challenge = answer.header("WWW-Authenticate");
                match credentials(challenge, &user, PASSWORD, "REGISTER", REGISTRAR) {
                    Some(line) => {
                        let (cseq, text) = self.register(&line);
                        Next::Send(cseq, text)
                    }
                    None => Next::Failed,
                }
            }
            _ => Next::Failed,
        }
    }
}

/// A user's name, as the database has it.
fn name(number: u32) -> String {
    format!("user{number:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(line: &str, cseq: u32, more: &str) -> Message {
        Message {
            text: format!(
                "SIP/2.0 {line}\r\nCall-ID: user000007@192.0.2.1\r\nCSeq: {cseq} REGISTER\r\n{more}\r\n\r\n"
            ),
        }
    }

    #[test]
    fn it_answers_one_challenge_and_wants_its_contact_back() {
        assert_eq!(REGISTRAR.strip_prefix("sip:"), Some(DOMAIN));
        let mut agent = UserAgent::new(7, "192.0.2.1:5060".parse().unwrap());
        let (cseq, text) = agent.register("");
        assert!(cseq == 1 && !text.contains("Authorization"), "{text}");
        let challenge = answer(
            "401 Unauthorized",
            1,
            "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n\"",
        );
        assert_eq!(UserAgent::of(&challenge), Some(7));
        let Next::Send(2, text) = agent.next(&challenge) else {
            panic!("no second request");
        };
        assert!(text.contains("\r\nAuthorization: Digest username=\"user000007\""));
        assert_eq!(agent.next(&challenge), Next::Nothing, "it comes twice");
        let again = answer("401 Unauthorized", 2, "");
        assert_eq!(agent.next(&again), Next::Failed);
        assert_eq!(agent.next(&answer("200 OK", 2, "")), Next::Failed);
        let ok = answer(
            "200 OK",
            2,
            "Contact: <sip:user000007@192.0.2.1:5060>;expires=3600",
        );
        assert_eq!(agent.next(&ok), Next::Done);
    }

    #[test]
    fn a_200_without_a_challenge_is_a_failure() {
        let mut agent = UserAgent::new(7, "192.0.2.1:5060".parse().unwrap());
        agent.register("");
        let ok = answer("200 OK", 1, "Contact: <sip:user000007@192.0.2.1:5060>");
        assert_eq!(agent.next(&ok), Next::Failed);
    }
}
