//! TLS: what is read from its files, and sessions.

mod files;
mod names;
mod session;
mod verify;

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub(super) use names::Names;
pub(super) use session::{LONGEST_HELD, Session, Turn};

use super::io::StreamsError;
use super::network::contains;
use super::settings::{
    ClientCertificates, Network, StreamListener, TlsCertificate, TlsClient, TlsFiles, TlsTrunk,
};
use verify::{EitherPurpose, SipDomain};

/// Sessions with servers that are remembered, to be resumed.
const REMEMBERED: usize = 64;

/// All that new connections need. A reload makes another; connections keep what they began with.
#[derive(Debug)]
pub(super) struct Tls {
    /// By listener; none for those without TLS.
    listeners: Vec<Option<Arc<ServerConfig>>>,
    trunks: Vec<Trunk>,
    client: Arc<ClientConfig>,
    pub(super) insecure: bool,
}

#[derive(Debug)]
struct Trunk {
    networks: Vec<Network>,
    config: Arc<ServerConfig>,
    names: Arc<[String]>,
}

/// How a client's connection begins.
#[derive(Debug)]
pub(super) struct Accept {
    pub(super) session: Session,
    /// The names of the trunk that the client's address belongs to.
    pub(super) trunk: Option<Arc<[String]>>,
}

impl Tls {
    /// Reads all files.
    pub(super) fn read(
        files: &TlsFiles,
        listeners: &[StreamListener],
    ) -> Result<Self, StreamsError> {
        let provider = Arc::new(ring::default_provider());
        let client = Arc::new(client(&files.client, &provider)?);
        let mut read = Self {
            listeners: listeners.iter().map(|_| None).collect(),
            trunks: Vec::new(),
            client,
            insecure: files.client.insecure,
        };
        let Some(first) = listeners.iter().find(|l| l.kind.is_secure()) else {
            return Ok(read);
        };
        let certificates = Arc::new(Certificates::read(&files.certificates, &provider, first)?);
        for ((listener, place), index) in listeners.iter().zip(&mut read.listeners).zip(0u16..) {
            if listener.kind.is_secure() {
                let wanted = files.listeners.iter().find(|(l, _)| *l == index);
                let wanted = wanted.map_or(&ClientCertificates::None, |(_, wanted)| wanted);
                *place = Some(server(&certificates, wanted, &provider)?);
            }
        }
        for trunk in &files.trunks {
            let TlsTrunk {
                networks,
                client_ca,
                names,
            } = trunk;
            let wanted = ClientCertificates::Required(client_ca.clone());
            read.trunks.push(Trunk {
                networks: networks.clone(),
                config: server(&certificates, &wanted, &provider)?,
                names: names.clone().into(),
            });
        }
        Ok(read)
    }

    /// A session with a client; none when the listener has no TLS.
    pub(super) fn accept(&self, listener: u16, peer: IpAddr) -> Option<Accept> {
        let own = self.listeners.get(usize::from(listener))?.as_ref()?;
        let trunk = self.trunk(peer);
        let config = trunk.map_or(own, |t| &t.config);
        Some(Accept {
            session: Session::server(config.clone())?,
            trunk: trunk.map(|t| t.names.clone()),
        })
    }

    /// A session with a server; none when its name is no name.
    pub(super) fn connect(&self, destination: SocketAddr, name: Option<&str>) -> Option<Session> {
        let name = match name {
            Some(name) => ServerName::try_from(name.trim_matches(['[', ']']).to_owned()).ok()?,
            None => ServerName::from(destination.ip()),
        };
        Session::client(self.client.clone(), name)
    }

    fn trunk(&self, peer: IpAddr) -> Option<&Trunk> {
        let bits = |trunk: &Trunk| {
            let around = trunk.networks.iter().filter(|n| contains(**n, peer));
            around.map(|n| n.1).max()
        };
        let candidates = self.trunks.iter().filter_map(|t| Some((bits(t)?, t)));
        // The first of the longest.
        candidates
            .rev()
            .max_by_key(|(bits, _)| *bits)
            .map(|(_, t)| t)
    }
}

/// Our certificates by server name.
struct Certificates {
    /// Names in small letters; of wildcards what stands behind the first label.
    exact: HashMap<String, Arc<CertifiedKey>>,
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
}

impl Certificates {
    fn read(
        settings: &[TlsCertificate],
        provider: &CryptoProvider,
        listener: &StreamListener,
    ) -> Result<Self, StreamsError> {
        let listen = listener.listen;
        let mut default = None;
        let mut exact = HashMap::new();
        let mut wildcard = HashMap::new();
        for setting in settings {
            let key = Arc::new(certified(setting, provider)?);
            let found = match (setting.names.as_slice(), key.cert.first()) {
                ([], Some(certificate)) => Names::of(certificate).map_or_else(Vec::new, |n| n.dns),
                (names, _) => names.to_vec(),
            };
            for name in found {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                let (map, name) = match name.strip_prefix("*.") {
                    Some(behind) => (&mut wildcard, behind.to_owned()),
                    None => (&mut exact, name),
                };
                // The first that has a name keeps it.
                map.entry(name).or_insert_with(|| key.clone());
            }
            default.get_or_insert(key);
        }
        Ok(Self {
            exact,
            wildcard,
            default: default.ok_or(StreamsError::NoCertificate { listen })?,
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| {
            let name = name.to_ascii_lowercase();
            let behind = name.split_once('.').map(|(_, behind)| behind);
            self.exact.get(&name).or_else(|| self.wildcard.get(behind?))
        });
        Some(named.unwrap_or(&self.default).clone())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.exact.keys().chain(self.wildcard.keys());
        f.debug_set().entries(names).finish()
    }
}

fn server(
    certificates: &Arc<Certificates>,
    wanted: &ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ServerConfig>, StreamsError> {
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(provider_fault)?;
    let builder = match wanted {
        ClientCertificates::None => builder.with_no_client_auth(),
        ClientCertificates::Optional(path) | ClientCertificates::Required(path) => {
            let roots = Arc::new(files::roots([path.as_path()])?);
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
            let verifier = match wanted {
                ClientCertificates::Optional(_) => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier.build().map_err(|e| files::unusable(path, &e))?;
            let algorithms = provider.signature_verification_algorithms;
            builder.with_client_cert_verifier(Arc::new(EitherPurpose::new(
                verifier, roots, algorithms,
            )))
        }
    };
    let mut config = builder.with_cert_resolver(certificates.clone());
    // Sessions are in tickets at the clients, not in our memory. The tickets' key ends with the configuration: what an
    // authority that was taken off the list has signed cannot be resumed.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ring::Ticketer::new().map_err(provider_fault)?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

fn client(
    setting: &TlsClient,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, StreamsError> {
    let roots = if setting.insecure {
        RootCertStore::empty()
    } else {
        files::roots(setting.ca.iter().map(|p| p.as_path()))?
    };
    let verifier = SipDomain {
        roots,
        algorithms: provider.signature_verification_algorithms,
        wildcards: setting.wildcards,
        insecure: setting.insecure,
    };
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(provider_fault)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &setting.certificate {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = Arc::new(certified(own, provider)?);
            builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)))
        }
    };
    config.resumption = Resumption::in_memory_sessions(REMEMBERED);
    Ok(config)
}

fn certified(
    setting: &TlsCertificate,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, StreamsError> {
    let chain = files::certificates(&setting.chain)?;
    let key = files::key(&setting.key)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => StreamsError::File {
            path: setting.key.clone(),
            fault: format!(
                "is not the key of the certificate in {}",
                setting.chain.display()
            ),
            remedy: "give the key that the certificate was made for",
        },
        e => files::unusable(&setting.key, &e),
    })
}

/// The library lacks something that we built it with.
fn provider_fault(error: rustls::Error) -> StreamsError {
    StreamsError::Setting {
        what: format!("TLS: {error}"),
        remedy: "this is a fault of this build; please report it",
    }
}

/// The path, for messages.
type File<'a> = &'a Path;
