//! SIP over the kernel's own UDP sockets: for machines without a port for DPDK, and for tests against other
//! programs. There is no media, no flood, and not the speed of [`crate::engine`].

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::figures::{Figures, GeneratorCounts, Sample, SipCounts};
use crate::generator::{Agent, Datagram, Order, Outbox};
use crate::{Nanos, SECOND};

/// Datagrams that are read from a socket before it is somebody else's turn.
const BATCH: usize = 64;
/// How long it sleeps when there is nothing to do.
const SLEEP: Duration = Duration::from_micros(200);
/// How long calls may take to end: a transaction's timeout and more.
const FAREWELL: Nanos = 40 * SECOND;
/// The longest datagram.
const LONGEST: usize = 65_535;

/// What happened to a socket.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {error}")]
pub struct SocketError {
    address: SocketAddr,
    error: std::io::Error,
}

/// Runs an agent for so long, and on until its calls are over. `sockets` are those of its addresses, in the order of
/// the ports' numbers. `watch` sees each second and says whether to go on.
///
/// # Errors
/// A socket does not work.
pub fn run(
    name: &str,
    agent: &mut dyn Agent,
    sockets: &[UdpSocket],
    length: Duration,
    watch: &mut dyn FnMut(&Sample) -> bool,
) -> Result<Figures, SocketError> {
    let started = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut figures = Figures {
        name: name.to_owned(),
        started: started.unwrap_or_default().as_secs(),
        ..Figures::default()
    };
    let mut run = Run::new(agent, sockets)?;
    let end = u64::try_from(length.as_nanos()).unwrap_or(Nanos::MAX);
    let mut finished_at = None;
    let mut second = SECOND;
    loop {
        let now = run.now();
        let was_busy = run.turn(now)?;
        if now >= second {
            let sample = run.sample(now);
            second = now + SECOND;
            let goes_on = watch(&sample);
            figures.samples.push(sample);
            if !goes_on && finished_at.is_none() {
                finished_at = Some(now);
                run.finish(now)?;
            }
        }
        match finished_at {
            None if now >= end => {
                finished_at = Some(now);
                run.finish(now)?;
            }
            Some(at) if run.agent.done() || now > at + FAREWELL => break,
            _ => {}
        }
        let after = run.now();
        run.own.rounds += 1;
        run.own.total_ns = after;
        if was_busy {
            run.own.busy_ns += after - now;
        } else {
            std::thread::sleep(SLEEP);
        }
    }
    let now = run.now();
    figures.samples.push(run.sample(now));
    figures.duration_s = now as f64 / SECOND as f64;
    let totals = &mut figures.totals;
    totals.sip = run.agent.counts().clone();
    totals.setup = run.agent.setup().clone();
    totals.ringing = run.agent.ringing().clone();
    totals.registration = run.agent.registration().clone();
    totals.generator = run.own;
    Ok(figures)
}

/// A run under way.
struct Run<'a> {
    agent: &'a mut dyn Agent,
    sockets: Vec<(SocketAddr, &'a UdpSocket)>,
    out: Outbox,
    begin: Instant,
    buffer: Vec<u8>,
    before: (Nanos, SipCounts, GeneratorCounts),
    own: GeneratorCounts,
}

impl<'a> Run<'a> {
    fn new(agent: &'a mut dyn Agent, sockets: &'a [UdpSocket]) -> Result<Self, SocketError> {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut known = Vec::new();
        for socket in sockets {
            let address = socket.local_addr().map_err(fault(unknown))?;
            socket.set_nonblocking(true).map_err(fault(address))?;
            known.push((address, socket));
        }
        Ok(Self {
            agent,
            sockets: known,
            out: Outbox::default(),
            begin: Instant::now(),
            buffer: vec![0; LONGEST],
            before: Default::default(),
            own: GeneratorCounts::default(),
        })
    }

    fn now(&self) -> Nanos {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(Nanos::MAX)
    }

    /// Reads what has come, and does what is due. Answers whether there was anything.
    fn turn(&mut self, now: Nanos) -> Result<bool, SocketError> {
        let mut was_busy = false;
        for (port, (local, socket)) in self.sockets.iter().enumerate() {
            for _ in 0..BATCH {
                let (length, remote) = match socket.recv_from(&mut self.buffer) {
                    Ok(received) => received,
                    Err(error) if is_passing(&error) => break,
                    Err(error) => return Err(fault(*local)(error)),
                };
                was_busy = true;
                let datagram = Datagram {
                    port,
                    local: *local,
                    remote,
                    payload: self.buffer.get(..length).unwrap_or_default(),
                };
                self.agent.datagram(now, datagram, &mut self.out);
            }
        }
        self.agent.poll(now, &mut self.out);
        Ok(self.flush()? || was_busy)
    }

    fn finish(&mut self, now: Nanos) -> Result<(), SocketError> {
        self.agent.finish(now, &mut self.out);
        self.flush().map(drop)
    }

    /// Sends what the agent emitted; streams there are none.
    fn flush(&mut self) -> Result<bool, SocketError> {
        let mut has_sent = false;
        while let Some(order) = self.out.pop() {
            let Order::Send {
                port,
                remote,
                payload,
                ..
            } = order
            else {
                continue;
            };
            has_sent = true;
            let Some((local, socket)) = self.sockets.get(port) else {
                continue;
            };
            match socket.send_to(&payload, remote) {
                Ok(_) => {}
                // The kernel takes no more now: the message is repeated, as any that was lost.
                Err(error) if is_passing(&error) => self.own.refused += 1,
                Err(error) => return Err(fault(*local)(error)),
            }
        }
        Ok(has_sent)
    }

    fn sample(&mut self, now: Nanos) -> Sample {
        let sip = self.agent.counts().clone();
        let (at, before, own) = &self.before;
        let sample = Sample {
            at_s: now as f64 / SECOND as f64,
            length_s: (now - at) as f64 / SECOND as f64,
            sip: sip.since(before),
            generator: self.own.since(own),
            ..Sample::default()
        };
        self.before = (now, sip, self.own.clone());
        sample
    }
}

/// What is no fault of the socket's: nothing there, no place, or the far end's ICMP.
fn is_passing(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::WouldBlock
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::Interrupted
    )
}

fn fault(address: SocketAddr) -> impl Fn(std::io::Error) -> SocketError {
    move |error| SocketError { address, error }
}
