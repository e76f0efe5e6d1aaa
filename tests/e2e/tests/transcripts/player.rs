//! Plays a transcript: an account and a home of its own, and every line typed there.

use std::path::Path;
use std::process::Command;

use e2e::{Rig, binary, workspace};

use crate::BY_ADMINISTRATOR;
use crate::rules::Rules;
use crate::session::Session;
use crate::transcript::{Step, Transcript};

/// For accounts to which a transcript gives one.
const PASSWORD: &str = "correct horse battery staple";

/// What the lines of a transcript may use beside programs and variables: `until_says TEXT COMMAND…` runs a command
/// silently until it prints a text, `two_factor_code FILE` reads a key off a screen and gives its code.
const PRELUDE: &str = include_str!("prelude.sh");

/// What each of its lines came to.
pub(crate) fn play(rig: &Rig, transcript: &Transcript) -> Vec<Step> {
    let home = tempfile::tempdir().unwrap();
    let mut session = Session::start(&environment(rig, home.path()));
    quietly(&mut session, PRELUDE);
    if BY_ADMINISTRATOR.contains(&transcript.topic.as_str()) {
        quietly(
            &mut session,
            &format!("export ROPEWALK_TOKEN={}", rig.token),
        );
    } else {
        let admin = format!("ROPEWALK_TOKEN={}", rig.token);
        let email = format!("{}@example.com", transcript.topic);
        let line = format!("{admin} ropewalk users:create {email} | ropewalk login --token -");
        quietly(&mut session, &line);
    }
    let rules = Rules::new(rig, home.path());
    transcript
        .steps()
        .map(|step| {
            let (printed, code) = session.run(&step.line);
            Step {
                line: step.line.clone(),
                printed: rules.apply(&printed),
                code,
            }
        })
        .collect()
}

/// Nothing of the machine's own but the programs on its PATH.
fn environment(rig: &Rig, home: &Path) -> Command {
    let mut command = Command::new("bash");
    let path = std::env::var("PATH").unwrap_or_default();
    let own = binary().parent().unwrap().to_owned();
    for (name, _) in std::env::vars_os() {
        command.env_remove(name);
    }
    command
        .current_dir(home)
        .env("HOME", home)
        .env("PATH", format!("{}:{path}", own.display()))
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .env("ROPEWALK_URL", rig.url("api"))
        .env("PASSWORD", PASSWORD)
        .env("EXAMPLES", workspace().join("examples"))
        .env("DATA", &rig.data)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "Dev")
        .env("GIT_AUTHOR_EMAIL", "dev@example.com")
        .env("GIT_COMMITTER_NAME", "Dev")
        .env("GIT_COMMITTER_EMAIL", "dev@example.com");
    command
}

fn quietly(session: &mut Session, line: &str) {
    let (printed, code) = session.run(line);
    assert_eq!(code, 0, "{printed}");
}
