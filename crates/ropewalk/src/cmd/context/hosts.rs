//! From the API's address to the git host: `api.` becomes `git.`, scheme and port stay.

use crate::ui::Failure;

/// Scheme, name and port of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiHost {
    pub(crate) scheme: String,
    /// Without port.
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
}

/// Where apps are pushed to: `<scheme>://<host>/<app>.git`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitHost {
    pub(crate) scheme: String,
    /// Without port.
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
}

impl ApiHost {
    /// `api.localhost:8080`
    pub(crate) fn authority(&self) -> String {
        authority(&self.name, self.port)
    }

    /// Of the API's base address.
    pub(crate) fn parse(url: &str) -> anyhow::Result<Self> {
        let api = split(url).filter(|(scheme, ..)| scheme != "ssh");
        let (scheme, name, port) = api.ok_or_else(|| {
            Failure::new(format!(
                "`{url}` is not an address of the form http://host or https://host."
            ))
            .hint("Check ROPEWALK_URL, for example http://api.localhost:8080.")
        })?;
        Ok(Self { scheme, name, port })
    }

    /// The git host beside it. A server without `api.` in its name answers for git under the same name.
    pub(crate) fn git_host(&self) -> GitHost {
        let name = match self.name.strip_prefix("api.") {
            Some(domain) => format!("git.{domain}"),
            None => self.name.clone(),
        };
        GitHost {
            scheme: self.scheme.clone(),
            name,
            port: self.port,
        }
    }
}

impl GitHost {
    /// `http://git.localhost:8080`
    pub(crate) fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.authority())
    }

    /// `git.localhost:8080`
    pub(crate) fn authority(&self) -> String {
        authority(&self.name, self.port)
    }

    /// The app that `remote_url` pushes to, when it is one of ours; over SSH the port may be any. Heroku's CLI writes
    /// every remote as HTTPS, and `ropewalk heroku` tells git where that really leads.
    pub(crate) fn app_of(&self, remote_url: &str) -> Option<String> {
        let (scheme, name, port) = split(remote_url)?;
        let is_ours = match scheme.as_str() {
            // SSH's own resolver does not know names below localhost.
            "ssh" => {
                name == self.name || (name == "localhost" && self.name.ends_with(".localhost"))
            }
            _ => {
                let ours = name == self.name && port == self.port;
                ours && (scheme == self.scheme || scheme == "https")
            }
        };
        if !is_ours {
            return None;
        }
        let path = remote_url.split_once("://")?.1.split_once('/')?.1;
        let app = path.trim_end_matches('/').strip_suffix(".git")?;
        let plain = !app.is_empty() && !app.contains('/');
        plain.then(|| app.to_owned())
    }
}

fn authority(name: &str, port: Option<u16>) -> String {
    port.map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// Scheme, lower-case host and port (the scheme's own port is `None`) of an http, https or ssh address.
fn split(url: &str) -> Option<(String, String, Option<u16>)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let usual = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        "ssh" => 22,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let (name, port) = match host.rsplit_once(':') {
        // The colons of an IPv6 address stand inside brackets.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port.parse::<u16>().ok()?)),
        _ => (host, None),
    };
    if name.is_empty() {
        None
    } else {
        Some((
            scheme,
            name.to_ascii_lowercase(),
            port.filter(|&port| port != usual),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_git_host_stands_beside_the_api() {
        for (api, git) in [
            ("http://api.localhost:8080", "http://git.localhost:8080"),
            ("http://api.localhost:80/", "http://git.localhost"),
            ("https://api.example.com:443", "https://git.example.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(ApiHost::parse(api).unwrap().git_host().base(), git, "{api}");
        }
        assert!(ApiHost::parse("api.localhost").is_err());
        assert!(ApiHost::parse("ssh://api.localhost").is_err());
    }

    #[test]
    fn only_remotes_on_our_host_are_apps() {
        let git = ApiHost::parse("http://api.localhost:8080")
            .unwrap()
            .git_host();
        for (url, app) in [
            ("http://git.localhost:8080/demo.git", Some("demo")),
            (
                "http://user:secret@git.localhost:8080/demo.git/",
                Some("demo"),
            ),
            ("http://GIT.localhost:8080/demo.git", Some("demo")),
            ("ssh://git@git.localhost:2222/demo.git", Some("demo")),
            ("ssh://git@localhost:2222/demo.git", Some("demo")),
            ("ssh://git.localhost/demo.git", Some("demo")),
            ("ssh://git@example.com:2222/demo.git", None),
            ("http://git.localhost/demo.git", None),
            ("https://git.localhost:8080/demo.git", Some("demo")),
            ("http://git.localhost:8080/a/demo.git", None),
            ("http://git.localhost:8080/.git", None),
            ("git@git.localhost:demo.git", None),
            ("http://git.localhost:8080.example.com/demo.git", None),
            ("/srv/demo.git", None),
        ] {
            assert_eq!(git.app_of(url).as_deref(), app, "{url}");
        }
    }
}
