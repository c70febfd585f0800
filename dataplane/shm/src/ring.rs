//! One ring, seen from its producer and from its consumer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use thiserror::Error;

use crate::doorbell::Doorbell;
use crate::layout::{DATA, DROPPED, EPOCH_WORD, HEAD, SLEEPING, Shape, TAIL, Way};
use crate::memory::Mapping;
use crate::record::{self, DatagramMeta, HEADER_WORDS, MAX_PAYLOAD, Record, payload_words};

/// Words that datagrams leave free for messages: some dozens of them.
const FOR_MESSAGES: u64 = 1024;

/// Why a datagram was not put into the ring. It is lost; the caller counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PushError {
    /// No room: the reader is too slow or gone.
    #[error("the ring is full")]
    Full,
    /// Longer than [`MAX_PAYLOAD`].
    #[error("the datagram is too long for the ring")]
    TooLong,
    /// The session has ended: another controller has taken over.
    #[error("the session was fenced")]
    Fenced,
}

/// Why nothing was taken out of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PopError {
    /// The ring's content made no sense: the peer wrote where or what it should not. The ring was
    /// emptied, what was in it is lost, and the next record that is pushed whole is read again.
    #[error("the ring's content was corrupt and has been discarded")]
    Corrupt,
    /// The session has ended: another controller has taken over.
    #[error("the session was fenced")]
    Fenced,
}

/// The writing end of one ring.
#[derive(Debug)]
pub struct Producer {
    ring: Ring,
    /// Words ever written. The shared tail is a copy for the reader; it is never read back.
    tail: u64,
    /// Where the reader was when last looked at.
    head: u64,
    dropped: u64,
    /// A datagram, since the last flush.
    pushed: bool,
    doorbell: Option<Doorbell>,
}

impl Producer {
    pub(crate) fn new(ring: Ring, doorbell: Option<Doorbell>) -> Self {
        let (tail, head) = (
            ring.load(TAIL, Ordering::Relaxed),
            ring.load(HEAD, Ordering::Acquire),
        );
        Self {
            ring,
            tail,
            head,
            dropped: 0,
            pushed: false,
            doorbell,
        }
    }

    /// Puts a datagram into the ring; the reader may take it at once. Never waits. A part of the ring stays free
    /// for messages.
    ///
    /// # Errors
    /// The datagram was not taken, and why.
    pub fn push(&mut self, meta: &DatagramMeta, payload: &[u8]) -> Result<(), PushError> {
        let put = self.put(&Record::Datagram(*meta), payload, FOR_MESSAGES);
        match put {
            Ok(()) => self.pushed = true,
            Err(PushError::Full) => {
                self.dropped += 1;
                self.ring.store(DROPPED, self.dropped, Ordering::Relaxed);
            }
            Err(_) => {}
        }
        put
    }

    /// Puts a message into the ring. It stays in its place between the datagrams. The bell is not rung for it:
    /// a reader that sleeps finds it when it wakes.
    ///
    /// # Errors
    /// The message was not taken, and why. It may be given again.
    pub fn push_message(&mut self, message: &[u8]) -> Result<(), PushError> {
        self.put(&Record::Message, message, 0)
    }

    /// Whether there is room for messages of so many bytes in all, and some more.
    pub fn has_room(&mut self, messages: usize, bytes: usize) -> bool {
        let needed = (messages * (HEADER_WORDS + 1) + payload_words(bytes)) as u64;
        self.room_for(needed)
    }

    fn room_for(&mut self, needed: u64) -> bool {
        if self.room() < needed {
            self.head = self.ring.load(HEAD, Ordering::Acquire);
        }
        self.room() >= needed
    }

    fn put(&mut self, record: &Record, payload: &[u8], spare: u64) -> Result<(), PushError> {
        if self.ring.is_fenced() {
            return Err(PushError::Fenced);
        }
        let length = u32::try_from(payload.len()).map_err(|_| PushError::TooLong)?;
        if payload.len() > MAX_PAYLOAD {
            return Err(PushError::TooLong);
        }
        let needed = (HEADER_WORDS + payload_words(payload.len())) as u64;
        if !self.room_for(needed + spare) {
            return Err(PushError::Full);
        }
        for (n, word) in (0u64..).zip(record::encode(self.tail, record, length)) {
            self.ring.write(self.tail.wrapping_add(n), word);
        }
        let start = self.tail.wrapping_add(HEADER_WORDS as u64);
        for (n, bytes) in (0u64..).zip(payload.chunks(8)) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(bytes) {
                *to = *from;
            }
            self.ring
                .write(start.wrapping_add(n), u64::from_ne_bytes(word));
        }
        self.tail = self.tail.wrapping_add(needed);
        // The record appears whole or not at all.
        self.ring.store(TAIL, self.tail, Ordering::Release);
        Ok(())
    }

    /// Whether so many eighths of the ring are free: what may not have all of it is left out otherwise.
    pub fn has_free(&mut self, eighths: u64) -> bool {
        let needed = self.ring.capacity() / 8 * eighths;
        self.room_for(needed)
    }

    /// To be called after a burst of pushes, or in every turn of a poll loop: rings the doorbell if
    /// a datagram was pushed since the last call and the reader sleeps.
    pub fn flush(&mut self) {
        if !std::mem::take(&mut self.pushed) {
            return;
        }
        let Some(doorbell) = &self.doorbell else {
            return;
        };
        // Orders the store of the tail before the load of the flag; the reader's fence in
        // `prepare_sleep` orders its store of the flag before its load of the tail. So one of
        // the two sees the other.
        fence(Ordering::SeqCst);
        if self.ring.load(SLEEPING, Ordering::Relaxed) != 0 {
            self.ring.store(SLEEPING, 0, Ordering::Relaxed);
            doorbell.ring();
        }
    }

    /// Datagrams refused as [`PushError::Full`] since the session began.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Free words. A reader that claims to be ahead of us, or further behind than the ring is
    /// long, gets nothing more: it harms itself only.
    fn room(&self) -> u64 {
        self.ring
            .capacity()
            .saturating_sub(self.tail.wrapping_sub(self.head))
    }
}

/// The reading end of one ring.
#[derive(Debug)]
pub struct Consumer {
    ring: Ring,
    /// Words ever read. The shared head is a copy for the writer; it is never read back.
    head: u64,
    corrupt: u64,
}

impl Consumer {
    pub(crate) fn new(ring: Ring) -> Self {
        let head = ring.load(HEAD, Ordering::Relaxed);
        Self {
            ring,
            head,
            corrupt: 0,
        }
    }

    /// Takes the next record: its payload is in the first bytes of `buffer`, as many as the
    /// returned length says. `None` when the ring is empty.
    ///
    /// # Errors
    /// Nothing was taken, and why. After [`PopError::Corrupt`] the ring is usable again.
    pub fn pop(
        &mut self,
        buffer: &mut [u8; MAX_PAYLOAD],
    ) -> Result<Option<(Record, usize)>, PopError> {
        if self.ring.is_fenced() {
            return Err(PopError::Fenced);
        }
        let tail = self.ring.load(TAIL, Ordering::Acquire);
        let available = tail.wrapping_sub(self.head);
        if available == 0 {
            return Ok(None);
        }
        if available > self.ring.capacity() || available < HEADER_WORDS as u64 {
            return Err(self.reset(tail));
        }
        let mut words = [0; HEADER_WORDS];
        for (n, word) in (0u64..).zip(&mut words) {
            *word = self.ring.read(self.head.wrapping_add(n));
        }
        let Some(header) = record::decode(self.head, &words) else {
            return Err(self.reset(tail));
        };
        let whole = (HEADER_WORDS + payload_words(header.length)) as u64;
        if whole > available {
            return Err(self.reset(tail));
        }
        let start = self.head.wrapping_add(HEADER_WORDS as u64);
        // Whole words: the buffer's length is a multiple of eight, so the last one fits too.
        for (n, bytes) in (0..payload_words(header.length) as u64).zip(buffer.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&self.ring.read(start.wrapping_add(n)).to_ne_bytes());
        }
        self.head = self.head.wrapping_add(whole);
        self.ring.store(HEAD, self.head, Ordering::Release);
        Ok(Some((header.record, header.length)))
    }

    /// Whether there is nothing to take now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.load(TAIL, Ordering::Acquire) == self.head
    }

    /// Announces that the reader is about to sleep on the doorbell. Answers whether it may: not
    /// when there is something to take. Followed by [`Self::awake`] in either case.
    #[must_use]
    pub fn prepare_sleep(&self) -> bool {
        self.ring.store(SLEEPING, 1, Ordering::Relaxed);
        // See `Producer::flush`.
        fence(Ordering::SeqCst);
        self.is_empty()
    }

    /// The reader is awake: the producer need not ring.
    pub fn awake(&self) {
        self.ring.store(SLEEPING, 0, Ordering::Relaxed);
    }

    /// Times that the ring's content was [`PopError::Corrupt`].
    #[must_use]
    pub fn corrupt(&self) -> u64 {
        self.corrupt
    }

    /// Datagrams that the producer says it dropped because the ring was full. Its word only.
    #[must_use]
    pub fn dropped_by_producer(&self) -> u64 {
        self.ring.load(DROPPED, Ordering::Relaxed)
    }

    /// Empties the ring: the writer's tail is where the next record will begin.
    fn reset(&mut self, tail: u64) -> PopError {
        self.corrupt += 1;
        self.head = tail;
        self.ring.store(HEAD, tail, Ordering::Release);
        PopError::Corrupt
    }
}

/// A ring's place in the mapping. Every access is an atomic one within bounds.
#[derive(Debug)]
pub(crate) struct Ring {
    mapping: Arc<Mapping>,
    start: usize,
    mask: u64,
    epoch: u64,
}

impl Ring {
    pub(crate) fn new(
        mapping: Arc<Mapping>,
        shape: Shape,
        (worker, reader): (u16, u16),
        way: Way,
        epoch: u32,
    ) -> Self {
        Self {
            mapping,
            start: shape.ring_start(worker, reader, way),
            mask: shape.ring_words() as u64 - 1,
            epoch: u64::from(epoch),
        }
    }

    /// Words of data.
    fn capacity(&self) -> u64 {
        self.mask + 1
    }

    fn is_fenced(&self) -> bool {
        self.mapping
            .words()
            .get(EPOCH_WORD)
            .map(|w| w.load(Ordering::Relaxed))
            != Some(self.epoch)
    }

    fn word(&self, offset: usize) -> Option<&AtomicU64> {
        self.mapping.words().get(self.start + offset)
    }

    fn load(&self, control: usize, ordering: Ordering) -> u64 {
        self.word(control).map_or(0, |w| w.load(ordering))
    }

    fn store(&self, control: usize, value: u64, ordering: Ordering) {
        if let Some(word) = self.word(control) {
            word.store(value, ordering);
        }
    }

    fn read(&self, position: u64) -> u64 {
        self.load(DATA + (position & self.mask) as usize, Ordering::Relaxed)
    }

    fn write(&self, position: u64, value: u64) {
        self.store(
            DATA + (position & self.mask) as usize,
            value,
            Ordering::Relaxed,
        );
    }
}
