//! Answers to an authority that looks whether a name leads here, before it signs a certificate for it.
//!
//! They come from the server with the certificates and are for the exact host alone. A token that is not known goes on
//! to the app, which may prove its names by itself.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Method;
use http::request::Parts;
use ropewalk_api_types::Secret;
use ropewalk_api_types::router::{Challenge, Proof};
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls;

/// Where an authority looks over HTTP (RFC 8555, 8.3).
pub(crate) const FOLDER: &str = "/.well-known/acme-challenge/";

/// The protocol by which it looks over TLS (RFC 8737). Nothing is spoken after the handshake.
pub(crate) const PROTOCOL: &[u8] = b"acme-tls/1";

/// The answers in force.
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    current: ArcSwap<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    /// By host and token.
    http: HashMap<(String, String), String>,
    /// By host.
    tls: HashMap<String, Arc<CertifiedKey>>,
}

impl Challenges {
    /// Puts these in the place of those before. What cannot be used is left out, and said.
    pub(crate) fn apply(&self, challenges: &[Challenge]) {
        let mut answers = Answers::default();
        for Challenge { host, proof } in challenges {
            match proof {
                Proof::Http {
                    token,
                    authorization,
                } => {
                    let place = (host.clone(), token.clone());
                    answers.http.insert(place, authorization.clone());
                }
                Proof::Tls { chain, key } => match certified(chain, key) {
                    Ok(certified) => {
                        answers.tls.insert(host.clone(), certified);
                    }
                    Err(error) => {
                        tracing::warn!(%host, %error, "A certificate for a challenge cannot be used.");
                    }
                },
            }
        }
        self.current.store(Arc::new(answers));
    }

    /// What an authority that asks for this is to read.
    pub(crate) fn page(&self, host: &str, parts: &Parts) -> Option<String> {
        let token = parts.uri.path().strip_prefix(FOLDER)?;
        if parts.method != Method::GET && parts.method != Method::HEAD {
            return None;
        }
        let answers = self.current.load();
        answers
            .http
            .get(&(host.to_owned(), token.to_owned()))
            .cloned()
    }

    /// The certificate for a client that speaks [`PROTOCOL`].
    pub(crate) fn certificate(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load().tls.get(hello.server_name()?).cloned()
    }
}

/// The certificate of a challenge has an extension that must be understood and that only authorities do, so it is taken
/// as it is.
fn certified(
    chain: &str,
    key: &Secret,
) -> Result<Arc<CertifiedKey>, Box<dyn std::error::Error + Send + Sync>> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.0.as_bytes())?;
    let key = tls::provider().key_provider.load_private_key(key)?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// Whether a client comes for a challenge over TLS.
pub(crate) fn is_asked(hello: &ClientHello<'_>) -> bool {
    hello
        .alpn()
        .is_some_and(|mut offered| offered.any(|name| name == PROTOCOL))
}
