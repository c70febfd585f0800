//! Where frames go.

/// Bytes of the longest frame, tag included, frame check sequence not.
pub const MAX_FRAME: usize = 1518;

/// The device's side: gives buffers and sends them.
pub trait Sink {
    /// Hands `write` a buffer of at least [`MAX_FRAME`] bytes, whose first bytes (as many as it answers) are sent
    /// on port `port`; nothing is sent if it answers 0. Answers false, without calling it, when the device takes
    /// no more now: nothing is lost then, and the caller tries again later.
    fn frame(&mut self, port: usize, write: impl FnOnce(&mut [u8]) -> usize) -> bool;
}
