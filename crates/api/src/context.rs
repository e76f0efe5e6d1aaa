//! What every handler is given, and the addresses that the platform shows to the world.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use ropewalk_logs::{Logs, Outputs};
use ropewalk_model::log_line::LogSource;
use ropewalk_model::tcp::Ports;
use ropewalk_model::{AppId, Egress};
use ropewalk_store::{Store, User};
use ropewalk_telemetry::Shutdown;

use crate::platform::Platform;
use crate::terminals::Terminals;
use crate::transport::quota::Rate;
use crate::transport::sign::SigningKey;

/// The surroundings of the API. Cloning is cheap.
#[derive(Clone)]
pub struct Context {
    pub store: Store,
    pub logs: Logs,
    pub outputs: Outputs,
    pub platform: Arc<dyn Platform>,
    /// Shared with whoever serves terminals outside of the API.
    pub terminals: Terminals,
    pub urls: Urls,
    /// Where git speaks SSH, if it does.
    pub ssh: Option<Ssh>,
    /// Makes addresses that carry their own right, such as those of log sessions; must stay the same over a
    /// restart, or open sessions cannot resume.
    pub signing_key: SigningKey,
    /// The stack of new apps: `debian-13`.
    pub default_stack: String,
    /// Why the platform cannot get certificates by itself, and what to do instead; `None` when it can.
    pub no_acm: Option<String>,
    /// Ports of the host that apps may have for raw TCP, if any.
    pub tcp_ports: Option<Ports>,
    /// Where log drains may lead to.
    pub egress: Egress,
    /// Completes when the server ends: streams without an end of their own end then.
    pub shutdown: Shutdown,
    /// Requests an account may make.
    pub rate: Rate,
    /// Passwords that may be tried for one account.
    pub login_rate: Rate,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Adds a line of the API to an app's log.
    pub(crate) fn say(&self, app: AppId, text: &str) {
        self.logs.append(
            app,
            Timestamp::now(),
            LogSource::App,
            "api",
            text.as_bytes(),
        );
    }

    /// The same with who did it behind it: `… by user dev@example.com`.
    pub(crate) fn say_who(&self, app: AppId, user: &User, text: &str) {
        self.say(app, &format!("{text} by user {}", user.email));
    }
}

/// Git over SSH, on the host `git.<domain>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    pub port: u16,
    /// The host's public key: kind and base64.
    pub host_key: String,
}

/// Where the platform is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls {
    /// `http` or `https`.
    pub scheme: String,
    /// Apps are `<app>.<domain>`: `localhost`, `example.com`.
    pub domain: String,
    /// `None` for the scheme's own.
    pub port: Option<u16>,
    /// Clients can speak TLS: `host:port` where terminals of one-off dynos are reached over rendezvous.
    pub rendezvous: Option<String>,
}

impl Urls {
    /// `<scheme>://<label>.<domain>[:port]`, without a slash behind it.
    pub fn host(&self, label: &str) -> String {
        self.with_scheme(&self.scheme, label)
    }

    /// `https://demo.example.com/`
    pub fn web(&self, app: &str) -> String {
        format!("{}/", self.host(app))
    }

    /// `https://git.example.com/demo.git`
    pub fn git(&self, app: &str) -> String {
        format!("{}/{app}.git", self.host("git"))
    }

    /// An address of the API.
    pub fn api(&self, path: &str) -> String {
        format!("{}{path}", self.host("api"))
    }

    /// A WebSocket's address on the API's host.
    pub fn api_socket(&self, path: &str) -> String {
        let scheme = if self.scheme == "https" { "wss" } else { "ws" };
        format!("{}{path}", self.with_scheme(scheme, "api"))
    }

    /// Whether clients can speak TLS to apps: on a port of its own, or on the one for plain HTTP.
    pub fn speaks_https(&self) -> bool {
        self.scheme == "https" || self.rendezvous.is_some()
    }

    /// The port on which clients can speak TLS to apps.
    pub(crate) fn tls_port(&self) -> Option<u16> {
        match &self.rendezvous {
            Some(rendezvous) => rendezvous.rsplit_once(':')?.1.parse().ok(),
            None if self.scheme == "https" => Some(self.port.unwrap_or(443)),
            None => None,
        }
    }

    fn with_scheme(&self, scheme: &str, label: &str) -> String {
        let default = match self.scheme.as_str() {
            "https" => 443,
            _ => 80,
        };
        match self.port {
            Some(port) if port != default => {
                format!("{scheme}://{label}.{}:{port}", self.domain)
            }
            _ => format!("{scheme}://{label}.{}", self.domain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_leave_out_the_schemes_own_port() {
        let mut urls = Urls {
            scheme: "http".into(),
            domain: "localhost".into(),
            port: Some(8080),
            rendezvous: None,
        };
        assert_eq!(urls.web("demo"), "http://demo.localhost:8080/");
        assert_eq!(urls.git("demo"), "http://git.localhost:8080/demo.git");
        assert_eq!(urls.api_socket("/x"), "ws://api.localhost:8080/x");
        urls.port = Some(80);
        assert_eq!(urls.api("/apps"), "http://api.localhost/apps");
        urls.scheme = "https".into();
        urls.port = Some(443);
        assert_eq!(urls.api_socket("/x"), "wss://api.localhost/x");
    }
}
