//! The envelope: JSON-RPC 2.0, batches and notifications included.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The longest answer that either end accepts, in bytes.
pub const MAX_LINE: usize = 64 * 1024 * 1024;
/// The most requests of a batch.
pub const MAX_BATCH: usize = 100;

/// A call of a method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// Always `"2.0"`.
    pub jsonrpc: String,
    /// The client's number or text for it, repeated in the answer; none for a notification, which has no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// One of [`crate::METHODS`].
    pub method: String,
    /// The method's parameters: an object, a list in the method's order, or null for none.
    pub params: Value,
}

impl Request {
    /// A request with numbered id.
    #[must_use]
    pub fn new(id: u64, method: &str, params: Value) -> Self {
        Self {
            jsonrpc: "2.0".into(),
            id: Some(id.into()),
            method: method.into(),
            params,
        }
    }
}

/// What a client sent: one request, or several.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// One.
    One(Request),
    /// A batch, at least one; what is no request among them has its answer already.
    Batch(Vec<Result<Request, Response>>),
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Always `"2.0"`.
    pub jsonrpc: String,
    /// The request's; null when it could not be read.
    pub id: Value,
    /// What the method returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RpcError>,
}

impl Response {
    /// A successful answer.
    #[must_use]
    pub fn success(id: Value, result: Value) -> Self {
        Self {
            jsonrpc: "2.0".into(),
            id,
            result: Some(result),
            error: None,
        }
    }

    /// An answer that says what went wrong and what to do about it.
    #[must_use]
    pub fn failure(id: Value, code: ErrorCode, message: impl Into<String>) -> Self {
        let error = RpcError {
            code: code as i64,
            message: message.into(),
        };
        Self {
            jsonrpc: "2.0".into(),
            id,
            result: None,
            error: Some(error),
        }
    }
}

/// An error as it stands in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RpcError {
    /// One of [`ErrorCode`].
    pub code: i64,
    /// For people.
    pub message: String,
}

/// JSON-RPC's codes and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum ErrorCode {
    /// Not JSON.
    Parse = -32_700,
    /// JSON, but not a request.
    InvalidRequest = -32_600,
    /// No such method.
    NoSuchMethod = -32_601,
    /// The parameters do not fit.
    InvalidParams = -32_602,
    /// Our fault.
    Internal = -32_603,
    /// The dataplane is not connected.
    DataplaneDown = -32_000,
    /// The database did not answer.
    DatabaseDown = -32_001,
    /// Too many clients or requests.
    Busy = -32_002,
    /// The client's role is not enough.
    Forbidden = -32_003,
    /// What was named is not there.
    NotFound = -32_004,
    /// A configuration that cannot be applied; nothing was changed.
    ConfigRefused = -32_010,
    /// Another configuration than expected runs, or is in the file.
    ConfigChanged = -32_011,
    /// A configuration is to be confirmed first; or, for a confirmation, none is.
    ConfigPending = -32_012,
}

/// A line that no request asked for by its id: a captured packet, the end of a capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Always `"2.0"`.
    pub jsonrpc: String,
    /// [`crate::method::CAPTURE_PACKET`] or [`crate::method::CAPTURE_END`].
    pub method: String,
    /// A [`crate::CapturedPacket`] or a [`crate::CaptureEnd`].
    pub params: Value,
}

impl Notification {
    /// A notification.
    #[must_use]
    pub fn new(method: &str, params: Value) -> Self {
        Self {
            jsonrpc: "2.0".into(),
            method: method.into(),
            params,
        }
    }
}

/// Reads what a client sent.
///
/// # Errors
/// The answer to send instead: [`ErrorCode::Parse`] or [`ErrorCode::InvalidRequest`], with the place.
pub fn decode(bytes: &[u8]) -> Result<Incoming, Box<Response>> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| {
        let message = format!("not JSON: {e}");
        Box::new(Response::failure(Value::Null, ErrorCode::Parse, message))
    })?;
    match value {
        Value::Array(requests) if requests.is_empty() => {
            Err(Box::new(invalid(Value::Null, "the batch is empty")))
        }
        Value::Array(requests) if requests.len() > MAX_BATCH => {
            let problem = format!("the batch has more than {MAX_BATCH} requests");
            Err(Box::new(invalid(Value::Null, &problem)))
        }
        Value::Array(requests) => {
            let requests = requests.into_iter().map(request).collect();
            Ok(Incoming::Batch(requests))
        }
        value => request(value).map(Incoming::One).map_err(Box::new),
    }
}

fn request(value: Value) -> Result<Request, Response> {
    let Value::Object(mut members) = value else {
        return Err(invalid(Value::Null, "it is no object"));
    };
    let id = members.remove("id");
    // An id that cannot be one is not repeated.
    let known = match &id {
        Some(Value::String(_) | Value::Number(_) | Value::Null) => id.clone(),
        None => None,
        Some(_) => {
            return Err(invalid(
                Value::Null,
                "`id` is neither text nor a number nor null",
            ));
        }
    };
    read(members, id).map_err(|problem| invalid(known.unwrap_or(Value::Null), problem))
}

fn read(mut members: Map<String, Value>, id: Option<Value>) -> Result<Request, &'static str> {
    let Some(Value::String(jsonrpc)) = members.remove("jsonrpc").filter(|v| v == "2.0") else {
        return Err("`jsonrpc` must be \"2.0\"");
    };
    let Some(Value::String(method)) = members.remove("method") else {
        return Err("`method` must be there, and text");
    };
    let params = members.remove("params").unwrap_or_default();
    if !matches!(params, Value::Object(_) | Value::Array(_) | Value::Null) {
        return Err("`params` is neither an object nor a list");
    }
    Ok(Request {
        jsonrpc,
        id,
        method,
        params,
    })
}

fn invalid(id: Value, problem: &str) -> Response {
    let message = format!("not a JSON-RPC request: {problem}");
    Response::failure(id, ErrorCode::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(bytes: &[u8]) -> (Value, i64) {
        let answer = decode(bytes).unwrap_err();
        (answer.id, answer.error.unwrap().code)
    }

    #[test]
    fn a_request_comes_back_as_it_went() {
        let request = Request::new(4, "core.status", Value::Null);
        let line = serde_json::to_vec(&request).unwrap();
        assert_eq!(decode(&line).unwrap(), Incoming::One(request));
    }

    #[test]
    fn a_wrong_version_keeps_the_id() {
        let invalid = ErrorCode::InvalidRequest as i64;
        for text in [
            r#"{"jsonrpc":"1.0","id":9,"method":"x"}"#,
            r#"{"id":9,"method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":9,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":9}"#,
            r#"{"jsonrpc":"2.0","id":9,"method":"x","params":"y"}"#,
        ] {
            assert_eq!(code(text.as_bytes()), (9.into(), invalid), "{text}");
        }
        let odd = r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#;
        assert_eq!(code(odd.as_bytes()), (Value::Null, invalid));
    }

    #[test]
    fn what_is_not_json_is_said_to_be_so() {
        assert_eq!(code(b"status\n"), (Value::Null, ErrorCode::Parse as i64));
        assert_eq!(code(b"[1,"), (Value::Null, ErrorCode::Parse as i64));
    }

    /// The examples of JSON-RPC 2.0, section 7.
    #[test]
    fn batches_are_as_the_specification_has_them() {
        let invalid = ErrorCode::InvalidRequest as i64;
        assert_eq!(code(b"[]"), (Value::Null, invalid));
        let Incoming::Batch(three) = decode(b"[1,2,3]").unwrap() else {
            panic!("it is a batch");
        };
        assert!(three.iter().all(|r| r.as_ref().unwrap_err().id.is_null()));
        assert_eq!(three.len(), 3);
        let mixed = br#"[{"jsonrpc":"2.0","method":"sum","params":[1,2],"id":"1"},
            {"jsonrpc":"2.0","method":"notify_hello","params":[7]},{"foo":"boo"}]"#;
        let Incoming::Batch(mixed) = decode(mixed).unwrap() else {
            panic!("it is a batch");
        };
        assert_eq!(mixed[0].as_ref().unwrap().id, Some("1".into()));
        assert_eq!(mixed[1].as_ref().unwrap().id, None);
        assert!(mixed[2].is_err());
        let many = format!("[{}1]", "1,".repeat(MAX_BATCH));
        assert_eq!(code(many.as_bytes()), (Value::Null, invalid));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = decode(&bytes);
        }
    }
}
