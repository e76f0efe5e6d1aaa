//! Every environment variable that the CLI reads, in one place, read once.

use std::path::PathBuf;

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
