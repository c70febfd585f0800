//! What was said by whom, so that whoever hears something can tell whether it was.
//!
//! Every request and response of a phone carries its number in a header of its own, which a proxy
//! passes on untouched. A message without one is the proxy's own.

use std::collections::BTreeMap;
use std::time::Duration;

/// The number of a request.
pub const REQUEST: &str = "X-Sim-Request";
/// The number of a response.
pub const RESPONSE: &str = "X-Sim-Response";
/// The number of the request that it answers.
pub const ANSWERS: &str = "X-Sim-Answers";

/// Who said it: the phone's number, and its leg there.
pub type Speaker = (usize, usize);

/// A request that a phone sent.
#[derive(Clone, Debug)]
pub struct SentRequest {
    /// The number of the call.
    pub call: u32,
    /// By the caller's side.
    pub by_caller: bool,
    /// Its method.
    pub method: String,
    /// The sender's tag, and the other's.
    pub tags: (String, String),
    /// Its CSeq.
    pub cseq: u32,
    /// Whether it had a body.
    pub body: bool,
}

/// A response that a phone sent.
#[derive(Clone, Debug)]
pub struct SentResponse {
    /// The request that it answers.
    pub request: u32,
    /// Its status.
    pub code: u16,
    /// Its tag.
    pub tag: String,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Ledger {
    requests: Vec<SentRequest>,
    responses: Vec<SentResponse>,
    /// Who receives media at this port.
    pub ports: BTreeMap<u16, Speaker>,
    /// When the proxy came back from the dead.
    pub lives: Vec<Duration>,
    /// Nothing is lost in this run.
    pub calm: bool,
    /// Invariants that did not hold.
    pub faults: Vec<String>,
    /// Faults if no phone of the call died.
    pub softs: Vec<(u32, String)>,
    names: u64,
}

impl Ledger {
    /// Empty. `calm`: nothing is lost in this run.
    #[must_use]
    pub fn new(calm: bool) -> Self {
        Self {
            calm,
            ..Self::default()
        }
    }

    /// An invariant does not hold.
    pub fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    /// What must not be in a calm run, unless a phone of this call died.
    pub fn soft(&mut self, call: u32, what: String) {
        if self.calm {
            self.softs.push((call, what));
        }
    }

    /// A word that nobody else has.
    pub fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    /// A media port for this leg.
    pub fn port(&mut self, leg: Speaker) -> u16 {
        let port = 10_000 + u16::try_from(self.ports.len() * 2 % 20_000).unwrap_or(0);
        self.ports.insert(port, leg);
        port
    }

    /// A phone sends a request: its number.
    pub fn request(&mut self, request: SentRequest) -> u32 {
        self.requests.push(request);
        u32::try_from(self.requests.len() - 1).unwrap_or(u32::MAX)
    }

    /// A phone sends a response: its number.
    pub fn response(&mut self, response: SentResponse) -> u32 {
        self.responses.push(response);
        u32::try_from(self.responses.len() - 1).unwrap_or(u32::MAX)
    }

    /// The request with this number.
    #[must_use]
    pub fn sent_request(&self, number: u32) -> Option<SentRequest> {
        self.requests.get(usize::try_from(number).ok()?).cloned()
    }

    /// The response with this number.
    #[must_use]
    pub fn sent_response(&self, number: u32) -> Option<SentResponse> {
        self.responses.get(usize::try_from(number).ok()?).cloned()
    }

    /// Whether the proxy was dead at any time since.
    #[must_use]
    pub fn died_since(&self, time: Duration) -> bool {
        self.lives.iter().any(|at| *at >= time)
    }
}

/// Whether the proxy itself may say this.
#[must_use]
pub fn may_invent(method: &str, code: u16, cancelled: bool) -> bool {
    match (method, code) {
        ("INVITE", 100 | 408 | 480 | 481 | 488 | 491 | 500 | 502 | 503) => true,
        ("INVITE", 487) => cancelled,
        ("CANCEL", 200 | 481) => true,
        ("UPDATE", 488 | 491 | 500) => true,
        ("BYE" | "UPDATE" | "PRACK" | "INFO", 408 | 481) => true,
        ("PRACK", 488) => true,
        ("MESSAGE", 408 | 503) => true,
        _ => false,
    }
}
