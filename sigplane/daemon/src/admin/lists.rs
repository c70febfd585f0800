//! Long lists, gathered from the workers in pieces that none of them notices.

use tandem_admin::{
    Call, CallCounts, Ended, ErrorCode, Page, Registration, Registrations, TableRow,
};
use tokio::sync::oneshot;

use super::{Api, ask};
use crate::ask::{Answer, Ask, Order, Refusal};
use crate::worker::TABLES;

/// What a worker is asked for at a time: a fraction of a millisecond of its time.
const PIECE: usize = 100;
/// A page, if nothing else is said, and at most.
const PAGE: (usize, usize) = (1_000, 10_000);

/// The place of a worker's part in a cursor.
const WORKER_SHIFT: u32 = 48;

fn limit(page: Page) -> usize {
    page.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1)
}

/// A page of calls, by their numbers.
pub(super) async fn calls(api: &Api, page: Page) -> Result<Vec<Call>, Refusal> {
    let limit = limit(page);
    let mut all = Vec::new();
    for worker in 0..api.mailboxes.len() {
        let (mut after, mut left) = (page.after, limit);
        while left > 0 {
            let most = left.min(PIECE);
            let piece = ask::one(api, worker, |answer| {
                Ask::Order(Order::Calls {
                    after,
                    most,
                    answer,
                })
            })
            .await?;
            let Some(last) = piece.last().map(|call: &Call| call.key) else {
                break;
            };
            let is_last = piece.len() < most;
            (after, left) = (last, left - piece.len().min(left));
            all.extend(piece);
            if is_last {
                break;
            }
        }
    }
    all.sort_by_key(|call| call.key);
    all.truncate(limit);
    Ok(all)
}

/// How many calls are in each state.
pub(super) async fn call_counts(api: &Api) -> Result<CallCounts, Refusal> {
    let all = ask::each(api, |answer| Ask::Order(Order::CallCounts(answer))).await?;
    Ok(all.iter().fold(CallCounts::default(), |sum, c| CallCounts {
        starting: sum.starting + c.starting,
        ongoing: sum.ongoing + c.ongoing,
        ending: sum.ending + c.ending,
        all: sum.all + c.all,
    }))
}

/// Has calls ended by the workers that have them.
pub(super) async fn ended(
    api: &Api,
    order: impl Fn(Answer<u64>) -> Order,
) -> Result<Ended, Refusal> {
    let ended = ask::each(api, |answer| Ask::Order(order(answer))).await?;
    match ended.into_iter().sum() {
        0 => Err(Refusal::new(
            ErrorCode::NotFound,
            "there is no such call, or it is over",
        )),
        ended => Ok(Ended { ended }),
    }
}

/// A page of registered users. The cursor has the worker in its upper bits, and the place in that one's table below.
pub(super) async fn registrations(api: &Api, page: Page) -> Result<Registrations, Refusal> {
    let limit = limit(page);
    let mut registrations = Vec::new();
    let mut worker = usize::try_from(page.after >> WORKER_SHIFT).unwrap_or(usize::MAX);
    let mut place = usize::try_from(page.after & ((1 << WORKER_SHIFT) - 1)).unwrap_or(usize::MAX);
    while worker < api.mailboxes.len() {
        let most = (limit - registrations.len().min(limit)).min(PIECE);
        if most == 0 {
            let cursor = (worker as u64) << WORKER_SHIFT | place as u64;
            return Ok(Registrations {
                registrations,
                next: Some(cursor),
            });
        }
        let question = |answer| {
            Ask::Order(Order::Registrations {
                place,
                most,
                answer,
            })
        };
        let (piece, next) = ask::one(api, worker, question).await?;
        registrations.extend(piece);
        match next {
            Some(next) => place = next,
            None => (worker, place) = (worker + 1, 0),
        }
    }
    Ok(Registrations {
        registrations,
        next: None,
    })
}

/// A user's contacts, of the worker that has them.
pub(super) async fn registration(
    api: &Api,
    aor: &str,
    remove: bool,
) -> Result<Registration, Refusal> {
    let aor = aor.strip_prefix("sip:").unwrap_or(aor);
    // The domain is kept in lower case.
    let wanted = match aor.split_once('@') {
        Some((user, domain)) => format!("{user}@{}", domain.to_ascii_lowercase()),
        None => aor.to_owned(),
    };
    let question = |answer| {
        Ask::Order(Order::Registration {
            aor: wanted.clone().into_bytes(),
            remove,
            answer,
        })
    };
    let found = ask::each(api, question).await?;
    found.into_iter().flatten().next().ok_or_else(|| {
        let message = format!("{wanted:?} is not registered: write it as user@domain");
        Refusal::new(ErrorCode::NotFound, message)
    })
}

/// A table in memory, of all workers.
pub(super) async fn table(api: &Api, name: &str) -> Result<Vec<TableRow>, Refusal> {
    if !TABLES.iter().any(|(known, _)| *known == name) {
        let message = format!("there is no table {name:?}: htable.listTables has all");
        return Err(Refusal::new(ErrorCode::NotFound, message));
    }
    let question = |answer: oneshot::Sender<Vec<TableRow>>| {
        Ask::Order(Order::Table {
            name: name.to_owned(),
            answer,
        })
    };
    let mut rows: Vec<TableRow> = Vec::new();
    for row in ask::each(api, question).await?.into_iter().flatten() {
        match rows.iter_mut().find(|known| known.name == row.name) {
            Some(known) => known.value += row.value,
            None => rows.push(row),
        }
    }
    Ok(rows)
}
