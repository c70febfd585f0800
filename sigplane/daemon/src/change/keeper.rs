//! The thread that makes the changes.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use tandem_admin::{
    CONFIRM_WITHIN, CONFIRM_WITHIN_MOST, ConfigApplied, ConfigApply, ConfigChange, ConfigChecked,
    ConfigDiff, ConfigMistake, ConfigOutcome, ConfigPending, ConfigRevision, ConfigRollback,
    ConfigStatus, ConfigText, ErrorCode,
};
use tandem_config::{Change, Mistake, Needs, diff, without_secrets};

use super::check::check;
use super::counters::{Changes, Count};
use super::files::{self, Revision, Store};
use super::pending::Pending;
use super::switch::{Switch, Way};
use super::{Begun, Request, Then, Version, Waiting, clock};
use crate::ask::Refusal;

/// How often the clock is looked at while something is pending.
const TICK: Duration = Duration::from_millis(250);
/// When going back is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// Of a digest, what has to be given of it at least.
const SHORTEST: usize = 12;
/// The longest comment, in characters.
const COMMENT: usize = 500;

/// The thread's state.
pub(super) struct Keeper {
    path: std::path::PathBuf,
    store: Store,
    running: Version,
    revision: Option<u64>,
    since_ms: u64,
    who: String,
    /// What it goes back to, and how the present one came.
    base: Option<(Version, Pending)>,
    last: Option<ConfigOutcome>,
    switch: Switch,
    /// Of the last attempt to change everybody.
    number: u64,
    requests: Receiver<Request>,
    counters: Arc<Changes>,
}

impl Keeper {
    pub(super) fn new(begun: Begun, switch: Switch, waiting: Waiting) -> Self {
        let Begun {
            path,
            running,
            base,
            then,
        } = begun;
        let store = Store::new(&running.config.node.state_dir);
        let now = clock().wall_ms;
        let who = base.as_ref().map(|(_, pending)| pending.who.clone());
        let mut keeper = Self {
            path,
            store,
            running,
            revision: None,
            since_ms: now,
            who: who.unwrap_or_else(|| "start".to_owned()),
            base,
            last: None,
            switch,
            number: 0,
            requests: waiting.requests,
            counters: waiting.counters,
        };
        keeper.finish(then);
        keeper.counters.set_pending(keeper.base.is_some());
        if let Some((_, pending)) = &keeper.base {
            tracing::warn!(
                "the configuration of {} is still to be confirmed, in {} s",
                pending.who,
                pending.left(&clock()).unwrap_or_default().as_secs()
            );
        } else {
            keeper.note_start();
        }
        keeper
    }

    /// What a life before had begun.
    fn finish(&mut self, then: Then) {
        let done = match then {
            Then::Nothing => Ok(()),
            Then::Forget(why) => {
                tracing::warn!("what was to be confirmed counts no more: {why}");
                self.outcome("went back", "start", why);
                self.store.clear_pending()
            }
            Then::PutBack { is_over } => {
                let text = match &self.base {
                    Some((base, _)) => &base.text,
                    None => &self.running.text,
                };
                let put = files::replace(&self.path, text);
                if is_over {
                    tracing::warn!(
                        "what was to be confirmed was not, in time: the file is put back"
                    );
                    self.outcome("went back", "start", "it was not confirmed in time");
                    put.and_then(|()| self.store.clear_pending())
                } else {
                    put
                }
            }
            Then::Confirm => files::replace(&self.path, &self.running.text)
                .and_then(|()| self.store.clear_pending()),
        };
        if let Err(error) = done {
            tracing::error!("{error}; it is tried again at the next start");
        }
    }

    /// What runs from the start on is a revision, too, if it is not the last one.
    fn note_start(&mut self) {
        let last = self.store.history().pop();
        match last.filter(|last| last.digest == self.running.digest) {
            Some(last) => self.revision = Some(last.revision),
            None => self.keep("start", ""),
        }
    }

    pub(super) fn serve(mut self) {
        loop {
            let request = match self.base {
                Some(_) => self.requests.recv_timeout(TICK),
                None => self
                    .requests
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
            };
            match request {
                Ok(request) => self.answer(request),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look_at_the_clock();
        }
    }

    fn answer(&mut self, request: Request) {
        // Who asked may be gone.
        match request {
            Request::Check(text, answer) => drop(answer.send(checked(&text))),
            Request::Diff(text, answer) => drop(answer.send(self.diff(&text))),
            Request::Apply(apply, who, answer) => {
                let applied = self.apply(apply, &who, "apply");
                self.count(&applied, Count::Applied);
                let _ = answer.send(applied);
            }
            Request::Rollback(rollback, who, answer) => {
                let applied = self.rollback(rollback, &who);
                self.count(&applied, Count::Applied);
                let _ = answer.send(applied);
            }
            Request::Confirm(digest, who, answer) => {
                let confirmed = self.confirm(digest.as_deref(), &who);
                self.count(&confirmed, Count::Confirmed);
                let _ = answer.send(confirmed);
            }
            Request::Revert(digest, who, answer) => {
                let reverted = self.revert(digest.as_deref(), &who);
                self.count(&reverted, Count::Reverted);
                let _ = answer.send(reverted);
            }
            Request::Status(answer) => drop(answer.send(self.status())),
            Request::History(answer) => {
                let history = self.store.history().into_iter().map(revision);
                let _ = answer.send(history.collect());
            }
            Request::Show(revision, answer) => drop(answer.send(self.show(revision))),
            Request::Reload => self.reload(),
        }
        self.counters.set_pending(self.base.is_some());
    }

    fn count<T>(&self, outcome: &Result<T, Refusal>, success: Count) {
        self.counters.add(match outcome {
            Ok(_) => success,
            Err(refusal) => {
                tracing::warn!(
                    "a change of the configuration is refused: {}",
                    refusal.message
                );
                Count::Refused
            }
        });
    }

    fn diff(&self, text: &str) -> Result<ConfigDiff, Refusal> {
        let config = check(text).map_err(|mistakes| refused(&mistakes))?;
        Ok(ConfigDiff {
            running: self.running.digest.clone(),
            digest: files::digest(text),
            changes: changes(&diff(&self.running.config, &config)),
        })
    }

    fn rollback(&mut self, rollback: ConfigRollback, who: &str) -> Result<ConfigApplied, Refusal> {
        let ConfigRollback {
            revision,
            confirm_within,
            expected,
            comment,
        } = rollback;
        let text = self.store.text(revision).map_err(refuse)?;
        let apply = ConfigApply {
            text,
            confirm_within,
            expected,
            comment,
        };
        self.apply(apply, who, &format!("rollback {revision}"))
    }

    /// All of it or nothing.
    fn apply(
        &mut self,
        apply: ConfigApply,
        who: &str,
        how: &str,
    ) -> Result<ConfigApplied, Refusal> {
        let within = apply.confirm_within.unwrap_or(CONFIRM_WITHIN);
        if within > CONFIRM_WITHIN_MOST {
            let most = format!("`confirm_within` is {CONFIRM_WITHIN_MOST} seconds at most");
            return Err(Refusal::new(ErrorCode::InvalidParams, most));
        }
        if let Some((_, pending)) = &self.base {
            return Err(is_pending(pending));
        }
        if let Some(expected) = &apply.expected
            && !is(&self.running.digest, expected)
        {
            let message = format!(
                "another configuration runs than the one that this change was made for: {}, by {}; look at \
                 the difference again, then apply it with that digest",
                self.running.digest, self.who
            );
            return Err(Refusal::new(ErrorCode::ConfigChanged, message));
        }
        let config = check(&apply.text).map_err(|mistakes| refused(&mistakes))?;
        let new = Version::new(apply.text, config);
        let found = diff(&self.running.config, &new.config);
        needs_restart(&found)?;
        let in_file = self.in_file(&new)?;
        files::can_replace(&self.path, &new.text).map_err(refuse)?;
        let ready = self.prepare(&new, Way::There)?;
        let base = self.running.clone();
        let made = if within == 0 {
            match in_file {
                InFile::New => Ok(false),
                InFile::Running => files::replace(&self.path, &new.text).map(|()| false),
            }
        } else {
            let comment = cut(apply.comment.as_deref());
            let pending = pending(&base, &new, who, how, comment, within);
            let put = self
                .store
                .set_pending(&pending)
                .and_then(|()| match in_file {
                    InFile::New => files::replace(&self.path, &base.text).map(|()| true),
                    InFile::Running => Ok(false),
                });
            if put.is_err() {
                let _ = self.store.clear_pending();
            } else {
                self.base = Some((base, pending));
            }
            put
        };
        let put_back = match made {
            Ok(put_back) => put_back,
            Err(error) => {
                self.switch.abandon(&ready);
                return Err(refuse(error));
            }
        };
        self.switch.commit(ready);
        self.runs(new, who);
        tracing::info!(
            "configuration {} is applied by {who}, {} changes",
            short(&self.running.digest),
            found.len()
        );
        found.iter().for_each(|change| tracing::info!("{change}"));
        if within == 0 {
            self.keep(how, cut(apply.comment.as_deref()));
        }
        self.outcome("applied", who, "");
        Ok(ConfigApplied {
            digest: self.running.digest.clone(),
            changes: changes(&found),
            confirm_within: within,
            put_back,
            revision: self.revision,
        })
    }

    /// What the file has, which has to be what runs, or what is to be applied: somebody may have written something else into it.
    fn in_file(&self, new: &Version) -> Result<InFile, Refusal> {
        let digest = files::digest(&files::read(&self.path).map_err(refuse)?);
        if digest == self.running.digest {
            return Ok(InFile::Running);
        }
        if digest == new.digest {
            return Ok(InFile::New);
        }
        let message = format!(
            "{} has something else than what runs: somebody has changed it by hand. Apply that file, or have it read \
             again (`systemctl reload tandem-sigplane`), or put back what runs (`tandemctl config show`)",
            self.path.display()
        );
        Err(Refusal::new(ErrorCode::ConfigChanged, message))
    }

    fn prepare(&mut self, new: &Version, way: Way) -> Result<super::switch::Ready, Refusal> {
        self.number += 1;
        self.switch
            .prepare(self.number, &self.running.config, &new.config, way)
            .map_err(|why| {
                let message = format!("{why}: nothing was changed");
                Refusal::new(ErrorCode::ConfigRefused, message)
            })
    }

    fn runs(&mut self, version: Version, who: &str) {
        self.running = version;
        self.revision = None;
        self.since_ms = clock().wall_ms;
        self.who = who.to_owned();
    }

    /// A revision of the history.
    fn keep(&mut self, how: &str, comment: &str) {
        let revision = Revision {
            revision: 0,
            digest: self.running.digest.clone(),
            time_ms: self.since_ms,
            who: self.who.clone(),
            how: how.to_owned(),
            comment: comment.to_owned(),
        };
        match self.store.add(&self.running.text, revision) {
            Ok(number) => self.revision = Some(number),
            Err(error) => tracing::error!("the history of configurations: {error}"),
        }
    }

    fn outcome(&mut self, outcome: &str, who: &str, note: &str) {
        self.last = Some(ConfigOutcome {
            outcome: outcome.to_owned(),
            digest: self.running.digest.clone(),
            who: who.to_owned(),
            time_ms: clock().wall_ms,
            note: note.to_owned(),
        });
    }

    fn confirm(&mut self, digest: Option<&str>, who: &str) -> Result<ConfigStatus, Refusal> {
        self.look_at_the_clock();
        let (base, mut pending) = self.take_pending(digest)?;
        let has = files::read(&self.path).map(|text| files::digest(&text));
        if has.as_ref().is_ok_and(|has| *has != base.digest) {
            self.base = Some((base, pending));
            let message = format!(
                "{} was changed by hand meanwhile: put back what it had (`tandemctl config history`), then confirm again",
                self.path.display()
            );
            return Err(Refusal::new(ErrorCode::ConfigChanged, message));
        }
        pending.confirming = true;
        let done = self
            .store
            .set_pending(&pending)
            .and_then(|()| files::replace(&self.path, &self.running.text));
        if let Err(error) = done {
            pending.confirming = false;
            let _ = self.store.set_pending(&pending);
            self.base = Some((base, pending));
            return Err(refuse(error));
        }
        if let Err(error) = self.store.clear_pending() {
            // The file has it: the next start sees that.
            tracing::error!("{error}");
        }
        tracing::info!(
            "configuration {} is confirmed by {who}",
            short(&self.running.digest)
        );
        self.keep(&pending.how, &pending.comment);
        self.outcome("confirmed", who, "");
        Ok(self.status())
    }

    fn revert(&mut self, digest: Option<&str>, who: &str) -> Result<ConfigStatus, Refusal> {
        let (base, pending) = self.take_pending(digest)?;
        self.go_back(base, pending, who, "reverted")?;
        Ok(self.status())
    }

    /// What is pending, if it is the one that is meant.
    fn take_pending(&mut self, digest: Option<&str>) -> Result<(Version, Pending), Refusal> {
        let meant = |pending: &Pending| digest.is_none_or(|digest| is(&pending.digest, digest));
        match self.base.take_if(|(_, pending)| meant(pending)) {
            Some(taken) => Ok(taken),
            None => Err(match &self.base {
                Some((_, pending)) => Refusal::new(
                    ErrorCode::ConfigChanged,
                    format!(
                        "another configuration is pending: {}, by {}",
                        pending.digest, pending.who
                    ),
                ),
                None => {
                    let last = self.last.as_ref().map_or(String::new(), |last| {
                        format!(": the last one was {} ({})", last.outcome, last.who)
                    });
                    Refusal::new(
                        ErrorCode::ConfigPending,
                        format!("nothing is pending{last}"),
                    )
                }
            }),
        }
    }

    fn go_back(
        &mut self,
        base: Version,
        pending: Pending,
        who: &str,
        outcome: &str,
    ) -> Result<(), Refusal> {
        let ready = match self.prepare(&base, Way::Back) {
            Ok(ready) => ready,
            Err(refusal) => {
                self.base = Some((base, pending));
                return Err(refusal);
            }
        };
        self.switch.commit(ready);
        self.outcome(outcome, who, "");
        tracing::warn!(
            "configuration {} {outcome} ({who}); {} runs again",
            short(&pending.digest),
            short(&base.digest)
        );
        self.runs(base, who);
        if let Err(error) = self.store.clear_pending() {
            tracing::error!("{error}; its time will be over at the next start");
        }
        let history = self.store.history().into_iter().rev();
        let mut same = history.filter(|revision| revision.digest == self.running.digest);
        self.revision = same.next().map(|revision| revision.revision);
        self.counters.set_pending(false);
        Ok(())
    }

    /// What nobody has confirmed in time goes back.
    fn look_at_the_clock(&mut self) {
        let is_over = |pending: &Pending| pending.left(&clock()).is_none();
        let Some((base, pending)) = self.base.take_if(|(_, pending)| is_over(pending)) else {
            return;
        };
        match self.go_back(base, pending, "nobody confirmed it in time", "went back") {
            Ok(()) => self.counters.add(Count::Expired),
            Err(refusal) => {
                self.counters.add(Count::GoingBackFailed);
                tracing::error!("going back: {}; it is tried again", refusal.message);
                std::thread::sleep(AGAIN);
            }
        }
    }

    /// The file is read again, and what it says counts, if it can.
    fn reload(&mut self) {
        match self.try_reload() {
            Ok(0) => {}
            Ok(changes) => {
                self.counters.add(Count::Reloaded);
                self.outcome("reloaded", "SIGHUP", &format!("{changes} changes"));
            }
            Err(why) => {
                self.counters.add(Count::ReloadsRefused);
                let file = self.path.display();
                for line in why.lines() {
                    tracing::error!("{file}: {line}");
                }
                tracing::error!("{file} is not taken: what ran before runs on");
                self.outcome("reload refused", "SIGHUP", &why);
            }
        }
        self.switch.read_files();
    }

    /// How many changes there were.
    fn try_reload(&mut self) -> Result<usize, String> {
        let text = files::read(&self.path).map_err(|e| e.to_string())?;
        let digest = files::digest(&text);
        if let Some((base, pending)) = &self.base {
            if digest == base.digest {
                return Ok(0);
            }
            return Err(is_pending(pending).message);
        }
        if digest == self.running.digest {
            return Ok(0);
        }
        let config = check(&text).map_err(|mistakes| refused(&mistakes).message)?;
        let new = Version::new(text, config);
        let found = diff(&self.running.config, &new.config);
        needs_restart(&found).map_err(|refusal| refusal.message)?;
        let ready = self.prepare(&new, Way::There).map_err(|r| r.message)?;
        self.switch.commit(ready);
        self.runs(new, "SIGHUP");
        self.keep("reload", "");
        tracing::info!("{} is taken, {} changes", self.path.display(), found.len());
        found.iter().for_each(|change| tracing::info!("{change}"));
        Ok(found.len().max(1))
    }

    fn status(&self) -> ConfigStatus {
        let file_has = match files::read(&self.path).map(|text| files::digest(&text)) {
            Ok(digest) if digest == self.running.digest => "same",
            Ok(digest) if self.base.as_ref().is_some_and(|(b, _)| b.digest == digest) => "base",
            Ok(_) => "other",
            Err(_) => "unreadable",
        };
        ConfigStatus {
            file: self.path.display().to_string(),
            digest: self.running.digest.clone(),
            revision: self.revision,
            since_ms: self.since_ms,
            who: self.who.clone(),
            file_has: file_has.to_owned(),
            pending: self.base.as_ref().map(|(base, pending)| ConfigPending {
                digest: pending.digest.clone(),
                who: pending.who.clone(),
                applied_ms: pending.applied_ms,
                comment: pending.comment.clone(),
                seconds_left: pending
                    .left(&clock())
                    .map_or(0, |left| super::millis(left).div_ceil(1_000)),
                base: base.digest.clone(),
            }),
            last: self.last.clone(),
        }
    }

    fn show(&self, revision: Option<u64>) -> Result<ConfigText, Refusal> {
        let text = match revision {
            Some(revision) => self.store.text(revision).map_err(refuse)?,
            None => self.running.text.clone(),
        };
        Ok(ConfigText {
            text: without_secrets(&text),
        })
    }
}

/// What the file has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InFile {
    Running,
    New,
}

fn pending(
    base: &Version,
    new: &Version,
    who: &str,
    how: &str,
    comment: &str,
    within: u32,
) -> Pending {
    let now = clock();
    let within = u64::from(within) * 1_000;
    Pending {
        digest: new.digest.clone(),
        text: new.text.clone(),
        base_digest: base.digest.clone(),
        base_text: base.text.clone(),
        who: who.to_owned(),
        comment: comment.to_owned(),
        how: how.to_owned(),
        applied_ms: now.wall_ms,
        deadline_ms: now.wall_ms.saturating_add(within),
        boot_id: now.boot_id,
        deadline_boot_ms: now.boot_ms.saturating_add(within),
        confirming: false,
    }
}

/// Whether a digest is meant by this beginning of it.
fn is(digest: &str, said: &str) -> bool {
    said.len() >= SHORTEST && digest.starts_with(&said.to_ascii_lowercase())
}

fn short(digest: &str) -> &str {
    digest.get(..SHORTEST).unwrap_or(digest)
}

fn cut(comment: Option<&str>) -> &str {
    let comment = comment.unwrap_or_default().trim();
    match comment.char_indices().nth(COMMENT) {
        Some((end, _)) => comment.get(..end).unwrap_or_default(),
        None => comment,
    }
}

/// What cannot be taken while running is not taken in part.
fn needs_restart(found: &[Change]) -> Result<(), Refusal> {
    let restarts: Vec<&Change> = found.iter().filter(|c| c.needs != Needs::Live).collect();
    let (Some(needs), false) = (
        restarts.iter().map(|c| c.needs).reduce(both),
        restarts.is_empty(),
    ) else {
        return Ok(());
    };
    let lines = restarts.iter().map(|c| format!("\n  {c} ({})", c.needs));
    let message = format!(
        "this needs a restart, so nothing was changed:{}\nwrite it into the file and restart: {}",
        lines.collect::<String>(),
        match needs {
            Needs::Sigplane => "`systemctl restart tandem-sigplane`; calls go on",
            Needs::Dataplane =>
                "`systemctl restart tandem-dataplane`; calls go on after 2 s at most",
            _ => "`systemctl restart tandem-dataplane tandem-sigplane`",
        }
    );
    Err(Refusal::new(ErrorCode::ConfigRefused, message))
}

fn both(a: Needs, b: Needs) -> Needs {
    if a == b { a } else { Needs::Both }
}

fn is_pending(pending: &Pending) -> Refusal {
    let message = format!(
        "a change by {} is to be confirmed first: `tandemctl config confirm`, or `revert` ({} s are left)",
        pending.who,
        pending.left(&clock()).unwrap_or_default().as_secs()
    );
    Refusal::new(ErrorCode::ConfigPending, message)
}

fn refuse(error: files::FileError) -> Refusal {
    Refusal::new(ErrorCode::ConfigRefused, error.to_string())
}

fn refused(mistakes: &[Mistake]) -> Refusal {
    let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    Refusal::new(ErrorCode::ConfigRefused, lines.join("\n"))
}

fn checked(text: &str) -> ConfigChecked {
    let mistakes = check(text).err().unwrap_or_default();
    ConfigChecked {
        ok: mistakes.is_empty(),
        digest: files::digest(text),
        mistakes: mistakes
            .into_iter()
            .map(|m| ConfigMistake {
                line: m.line,
                column: m.column,
                key: m.key,
                problem: m.problem,
                remedy: m.remedy,
            })
            .collect(),
    }
}

fn changes(found: &[Change]) -> Vec<ConfigChange> {
    let change = |c: &Change| ConfigChange {
        key: c.key.clone(),
        old: c.old.clone(),
        new: c.new.clone(),
        needs: c.needs.as_str().to_owned(),
    };
    found.iter().map(change).collect()
}

fn revision(revision: Revision) -> ConfigRevision {
    ConfigRevision {
        revision: revision.revision,
        digest: revision.digest,
        time_ms: revision.time_ms,
        who: revision.who,
        how: revision.how,
        comment: revision.comment,
    }
}
