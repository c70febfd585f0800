//! The management API of another machine, over HTTPS.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tandem_admin::MAX_LINE;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::Failure;

/// Where it is, and how we come in.
pub(crate) struct Remote {
    runtime: tokio::runtime::Runtime,
    host: String,
    port: u16,
    /// None for plain HTTP, to this machine alone.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    authorization: HeaderValue,
}

impl Remote {
    /// `https://HOST[:PORT]`, the file with the token, and the authority that signed the server's certificate if it is
    /// none of the system's.
    pub(crate) fn new(url: &str, token_file: &Path, ca: Option<&Path>) -> Result<Self, Failure> {
        let wrong = |what: &str| Failure::Usage(format!("--url {url}: {what}"));
        let uri: Uri = url.parse().map_err(|_| wrong("this is no URL"))?;
        let host = uri.host().ok_or_else(|| wrong("it has no host"))?;
        let host = host.trim_matches(['[', ']']).to_owned();
        if !matches!(uri.path(), "" | "/" | "/rpc") {
            return Err(wrong("write it without a path"));
        }
        let tls = match uri.scheme_str() {
            Some("https") => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| wrong("the host is no name and no address"))?;
                Some((connector(ca)?, name))
            }
            Some("http") if is_here(&host) => None,
            Some("http") => return Err(wrong("the token would be read on the way: use https")),
            _ => return Err(wrong("it begins with https://")),
        };
        let port = uri.port_u16().unwrap_or(match tls {
            Some(_) => 443,
            None => 80,
        });
        let token = std::fs::read_to_string(token_file).map_err(|error| Failure::File {
            path: token_file.to_path_buf(),
            error,
        })?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .map_err(|_| Failure::Usage(format!("{}: this is no token", token_file.display())))?;
        authorization.set_sensitive(true);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::Connection)?;
        Ok(Self {
            runtime,
            host,
            port,
            tls,
            authorization,
        })
    }

    /// Sends a request and gives the answer's bytes.
    pub(crate) fn ask(&self, body: Vec<u8>, patience: Duration) -> Result<Vec<u8>, Failure> {
        self.runtime.block_on(async {
            timeout(patience, self.exchange(body))
                .await
                .map_err(|_| Failure::Silent(patience))?
        })
    }

    async fn exchange(&self, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let place = format!("{}:{}", self.host, self.port);
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| Failure::Unreachable { place, error })?;
        match &self.tls {
            None => self.send(stream, body).await,
            Some((connector, name)) => {
                let stream = connector
                    .connect(name.clone(), stream)
                    .await
                    .map_err(Failure::Connection)?;
                self.send(stream, body).await
            }
        }
    }

    async fn send<S>(&self, stream: S, body: Vec<u8>) -> Result<Vec<u8>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let broke = |e: hyper::Error| Failure::Connection(std::io::Error::other(e));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broke)?;
        let connection = tokio::spawn(connection);
        let request = Request::post("/rpc")
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, self.authorization.clone())
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| Failure::Protocol(e.to_string()))?;
        let response = sender.send_request(request).await.map_err(broke)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_LINE)
            .collect()
            .await
            .map_err(|e| Failure::Protocol(e.to_string()))?
            .to_bytes();
        connection.abort();
        if status == StatusCode::OK {
            return Ok(body.to_vec());
        }
        let text = String::from_utf8_lossy(&body);
        let text: String = text.trim().chars().take(300).collect();
        Err(Failure::Refused(format!("{status}: {text}")))
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn connector(ca: Option<&Path>) -> Result<TlsConnector, Failure> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let unusable = |e: String| Failure::Usage(format!("--ca {}: {e}", path.display()));
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|e| unusable(e.to_string()))?;
            for certificate in certificates {
                roots
                    .add(certificate)
                    .map_err(|e| unusable(e.to_string()))?;
            }
        }
        None => {
            // What cannot be used of them is not used.
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::Protocol(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
