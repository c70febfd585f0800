//! Reading PEM files.

use std::fmt::Display;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::File;
use crate::streams::io::StreamsError;

/// The certificates in a file, at least one.
pub(super) fn certificates(path: File<'_>) -> Result<Vec<CertificateDer<'static>>, StreamsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|e| fault(path, e))?;
    if found.is_empty() {
        return Err(StreamsError::File {
            path: path.to_owned(),
            fault: "has no certificate".to_owned(),
            remedy: "give a PEM file with `-----BEGIN CERTIFICATE-----`",
        });
    }
    Ok(found)
}

/// The first private key in a file.
pub(super) fn key(path: File<'_>) -> Result<PrivateKeyDer<'static>, StreamsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| match e {
        pem::Error::NoItemsFound => StreamsError::File {
            path: path.to_owned(),
            fault: "has no private key".to_owned(),
            remedy: "give a PEM file with an RSA, ECDSA or Ed25519 key that is not encrypted",
        },
        e => fault(path, e),
    })
}

/// The authorities in files.
pub(super) fn roots<'a>(
    paths: impl IntoIterator<Item = File<'a>>,
) -> Result<RootCertStore, StreamsError> {
    let mut roots = RootCertStore::empty();
    for path in paths {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|e| unusable(path, &e))?;
        }
    }
    Ok(roots)
}

/// A file that can be read, with something in it that is of no use.
pub(super) fn unusable(path: File<'_>, fault: &dyn Display) -> StreamsError {
    StreamsError::File {
        path: path.to_owned(),
        fault: fault.to_string(),
        remedy: "make the certificate or key again",
    }
}

fn fault(path: File<'_>, error: pem::Error) -> StreamsError {
    let (fault, remedy) = match error {
        pem::Error::Io(e) => (
            e.to_string(),
            "check that the file is there and may be read",
        ),
        e => (e.to_string(), "give a PEM file that is whole"),
    };
    StreamsError::File {
        path: path.to_owned(),
        fault,
        remedy,
    }
}
