//! SHA-256, and how it is written.

use ring::digest::{Context, SHA256, digest};

/// The 32 bytes.
pub type Sha256 = [u8; 32];

/// Of these bytes.
#[must_use]
pub fn of(bytes: &[u8]) -> Sha256 {
    array(digest(&SHA256, bytes).as_ref())
}

/// One that grows.
#[derive(Clone)]
pub struct Running(Context);

impl Default for Running {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Running {
    /// More bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all of them.
    #[must_use]
    pub fn finish(self) -> Sha256 {
        array(self.0.finish().as_ref())
    }
}

fn array(bytes: &[u8]) -> Sha256 {
    // SHA-256 has 32 bytes, always.
    bytes.try_into().unwrap_or([0; 32])
}

/// 64 digits.
#[must_use]
pub fn hex(digest: &Sha256) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// From 64 digits, small or capital.
#[must_use]
pub fn from_hex(text: &str) -> Option<Sha256> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}
