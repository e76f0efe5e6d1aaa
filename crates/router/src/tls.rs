//! TLS towards clients: the certificate for a name, exchangeable while connections live.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use quinn::crypto::rustls::QuicServerConfig;
use ropewalk_api_types::router::{self, TcpEntrance};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::authority::{Authority, LOOPBACK};
use crate::challenge::{self, Challenges};
use crate::config::TlsFiles;
use crate::error::RouterError;
use crate::tcp::{Route, Tape, Tcp};

/// A record with the fatal alert `unrecognized_name` (RFC 8446, 6.2).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// A certificate that is served.
#[derive(Debug)]
struct Brought {
    plain: Arc<CertifiedKey>,
    /// The same with what its authority says about it, and until when that may be sent: a router serves on while the
    /// server is away.
    stapled: Option<(Arc<CertifiedKey>, SystemTime)>,
}

impl Brought {
    fn new(plain: Arc<CertifiedKey>, staple: Option<&router::Staple>) -> Self {
        // Without it the certificate is served all the same.
        let stapled = staple.and_then(|staple| {
            let answer = BASE64_STANDARD.decode(&staple.answer).ok()?;
            let until = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(staple.until))?;
            let mut stapled = CertifiedKey::clone(&plain);
            stapled.ocsp = Some(answer);
            Some((Arc::new(stapled), until))
        });
        Self { plain, stapled }
    }

    fn now(&self) -> Arc<CertifiedKey> {
        match &self.stapled {
            Some((stapled, until)) if SystemTime::now() < *until => Arc::clone(stapled),
            _ => Arc::clone(&self.plain),
        }
    }
}

/// The certificates in force: those of people's domains, then the platform's own.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    /// By host name; `*.zone` under `*.zone`.
    named: ArcSwap<HashMap<String, Arc<Brought>>>,
    default: ArcSwapOption<Brought>,
    /// What the server says about it.
    own: ArcSwapOption<router::Own>,
    /// For names below `localhost`.
    authority: Option<Authority>,
    /// For authorities that look whether a name leads here.
    pub(crate) challenges: Challenges,
}

impl Certificates {
    /// # Errors
    /// Files or a folder that cannot be used.
    pub(crate) fn load(
        files: Option<&TlsFiles>,
        authority: Option<&Path>,
    ) -> Result<Certificates, RouterError> {
        let default = files.map(|files| read(files, &provider())).transpose()?;
        let authority = authority
            .map(|folder| Authority::open(folder, provider()))
            .transpose()?;
        Ok(Certificates {
            named: ArcSwap::default(),
            default: ArcSwapOption::new(default),
            own: ArcSwapOption::default(),
            authority,
            challenges: Challenges::default(),
        })
    }

    /// Whether no client can be served but by what the server sends.
    pub(crate) fn is_empty(&self) -> bool {
        self.default.load().is_none() && self.authority.is_none()
    }

    /// Puts what the server sent in force. What cannot be used is left out, and said.
    pub(crate) fn apply(&self, certificates: &router::Certificates) {
        let mut named = HashMap::new();
        for one in &certificates.endpoints {
            match parse(one, &provider()) {
                Ok(brought) => {
                    for host in &one.hosts {
                        named.insert(host.clone(), Arc::clone(&brought));
                    }
                }
                Err(error) => {
                    tracing::warn!(hosts = ?one.hosts, %error, "A certificate cannot be used.");
                }
            }
        }
        self.named.store(Arc::new(named));
        self.own.store(certificates.own.clone().map(Arc::new));
        self.staple_default();
        self.challenges.apply(&certificates.challenges);
    }

    /// Puts what the server says about the certificate in files to it, if it is about that one.
    fn staple_default(&self) {
        let own = self.own.load_full();
        self.default.rcu(|default| {
            let default = default.as_ref()?;
            let fits = |own: &&Arc<router::Own>| {
                let leaf = CertificateDer::from_pem_slice(own.chain.as_bytes());
                leaf.is_ok_and(|leaf| default.plain.cert.first() == Some(&leaf))
            };
            let staple = own.as_ref().filter(fits).map(|own| &own.staple);
            Some(Arc::new(Brought::new(Arc::clone(&default.plain), staple)))
        });
    }

    /// Whether two host names have the same certificate, where people brought one for either.
    pub(crate) fn is_same(&self, one: &str, other: &str) -> bool {
        match (self.brought(one), self.brought(other)) {
            (Some(one), Some(other)) => Arc::ptr_eq(&one, &other),
            (None, None) => true,
            _ => false,
        }
    }

    fn brought(&self, name: &str) -> Option<Arc<Brought>> {
        let named = self.named.load();
        if named.is_empty() {
            return None;
        }
        let zone = name.split_once('.').map(|(_, zone)| format!("*.{zone}"));
        named
            .get(name)
            .or_else(|| named.get(zone.as_deref().unwrap_or_default()))
            .cloned()
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        if let Some(brought) = name.and_then(|name| self.brought(name)) {
            return Some(brought.now());
        }
        let is_local = name.is_none_or(|name| name == "localhost" || name.ends_with(".localhost"));
        match &self.authority {
            Some(authority) if is_local => authority.certificate(name.unwrap_or(LOOPBACK)),
            _ => self.default.load().as_ref().map(|default| default.now()),
        }
    }

    /// Takes over the files whenever they change; open connections keep what they have.
    pub(crate) async fn follow(self: Arc<Self>, files: TlsFiles) {
        let mut known = changed_at(&files);
        loop {
            sleep(LOOK).await;
            let now = changed_at(&files);
            if now == known {
                continue;
            }
            match read(&files, &provider()) {
                Ok(certified) => {
                    self.default.store(Some(certified));
                    self.staple_default();
                    known = now;
                    tracing::info!(cert = %files.cert.display(), "Took over a new certificate.");
                }
                // Perhaps only half written: look again.
                Err(error) => {
                    tracing::warn!(%error, "Kept the old certificate.");
                }
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if challenge::is_asked(&hello) {
            return self.challenges.certificate(&hello);
        }
        // rustls gives it in lower case, and nothing that is no host name.
        self.find(hello.server_name())
    }
}

/// What became of a client that speaks TLS.
#[allow(
    clippy::large_enum_variant,
    reason = "it is the large one nearly always, and moved once"
)]
pub(crate) enum Accepted {
    Tls(TlsStream<Tape<TcpStream>>),
    /// It is a dyno's to answer; with what was read already.
    Raw(TcpStream, Vec<u8>, Arc<Route>),
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
#[derive(Clone)]
pub(crate) struct Acceptor {
    certificates: Arc<Certificates>,
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// Shakes hands, unless the client asks for a name that has a TCP route: then nothing is answered, and what it said
    /// is given back. A client that asks for a name without a certificate is told that it is the name.
    pub(crate) async fn accept(&self, stream: TcpStream, routes: &Tcp) -> io::Result<Accepted> {
        let remembers = routes.has_names();
        let stream = Tape::new(stream, remembers);
        let mut asking =
            LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        // rustls gives it in lower case.
        let name = asking.client_hello().server_name().map(str::to_owned);
        let entrance = name.filter(|_| remembers).map(TcpEntrance::ServerName);
        if let Some(route) = entrance.and_then(|entrance| routes.find(&entrance)) {
            let (stream, head) = asking.io.rewind();
            return Ok(Accepted::Raw(stream, head, route));
        }
        asking.io.forget();
        if self.certificates.resolve(asking.client_hello()).is_some() {
            let stream = asking.into_stream(Arc::clone(&self.config)).await?;
            return Ok(Accepted::Tls(stream));
        }
        let mut stream = asking.io;
        stream.write_all(&UNRECOGNIZED_NAME).await?;
        stream.shutdown().await?;
        let text = "there is no certificate for the name that was asked for";
        Err(io::Error::new(io::ErrorKind::NotFound, text))
    }
}

pub(crate) fn acceptor(certificates: Arc<Certificates>) -> Result<Acceptor, RouterError> {
    let mut config = config(&certificates, rustls::DEFAULT_VERSIONS)?;
    config.alpn_protocols = vec![
        b"h2".to_vec(),
        b"http/1.1".to_vec(),
        challenge::PROTOCOL.to_vec(),
    ];
    Ok(Acceptor {
        certificates,
        config: Arc::new(config),
    })
}

/// For HTTP/3: TLS 1.3 within QUIC (RFC 9001), of the same certificates. Nothing is taken before the handshake is done
/// (0-RTT), for whoever listens could send it again.
pub(crate) fn quic(certificates: &Arc<Certificates>) -> Result<QuicServerConfig, RouterError> {
    let mut config = config(certificates, &[&rustls::version::TLS13])?;
    config.alpn_protocols = vec![b"h3".to_vec()];
    config.max_early_data_size = 0;
    QuicServerConfig::try_from(config).map_err(|_| RouterError::Tls {
        source: rustls::Error::General("no cipher for the first packets of QUIC".to_owned()),
    })
}

fn config(
    certificates: &Arc<Certificates>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<ServerConfig, RouterError> {
    let resolver: Arc<Certificates> = Arc::clone(certificates);
    let mut config = ServerConfig::builder_with_provider(Arc::new(in_order(provider())))
        .with_protocol_versions(versions)
        .map_err(|source| RouterError::Tls { source })?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.ignore_client_order = true;
    Ok(config)
}

/// With the ciphers in the order in which they are chosen, whatever a client would rather have: 128 bits first, as
/// strong as anybody needs and the least work.
fn in_order(provider: Arc<CryptoProvider>) -> CryptoProvider {
    let mut provider = Arc::unwrap_or_clone(provider);
    provider.cipher_suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    });
    provider
}

fn changed_at(files: &TlsFiles) -> [Option<SystemTime>; 2] {
    [&files.cert, &files.key].map(|path| {
        std::fs::metadata(path)
            .and_then(|file| file.modified())
            .ok()
    })
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<Arc<Brought>, RouterError> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |source| RouterError::ReadPem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem(&files.cert))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(pem(&files.key))?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|source| {
        RouterError::Certificate {
            cert: files.cert.clone(),
            source,
        }
    })?;
    Ok(Arc::new(Brought::new(Arc::new(certified), None)))
}

fn parse(
    one: &router::Certificate,
    provider: &CryptoProvider,
) -> Result<Arc<Brought>, Box<dyn std::error::Error + Send + Sync>> {
    let chain =
        CertificateDer::pem_slice_iter(one.chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(one.key.0.as_bytes())?;
    let plain = Arc::new(CertifiedKey::from_der(chain, key, provider)?);
    Ok(Arc::new(Brought::new(plain, one.staple.as_ref())))
}
