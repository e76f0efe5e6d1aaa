//! Every environment variable that the CLI reads, in one place, read once.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::cmd::heroku::Surroundings;

/// Address of the API, `http://api.localhost:8080`.
pub(crate) const URL: &str = "ROPEWALK_URL";
/// A token; wins over the one that `login` stored.
pub(crate) const TOKEN: &str = "ROPEWALK_TOKEN";
/// The app to work on when no flag names one.
pub(crate) const APP: &str = "ROPEWALK_APP";
/// PEM file of certificates to trust besides the system's (which SSL_CERT_FILE can replace).
pub(crate) const CA: &str = "ROPEWALK_CA";

/// A token for the API that `import` copies from.
pub(crate) const HEROKU_API_KEY: &str = "HEROKU_API_KEY";

/// What the environment says. Empty variables count as absent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Env {
    /// [`URL`]
    pub(crate) url: Option<String>,
    /// [`TOKEN`]
    pub(crate) token: Option<String>,
    /// [`APP`]
    pub(crate) app: Option<String>,
    /// [`CA`]
    pub(crate) ca: Option<PathBuf>,
    /// [`HEROKU_API_KEY`]
    pub(crate) heroku_api_key: Option<String>,
    /// HOME: where `.netrc` is.
    pub(crate) home: Option<PathBuf>,
    /// XDG_CONFIG_HOME, or `.config` in HOME.
    pub(crate) config_home: Option<PathBuf>,
    /// VISUAL or EDITOR: a program and its arguments, for `config:edit`.
    pub(crate) editor: Option<String>,
    /// BROWSER: a program and its arguments, for `open` and `login`.
    pub(crate) browser: Option<String>,
    /// DISPLAY or WAYLAND_DISPLAY: there is a screen for a browser's window.
    pub(crate) screen: bool,
    /// TERM: passed on to attached dynos.
    pub(crate) term: Option<String>,
    /// PATH: where Heroku's CLI is looked for.
    pub(crate) path: Option<OsString>,
    /// What Heroku's CLI and its git would see.
    pub(crate) heroku: Surroundings,
}

impl Env {
    /// Reads the process's environment.
    pub(crate) fn read() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let home = path("HOME");
        Self {
            url: text(URL),
            token: text(TOKEN),
            app: text(APP),
            ca: path(CA),
            heroku_api_key: text(HEROKU_API_KEY),
            config_home: path("XDG_CONFIG_HOME")
                .or_else(|| home.as_ref().map(|home| home.join(".config"))),
            heroku: Surroundings {
                host: text("HEROKU_HOST"),
                cache: path("HEROKU_CACHE_DIR").or_else(|| {
                    let caches = path("XDG_CACHE_HOME")
                        .or_else(|| home.as_ref().map(|home| home.join(".cache")));
                    caches.map(|caches| caches.join("heroku"))
                }),
                git_settings: text("GIT_CONFIG_COUNT")
                    .and_then(|count| count.parse().ok())
                    .unwrap_or(0),
                proxies: [
                    text("http_proxy"),
                    text("https_proxy").or_else(|| text("HTTPS_PROXY")),
                ],
            },
            path: std::env::var_os("PATH"),
            home,
            editor: text("VISUAL").or_else(|| text("EDITOR")),
            browser: text("BROWSER"),
            screen: text("DISPLAY")
                .or_else(|| text("WAYLAND_DISPLAY"))
                .is_some(),
            term: text("TERM"),
        }
    }
}

/// Domains that Heroku's CLI takes for Heroku's.
const HEROKUS: [&str; 4] = [
    "heroku.com",
    "herokai.com",
    "herokuspace.com",
    "herokudev.com",
];

/// Whether Heroku's CLI refuses this HEROKU_HOST, and then talks to heroku.com, key and all.
pub(crate) fn is_foreign(host: &str) -> bool {
    let plain = host
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let herokus = HEROKUS
        .iter()
        .any(|domain| plain == *domain || plain.ends_with(&format!(".{domain}")));
    !(herokus || plain.contains("localhost") || plain.contains("127.0.0.1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_the_cli_refuses_is_known() {
        for foreign in [
            "https://api.example.com",
            "example.com",
            "notheroku.com",
            "https://api.heroku.com.example.com",
        ] {
            assert!(is_foreign(foreign), "{foreign}");
        }
        for fine in [
            "heroku.com",
            "https://api.heroku.com",
            "http://127.0.0.1:5000",
            "https://localhost@api.example.com",
        ] {
            assert!(!is_foreign(fine), "{fine}");
        }
    }
}
