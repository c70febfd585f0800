//! One client of the management API's unix socket.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tandem_admin::{
    CaptureParams, ErrorCode, Incoming, MAX_LINE, Request, Response, Role, decode, method,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::{Api, Caller, capture, message, methods, params};

/// The longest request, in bytes: a configuration with some ten thousand rules. Answers may be [`MAX_LINE`].
const MAX_REQUEST: usize = 8 * 1024 * 1024;
/// A client that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(300);
/// How long a client may take to read what it asked for.
pub(super) const WRITE: Duration = Duration::from_secs(10);

/// Serves a client until it goes.
pub(super) async fn serve(stream: UnixStream, api: &Api) {
    let caller = caller(&stream);
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
        let read = decode(&line);
        if let Ok(Incoming::One(request)) = &read
            && request.method == method::CAPTURE
            && let Some(id) = &request.id
        {
            match begin(request, &caller, api).await {
                Ok(capture) => {
                    // The connection is the capture's from here on.
                    capture.run(id.clone(), &mut reader, &mut writer, api).await;
                    return;
                }
                Err(answer) if send(&mut writer, &answer).await.is_err() => return,
                Err(_) => continue,
            }
        }
        // A notification has no answer.
        if let Some(mut answer) = message::answer(api, &caller, read).await {
            answer.push(b'\n');
            if write(&mut writer, &answer).await.is_err() {
                return;
            }
        }
    }
}

/// Who opened the socket may do everything: the file's mode says who that is.
fn caller(stream: &UnixStream) -> Caller {
    let name = match stream.peer_cred() {
        Ok(peer) => format!("uid {}", peer.uid()),
        Err(_) => "unknown".to_owned(),
    };
    Caller {
        name,
        from: "unix".to_owned(),
        role: Role::Admin,
    }
}

async fn begin(
    request: &Request,
    caller: &Caller,
    api: &Api,
) -> Result<capture::Capture, Response> {
    let begun = match params::read::<CaptureParams>(&[], request.params.clone()) {
        Ok(params) => capture::begin(params, api).await,
        Err(refusal) => Err(refusal),
    };
    methods::audit(
        caller,
        method::CAPTURE,
        &request.params,
        begun.as_ref().err(),
    );
    begun.map_err(|refusal| {
        let id = request.id.clone().unwrap_or_default();
        Response::failure(id, refusal.code, refusal.message)
    })
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

/// A value as a line; none when it is longer than a client accepts.
pub(super) fn line(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut line = serde_json::to_vec(value).ok()?;
    line.push(b'\n');
    (line.len() <= MAX_LINE).then_some(line)
}

async fn send(writer: &mut OwnedWriteHalf, answer: &Response) -> Result<(), ()> {
    write(writer, &line(answer).ok_or(())?).await
}

pub(super) async fn write(writer: &mut OwnedWriteHalf, line: &[u8]) -> Result<(), ()> {
    match timeout(WRITE, writer.write_all(line)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}
