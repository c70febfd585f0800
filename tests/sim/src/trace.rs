//! What happened, as a number to compare and as text to read.

use std::net::SocketAddr;
use std::time::Duration;

/// A trace.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// With or without its text.
    #[must_use]
    pub fn new(with_text: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            lines: with_text.then(Vec::new),
        }
    }

    /// A message.
    pub fn message(&mut self, now: Duration, way: &str, peer: SocketAddr, bytes: &[u8]) {
        self.add(&now.as_nanos().to_le_bytes());
        self.add(way.as_bytes());
        self.add(peer.to_string().as_bytes());
        self.add(bytes);
        if let Some(lines) = self.lines.as_mut() {
            let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n    ");
            let time = now.as_secs_f64();
            lines.push(format!("{time:10.4} {way} {peer}\n    {}", text.trim_end()));
        }
    }

    /// Anything else.
    pub fn note(&mut self, now: Duration, what: impl FnOnce() -> String) {
        self.add(&now.as_nanos().to_le_bytes());
        if let Some(lines) = self.lines.as_mut() {
            lines.push(format!("{:10.4} -- {}", now.as_secs_f64(), what()));
        }
    }

    /// FNV-1a of all of it.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// The text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.lines.unwrap_or_default().join("\n")
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
