//! The variables that point Heroku's CLI at us. Pure: what is set, and what is taken away.

use std::path::Path;

use crate::cmd::context::hosts::{ApiHost, GitHost};
use crate::cmd::heroku::{Variable, Variables, owned};

/// Variables that would send requests, or tokens, elsewhere than the ones we set.
const ASTRAY: [&str; 9] = [
    "HEROKU_API_TOKEN",
    "HEROKU_PARTICLEBOARD_HEADERS",
    "HEROKU_CLOUD",
    "HEROKU_DATA_CONTROL_PLANE",
    "HEROKU_POSTGRESQL_HOST",
    "HEROKU_REDIS_HOST",
    "IS_DEV_ENVIRONMENT",
    "IS_HEROKU_TEST_ENV",
    "SSO_URL",
];

/// And those that would lead past the helper.
const PAST_THE_HELPER: [&str; 7] = [
    "HEROKU_HEADERS",
    // The proxy decision is made by the host name, ours and Heroku's alike.
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
    // Of no use behind the helper, and complained about.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// What the environment behind the helper is made of.
pub(super) struct Helper<'a> {
    pub(super) port: u16,
    pub(super) token: &'a str,
    pub(super) git: &'a GitHost,
    pub(super) ca: Option<&'a Path>,
}

/// Mode A: everything goes to the helper.
pub(super) fn by_helper(of: &Helper<'_>) -> Variables {
    let port = of.port;
    let base = format!("http://127.0.0.1:{port}");
    let mut set = vec![
        ("HEROKU_HOST", base.clone()),
        ("HEROKU_API_KEY", of.token.to_owned()),
        ("HEROKU_DATA_HOST", "127.0.0.1".to_owned()),
        // Only host and port count, and it is always asked by TLS, which the helper does not speak.
        ("HEROKU_EXEC_URL", format!("https://127.0.0.1:{port}")),
        ("HEROKU_CI_WEBSOCKET_URL", format!("ws://127.0.0.1:{port}")),
        ("HEROKU_STATUS_HOST", base.clone()),
        ("HEROKU_ANALYTICS_URL", base.clone()),
        ("PGDIAGNOSE_URL", base.clone()),
    ];
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"] {
        set.push((name, base.clone()));
    }
    let mut variables = common(&base, of.git, of.ca);
    variables.extend(set.into_iter().map(|(name, value)| (name, Some(value))));
    let gone = ASTRAY.iter().chain(&PAST_THE_HELPER);
    variables.extend(gone.map(|name| (*name, None)));
    owned(variables)
}

/// How the CLI can be led to a server of HTTPS without a helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mode {
    /// Any name: the CLI is told a user `localhost` in front of it
    B,
    /// A domain that holds the word `localhost`, on port 443: the CLI finds every host by itself
    C,
}

/// Why a mode does not fit this server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error(
        "The server at {0} speaks plain HTTP, and Heroku's CLI would send your token over it unprotected."
    )]
    Plain(String),
    #[error(
        "Mode c wants an API at api.DOMAIN on port 443, with `localhost` in DOMAIN; yours is at {0}."
    )]
    Name(String),
}

/// Modes B and C: straight to the server.
pub(super) fn direct(
    mode: Mode,
    api: &ApiHost,
    token: &str,
    ca: Option<&Path>,
) -> Result<Vec<Variable>, Unfit> {
    let authority = api.authority();
    if api.scheme != "https" {
        return Err(Unfit::Plain(authority));
    }
    let host = match (mode, api.name.strip_prefix("api."), api.port) {
        (Mode::B, ..) => format!("https://localhost@{authority}"),
        (Mode::C, Some(domain), None) if domain.contains("localhost") => domain.to_owned(),
        (Mode::C, ..) => return Err(Unfit::Name(authority)),
    };
    let base = format!("https://{authority}");
    let mut variables = common(&base, &api.git_host(), ca);
    for (name, value) in [
        ("HEROKU_HOST", host),
        ("HEROKU_API_KEY", token.to_owned()),
        (
            "HEROKU_HEADERS",
            serde_json::json!({"authorization": format!("Bearer {token}")}).to_string(),
        ),
        ("HEROKU_DATA_HOST", api.name.clone()),
        ("HEROKU_EXEC_URL", base),
    ] {
        variables.push((name, Some(value)));
    }
    variables.extend(ASTRAY.map(|name| (name, None)));
    Ok(variables)
}

/// What is the same in every mode; `base` is the API's address as the CLI is to know it.
fn common(base: &str, git: &GitHost, ca: Option<&Path>) -> Vec<Variable> {
    let mut set = vec![
        ("HEROKU_GIT_HOST", git.authority()),
        // Asked together with the account, with the token; its own default is a host of Heroku's.
        ("HEROKU_PARTICLEBOARD_URL", base.to_owned()),
        ("HEROKU_LOGIN_HOST", base.to_owned()),
        ("HEROKU_BUILDPACK_REGISTRY_URL", base.to_owned()),
        // Telemetry sends the token too.
        ("DISABLE_TELEMETRY", "true".to_owned()),
        ("HEROKU_DISABLE_AUTOUPDATE", "1".to_owned()),
        ("HEROKU_SKIP_NEW_VERSION_CHECK", "1".to_owned()),
    ];
    if let Some(ca) = ca {
        set.push(("NODE_EXTRA_CA_CERTS", ca.to_string_lossy().into_owned()));
    }
    set.into_iter()
        .map(|(name, value)| (name, Some(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(variables: &'a [Variable], name: &str) -> Option<&'a str> {
        let found = variables.iter().find(|(other, _)| *other == name)?;
        found.1.as_deref()
    }

    #[test]
    fn behind_the_helper_no_variable_names_anybody_else() {
        let api = ApiHost::parse("https://api.example.com").unwrap();
        let variables = by_helper(&Helper {
            port: 5000,
            token: "t",
            git: &api.git_host(),
            ca: None,
        });
        for (name, value) in &variables {
            let value = value.as_ref().map(|value| value.to_string_lossy());
            let Some(value) = value else { continue };
            let ours = value.contains("127.0.0.1") || !value.contains('.');
            assert!(ours || name == "HEROKU_GIT_HOST", "{name}={value}");
        }
        let gone = |name: &str| variables.contains(&(name.to_owned(), None));
        assert!(gone("NO_PROXY") && gone("HEROKU_HEADERS"));
    }

    #[test]
    fn without_a_helper_only_https_will_do() {
        let plain = ApiHost::parse("http://api.localhost:8080").unwrap();
        assert_eq!(
            direct(Mode::B, &plain, "t", None),
            Err(Unfit::Plain("api.localhost:8080".into()))
        );
        let api = ApiHost::parse("https://api.example.com:8443").unwrap();
        let variables = direct(Mode::B, &api, "t\"'", None).unwrap();
        assert_eq!(
            value(&variables, "HEROKU_HOST"),
            Some("https://localhost@api.example.com:8443")
        );
        assert_eq!(
            value(&variables, "HEROKU_HEADERS"),
            Some(r#"{"authorization":"Bearer t\"'"}"#)
        );
        assert_eq!(
            direct(Mode::C, &api, "t", None),
            Err(Unfit::Name("api.example.com:8443".into()))
        );
        let special = ApiHost::parse("https://api.x-localhost.example.com").unwrap();
        let variables = direct(Mode::C, &special, "t", None).unwrap();
        assert_eq!(
            value(&variables, "HEROKU_HOST"),
            Some("x-localhost.example.com")
        );
        assert_eq!(
            value(&variables, "HEROKU_GIT_HOST"),
            Some("git.x-localhost.example.com")
        );
    }
}
