//! What a build inherits of its host: the CA bundle, proxies, and where packages come from. Documented in
//! `docs/builds.md`; switched off by `inherit` in the options.
//!
//! Names are listed one by one: a variable that holds a path of the host means nothing in a container.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where the bundle lies in every build container.
const CA_TARGET: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where distributions keep it.
const CA_SOURCES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Variables by which programs find a bundle that is not the one they bring along.
const CA_VARIABLES: [&str; 8] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "NPM_CONFIG_CAFILE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
];
const PROXIES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];
const INDEXES: [&str; 30] = [
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_RETRIES",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_HTTP_TIMEOUT",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "NPM_CONFIG_STRICT_SSL",
    "NPM_CONFIG_FETCH_RETRIES",
    "NPM_CONFIG_FETCH_TIMEOUT",
    "YARN_REGISTRY",
    "YARN_NPM_REGISTRY_SERVER",
    "COREPACK_NPM_REGISTRY",
    "GOPROXY",
    "GONOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOINSECURE",
    "CARGO_NET_RETRY",
    "BUNDLE_MIRROR__ALL",
    "MAVEN_ARGS",
    "MAVEN_REPOSITORY_URL",
    "CURL_CONNECT_TIMEOUT",
    "CURL_TIMEOUT",
];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inherited {
    /// The host's bundle, to be mounted read-only.
    pub(crate) ca_bundle: Option<PathBuf>,
    pub(crate) env: Vec<(String, String)>,
}

impl Inherited {
    /// Looks at a snapshot of the server's environment and for the host's CA bundle.
    pub fn from_host(environment: &BTreeMap<String, String>) -> Self {
        let named = environment.get("SSL_CERT_FILE").map(PathBuf::from);
        let ca_bundle = named
            .into_iter()
            .chain(CA_SOURCES.map(PathBuf::from))
            .find(|path| path.is_absolute() && path.is_file())
            // The engine mounts what a link points to, not the link.
            .and_then(|path| path.canonicalize().ok());
        let mut env: Vec<_> = PROXIES
            .into_iter()
            .chain(INDEXES)
            .filter_map(|name| Some((name.to_owned(), environment.get(name)?.clone())))
            .collect();
        if ca_bundle.is_some() {
            env.extend(CA_VARIABLES.map(|name| (name.to_owned(), CA_TARGET.to_owned())));
        }
        Self { ca_bundle, env }
    }

    pub(crate) fn ca_target() -> &'static str {
        CA_TARGET
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_goes_into_a_build() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("ca.pem");
        std::fs::write(&bundle, "").unwrap();
        let environment = BTreeMap::from(
            [
                ("SSL_CERT_FILE", bundle.to_str().unwrap()),
                ("PIP_INDEX_URL", "https://mirror.example/simple"),
                ("PIP_CERT", "/host/only.pem"),
                ("https_proxy", "http://proxy.example:3128"),
                ("AWS_SECRET_ACCESS_KEY", "no"),
                ("HOME", "/home/dev"),
            ]
            .map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        let inherited = Inherited::from_host(&environment);
        let env: BTreeMap<_, _> = inherited.env.iter().cloned().collect();
        assert_eq!(env["PIP_INDEX_URL"], "https://mirror.example/simple");
        assert_eq!(env["https_proxy"], "http://proxy.example:3128");
        assert_eq!(env["PIP_CERT"], CA_TARGET);
        assert!(!env.contains_key("AWS_SECRET_ACCESS_KEY") && !env.contains_key("HOME"));
        assert_eq!(inherited.ca_bundle.unwrap(), bundle.canonicalize().unwrap());
    }
}
