//! `tandemctl dispatcher`: the targets, and what an administrator does with them.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use tandem_admin::{Reloaded, SetStateParams, Target, method};

use crate::client::{Client, Failure};
use crate::show::{ask, milliseconds, print, write_out};
use crate::table::table;

/// How often a drain is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long a media server's own word is waited for behind the last call of ours.
const LIVE: Duration = Duration::from_secs(15);

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Every target with its state, calls and probe latency
    List,
    /// Read the dispatcher and address tables again
    Reload,
    /// Say what state a target has. Active, inactive and probing last until probes say otherwise, disabled and draining until
    /// another word, also through restarts
    SetState {
        /// active, inactive, probing, disabled or draining
        #[arg(value_parser = ["active", "inactive", "probing", "disabled", "draining"])]
        state: String,
        #[command(flatten)]
        which: Which,
    },
    /// No new calls for a target; those that it has end by themselves
    Drain {
        #[command(flatten)]
        which: Which,
        /// Wait until it has no calls, for so many seconds at most
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "3600")]
        wait: Option<u64>,
    },
    /// Calls for a target again
    Enable {
        #[command(flatten)]
        which: Which,
    },
}

/// A target.
#[derive(Args)]
pub(crate) struct Which {
    /// Its id, URI or duid, as `tandemctl dispatcher list` has them
    target: String,
    /// Its set, where several have it
    #[arg(long, value_name = "N")]
    set: Option<u32>,
}

impl Which {
    fn to(self, state: &str) -> SetStateParams {
        SetStateParams {
            target: self.target,
            set: self.set,
            state: state.to_owned(),
        }
    }
}

pub(crate) fn run(client: &mut Client, json: bool, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => list(client, json),
        Command::Reload => reload(client, json),
        Command::SetState { state, which } => set_state(client, json, &which.to(&state)).map(drop),
        Command::Drain { which, wait } => drain(client, json, &which.to("draining"), wait),
        Command::Enable { which } => set_state(client, json, &which.to("active")).map(drop),
    }
}

/// `tandemctl dispatcher list`
fn list(client: &mut Client, json: bool) -> Result<(), Failure> {
    let targets: Vec<Target> = ask(client, method::DISPATCHER_LIST)?;
    print(json, &targets, |targets| text(targets))
}

fn text(targets: &[Target]) -> String {
    let rows: Vec<Vec<String>> = targets
        .iter()
        .map(|t| {
            let calls = match t.max_load {
                0 => t.calls.to_string(),
                most => format!("{}/{most}", t.calls),
            };
            vec![
                t.id.to_string(),
                t.set.to_string(),
                t.uri.clone(),
                t.addresses.join(" "),
                t.state.clone(),
                t.algorithm.clone(),
                t.weight.map_or("-".to_owned(), |w| w.to_string()),
                t.priority.to_string(),
                calls,
                t.live_calls.map_or("-".to_owned(), |n| n.to_string()),
                t.failures.to_string(),
                t.timeouts.to_string(),
                milliseconds(t.latency_last_us),
                milliseconds(t.latency_mean_us),
                milliseconds(t.latency_max_us),
                t.duid.clone(),
                t.description.clone(),
            ]
        })
        .collect();
    table(
        &[
            ">id",
            ">set",
            "uri",
            "addresses",
            "state",
            "algorithm",
            ">weight",
            ">priority",
            ">calls",
            ">its own",
            ">failures",
            ">timeouts",
            ">last ms",
            ">mean ms",
            ">max ms",
            "duid",
            "description",
        ],
        &rows,
    )
}

/// `tandemctl dispatcher reload`
fn reload(client: &mut Client, json: bool) -> Result<(), Failure> {
    // A million routes may be among the tables.
    client.wait_up_to(Duration::from_secs(70))?;
    let reloaded: Reloaded = ask(client, method::DISPATCHER_RELOAD)?;
    print(json, &reloaded, |r| {
        format!(
            "{} rows of dispatcher and {} of address are in force\n",
            r.dispatcher, r.address
        )
    })
}

/// `tandemctl dispatcher set-state`
fn set_state(client: &mut Client, json: bool, params: &SetStateParams) -> Result<Target, Failure> {
    let value = serde_json::to_value(params).map_err(|e| Failure::Protocol(e.to_string()))?;
    let target: Target = client.call(method::DISPATCHER_SET_STATE, value)?;
    print(json, &target, |t| {
        format!(
            "{} of set {} is {}, with {} calls\n",
            t.uri, t.set, t.state, t.calls
        )
    })?;
    Ok(target)
}

/// `tandemctl dispatcher drain`: and waits until the target has no calls, if that is wanted.
fn drain(
    client: &mut Client,
    json: bool,
    params: &SetStateParams,
    wait: Option<u64>,
) -> Result<(), Failure> {
    let mut target = set_state(client, json, params)?;
    let Some(seconds) = wait else { return Ok(()) };
    let begin = Instant::now();
    let end = begin + Duration::from_secs(seconds);
    let mut empty_since = None;
    loop {
        match left(&target) {
            Left::Calls => empty_since = None,
            Left::Nothing => break,
            Left::Unknown => {
                let since = *empty_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= LIVE {
                    eprintln!(
                        "tandemctl: the event socket of {} does not answer: it has no calls of ours, and what else it has is not known",
                        target.uri
                    );
                    break;
                }
            }
        }
        if Instant::now() >= end {
            return Err(Failure::Refused(format!(
                "{} has {} yet after {seconds} s; it goes on draining",
                target.uri,
                calls(&target)
            )));
        }
        std::thread::sleep(LOOK);
        let before = calls(&target);
        let targets: Vec<Target> = ask(client, method::DISPATCHER_LIST)?;
        let Some(now) = targets.into_iter().find(|t| t.id == target.id) else {
            return Err(Failure::Refused(format!(
                "{} is not in the table any more",
                target.uri
            )));
        };
        if now.state != target.state {
            return Err(Failure::Refused(format!(
                "{} is {} by now: somebody else has set it",
                now.uri, now.state
            )));
        }
        target = now;
        if calls(&target) != before {
            print(json, &target, |t| format!("{} left\n", calls(t)))?;
        }
    }
    if !json {
        write_out(&format!("{} has no calls\n", target.uri))?;
    }
    Ok(())
}

/// What a target has yet.
enum Left {
    Calls,
    Nothing,
    /// None of ours; its media server is asked and has not answered.
    Unknown,
}

fn left(target: &Target) -> Left {
    let its_own = target.live_channels.max(target.live_calls);
    match (target.calls, target.live_asked, its_own) {
        (1.., ..) | (_, _, Some(1..)) => Left::Calls,
        (0, false, _) | (0, true, Some(0)) => Left::Nothing,
        (0, true, None) => Left::Unknown,
    }
}

/// Ours, and what its media server says.
fn calls(target: &Target) -> String {
    let ours = format!("{} calls", target.calls);
    match (target.live_calls, target.live_channels) {
        (Some(calls), Some(channels)) => {
            format!("{ours}, of its own {calls} calls in {channels} channels")
        }
        _ => ours,
    }
}
