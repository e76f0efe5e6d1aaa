//! Who is told of changes besides the app's log: an address, and a secret by which notices are signed.

use std::fmt;

use super::RuleError;
use crate::DrainUrl;

/// Fewest and most bytes of a secret.
pub const SECRET: (usize, usize) = (16, 200);

/// Neither is shown to anybody, so `Debug` shows none.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    url: DrainUrl,
    secret: String,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook")
    }
}

impl Webhook {
    /// Whether the host may be reached is not decided here.
    pub fn new(url: &str, secret: &str) -> Result<Self, RuleError> {
        let url = DrainUrl::parse(url)
            .ok()
            .filter(|url| url.transport().is_http())
            .ok_or(RuleError::Webhook)?;
        let (least, most) = SECRET;
        let plain = secret.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain || !(least..=most).contains(&secret.len()) {
            return Err(RuleError::Secret);
        }
        Ok(Self {
            url,
            secret: secret.to_owned(),
        })
    }

    pub fn url(&self) -> &DrainUrl {
        &self.url
    }

    pub fn secret(&self) -> &str {
        &self.secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_web_and_long_secrets_are_taken() {
        let secret = "0123456789abcdef";
        for url in [
            "https://hooks.example.com/a?b=c",
            "http://user:word@192.0.2.1:8080",
        ] {
            let hook = Webhook::new(url, secret).unwrap();
            assert_eq!(hook.url().as_str(), url);
            assert_eq!(format!("{hook:?}"), "Webhook");
        }
        for url in [
            "",
            "hooks.example.com",
            "syslog://a:1",
            "https://",
            "https://a/#b",
        ] {
            assert_eq!(Webhook::new(url, secret), Err(RuleError::Webhook), "{url}");
        }
        for secret in ["short", "with a space in it", &"x".repeat(201)] {
            let error = Webhook::new("https://a", secret);
            assert_eq!(error, Err(RuleError::Secret), "{secret}");
        }
    }
}
