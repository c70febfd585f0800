//! How long each step of a connection may take.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::counters::Count;

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Handshake,
    /// Waits for a request's first byte.
    Idle,
    Header,
    Body,
    /// The service works; it has limits of its own.
    Service,
    /// The answer goes out.
    Answer,
}

/// A connection's step, and its end.
#[derive(Debug)]
pub(super) struct Watch {
    request: Duration,
    idle: Duration,
    now: Mutex<(Step, Instant)>,
}

impl Watch {
    pub(super) fn new(request: Duration, idle: Duration) -> Arc<Self> {
        let now = Mutex::new((Step::Handshake, Instant::now() + request));
        Arc::new(Self { request, idle, now })
    }

    pub(super) fn enter(&self, step: Step) {
        let time = match step {
            Step::Idle => self.idle,
            _ => self.request,
        };
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = (step, Instant::now() + time);
    }

    pub(super) fn step(&self) -> Step {
        self.now().0
    }

    fn now(&self) -> (Step, Instant) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes back when a step has taken too long, with its counter.
    pub(super) async fn expired(&self) -> Count {
        loop {
            let (_, end) = self.now();
            sleep_until(end).await;
            let (step, end) = self.now();
            if end > Instant::now() {
                continue;
            }
            return match step {
                Step::Handshake => Count::SlowHandshake,
                Step::Idle => Count::Idle,
                Step::Header => Count::SlowHeader,
                Step::Body => Count::SlowBody,
                Step::Answer => Count::SlowReader,
                Step::Service => {
                    // Its step ends when it does; until then there is nothing to wait for here.
                    tokio::time::timeout(self.request, pending::<()>())
                        .await
                        .ok();
                    continue;
                }
            };
        }
    }
}

/// A stream whose first byte ends idleness, and whose last one an answer.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) watch: Arc<Watch>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before && self.watch.step() == Step::Idle {
            self.watch.enter(Step::Header);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        if matches!(polled, Poll::Ready(Ok(()))) && self.watch.step() == Step::Answer {
            self.watch.enter(Step::Idle);
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
