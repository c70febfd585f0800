//! A connection from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{StatusCode, header};
use hyper_util::rt::TokioIo;
use tandem_config::MetricsAccess;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::Listener;
use super::counters::{Count, Counters};
use super::message::{Request, Response};
use super::services::{Services, not_found, of_path};
use super::watch::{Step, Watch, Watched};

/// A header is read into so many bytes at most.
const HEADER: usize = 16 * 1024;
/// And has so many fields at most.
const FIELDS: usize = 64;
/// The first byte of a TLS record that begins a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;
/// What HTTP to a listener for HTTPS is told, in the language that it speaks.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 23\r\nConnection: close\r\n\r\nthis port is for HTTPS\n";

/// A connection that has a place.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) listener: Arc<Listener>,
    pub(super) services: Arc<Services>,
    pub(super) counters: Arc<Counters>,
}

impl Connection {
    /// Serves it until it ends, or takes too long.
    pub(super) async fn serve(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        let config = &self.listener.config;
        let watch = Watch::new(config.request_timeout, config.idle_timeout);
        let counters = Arc::clone(&self.counters);
        tokio::select! {
            () = self.run(stream, tls, &watch) => {}
            late = watch.expired() => counters.add(late),
        }
    }

    async fn run(self, mut stream: TcpStream, tls: Option<TlsAcceptor>, watch: &Arc<Watch>) {
        let Some(tls) = tls else {
            return self.http(stream, false, watch).await;
        };
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1..) if first != [HANDSHAKE] => {
                self.counters.add(Count::PlainOnTls);
                let _ = stream.write_all(SPEAK_TLS).await;
                let _ = stream.shutdown().await;
                // What is unread would have the kernel reset, and the answer lost: the client closes, or time does.
                let mut rest = [0; 1024];
                while matches!(
                    tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await,
                    Ok(1..)
                ) {}
                return;
            }
            _ => {}
        }
        match tls.accept(stream).await {
            Ok(stream) => self.http(stream, true, watch).await,
            Err(_) => self.counters.add(Count::TlsFailed),
        }
    }

    async fn http<S>(self, stream: S, secure: bool, watch: &Arc<Watch>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // A client that has connected says something, or is idle no longer than a request may take.
        watch.enter(Step::Header);
        let watched = Watched {
            stream,
            watch: Arc::clone(watch),
        };
        let counters = Arc::clone(&self.counters);
        let service = service_fn(|request| {
            let (connection, watch) = (self.clone(), Arc::clone(watch));
            async move {
                let response = connection.answer(request, secure, &watch).await;
                watch.enter(Step::Answer);
                Ok::<_, Infallible>(response)
            }
        });
        let served = http1::Builder::new()
            .max_buf_size(HEADER)
            .max_headers(FIELDS)
            .half_close(false)
            .serve_connection(TokioIo::new(watched), service)
            .await;
        if let Err(error) = served {
            counters.add(match error.is_parse() {
                true => Count::BadRequest,
                false => Count::Broken,
            });
        }
    }

    async fn answer(
        &self,
        request: hyper::Request<Incoming>,
        secure: bool,
        watch: &Watch,
    ) -> hyper::Response<Full<Bytes>> {
        let response = self.response(request, secure, watch).await;
        if response.status.is_server_error() {
            self.counters.add(Count::Failed);
        }
        let mut answer = hyper::Response::new(Full::new(response.body));
        *answer.status_mut() = response.status;
        answer.headers_mut().extend(response.headers);
        let headers = answer.headers_mut();
        headers.insert(
            header::CACHE_CONTROL,
            header::HeaderValue::from_static("no-store"),
        );
        if response.status == StatusCode::PAYLOAD_TOO_LARGE {
            // The rest of that body is not waited for.
            headers.insert(
                header::CONNECTION,
                header::HeaderValue::from_static("close"),
            );
        }
        answer
    }

    async fn response(
        &self,
        request: hyper::Request<Incoming>,
        secure: bool,
        watch: &Watch,
    ) -> Response {
        watch.enter(Step::Body);
        let path = request.uri().path();
        let service = of_path(path).filter(|service| self.listener.serves(*service));
        let Some(service) = service else {
            return not_found(&self.counters);
        };
        let config = &self.listener.config;
        let most = config.max_body as usize;
        let (parts, body) = request.into_parts();
        // What announces too much is not read at all.
        if body.size_hint().lower() > u64::from(config.max_body) {
            return self.too_long();
        }
        let body = match Limited::new(body, most).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return self.too_long(),
            Err(_) => {
                self.counters.add(Count::BadRequest);
                return Response::text(StatusCode::BAD_REQUEST, "the body cannot be read");
            }
        };
        self.counters.add(Count::Requests);
        watch.enter(Step::Service);
        let request = Request {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            peer: self.peer,
            secure,
            body,
        };
        let open_metrics = config.metrics_access == MetricsAccess::Network;
        self.services
            .answer(service, open_metrics, request, &self.counters)
            .await
    }

    fn too_long(&self) -> Response {
        self.counters.add(Count::BodyTooLong);
        let most = self.listener.config.max_body;
        let text = format!("the body is longer than {most} bytes");
        Response::text(StatusCode::PAYLOAD_TOO_LARGE, text)
    }
}
