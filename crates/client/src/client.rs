//! Where the server is, who we are to it, and whom we trust.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Certificate, ClientBuilder, Url};

use crate::error::{Error, Result};
use crate::resolve::{Resolver, is_local_name};

/// How to reach one server.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The API's base address, `http://api.localhost:8080`. Its path is ignored.
    pub url: String,
    /// Sent as bearer token; requests that need none work without.
    pub token: Option<String>,
    /// PEM file of certificates to trust besides the system's. The system's own can be replaced by SSL_CERT_FILE.
    pub ca_file: Option<PathBuf>,
    /// `name/version`; the server may answer by it, so say who you are.
    pub user_agent: String,
}

/// A connection to one server. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) base: Url,
    pub(crate) token: Option<String>,
}

impl Client {
    /// Does not connect yet.
    ///
    /// # Errors
    /// An address that is none, a CA file that cannot be read, TLS that cannot be set up.
    pub fn new(config: &Config) -> Result<Self> {
        let base = parse_base(&config.url)?;
        let extra = config
            .ca_file
            .as_deref()
            .map(read_certificates)
            .transpose()?
            .unwrap_or_default();
        let trusting = builder(config, &base)
            .tls_certs_merge(extra.clone())
            .build();
        let http = match trusting {
            Ok(http) => http,
            // A machine without any CA certificates can still speak plain HTTP, and TLS to what the CA file names.
            Err(_) => builder(config, &base)
                .tls_certs_only(extra)
                .build()
                .map_err(Error::SetUp)?,
        };
        Ok(Self {
            http,
            base,
            token: config.token.clone(),
        })
    }

    /// The API's base address.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// The same server seen by the owner of another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }
}

fn builder(config: &Config, base: &Url) -> ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(&config.user_agent)
        .dns_resolver(Resolver)
        .connect_timeout(Duration::from_secs(10))
        .tcp_keepalive(Duration::from_secs(30))
        // A redirect could lead the token elsewhere; the API never sends one.
        .redirect(reqwest::redirect::Policy::none());
    let local = base.host_str().is_some_and(is_local_name);
    if local { builder.no_proxy() } else { builder }
}

fn parse_base(url: &str) -> Result<Url> {
    let bad = || Error::BadUrl {
        url: url.to_owned(),
    };
    let mut base = Url::parse(url).map_err(|_| bad())?;
    if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
        return Err(bad());
    }
    base.set_path("/");
    base.set_query(None);
    base.set_fragment(None);
    Ok(base)
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate>> {
    let pem = std::fs::read(path).map_err(|source| Error::CaFile {
        path: path.to_owned(),
        source,
    })?;
    Certificate::from_pem_bundle(&pem).map_err(|source| Error::CaContent {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_address_keeps_host_and_port_only() {
        assert_eq!(
            parse_base("http://api.localhost:8080/x?y#z")
                .unwrap()
                .as_str(),
            "http://api.localhost:8080/"
        );
        for bad in [
            "",
            "api.localhost",
            "ftp://api.localhost",
            "api.localhost:8080",
        ] {
            assert!(
                matches!(parse_base(bad), Err(Error::BadUrl { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_ca_file_that_is_missing_is_named() {
        let config = Config {
            url: "https://api.example.com".into(),
            ca_file: Some("missing.pem".into()),
            ..Config::default()
        };
        let error = Client::new(&config).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the CA file missing.pem could not be read"
        );
    }
}
