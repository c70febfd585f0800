//! An answer to what a client sent, whichever way it came.

use serde_json::Value;
use tandem_admin::{ErrorCode, Incoming, MAX_LINE, Request, Response};

use super::{Api, Caller, methods};

/// Answers; none when nobody waits for an answer, since all were notifications.
pub(super) async fn answer(
    api: &Api,
    caller: &Caller,
    read: Result<Incoming, Box<Response>>,
) -> Option<Vec<u8>> {
    match read {
        Err(answer) => Some(bytes(&answer)),
        Ok(Incoming::One(request)) => one(api, caller, request).await,
        Ok(Incoming::Batch(requests)) => {
            let mut all = vec![b'['];
            for request in requests {
                let answer = match request {
                    Ok(request) => one(api, caller, request).await,
                    Err(answer) => Some(bytes(&answer)),
                };
                let Some(answer) = answer else { continue };
                if all.len() > 1 {
                    all.push(b',');
                }
                all.extend(answer);
                if all.len() > MAX_LINE {
                    return Some(too_long(Value::Null));
                }
            }
            all.push(b']');
            (all.len() > 2).then_some(all)
        }
    }
}

async fn one(api: &Api, caller: &Caller, request: Request) -> Option<Vec<u8>> {
    let Request {
        id, method, params, ..
    } = request;
    let result = methods::call(api, caller, &method, params).await;
    let id = id?;
    let answer = match result {
        Ok(result) => Response::success(id.clone(), result),
        Err(refusal) => Response::failure(id.clone(), refusal.code, refusal.message),
    };
    let answer = bytes(&answer);
    Some(match answer.len() {
        0..=MAX_LINE => answer,
        _ => too_long(id),
    })
}

fn too_long(id: Value) -> Vec<u8> {
    let message = format!("the answer is longer than {MAX_LINE} bytes: ask for less");
    bytes(&Response::failure(id, ErrorCode::Internal, message))
}

fn bytes(answer: &Response) -> Vec<u8> {
    // A value with text for keys can always be written.
    serde_json::to_vec(answer).unwrap_or_default()
}
