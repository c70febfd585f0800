//! The envelope: JSON-RPC 2.0.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest line that either end accepts, in bytes: a list of 100,000 calls fits.
pub const MAX_LINE: usize = 64 * 1024 * 1024;

/// A call of a method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Always `"2.0"`.
    pub jsonrpc: String,
    /// The client's number or text for it, repeated in the answer.
    pub id: Value,
    /// One of [`crate::method`].
    pub method: String,
    /// The method's parameters, an object.
    #[serde(default)]
    pub params: Value,
}

impl Request {
    /// A request with numbered id.
    #[must_use]
    pub fn new(id: u64, method: &str, params: Value) -> Self {
        Self {
            jsonrpc: "2.0".into(),
            id: id.into(),
            method: method.into(),
            params,
        }
    }
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

/// Reads a request from one line.
///
/// # Errors
/// The answer to send instead: [`ErrorCode::Parse`] or [`ErrorCode::InvalidRequest`], with the place.
pub fn decode_line(line: &[u8]) -> Result<Request, Box<Response>> {
    let value: Value = serde_json::from_slice(line).map_err(|e| {
        Box::new(Response::failure(
            Value::Null,
            ErrorCode::Parse,
            format!("not JSON: {e}"),
        ))
    })?;
    let id = value.get("id").cloned().unwrap_or(Value::Null);
    let request: Request = serde_json::from_value(value).map_err(|e| {
        let message = format!("not a JSON-RPC request: {e}");
        Box::new(Response::failure(
            id.clone(),
            ErrorCode::InvalidRequest,
            message,
        ))
    })?;
    if request.jsonrpc == "2.0" {
        Ok(request)
    } else {
        let message = "jsonrpc must be \"2.0\"";
        Err(Box::new(Response::failure(
            id,
            ErrorCode::InvalidRequest,
            message,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_comes_back_as_it_went() {
        let request = Request::new(4, "core.status", Value::Null);
        let line = serde_json::to_vec(&request).unwrap();
        assert_eq!(decode_line(&line).unwrap(), request);
    }

    #[test]
    fn a_wrong_version_keeps_the_id() {
        let answer = decode_line(br#"{"jsonrpc":"1.0","id":9,"method":"x"}"#).unwrap_err();
        assert_eq!(answer.id, Value::from(9));
        assert_eq!(answer.error.unwrap().code, ErrorCode::InvalidRequest as i64);
    }

    #[test]
    fn what_is_not_json_is_said_to_be_so() {
        let answer = decode_line(b"status\n").unwrap_err();
        assert_eq!(answer.error.unwrap().code, ErrorCode::Parse as i64);
    }

    proptest! {
        #[test]
        fn any_line_is_a_request_or_an_error(line in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = decode_line(&line);
        }
    }
}
