//! Strikes secret config vars out of what a build prints.
//!
//! A build may print what it likes in another form; this catches the accident, not the intent.

use ropewalk_model::ConfigVars;

/// Shorter values stand in ordinary text too often.
const MIN: usize = 8;
/// Parts of names whose values are secret.
const MARKS: [&str; 10] = [
    "SECRET",
    "TOKEN",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "PRIVATE",
    "API_KEY",
    "APIKEY",
    "AUTH",
];

#[derive(Debug, Default)]
pub(crate) struct Redaction(Vec<String>);

impl Redaction {
    /// Of variables whose name says that they are secret, and of passwords within addresses.
    pub(crate) fn of(vars: &ConfigVars) -> Self {
        let mut secrets = Vec::new();
        for (name, value) in &vars.0 {
            let name = name.to_ascii_uppercase();
            let secret = MARKS.iter().any(|mark| name.contains(mark))
                || name.ends_with("_KEY")
                || name == "KEY";
            if secret {
                secrets.extend(value.lines().map(|line| line.trim().to_owned()));
            } else if let Some(password) = password(value) {
                secrets.push(password.to_owned());
            }
        }
        secrets.retain(|secret| secret.len() >= MIN);
        // Where one is part of another, the longer is struck out whole.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self(secrets)
    }

    pub(crate) fn strike(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "[REDACTED]");
            }
        }
        text
    }
}

/// `scheme://user:PASSWORD@host…`.
fn password(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    Some(user.split_once(':')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_struck_out_and_the_rest_stays() {
        let vars = ConfigVars(
            [
                ("SECRET_KEY_BASE", "0123456789abcdef"),
                ("DATABASE_URL", "postgres://u:longpassword@db:5432/x"),
                ("NODE_ENV", "production"),
                ("API_TOKEN", "short"),
                ("CERT_PRIVATE_KEY", "-----BEGIN-----\nAAAABBBBCCCC\n"),
            ]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into(),
        );
        let redaction = Redaction::of(&vars);
        assert_eq!(
            redaction.strike("key=0123456789abcdef env=production short AAAABBBBCCCC"),
            "key=[REDACTED] env=production short [REDACTED]"
        );
        assert_eq!(
            redaction.strike("postgres://u:longpassword@db"),
            "postgres://u:[REDACTED]@db"
        );
    }
}
