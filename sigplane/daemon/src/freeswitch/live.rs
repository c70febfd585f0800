//! How many calls a target that drains really has: its FreeSWITCH is asked at its event socket.
//!
//! One thread. It looks every few seconds which targets drain, and keeps a connection to the event socket at each of their
//! addresses. What cannot be reached is tried again with growing pauses.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tandem_admin::Target;
use tandem_config::Config;
use tandem_freeswitch::event_socket::{Client, News, SocketError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant as Later, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::{Count, Counters};
use crate::ask::{Ask, ToWorker};
use crate::mailbox::Mailbox;

/// Addresses that are asked at a time.
const MOST: usize = 64;
/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long a connection, or an answer, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the event sockets say, for whoever lists targets.
#[derive(Default)]
pub(crate) struct Live {
    /// Whether anybody is asked.
    asks: bool,
    counts: Mutex<HashMap<IpAddr, LiveCount>>,
}

/// What one of them said last.
#[derive(Clone, Copy, Debug, Default)]
struct LiveCount {
    calls: Option<u64>,
    channels: Option<u64>,
}

impl Live {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            asks: config.freeswitch.event_socket.is_some(),
            counts: Mutex::default(),
        }
    }

    /// Puts into the targets that drain what their media servers say: none unless all of a target's addresses have answered.
    pub(crate) fn fill(&self, targets: &mut [Target]) {
        if !self.asks {
            return;
        }
        let counts = self.counts();
        for target in targets.iter_mut().filter(|t| t.state == "draining") {
            let addresses = addresses(target);
            let sum = |of: fn(&LiveCount) -> Option<u64>| {
                let mut said = addresses.iter().map(|ip| counts.get(ip).and_then(of));
                let sum = said.try_fold(0, |sum, n| n.map(|n| sum + n));
                sum.filter(|_| !addresses.is_empty())
            };
            target.live_asked = true;
            target.live_calls = sum(|c| c.calls);
            target.live_channels = sum(|c| c.channels);
        }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, LiveCount>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What each connection needs.
struct Settings {
    port: u16,
    password: PathBuf,
    every: Duration,
    live: Arc<Live>,
    counters: Arc<Counters>,
}

/// Starts the thread; none without event sockets.
pub(crate) fn start(
    config: &Config,
    mailbox: Option<&Mailbox>,
    live: &Arc<Live>,
    counters: &Arc<Counters>,
) -> std::io::Result<()> {
    let fs = &config.freeswitch;
    let password = fs.event_socket_password_file.clone();
    let (Some(mailbox), Some(port), Some(password)) = (mailbox.cloned(), fs.event_socket, password)
    else {
        return Ok(());
    };
    let settings = Arc::new(Settings {
        port,
        password,
        every: fs.event_socket_interval,
        live: Arc::clone(live),
        counters: Arc::clone(counters),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("event-sockets".into())
        .spawn(move || runtime.block_on(run(mailbox, settings)))?;
    Ok(())
}

async fn run(mailbox: Mailbox, settings: Arc<Settings>) {
    let mut connections: HashMap<IpAddr, JoinHandle<()>> = HashMap::new();
    let mut clock = interval(settings.every);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let Some(targets) = targets(&mailbox).await else {
            continue;
        };
        let draining = targets.iter().filter(|t| t.state == "draining");
        let wanted: HashSet<IpAddr> = draining.flat_map(addresses).collect();
        connections.retain(|ip, task| {
            let is_wanted = wanted.contains(ip);
            if !is_wanted {
                task.abort();
                settings.live.counts().remove(ip);
            }
            is_wanted
        });
        for ip in wanted {
            if connections.contains_key(&ip) {
                continue;
            }
            if connections.len() >= MOST {
                settings.counters.add(Count::SocketTooMany);
                continue;
            }
            let task = keep(SocketAddr::new(ip, settings.port), Arc::clone(&settings));
            connections.insert(ip, tokio::spawn(task));
        }
    }
}

/// The targets, as the first worker has them; none while it is too busy.
async fn targets(mailbox: &Mailbox) -> Option<Vec<Target>> {
    let (answer, answered) = oneshot::channel();
    let letter = ToWorker::Ask(Box::new(Ask::Targets(answer)));
    mailbox.send(letter).ok()?;
    timeout(PATIENCE, answered).await.ok()?.ok()
}

/// Where a target is now.
fn addresses(target: &Target) -> Vec<IpAddr> {
    let all = target.addresses.iter();
    let mut all: Vec<IpAddr> = all
        .filter_map(|text| text.parse::<SocketAddr>().ok())
        .map(|address| address.ip())
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Asks an event socket until nobody wants to know any more.
async fn keep(address: SocketAddr, settings: Arc<Settings>) {
    let mut pause = PAUSES.0;
    let mut was_said = false;
    loop {
        let begin = Instant::now();
        let end = converse(address, &settings).await;
        // What it said is of yesterday.
        settings.live.counts().remove(&address.ip());
        settings.counters.add(end.count());
        if !was_said {
            tracing::warn!("the event socket at {address}: {end}; it is tried again");
            was_said = true;
        }
        if begin.elapsed() > PAUSES.1 {
            (pause, was_said) = (PAUSES.0, false);
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Why a conversation is over.
#[derive(Debug)]
enum End {
    Unreachable(std::io::Error),
    Closed,
    Late,
    Socket(SocketError),
}

impl End {
    const fn count(&self) -> Count {
        match self {
            Self::Unreachable(_) => Count::SocketUnreachable,
            Self::Closed | Self::Socket(SocketError::Goodbye) => Count::SocketClosed,
            Self::Late => Count::SocketLate,
            Self::Socket(SocketError::Denied | SocketError::Rejected | SocketError::Refused(_)) => {
                Count::SocketRefused
            }
            Self::Socket(SocketError::TooLong | SocketError::Protocol(_)) => Count::SocketGarbled,
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(e) => write!(
                f,
                "{e}: mod_event_socket must be loaded there and listen on that address"
            ),
            Self::Closed => f.write_str("it closed the connection"),
            Self::Late => write!(f, "no answer within {PATIENCE:?}"),
            Self::Socket(e) => e.fmt(f),
        }
    }
}

/// One connection from its beginning to its end.
async fn converse(address: SocketAddr, settings: &Settings) -> End {
    let password = match password(&settings.password) {
        Ok(password) => password,
        Err(error) => return End::Unreachable(error),
    };
    let connected = timeout(PATIENCE, TcpStream::connect(address)).await;
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return End::Unreachable(error),
        Err(_) => return End::Late,
    };
    let mut client = Client::new(&password);
    let mut buffer = [0; 4_096];
    let mut clock = interval(settings.every);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Until the greeting, then until each answer.
    let mut deadline = Some(Later::now() + PATIENCE);
    loop {
        let to_send = client.transmit();
        if !to_send.is_empty() {
            match timeout(PATIENCE, stream.write_all(&to_send)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return End::Closed,
                Err(_) => return End::Late,
            }
        }
        let late = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let bytes = match read {
                    Ok(0) | Err(_) => return End::Closed,
                    Ok(n) => buffer.get(..n).unwrap_or_default(),
                };
                let news = match client.receive(bytes) {
                    Ok(news) => news,
                    Err(error) => return End::Socket(error),
                };
                for news in news {
                    if hear(news, address.ip(), settings) {
                        deadline = None;
                    }
                    if news == News::Ready {
                        clock.reset_immediately();
                    }
                }
            }
            _ = clock.tick() => {
                if client.ask() {
                    deadline = Some(Later::now() + PATIENCE);
                }
            }
            () = late => return End::Late,
        }
    }
}

/// Notes what was said; whether that is all that was asked for.
fn hear(news: News, ip: IpAddr, settings: &Settings) -> bool {
    let mut counts = settings.live.counts();
    match news {
        News::Ready => {
            settings.counters.add(Count::SocketReady);
            true
        }
        News::Calls(calls) => {
            counts.entry(ip).or_default().calls = Some(calls);
            settings.counters.add(Count::SocketAnswers);
            false
        }
        News::Channels(channels) => {
            counts.entry(ip).or_default().channels = Some(channels);
            true
        }
        News::Sessions(sessions) => {
            // Between two answers, and where `show` is not allowed.
            counts.entry(ip).or_default().channels = Some(sessions);
            false
        }
    }
}

fn password(path: &Path) -> std::io::Result<String> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        std::io::Error::other(format!(
            "freeswitch.event_socket_password_file {}: {e}",
            path.display()
        ))
    })?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_the_sum_of_its_addresses_or_nothing() {
        let live = Live {
            asks: true,
            ..Live::default()
        };
        let ip = |n| IpAddr::from([10, 0, 0, n]);
        let count = |calls| LiveCount {
            calls: Some(calls),
            channels: Some(2 * calls),
        };
        live.counts().extend([(ip(1), count(1)), (ip(2), count(2))]);
        let target = |state: &str, addresses: &[&str]| Target {
            state: state.into(),
            addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
            ..Target::default()
        };
        let mut targets = [
            target(
                "draining",
                &["10.0.0.1:5060", "10.0.0.2:5060", "10.0.0.2:5080"],
            ),
            target("draining", &["10.0.0.1:5060", "10.0.0.3:5060"]),
            target("draining", &[]),
            target("active", &["10.0.0.1:5060"]),
        ];
        live.fill(&mut targets);
        let said: Vec<_> = targets
            .iter()
            .map(|t| (t.live_calls, t.live_channels))
            .collect();
        let none = (None, None);
        assert_eq!(said, [(Some(3), Some(6)), none, none, none]);
    }
}
