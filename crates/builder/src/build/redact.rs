//! Strikes secret config vars out of what a build prints.
//!
//! A build may print what it likes in another form; this catches the accident, not the intent.

use ropewalk_model::ConfigVars;

use super::address::{parts, secret_of};

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

/// Ends of words of such names: `DB_PASS`, `MYSQL_PWD`, `DBPASS_OLD`; not `PASSENGER`.
const ENDS: [&str; 2] = ["PASS", "PWD"];

#[derive(Default)]
pub(crate) struct Redaction(Vec<String>);

impl Redaction {
    /// Of variables whose name says that they are secret, and of passwords within addresses.
    pub(crate) fn of(vars: &ConfigVars) -> Self {
        let mut secrets = Vec::new();
        for (name, value) in &vars.0 {
            let name = name.to_ascii_uppercase();
            let secret = MARKS.iter().any(|mark| name.contains(mark))
                || name
                    .split('_')
                    .any(|word| ENDS.iter().any(|end| word.ends_with(end)))
                || name.ends_with("_KEY")
                || name == "KEY";
            if secret {
                secrets.extend(value.lines().map(|line| line.trim().to_owned()));
            } else if let Some(password) = password(value) {
                secrets.push(password.to_owned());
            }
        }
        let mut this = Self::default();
        this.also(secrets);
        this
    }

    /// Strikes these out too, where they are long enough.
    pub(crate) fn also(&mut self, secrets: impl IntoIterator<Item = String>) {
        self.0
            .extend(secrets.into_iter().filter(|secret| secret.len() >= MIN));
        // Where one is part of another, the longer is struck out whole.
        self.0
            .sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.0.dedup();
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

/// `scheme://user:PASSWORD@host…`, `https://TOKEN@host…`.
fn password(value: &str) -> Option<&str> {
    let (scheme, login, _) = parts(value)?;
    secret_of(login, matches!(scheme, "http" | "https"))
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
                ("DB_PASS", "passwordpass"),
                ("MYSQL_PWD", "passwordpwd"),
                ("BUILDPACK_URL", "https://tokentoken@git.example/x.git"),
                (
                    "OTHER_URL",
                    "https://othertoken:x-oauth-basic@git.example/x.git",
                ),
                ("PASSENGER_APP_ENV", "staging-env"),
                ("REDIS_URL", "redis://somebody@redis"),
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
            redaction.strike("passwordpass passwordpwd tokentoken othertoken staging-env somebody"),
            "[REDACTED] [REDACTED] [REDACTED] [REDACTED] staging-env somebody"
        );
        assert_eq!(
            redaction.strike("postgres://u:longpassword@db"),
            "postgres://u:[REDACTED]@db"
        );
    }
}
