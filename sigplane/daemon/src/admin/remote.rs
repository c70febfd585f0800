//! The management API over HTTP: POST to `/rpc`, with a token.

use std::sync::Arc;

use hyper::header::ALLOW;
use hyper::{Method, StatusCode};
use tandem_admin::decode;

use super::{Api, Gate, message};
use crate::http::{Answering, Count, Request, Response, Service};

/// The service at `/rpc`.
pub(crate) struct Rpc {
    api: Arc<Api>,
    gate: Arc<Gate>,
}

impl Rpc {
    pub(crate) fn new(api: Arc<Api>, gate: Arc<Gate>) -> Arc<Self> {
        Arc::new(Self { api, gate })
    }

    async fn answer(&self, request: Request) -> Response {
        let counters = self.api.http.shared_counters();
        if request.method != Method::POST {
            counters.add(Count::WrongMethod);
            let text = "JSON-RPC comes by POST";
            return Response::text(StatusCode::METHOD_NOT_ALLOWED, text).with(ALLOW, "POST");
        }
        let caller = match self.gate.admit(&request) {
            Ok(caller) => caller,
            Err(answer) => return answer,
        };
        if !matches!(
            request.content_type().as_str(),
            "application/json" | "application/json-rpc"
        ) {
            counters.add(Count::WrongType);
            let text = "send JSON, with `Content-Type: application/json`";
            return Response::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        }
        match message::answer(&self.api, &caller, decode(&request.body)).await {
            Some(answer) => Response::new(StatusCode::OK, "application/json", answer),
            None => Response::empty(StatusCode::NO_CONTENT),
        }
    }
}

impl Service for Rpc {
    fn call(&self, request: Request) -> Answering<'_> {
        Box::pin(self.answer(request))
    }
}
