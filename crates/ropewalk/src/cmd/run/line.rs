//! The words behind `run` as one line for the dyno's shell.

use std::ffi::{OsStr, OsString};

/// One word is a line already (`run 'rake a && rake b'`). Of several, those with blanks or double quotes are put in
/// double quotes, so that they stay one word; variables are left for the dyno's shell, as Heroku's users expect.
pub(crate) fn join(words: &[String]) -> String {
    if let [line] = words {
        return line.clone();
    }
    let words = words.iter().map(|word| {
        let splits = word.is_empty() || word.contains(|c: char| c.is_whitespace() || c == '"');
        if splits {
            format!(
                "\"{}\"",
                word.replace("\\\"", "\\\\\"").replace('"', "\\\"")
            )
        } else {
            word.clone()
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A flag of our own that may stand behind the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    App,
    Remote,
    Size,
    ProcessType,
    Env,
    ExitCode,
    NoTty,
    NoNotify,
}

impl Flag {
    /// `--size`, `-s`: Heroku's spelling.
    fn find(word: &str) -> Option<Self> {
        Some(match word {
            "--app" | "-a" => Self::App,
            "--remote" | "-r" => Self::Remote,
            "--size" | "-s" => Self::Size,
            "--type" => Self::ProcessType,
            "--env" | "-e" => Self::Env,
            "--exit-code" | "-x" => Self::ExitCode,
            "--no-tty" => Self::NoTty,
            "--no-notify" => Self::NoNotify,
            _ => return None,
        })
    }

    fn takes_value(self) -> bool {
        !matches!(self, Self::ExitCode | Self::NoTty | Self::NoNotify)
    }

    /// `node -e CODE` is about no variable, whatever Heroku makes of it.
    fn fits(self, value: &str) -> bool {
        let name = value.split_once('=').map(|(name, _)| name);
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        self != Self::Env || name.is_some_and(is_name)
    }
}

/// Takes the flags that are `known` out of the command, up to a `--`, with their values (empty for those that have
/// none); not when the whole command stands behind a `--` in what was `typed`.
pub(super) fn take_late_flags(
    command: &mut Vec<String>,
    known: &[Flag],
    typed: &[OsString],
) -> Vec<(Flag, String)> {
    let mut taken = Vec::new();
    let before = typed
        .len()
        .checked_sub(command.len() + 1)
        .and_then(|at| typed.get(at));
    if before.map(OsString::as_os_str) == Some(OsStr::new("--")) {
        return taken;
    }
    // The first word is the command itself.
    let mut at = 1;
    while let Some(word) = command.get(at).cloned() {
        if word == "--" {
            command.remove(at);
            break;
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let found = Flag::find(name).filter(|flag| known.contains(flag));
        let (words, value) = match found {
            Some(flag) if !flag.takes_value() && value.is_none() => (1, Some(String::new())),
            Some(flag) if flag.takes_value() && value.is_some() => (1, value),
            Some(flag) if flag.takes_value() => (2, command.get(at + 1).cloned()),
            _ => (0, None),
        };
        match (found, value) {
            (Some(flag), Some(value)) if !flag.takes_value() || flag.fits(&value) => {
                taken.push((flag, value));
                command.drain(at..at + words);
            }
            _ => at += 1,
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn words_stay_words() {
        for (command, line) in [
            (&["exit 7"][..], "exit 7"),
            (&["rake", "test"], "rake test"),
            (&["echo", "a b", "$HOME"], "echo \"a b\" $HOME"),
            (
                &["python", "-c", "print(\"x\")"],
                "python -c \"print(\\\"x\\\")\"",
            ),
            (&["printf", ""], "printf \"\""),
        ] {
            assert_eq!(join(&words(command)), line);
        }
    }

    #[test]
    fn our_flags_may_stand_behind_the_command() {
        use Flag::{App, Env, ExitCode, NoTty, Size};
        let known = [App, Env, ExitCode, NoTty, Size];
        for (typed, command, flags) in [
            (
                &["bash", "-a", "demo"][..],
                &["bash"][..],
                &[(App, "demo")][..],
            ),
            (
                &["rake", "--app=demo", "x"],
                &["rake", "x"],
                &[(App, "demo")],
            ),
            (&["ls", "-a"], &["ls", "-a"], &[]),
            (&["ls", "-l"], &["ls", "-l"], &[]),
            (&["--", "ls", "-a", "x"], &["ls", "-a", "x"], &[]),
            (&["ls", "--", "-a", "x"], &["ls", "-a", "x"], &[]),
            (
                &["rake", "--exit-code", "x", "--size=standard-2x", "--no-tty"],
                &["rake", "x"],
                &[(ExitCode, ""), (Size, "standard-2x"), (NoTty, "")],
            ),
            (
                &["rake", "-x", "-s", "standard-2x", "--", "-x"],
                &["rake", "-x"],
                &[(ExitCode, ""), (Size, "standard-2x")],
            ),
            (
                &["rake", "-e", "A=1;B=2", "--env", "C=3"],
                &["rake"],
                &[(Env, "A=1;B=2"), (Env, "C=3")],
            ),
            (
                &["node", "-e", "console.log(1)"],
                &["node", "-e", "console.log(1)"],
                &[],
            ),
            (
                &["x", "--no-notify", "--no-tty=1"],
                &["x", "--no-notify", "--no-tty=1"],
                &[],
            ),
        ] {
            let mut all: Vec<OsString> = vec!["ropewalk".into(), "run".into()];
            all.extend(typed.iter().map(OsString::from));
            let mut given = words(typed);
            if typed.first() == Some(&"--") {
                given.remove(0);
            }
            let taken = take_late_flags(&mut given, &known, &all);
            let flags: Vec<(Flag, String)> = flags
                .iter()
                .map(|&(flag, value)| (flag, value.to_owned()))
                .collect();
            assert_eq!((given, taken), (words(command), flags), "{typed:?}");
        }
    }
}
