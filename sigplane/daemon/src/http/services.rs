//! Who answers what.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hyper::StatusCode;
use tandem_config::HttpService;

use super::counters::{Count, Counters};
use super::message::{Request, Response};

/// An answer on its way.
pub(crate) type Answering<'a> = Pin<Box<dyn Future<Output = Response> + Send + 'a>>;

/// What answers requests. It runs on the thread of HTTP, and must not block: what takes long is asked of
/// another thread and awaited.
pub(crate) trait Service: Send + Sync {
    fn call(&self, request: Request) -> Answering<'_>;
}

/// The services that there are. One that is none answers 404, whatever the configuration says.
#[derive(Clone, Default)]
pub(crate) struct Services {
    /// `/rpc`
    pub(crate) api: Option<Arc<dyn Service>>,
    /// `/metrics`, for those who show a token, and for all in the listener's networks.
    pub(crate) metrics: Option<Arc<dyn Service>>,
    pub(crate) open_metrics: Option<Arc<dyn Service>>,
    /// Below `/freeswitch/`.
    pub(crate) freeswitch: Option<Arc<dyn Service>>,
}

/// The service that a path belongs to.
pub(super) fn of_path(path: &str) -> Option<HttpService> {
    match path {
        "/rpc" => Some(HttpService::Api),
        "/metrics" => Some(HttpService::Metrics),
        path if path.starts_with("/freeswitch/") => Some(HttpService::Freeswitch),
        _ => None,
    }
}

impl Services {
    /// Answers a request that belongs to a service.
    pub(super) async fn answer(
        &self,
        service: HttpService,
        open_metrics: bool,
        request: Request,
        counters: &Counters,
    ) -> Response {
        let service = match service {
            HttpService::Api => &self.api,
            HttpService::Metrics if open_metrics => &self.open_metrics,
            HttpService::Metrics => &self.metrics,
            HttpService::Freeswitch => &self.freeswitch,
        };
        match service {
            Some(service) => service.call(request).await,
            None => not_found(counters),
        }
    }
}

pub(super) fn not_found(counters: &Counters) -> Response {
    counters.add(Count::NotFound);
    Response::text(StatusCode::NOT_FOUND, "nothing is served here")
}
