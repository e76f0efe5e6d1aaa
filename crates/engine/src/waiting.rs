//! Containers that start before it is known what will run in them: the first process waits to be told on its input, and
//! then becomes that. Nothing of what is told stands in the container's description.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::container::{Attached, ContainerId, ContainerSpec};
use crate::{Engine, EngineError, FirstProcess, Result};

/// With this ends a container that was not told what to run.
pub const UNTOLD: i64 = 199;

/// For a container to take what it is told. It reads at once, and the words may be more than fit between the two.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// What waits; every image of ours has bash.
const SCRIPT: &str = include_str!("waiting.sh");

/// Names that bash gives a meaning or a value of its own, and those that the script uses.
const NOT_FOR_BASH: [&str; 17] = [
    "DIRSTACK",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "EUID",
    "FUNCNAME",
    "GROUPS",
    "HISTCMD",
    "IFS",
    "LINENO",
    "OPTIND",
    "PIPESTATUS",
    "PPID",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
    "SRANDOM",
    "UID",
];
const NOT_FOR_BASH_FROM: [&str; 3] = ["BASH", "COMP_", "wait_"];

/// A container that was started and told nothing yet.
#[derive(Debug)]
pub struct Blank {
    pub id: ContainerId,
    pub process: FirstProcess,
    /// Since before the start, so that nothing is lost.
    pub attached: Attached,
}

/// Makes and starts a container whose command is [`command`]'s. One that does not start is removed.
///
/// # Errors
/// As [`Engine::create`], [`Engine::attach`], [`Engine::start`] and [`Engine::hold`].
pub async fn start(engine: &dyn Engine, spec: &ContainerSpec) -> Result<Blank> {
    let id = engine.create(spec).await?;
    let begin = async {
        let attached = engine.attach(&id, false).await?;
        engine.start(&id).await?;
        Ok((engine.hold(&id).await?, attached))
    };
    match begin.await {
        Ok((process, attached)) => Ok(Blank {
            id,
            process,
            attached,
        }),
        Err(error) => {
            if let Err(error) = engine.remove(&id).await {
                tracing::warn!(container = %id, %error, "A container that did not start could not be removed; the next start of the server will.");
            }
            Err(error)
        }
    }
}

/// The command of a container that waits. `open_stdin` must be set, and somebody attached before the start; what it
/// becomes begins in `folder`.
pub fn command(folder: &str) -> Vec<String> {
    ["/bin/bash", "-c", SCRIPT, "wait", folder]
        .map(str::to_owned)
        .into()
}

/// Whether these variables arrive as they would in a container's description. One with a name that is none for a shell,
/// or one that bash keeps for itself, does not.
pub fn can_be_told<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    names.all(|name| {
        name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !NOT_FOR_BASH.contains(&name)
            && !NOT_FOR_BASH_FROM.iter().any(|from| name.starts_with(from))
    })
}

/// Tells a container what to be: variables besides its own, and a command. Returns when it was all written; that it was
/// read shows in its not ending with [`UNTOLD`].
///
/// # Errors
/// When a word holds NUL, or the container does not take the words within 20 s.
pub async fn tell(
    input: &mut (impl AsyncWrite + Unpin),
    env: &[(String, String)],
    command: &[String],
) -> Result<()> {
    let words = words(env, command)
        .ok_or_else(|| unreachable("what it is told holds a byte that no variable may have"))?;
    let told = async {
        input.write_all(&words).await?;
        input.flush().await
    };
    match tokio::time::timeout(TOLD_WITHIN, told).await {
        Ok(told) => told.map_err(|error: io::Error| unreachable(&error.to_string())),
        Err(_) => Err(EngineError::Timeout {
            verb: "tell a container what to run",
            seconds: TOLD_WITHIN.as_secs(),
        }),
    }
}

fn unreachable(why: &str) -> EngineError {
    EngineError::Unreachable(format!("a container that waits: {why}"))
}

fn words(env: &[(String, String)], command: &[String]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut word = |text: &str| {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        (!text.contains('\0')).then_some(())
    };
    word(&env.len().to_string())?;
    for (name, value) in env {
        word(&format!("{name}={value}"))?;
    }
    word(&command.len().to_string())?;
    for part in command {
        word(part)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    /// Runs what waits here, tells it these bytes, and returns its output and exit code.
    fn told(bytes: &[u8]) -> (String, Option<i32>) {
        let words = command("/usr");
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .env_clear()
            .env("KEPT", "before")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut input = child.stdin.take().expect("input");
        // One that has ended does not take it.
        let _ = input.write_all(bytes);
        drop(input);
        let output = child.wait_with_output().expect("ended");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (text, output.status.code())
    }

    fn pairs(env: &[(&str, &str)]) -> Vec<(String, String)> {
        env.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn it_becomes_what_it_is_told() {
        let env = pairs(&[("EMPTY", ""), ("ODD", " a\n'b\" $(c) \\")]);
        let print = r#"printf '%s|%s|%s|%s|%s' "$PWD" "$KEPT" "$EMPTY" "$ODD" "$1"; read -r line || exit 7"#;
        let command = ["/bin/sh", "-c", print, "sh", "an argument"].map(str::to_owned);
        let bytes = words(&env, &command).expect("no NUL");
        let (text, code) = told(&bytes);
        assert_eq!(text, "/usr|before|| a\n'b\" $(c) \\|an argument");
        assert_eq!(code, Some(7), "it has no input");
    }

    #[test]
    fn what_is_told_by_halves_is_not_run() {
        let bytes = words(&pairs(&[("A", "b")]), &["/bin/true".to_owned()]).expect("no NUL");
        for length in 0..bytes.len() {
            let (text, code) = told(&bytes[..length]);
            assert_eq!(
                (text.as_str(), code),
                ("", Some(199)),
                "{length} bytes of it"
            );
        }
        assert_eq!(told(&bytes).1, Some(0));
    }

    #[test]
    fn names_that_a_shell_would_change_cannot_be_told() {
        assert!(can_be_told(["A", "_b", "PATH", "HOME", "A1_"].into_iter()));
        for name in [
            "",
            "1A",
            "A.B",
            "A-B",
            "UID",
            "RANDOM",
            "BASH_ENV",
            "wait_left",
        ] {
            assert!(!can_be_told(["A", name].into_iter()), "{name}");
        }
        assert!(words(&pairs(&[("A", "\0")]), &[]).is_none());
    }
}
