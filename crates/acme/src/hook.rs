//! TXT records, set by a program of the operator's: `PROGRAM add|remove NAME VALUE`.
//!
//! It is run as it is, without a shell, and has succeeded when it ends with 0. For `add` that means that the zone's
//! name servers give the record now.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::failure::Failure;

/// For one call: a record may take its time until every name server has it.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Debug, Clone)]
pub(crate) struct Hook {
    pub(crate) program: PathBuf,
}

impl Hook {
    pub(crate) async fn add(&self, name: &str, value: &str) -> Result<(), Failure> {
        self.call("add", name, value).await
    }

    /// A record that stays does no harm; it is only said.
    pub(crate) async fn remove(&self, name: &str, value: &str) {
        if let Err(failure) = self.call("remove", name, value).await {
            tracing::warn!(
                name,
                detail = failure.detail,
                "A TXT record could not be removed."
            );
        }
    }

    async fn call(&self, verb: &str, name: &str, value: &str) -> Result<(), Failure> {
        // Of this name, for names that need no record are not to wait for it.
        let fail = |detail: String| Failure {
            detail,
            ..Failure::refused(
                "The program that sets TXT records failed. The server's log says more.",
            )
        };
        let mut command = Command::new(&self.program);
        // What it says goes where the server's own log goes.
        command
            .args([verb, name, value])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        match timeout(PATIENCE, command.status()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(fail(format!("{} {verb}: {status}", self.program.display()))),
            Ok(Err(error)) => {
                let text = format!("{} could not be run: {error}", self.program.display());
                Err(fail(text))
            }
            Err(_) => {
                let text = format!("{} {verb} took longer than 180 s", self.program.display());
                Err(fail(text))
            }
        }
    }
}

/// Where an authority looks for the record of a name, `*.` included (RFC 8555, 8.4).
pub(crate) fn record(host: &str) -> String {
    format!(
        "_acme-challenge.{}",
        host.strip_prefix("*.").unwrap_or(host)
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use ropewalk_model::acm::Outcome;

    use super::*;

    fn program(dir: &Path, text: &str) -> Hook {
        let program = dir.join("hook");
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Hook { program }
    }

    #[test]
    fn a_wildcard_and_its_zone_share_a_record() {
        assert_eq!(record("*.example.com"), "_acme-challenge.example.com");
        assert_eq!(record("example.com"), "_acme-challenge.example.com");
    }

    // One test, for a program that is being written cannot be run while another test forks.
    #[tokio::test]
    async fn the_program_gets_its_words_as_they_are_and_ends_with_0_when_all_is_well() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let text = format!("#!/bin/sh\nprintf '%s|' \"$@\" >> {}\n", out.display());
        let hook = program(dir.path(), &text);
        let name = "_acme-challenge.a.test";
        hook.add(name, "-$(id);x y").await.unwrap();
        hook.remove(name, "v").await;
        assert_eq!(
            std::fs::read_to_string(out).unwrap(),
            format!("add|{name}|-$(id);x y|remove|{name}|v|")
        );
        let hook = program(dir.path(), "#!/bin/sh\nexit 3\n");
        let failure = hook.add(name, "v").await.unwrap_err();
        assert!(failure.detail.contains("exit status: 3"), "{failure:?}");
        assert_eq!(failure.outcome, Outcome::Refused);
        let missing = Hook {
            program: dir.path().join("none"),
        };
        let failure = missing.add(name, "v").await.unwrap_err();
        assert!(failure.detail.contains("could not be run"), "{failure:?}");
    }
}
