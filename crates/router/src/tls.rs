//! TLS towards clients: the certificate for a name, exchangeable while connections live.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;
use crate::error::RouterError;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The certificates in force. One so far: the platform's own, whatever name is asked for.
#[derive(Debug)]
pub(crate) struct Certificates {
    default: ArcSwap<CertifiedKey>,
}

impl Certificates {
    pub(crate) fn load(files: &TlsFiles) -> Result<Certificates, RouterError> {
        Ok(Certificates {
            default: ArcSwap::from(read(files, &provider())?),
        })
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
                    self.default.store(certified);
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
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.default.load_full())
    }
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
pub(crate) fn acceptor(certificates: Arc<Certificates>) -> Result<TlsAcceptor, RouterError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| RouterError::Tls { source })?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn changed_at(files: &TlsFiles) -> [Option<SystemTime>; 2] {
    [&files.cert, &files.key].map(|path| {
        std::fs::metadata(path)
            .and_then(|file| file.modified())
            .ok()
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, RouterError> {
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
    Ok(Arc::new(certified))
}
