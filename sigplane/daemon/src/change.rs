//! Changes of the configuration while calls are up: checked, prepared, applied at once or not at all, and gone back from
//! unless somebody confirms them (ADR 11).
//!
//! One thread makes all of them, one after the other. It has the only word on which configuration runs, what the file has, and
//! what a start after a crash will run.

mod check;
mod counters;
mod files;
mod keeper;
mod pending;
mod switch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use tandem_admin::{
    ConfigApplied, ConfigApply, ConfigChecked, ConfigDiff, ConfigRevision, ConfigRollback,
    ConfigStatus, ConfigText, ErrorCode,
};
use tandem_config::Config;
use tokio::sync::oneshot;

use crate::ask::{Answer, Refusal};
use counters::Changes;
use files::Store;
use keeper::Keeper;
use pending::{Clock, Pending, Start};
pub(crate) use switch::{Cores, Switch};

/// Requests that may wait.
const REQUESTS: usize = 32;

/// What somebody wants of the thread.
enum Request {
    Check(String, Answer<ConfigChecked>),
    Diff(String, Answer<Result<ConfigDiff, Refusal>>),
    Apply(ConfigApply, String, Answer<Result<ConfigApplied, Refusal>>),
    Rollback(
        ConfigRollback,
        String,
        Answer<Result<ConfigApplied, Refusal>>,
    ),
    Confirm(
        Option<String>,
        String,
        Answer<Result<ConfigStatus, Refusal>>,
    ),
    Revert(
        Option<String>,
        String,
        Answer<Result<ConfigStatus, Refusal>>,
    ),
    Status(Answer<ConfigStatus>),
    History(Answer<Vec<ConfigRevision>>),
    Show(Option<u64>, Answer<Result<ConfigText, Refusal>>),
    /// SIGHUP.
    Reload,
}

/// Hold on the thread.
#[derive(Clone)]
pub(crate) struct Handle {
    requests: crossbeam_channel::Sender<Request>,
    counters: Arc<Changes>,
}

/// The other end, until the thread begins.
pub(crate) struct Waiting {
    requests: crossbeam_channel::Receiver<Request>,
    counters: Arc<Changes>,
}

/// A handle before there is a thread.
pub(crate) fn handle() -> (Handle, Waiting) {
    let (sender, requests) = crossbeam_channel::bounded(REQUESTS);
    let counters = Arc::new(Changes::default());
    let handle = Handle {
        requests: sender,
        counters: Arc::clone(&counters),
    };
    (handle, Waiting { requests, counters })
}

impl Handle {
    /// SIGHUP: the files are read again.
    pub(crate) fn reload(&self) {
        if self.requests.try_send(Request::Reload).is_err() {
            tracing::error!("the files are not read again: too busy; try again");
        }
    }

    /// What became of changes.
    pub(crate) fn counters(&self) -> Vec<(&'static str, u64)> {
        self.counters.iter().collect()
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, Refusal> {
        let busy = || Refusal::new(ErrorCode::Busy, "another change is being made: ask again");
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.try_send(request(answer));
        sent.map_err(|_| busy())?;
        // A change takes as long as its slowest part, each of which has a limit.
        answered.await.map_err(|_| busy())
    }

    pub(crate) async fn check(&self, text: String) -> Result<ConfigChecked, Refusal> {
        self.ask(|answer| Request::Check(text, answer)).await
    }

    pub(crate) async fn diff(&self, text: String) -> Result<ConfigDiff, Refusal> {
        self.ask(|answer| Request::Diff(text, answer)).await?
    }

    pub(crate) async fn apply(
        &self,
        apply: ConfigApply,
        who: String,
    ) -> Result<ConfigApplied, Refusal> {
        let request = |answer| Request::Apply(apply, who, answer);
        self.ask(request).await?
    }

    pub(crate) async fn rollback(
        &self,
        rollback: ConfigRollback,
        who: String,
    ) -> Result<ConfigApplied, Refusal> {
        let request = |answer| Request::Rollback(rollback, who, answer);
        self.ask(request).await?
    }

    pub(crate) async fn confirm(
        &self,
        digest: Option<String>,
        who: String,
    ) -> Result<ConfigStatus, Refusal> {
        let request = |answer| Request::Confirm(digest, who, answer);
        self.ask(request).await?
    }

    pub(crate) async fn revert(
        &self,
        digest: Option<String>,
        who: String,
    ) -> Result<ConfigStatus, Refusal> {
        let request = |answer| Request::Revert(digest, who, answer);
        self.ask(request).await?
    }

    pub(crate) async fn status(&self) -> Result<ConfigStatus, Refusal> {
        self.ask(Request::Status).await
    }

    pub(crate) async fn history(&self) -> Result<Vec<ConfigRevision>, Refusal> {
        self.ask(Request::History).await
    }

    pub(crate) async fn show(&self, revision: Option<u64>) -> Result<ConfigText, Refusal> {
        self.ask(|answer| Request::Show(revision, answer)).await?
    }
}

/// A text with what it says.
#[derive(Clone)]
struct Version {
    text: String,
    digest: String,
    config: Arc<Config>,
}

impl Version {
    fn new(text: String, config: Config) -> Self {
        Self {
            digest: files::digest(&text),
            text,
            config: Arc::new(config),
        }
    }
}

/// What a start runs.
pub(crate) struct Begun {
    path: PathBuf,
    running: Version,
    /// What it goes back to, while it is pending.
    base: Option<(Version, Pending)>,
    /// What is to be done once the state directory is ours.
    then: Then,
}

/// What a life before has left to do.
enum Then {
    Nothing,
    /// What was pending is over: it is forgotten.
    Forget(&'static str),
    /// The file is to have the base's text again, and if `is_over`, the pending one is forgotten.
    PutBack {
        is_over: bool,
    },
    /// The file is to have what was confirmed.
    Confirm,
}

impl Begun {
    /// The configuration to run.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.running.config)
    }
}

/// Reads the configuration file, and what a life before has left pending.
///
/// # Errors
/// Every mistake in the file.
pub(crate) fn begin(path: &Path) -> Result<Begun, Vec<String>> {
    let text = files::read(path).map_err(|e| vec![e.to_string()])?;
    let config = tandem_config::parse(&text).map_err(|mistakes| {
        let place = path.display();
        let said = mistakes.iter().map(|m| format!("{place}: {m}"));
        said.collect::<Vec<_>>()
    })?;
    let file = Version::new(text, config);
    let pending = Store::new(&file.config.node.state_dir).pending();
    let pending = pending.unwrap_or_else(|error| {
        eprintln!("{error}; until then it counts for nothing");
        None
    });
    Ok(decide(path, file, pending, &clock()))
}

fn decide(path: &Path, file: Version, pending: Option<Pending>, clock: &Clock) -> Begun {
    let begun = |running, base, then| Begun {
        path: path.into(),
        running,
        base,
        then,
    };
    let Some(pending) = pending else {
        return begun(file, None, Then::Nothing);
    };
    let start = pending.start(&file.digest, clock);
    // What was good once may not be for this version of the software.
    let version = |text: &String| {
        let config = check::check(text).ok()?;
        Some(Version::new(text.clone(), config))
    };
    let is_new_in_file = file.digest == pending.digest;
    match start {
        Start::File => begun(
            file,
            None,
            Then::Forget("the file has another configuration"),
        ),
        Start::Pending => match (version(&pending.text), version(&pending.base_text)) {
            (Some(new), Some(base)) if is_new_in_file => {
                let then = Then::PutBack { is_over: false };
                begun(new, Some((base, pending)), then)
            }
            (Some(new), _) => begun(new, Some((file, pending)), Then::Nothing),
            (None, Some(base)) if is_new_in_file => {
                begun(base, None, Then::PutBack { is_over: true })
            }
            (None, _) => begun(file, None, Then::Forget("it cannot be used any more")),
        },
        Start::Base => match version(&pending.base_text).filter(|_| is_new_in_file) {
            Some(base) => begun(base, None, Then::PutBack { is_over: true }),
            None => begun(file, None, Then::Forget("it was not confirmed in time")),
        },
        Start::Confirmed => match version(&pending.text) {
            Some(new) => begun(new, None, Then::Confirm),
            None => begun(file, None, Then::Forget("it cannot be used any more")),
        },
    }
}

/// Starts the thread. The state directory is ours.
pub(crate) fn start(begun: Begun, switch: Switch, waiting: Waiting) -> std::io::Result<()> {
    let keeper = Keeper::new(begun, switch, waiting);
    std::thread::Builder::new()
        .name("config".into())
        .spawn(move || keeper.serve())?;
    Ok(())
}

/// Both clocks now.
fn clock() -> Clock {
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    Clock {
        wall_ms: millis(wall.unwrap_or_default()),
        boot_id: id.trim().to_owned(),
        boot_ms: millis(boot),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
