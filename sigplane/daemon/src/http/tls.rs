//! A listener's certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tandem_config::HttpCertificate;

/// What new connections begin with.
pub(super) struct Server(pub(super) Arc<ServerConfig>);

/// A file that is of no use.
#[derive(Debug)]
pub(crate) struct TlsError {
    path: PathBuf,
    fault: String,
    remedy: &'static str,
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            path,
            fault,
            remedy,
        } = self;
        write!(f, "{}: {fault}: {remedy}", path.display())
    }
}

/// Reads the files.
pub(super) fn read(files: &HttpCertificate) -> Result<Server, TlsError> {
    let fault = |path: &Path, fault: String, remedy| TlsError {
        path: path.to_owned(),
        fault,
        remedy,
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.chain)
        .and_then(Iterator::collect::<Result<_, _>>)
        .map_err(|e| {
            let remedy = "give a PEM file that is there, whole, and may be read";
            fault(&files.chain, e.to_string(), remedy)
        })?;
    if chain.is_empty() {
        let remedy = "give a PEM file with `-----BEGIN CERTIFICATE-----`";
        return Err(fault(&files.chain, "has no certificate".to_owned(), remedy));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| {
        let remedy = "give a PEM file with an RSA, ECDSA or Ed25519 key that is not encrypted";
        fault(&files.key, e.to_string(), remedy)
    })?;
    let unusable = |e: rustls::Error| {
        let remedy = "give a certificate and the key that it was made for";
        fault(&files.chain, e.to_string(), remedy)
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Server(Arc::new(config)))
}
