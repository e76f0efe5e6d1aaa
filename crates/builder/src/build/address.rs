//! Where a buildpack lies on the web. A login that stands in the address is kept apart from it: it goes to git and
//! curl in a file, and into no argument, log or row.

use std::fmt;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Without the login.
    plain: String,
    /// `user:password`, encoded as it stood; what stands for one alone is a token.
    login: Option<String>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.plain).finish()
    }
}

impl Address {
    pub(crate) fn new(url: &str) -> Self {
        let Some((scheme, login, rest)) = parts(url) else {
            return Self {
                plain: url.to_owned(),
                login: None,
            };
        };
        Self {
            plain: format!("{scheme}://{rest}"),
            login: Some(login.to_owned()).filter(|login| !login.is_empty()),
        }
    }

    /// For arguments, logs and rows.
    pub(crate) fn plain(&self) -> &str {
        &self.plain
    }

    /// What git's credential helper prints; `None` without a login, or with one of which no helper can speak.
    pub(crate) fn git_login(&self) -> Option<String> {
        let (user, password) = self.decoded()?;
        Some(format!("username={user}\npassword={password}\n"))
    }

    /// A configuration of curl that names the whole address; `None` without a login. An address holds no quotes.
    pub(crate) fn curl_config(&self) -> Option<String> {
        let login = self.login.as_ref()?;
        let (scheme, rest) = self.plain.split_once("://")?;
        Some(format!("url = \"{scheme}://{login}@{rest}\"\n"))
    }

    /// What must not be said: the login, and what of it is secret, in every form in which a program could say it.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let Some(login) = &self.login else {
            return Vec::new();
        };
        let secret = secret_of(login, true).unwrap_or_default();
        let decoded = decode(secret).unwrap_or_default();
        vec![login.clone(), secret.to_owned(), decoded]
    }

    fn decoded(&self) -> Option<(String, String)> {
        let (user, password) = split(self.login.as_deref()?);
        Some((decode(user)?, decode(password)?))
    }
}

/// An address that may be none at all, as it can be shown.
pub(crate) fn without_login(text: &str) -> String {
    match parts(text) {
        Some((scheme, _, rest)) => format!("{scheme}://{rest}"),
        None => text.to_owned(),
    }
}

/// Scheme, login and the rest, of an address with a login.
pub(crate) fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let at = rest[..end].rfind('@')?;
    Some((scheme, &rest[..at], &rest[at + 1..]))
}

/// The secret in `user:password`. On the web, who comes without a password comes with a token.
pub(crate) fn secret_of(login: &str, on_the_web: bool) -> Option<&str> {
    match split(login) {
        (token, "" | "x-oauth-basic") => on_the_web.then_some(token),
        (_, password) => Some(password),
    }
}

fn split(login: &str) -> (&str, &str) {
    login.split_once(':').unwrap_or((login, ""))
}

/// `%41` is `A`. Control characters would end a line of what a helper says.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = (*first == b'%').then(|| after.get(..2)).flatten();
        match digits.and_then(|pair| hex::decode(pair).ok()) {
            Some(decoded) => {
                bytes.extend(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_taken_apart_from_addresses() {
        for (url, plain, git) in [
            ("https://x.example/p.git", "https://x.example/p.git", None),
            (
                "https://me:t%40ken@x.example/p.git",
                "https://x.example/p.git",
                Some("username=me\npassword=t@ken\n"),
            ),
            (
                "https://token@x.example:8443/p@1.tgz?a=@",
                "https://x.example:8443/p@1.tgz?a=@",
                Some("username=token\npassword=\n"),
            ),
            ("https://@x.example/", "https://x.example/", None),
            (
                "https://a:b%0aquit=1@x.example/",
                "https://x.example/",
                None,
            ),
        ] {
            let address = Address::new(url);
            assert_eq!(address.plain(), plain);
            assert_eq!(address.git_login().as_deref(), git, "{url}");
            assert_eq!(without_login(url), plain);
        }
    }

    #[test]
    fn a_login_is_shown_nowhere_and_struck_out_in_every_form() {
        let address = Address::new("https://someone:s%65cretsecret@x.example/p.tgz");
        assert!(!format!("{address:?}").contains("cret"));
        assert_eq!(
            address.curl_config().unwrap(),
            "url = \"https://someone:s%65cretsecret@x.example/p.tgz\"\n"
        );
        let secrets = address.secrets();
        assert_eq!(
            secrets,
            ["someone:s%65cretsecret", "s%65cretsecret", "secretsecret"]
        );
        let token = Address::new("https://token:x-oauth-basic@x.example/p.tgz");
        assert_eq!(token.secrets()[1], "token");
    }
}
