//! One client of the management API.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tandem_admin::{
    BlockParams, Blocked, CaptureParams, ErrorCode, MAX_LINE, Request, Response, SetStateParams,
    Target, decode_line, method,
};
use tandem_policy::TargetState;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::{Shared, ask, capture};
use crate::ask::{Ask, Refusal};

/// The longest request, in bytes. Requests are short; answers may be [`MAX_LINE`].
const MAX_REQUEST: usize = 64 * 1024;
/// A client that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(300);
/// How long a client may take to read what it asked for.
pub(super) const WRITE: Duration = Duration::from_secs(10);

/// Serves a client until it goes.
pub(super) async fn serve(stream: UnixStream, shared: &Shared) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(line) = read_line(&mut reader).await {
        if line.len() > MAX_REQUEST {
            // Where the next line begins is anybody's guess.
            let message = format!("the request is longer than {MAX_REQUEST} bytes");
            let answer = Response::failure(Value::Null, ErrorCode::InvalidRequest, message);
            let _ = send(&mut writer, &answer).await;
            return;
        }
        let request = match decode_line(&line) {
            Ok(request) => request,
            Err(answer) => {
                if send(&mut writer, &answer).await.is_err() {
                    return;
                }
                continue;
            }
        };
        if request.method == method::CAPTURE {
            let refusal = match serde_json::from_value::<CaptureParams>(object(request.params)) {
                Ok(params) => {
                    match capture::begin(params, shared).await {
                        Ok(capture) => {
                            // The connection is the capture's from here on.
                            capture
                                .run(request.id, &mut reader, &mut writer, shared)
                                .await;
                            return;
                        }
                        Err(refusal) => refusal,
                    }
                }
                Err(e) => Refusal::new(ErrorCode::InvalidParams, e.to_string()),
            };
            let answer = Response::failure(request.id, refusal.code, refusal.message);
            if send(&mut writer, &answer).await.is_err() {
                return;
            }
            continue;
        }
        let answer = answer(request, shared).await;
        if send(&mut writer, &answer).await.is_err() {
            return;
        }
    }
}

/// Says that there is no place, and closes.
pub(super) async fn turn_away(mut stream: UnixStream) {
    let message = "too many clients: close one, or try again later";
    let answer = Response::failure(Value::Null, ErrorCode::Busy, message);
    if let Some(line) = line(&answer) {
        let _ = timeout(WRITE, stream.write_all(&line)).await;
    }
}

/// The next line, cut off where it is longer than a request may be; none when the client is gone,
/// or takes too long.
async fn read_line(reader: &mut BufReader<OwnedReadHalf>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let mut limited = reader.take(MAX_REQUEST as u64 + 1);
    match timeout(IDLE, limited.read_until(b'\n', &mut line)).await {
        // Without its end the client was cut off in the middle.
        Ok(Ok(_)) if line.ends_with(b"\n") || line.len() > MAX_REQUEST => Some(line),
        _ => None,
    }
}

async fn answer(request: Request, shared: &Shared) -> Response {
    let Request {
        id, method, params, ..
    } = request;
    let result = match method.as_str() {
        method::STATUS => ask::status(shared).await.and_then(to_value),
        method::DISPATCHER_LIST => ask::targets(shared).await.and_then(to_value),
        method::DISPATCHER_RELOAD => reload(shared).await.and_then(to_value),
        method::DISPATCHER_SET_STATE => set_state(shared, params).await.and_then(to_value),
        method::DLG_LIST => ask::calls(shared).await.and_then(to_value),
        method::FLOWS => ask::first(shared, Ask::Flows)
            .await
            .and_then(|flows| flows)
            .and_then(to_value),
        method::STATISTICS => ask::statistics(shared).await.and_then(to_value),
        method::BLOCKED => ask::first(shared, Ask::Blocked).await.and_then(to_value),
        method::BLOCK => block(shared, params).await.and_then(to_value),
        method::UNBLOCK => unblock(shared, params).await.and_then(to_value),
        _ => Err(Refusal::new(
            ErrorCode::NoSuchMethod,
            format!("there is no method {method:?}"),
        )),
    };
    match result {
        Ok(result) => Response::success(id, result),
        Err(refusal) => Response::failure(id, refusal.code, refusal.message),
    }
}

async fn set_state(shared: &Shared, params: Value) -> Result<Target, Refusal> {
    let invalid = |problem: String| Refusal::new(ErrorCode::InvalidParams, problem);
    let params: SetStateParams =
        serde_json::from_value(object(params)).map_err(|e| invalid(e.to_string()))?;
    let state = TargetState::parse(&params.state).ok_or_else(|| {
        invalid(format!(
            "{:?} is no state: active, inactive, probing, disabled and draining are",
            params.state
        ))
    })?;
    let targets = ask::targets(shared).await?;
    let id = which(&targets, &params).map_err(invalid)?;
    ask::set_state(shared, id, state).await?;
    let target = ask::targets(shared).await?.into_iter().find(|t| t.id == id);
    target.ok_or_else(|| invalid(format!("target {id} is not in the table any more")))
}

/// The one target that is meant.
fn which(targets: &[Target], params: &SetStateParams) -> Result<i64, String> {
    let wanted = params.target.as_str();
    let is_it = |t: &&Target| {
        let named = t.uri == wanted || t.duid == wanted || t.id.to_string() == wanted;
        named && params.set.is_none_or(|set| set == t.set)
    };
    let mut found = targets.iter().filter(is_it);
    match (found.next(), found.next()) {
        (Some(target), None) => Ok(target.id),
        (None, _) => Err(format!(
            "there is no target {wanted:?}: `dispatcher list` has their ids, URIs and duids"
        )),
        (Some(one), Some(other)) => Err(format!(
            "{wanted:?} may be target {} of set {} or target {} of set {}: write the id, or the set",
            one.id, one.set, other.id, other.set
        )),
    }
}

async fn block(shared: &Shared, params: Value) -> Result<Blocked, Refusal> {
    let params = block_params(params)?;
    let question = |answer| Ask::Block { params, answer };
    ask::first(shared, question)
        .await
        .and_then(|blocked| blocked)
}

async fn unblock(shared: &Shared, params: Value) -> Result<bool, Refusal> {
    let address = block_params(params)?.address;
    let question = |answer| Ask::Unblock { address, answer };
    ask::first(shared, question).await
}

fn block_params(params: Value) -> Result<BlockParams, Refusal> {
    serde_json::from_value(object(params))
        .map_err(|e| Refusal::new(ErrorCode::InvalidParams, e.to_string()))
}

async fn reload(shared: &Shared) -> Result<tandem_admin::Reloaded, Refusal> {
    let late = |_| {
        Refusal::new(
            ErrorCode::DatabaseDown,
            "the database did not answer in time",
        )
    };
    timeout(ask::ANSWER, shared.database.reload())
        .await
        .map_err(late)?
}

/// Absent parameters are none, not null.
fn object(params: Value) -> Value {
    if params.is_null() {
        Value::Object(serde_json::Map::new())
    } else {
        params
    }
}

fn to_value(result: impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(result).map_err(|e| Refusal::new(ErrorCode::Internal, e.to_string()))
}

/// A value as a line; none when it is longer than a client accepts.
pub(super) fn line(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut line = serde_json::to_vec(value).ok()?;
    line.push(b'\n');
    (line.len() <= MAX_LINE).then_some(line)
}

async fn send(writer: &mut OwnedWriteHalf, answer: &Response) -> Result<(), ()> {
    let line = line(answer).or_else(|| {
        let message = format!("the answer is longer than {MAX_LINE} bytes");
        line(&Response::failure(
            answer.id.clone(),
            ErrorCode::Internal,
            message,
        ))
    });
    write(writer, &line.ok_or(())?).await
}

pub(super) async fn write(writer: &mut OwnedWriteHalf, line: &[u8]) -> Result<(), ()> {
    match timeout(WRITE, writer.write_all(line)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}
