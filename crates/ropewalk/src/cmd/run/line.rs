//! The words behind `run` as one line for the dyno's shell.

use std::ffi::{OsStr, OsString};

use crate::cmd::context::AppArgs;

/// One word is a line already (`run 'rake a && rake b'`). Of several, those with blanks or double quotes are put in
/// double quotes, so that they stay one word; variables are left for the dyno's shell, as Heroku's users expect.
pub(super) fn join(words: &[String]) -> String {
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

/// Takes `-a APP`, `--app APP`, `-r REMOTE` and `--remote REMOTE` out of the command, up to a `--`, unless the whole
/// command stands behind a `--` in what was `typed`.
pub(super) fn take_late_flags(command: &mut Vec<String>, app: &mut AppArgs, typed: &[OsString]) {
    let before = typed
        .len()
        .checked_sub(command.len() + 1)
        .and_then(|at| typed.get(at));
    if before.map(OsString::as_os_str) == Some(OsStr::new("--")) {
        return;
    }
    // The first word is the command itself.
    let mut at = 1;
    while let Some(word) = command.get(at).cloned() {
        if word == "--" {
            command.remove(at);
            return;
        }
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let place = match flag {
            "--app" | "-a" => &mut app.app,
            "--remote" | "-r" => &mut app.remote,
            _ => {
                at += 1;
                continue;
            }
        };
        let next = command.get(at + 1).cloned();
        let words = if value.is_some() { 1 } else { 2 };
        let Some(value) = value.or(next) else { return };
        *place = Some(value);
        command.drain(at..at + words);
    }
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
    fn the_app_may_stand_behind_the_command() {
        for (typed, command, app) in [
            (&["bash", "-a", "demo"][..], &["bash"][..], Some("demo")),
            (&["rake", "--app=demo", "x"], &["rake", "x"], Some("demo")),
            (&["ls", "-a"], &["ls", "-a"], None),
            (&["ls", "-l"], &["ls", "-l"], None),
            (&["--", "ls", "-a", "x"], &["ls", "-a", "x"], None),
            (&["ls", "--", "-a", "x"], &["ls", "-a", "x"], None),
        ] {
            let mut all: Vec<OsString> = vec!["ropewalk".into(), "run".into()];
            all.extend(typed.iter().map(OsString::from));
            let mut given = words(typed);
            if typed.first() == Some(&"--") {
                given.remove(0);
            }
            let mut named = AppArgs::default();
            take_late_flags(&mut given, &mut named, &all);
            assert_eq!(
                (given, named.app.as_deref()),
                (words(command), app),
                "{typed:?}"
            );
        }
    }
}
