//! Questions to the SIP workers: to the first for what there is one of, to each for what they share, and one answer
//! made of theirs.

use std::collections::HashMap;
use std::time::Duration;

use tandem_admin::{Counter, ErrorCode, Plane, SipWorker, Status, Target};
use tandem_policy::TargetState;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Api;
use crate::ask::{Ask, NamedCall, Refusal, ToWorker, WorkerStatus};
use crate::mailbox::Mailbox;

/// What is no number of anything, but 1 or 0: it holds when it holds for every worker.
const STATES: &[&str] = &["dataplane_ready"];
/// How long an answer may take.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// Asks the first worker.
pub(super) async fn first<T>(
    api: &Api,
    question: impl FnOnce(oneshot::Sender<T>) -> Ask,
) -> Result<T, Refusal> {
    one(api, 0, question).await
}

/// Asks one worker.
pub(super) async fn one<T>(
    api: &Api,
    worker: usize,
    question: impl FnOnce(oneshot::Sender<T>) -> Ask,
) -> Result<T, Refusal> {
    let mailbox = api.mailboxes.get(worker).ok_or_else(busy)?;
    wait(put(mailbox, question)?).await
}

/// Asks every worker at once; answers in their order.
pub(super) async fn each<T>(
    api: &Api,
    question: impl Fn(oneshot::Sender<T>) -> Ask,
) -> Result<Vec<T>, Refusal> {
    let mut questions = Vec::new();
    for mailbox in &api.mailboxes {
        questions.push(put(mailbox, &question)?);
    }
    let mut answers = Vec::new();
    for answered in questions {
        answers.push(wait(answered).await?);
    }
    Ok(answers)
}

fn put<T>(
    mailbox: &Mailbox,
    question: impl FnOnce(oneshot::Sender<T>) -> Ask,
) -> Result<oneshot::Receiver<T>, Refusal> {
    let (answer, answered) = oneshot::channel();
    let letter = ToWorker::Ask(Box::new(question(answer)));
    mailbox.send(letter).map_err(|_| busy())?;
    Ok(answered)
}

async fn wait<T>(answered: oneshot::Receiver<T>) -> Result<T, Refusal> {
    match timeout(ANSWER, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => Err(busy()),
    }
}

fn busy() -> Refusal {
    Refusal::new(
        ErrorCode::Busy,
        "the signaling plane is overloaded: ask again",
    )
}

pub(super) async fn status(api: &Api) -> Result<Status, Refusal> {
    let workers = each(api, Ask::Status).await?;
    let sum = |of: fn(&WorkerStatus) -> u64| workers.iter().map(of).sum();
    let first = workers.first().cloned().unwrap_or_default();
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: api.node,
        uptime_s: api.started.elapsed().as_secs(),
        dataplane_up: first.dataplane.is_some(),
        dataplane_boot: first.dataplane.map(|(boot, ..)| boot),
        epoch: first.dataplane.map(|(_, epoch, _)| epoch),
        workers: first.dataplane.map_or(0, |(.., workers)| workers),
        sip_workers: workers
            .iter()
            .map(|worker| SipWorker {
                calls: worker.calls,
                messages: worker.messages,
                passed_on: worker.passed_on,
            })
            .collect(),
        calls: sum(|worker| worker.calls),
        confirmed_calls: sum(|worker| worker.confirmed_calls),
        flows: sum(|worker| worker.flows),
        targets_active: first.targets_active,
        targets: first.targets,
        database_up: api.database.is_up(),
        cdrs_pending: first.cdrs_pending,
        journal_sequence: first.journal_sequence,
    })
}

/// The targets as the first worker has them: it probes them, and hears what the others see. Calls are those of all.
pub(super) async fn targets(api: &Api) -> Result<Vec<Target>, Refusal> {
    let mut answers = each(api, Ask::Targets).await?.into_iter();
    let mut targets = answers.next().unwrap_or_default();
    for theirs in answers {
        // All have the same table, except for the moment in which it is replaced.
        for (target, theirs) in targets.iter_mut().zip(theirs) {
            if target.id == theirs.id {
                target.calls += theirs.calls;
            }
        }
    }
    api.live.fill(&mut targets);
    Ok(targets)
}

/// Sets a target's state, of every worker.
pub(super) async fn set_state(api: &Api, id: i64, state: TargetState) -> Result<(), Refusal> {
    let question = |answer| Ask::SetState { id, state, answer };
    each(api, question).await.map(drop)
}

/// The workers' counters, summed; the first one brings the dataplane's.
pub(super) async fn statistics(api: &Api) -> Result<Vec<Counter>, Refusal> {
    Ok(total(each(api, Ask::Statistics).await?))
}

pub(crate) fn total(answers: Vec<Vec<Counter>>) -> Vec<Counter> {
    let mut answers = answers.into_iter();
    let mut all = answers.next().unwrap_or_default();
    for theirs in answers {
        let theirs = theirs.into_iter().map(|c| ((c.plane, c.name), c.value));
        let mut theirs: HashMap<(Plane, String), u64> = theirs.collect();
        for counter in &mut all {
            let key = (counter.plane, counter.name.clone());
            let value = theirs.remove(&key);
            if STATES.contains(&counter.name.as_str()) {
                counter.value = counter.value.min(value.unwrap_or(0));
            } else {
                counter.value += value.unwrap_or(0);
            }
        }
    }
    all
}

/// The call that has this Call-ID on one of its sides, of whichever worker.
pub(super) async fn named(api: &Api, call_id: &str) -> Result<NamedCall, Refusal> {
    let question = |answer| Ask::Named {
        call_id: call_id.to_owned(),
        answer,
    };
    let mut all = NamedCall::default();
    for found in each(api, question).await? {
        all.call_ids.extend(found.call_ids);
        all.flows.extend(found.flows);
    }
    all.call_ids.sort_unstable();
    all.call_ids.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_by_their_names() {
        let counter = |plane, name: &str, value| Counter {
            plane,
            name: name.to_owned(),
            value,
        };
        let (ours, theirs) = (Plane::Signaling, Plane::Dataplane);
        let ready = |value| counter(Plane::Signaling, "dataplane_ready", value);
        let summed = total(vec![
            vec![
                ready(1),
                counter(ours, "journal_bytes", 7),
                counter(ours, "calls", 1),
                counter(theirs, "calls", 9),
            ],
            vec![counter(ours, "calls", 2), ready(0)],
            vec![ready(1), counter(ours, "calls", 3)],
        ]);
        let values: Vec<u64> = summed.iter().map(|c| c.value).collect();
        assert_eq!(values, [0, 7, 6, 9]);
    }
}
