//! A load test: `tandem-load`, started, watched and stopped.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::Value;

use super::client::plain;
use super::{Hub, now_ms, program};
use crate::feed::{Criterion, Feed, LoadNews};

/// The load test that runs.
#[derive(Default)]
pub(super) struct Runner {
    runs: Arc<AtomicBool>,
    /// Its process.
    pid: Arc<Mutex<Option<u32>>>,
}

impl Runner {
    /// Starts one.
    pub(super) fn start(&mut self, hub: &Hub, profile: String, socket: bool) {
        if self.runs.swap(true, Ordering::Relaxed) {
            return hub.done(Err("a load test runs: stop it first".to_owned()));
        }
        let (hub, runs, pid) = (hub.clone(), Arc::clone(&self.runs), Arc::clone(&self.pid));
        thread::spawn(move || {
            if let Err(why) = run(&hub, &profile, socket, &pid) {
                hub.done(Err(why));
            }
            *pid.lock().unwrap_or_else(PoisonError::into_inner) = None;
            runs.store(false, Ordering::Relaxed);
        });
    }

    /// Has it end: it ends its calls and reports.
    pub(super) fn stop(&self, hub: &Hub) {
        let pid = *self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pid) = pid else {
            return hub.done(Err("no load test runs".to_owned()));
        };
        hub.done(match interrupt(pid) {
            true => Ok("the load test is being stopped".to_owned()),
            false => Err("the load test cannot be stopped".to_owned()),
        });
    }
}

impl Drop for Runner {
    /// Nobody watches it any more.
    fn drop(&mut self) {
        let pid = *self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = pid {
            interrupt(pid);
        }
    }
}

fn interrupt(pid: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args(["-INT", &pid.to_string()]);
    kill.stderr(Stdio::null());
    kill.status().is_ok_and(|status| status.success())
}

fn run(hub: &Hub, profile: &str, socket: bool, pid: &Mutex<Option<u32>>) -> Result<(), String> {
    let report = std::env::temp_dir().join(format!("tandem-load-{}.json", now_ms()));
    let mut command = Command::new(program(&hub.options, "tandem-load"));
    command
        .args(["run", "--progress", "json", "--json"])
        .arg(&report)
        .args(socket.then_some("--socket"))
        .arg(profile)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| format!("tandem-load: {}", plain(&error)))?;
    *pid.lock().unwrap_or_else(PoisonError::into_inner) = Some(child.id());
    hub.feed(Feed::Load(LoadNews::Started(profile.to_owned())));
    if let Some(out) = child.stderr.take() {
        for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&line).into_owned();
            hub.feed(Feed::Load(match serde_json::from_str(&text) {
                Ok(second) => LoadNews::Second(second),
                Err(_) => LoadNews::Said(text),
            }));
        }
    }
    let code = child.wait().ok().and_then(|status| status.code());
    let criteria = criteria(&std::fs::read(&report).unwrap_or_default());
    // It was for us alone.
    let _ = std::fs::remove_file(&report);
    hub.feed(Feed::Load(LoadNews::Ended { code, criteria }));
    Ok(())
}

/// What a report says of each limit.
fn criteria(report: &[u8]) -> Vec<Criterion> {
    let report: Value = serde_json::from_slice(report).unwrap_or_default();
    let list = report
        .pointer("/verdict/criteria")
        .and_then(Value::as_array);
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    list.into_iter()
        .flatten()
        .map(|c| Criterion {
            name: text(c.get("name")),
            limit: text(c.get("limit")),
            value: text(c.get("value")),
            passed: c.get("passed").and_then(Value::as_bool).unwrap_or(false),
        })
        .collect()
}
