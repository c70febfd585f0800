//! Metrics for Prometheus, at `/metrics`: every counter, gauge and histogram of both planes, with the help texts that stand at
//! their declarations.
//!
//! Nothing is kept: a scrape asks the workers, as `stats.get_statistics` does, and writes what they say. No label
//! has a value that a stranger chooses: there are the plane, a worker, a port, the targets of the dispatcher table, and the names of rules, trunks and tenants.

mod families;
mod help;
mod latency;
mod named;
mod names;
mod quality;

use std::sync::Arc;

use hyper::header::ALLOW;
use hyper::{Method, StatusCode};
use prometheus::{Encoder as _, TextEncoder};
use tandem_admin::{ErrorCode, Role};
use tandem_policy::routing::Usages;

use crate::admin::{Api, Gate};
use crate::http::{Answering, Count, Counters, Request, Response, Service};
use families::Families;
use names::Names;

pub(crate) use latency::{Latencies, Timed};
pub(crate) use quality::Qualities;

/// The text format's version 0.0.4.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The service at `/metrics`.
pub(crate) struct Metrics {
    api: Arc<Api>,
    /// None where the listener's networks are enough.
    gate: Option<Arc<Gate>>,
    counters: Arc<Counters>,
    latencies: Latencies,
    qualities: Qualities,
    usages: Usages,
    names: Names,
}

impl Metrics {
    pub(crate) fn new(
        api: Arc<Api>,
        gate: Option<Arc<Gate>>,
        counters: Arc<Counters>,
        (latencies, qualities): (Latencies, Qualities),
        usages: Usages,
    ) -> Arc<Self> {
        Arc::new(Self {
            api,
            gate,
            counters,
            latencies,
            qualities,
            usages,
            names: Names::new(),
        })
    }

    async fn answer(&self, request: Request) -> Response {
        if request.method != Method::GET && request.method != Method::HEAD {
            self.counters.add(Count::WrongMethod);
            let text = "metrics are read by GET";
            return Response::text(StatusCode::METHOD_NOT_ALLOWED, text).with(ALLOW, "GET, HEAD");
        }
        if let Some(gate) = &self.gate {
            match gate.admit(&request) {
                Ok(caller) if caller.role >= Role::Read => {}
                Ok(_) => {
                    self.counters.add(Count::Forbidden);
                    let text = "this token's role may not read metrics";
                    return Response::text(StatusCode::FORBIDDEN, text);
                }
                Err(answer) => return answer,
            }
        }
        match self.text().await {
            Ok(text) => Response::new(StatusCode::OK, TEXT, text),
            Err((ErrorCode::Busy, why)) => Response::text(StatusCode::SERVICE_UNAVAILABLE, why),
            Err((_, why)) => Response::text(StatusCode::INTERNAL_SERVER_ERROR, why),
        }
    }

    async fn text(&self) -> Result<Vec<u8>, (ErrorCode, String)> {
        let refused = |refusal: crate::ask::Refusal| (refusal.code, refusal.message);
        let workers = self.api.statistics_of_each().await.map_err(refused)?;
        let histograms = self.api.histograms_of_each().await.map_err(refused)?;
        let targets = self.api.targets().await.map_err(refused)?;
        let alarms = self.api.alarms().await.map_err(refused)?;
        let mut families = Families::new(&self.names);
        families.of_process(&self.api.about());
        families.of_workers(&workers);
        families.counters(workers);
        families.histograms(histograms.into_iter().flatten().chain(self.latencies.all()));
        families.qualities(&self.qualities.all());
        families.targets(&targets);
        families.usages(&self.usages);
        families.alarms(&alarms);
        let mut text = Vec::with_capacity(128 * 1024);
        let failed = |e: prometheus::Error| (ErrorCode::Internal, e.to_string());
        TextEncoder::new()
            .encode(&families.finish(), &mut text)
            .map_err(failed)?;
        Ok(text)
    }
}

impl Service for Metrics {
    fn call(&self, request: Request) -> Answering<'_> {
        Box::pin(self.answer(request))
    }
}
