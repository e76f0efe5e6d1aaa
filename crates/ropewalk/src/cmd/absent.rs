//! What to say to a command that is not there: Heroku's own that is missing, or a slip of the finger.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::ui::Failure;

/// Nouns of Heroku's CLI that Ropewalk does not have yet, with what to do meanwhile.
const NOUNS: &[(&str, &str)] = &[
    (
        "accounts",
        "Use ROPEWALK_URL and ROPEWALK_TOKEN to switch between accounts.",
    ),
    (
        "addons",
        "Run the service elsewhere and put its address into a config var: ropewalk config:set.",
    ),
    ("ci", ""),
    ("clients", ""),
    ("container", "Push with git: git push ropewalk main."),
    ("dashboard", "ropewalk apps lists your apps."),
    ("data", ""),
    ("features", ""),
    (
        "git:clone",
        "Clone with git: git clone GIT_URL (ropewalk apps:info shows it).",
    ),
    ("kafka", ""),
    ("labs", ""),
    ("local", ""),
    ("members", ""),
    ("notifications", ""),
    ("orgs", ""),
    (
        "pg",
        "Run Postgres elsewhere and put its address into a config var: ropewalk config:set.",
    ),
    ("pipelines", ""),
    ("plugins", ""),
    ("psql", ""),
    (
        "redis",
        "Run Redis elsewhere and put its address into a config var: ropewalk config:set.",
    ),
    ("regions", "There is one region: this server."),
    ("reviewapps", ""),
    ("spaces", ""),
    ("teams", ""),
    ("telemetry", ""),
    ("trusted-ips", ""),
    ("update", "Update the binary the way you installed it."),
    ("usage", ""),
    ("webhooks", ""),
];

/// Single commands below nouns that Ropewalk does have.
const COMMANDS: &[(&str, &str)] = &[
    (
        "apps:errors",
        "Read the log: ropewalk logs --source heroku.",
    ),
    ("apps:favorites", ""),
    (
        "certs:auto",
        "Get a certificate elsewhere and add it: ropewalk certs:add CRT KEY.",
    ),
    (
        "certs:auto:enable",
        "Get a certificate elsewhere and add it: ropewalk certs:add CRT KEY.",
    ),
    ("apps:join", ""),
    ("apps:leave", ""),
    ("apps:lock", ""),
    ("apps:transfer", ""),
    ("apps:unlock", ""),
    ("buildpacks:info", ""),
    ("buildpacks:search", ""),
    ("buildpacks:versions", ""),
    ("ps:copy", ""),
    (
        "ps:exec",
        "Run a command inside a dyno: ropewalk run:inside web.1 bash.",
    ),
    ("ps:forward", ""),
    ("ps:socks", ""),
];

/// One clear sentence about `typed`, exit code 2.
pub(crate) fn explain(typed: &str) -> Failure {
    let known = COMMANDS
        .iter()
        .chain(NOUNS)
        .find(|(name, _)| is_or_is_below(typed, name));
    if let Some((_, meanwhile)) = known {
        let failure = Failure::usage(format!("Ropewalk does not have Heroku's {typed} yet."));
        return if meanwhile.is_empty() {
            failure
        } else {
            failure.hint(*meanwhile)
        };
    }
    let failure = Failure::usage(format!("{typed} is not a ropewalk command."));
    match nearest(typed) {
        Some(name) => failure.hint(format!(
            "Did you mean {name}? Run ropewalk help for a list of all commands."
        )),
        None => failure.hint("Run ropewalk help for a list of all commands."),
    }
}

fn is_or_is_below(typed: &str, name: &str) -> bool {
    typed
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// The command whose name takes the fewest slips to become `typed`, if they are few.
fn nearest(typed: &str) -> Option<String> {
    let cli = Cli::command();
    let names = cli
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .flat_map(|command| {
            std::iter::once(command.get_name())
                .chain(command.get_all_aliases())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
    let (slips, name) = names.map(|name| (distance(typed, &name), name)).min()?;
    let few = (typed.chars().count() / 3).max(1);
    (slips <= few).then_some(name)
}

/// How many letters must be changed, added, dropped or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let changed = last[j] + usize::from(x != y);
            let mut best = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && y == a[i - 1] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn herokus_own_commands_get_a_clear_answer() {
        for typed in [
            "addons",
            "addons:create",
            "pg:info",
            "ps:exec",
            "certs:auto:enable",
            "members",
        ] {
            let failure = explain(typed);
            assert_eq!(
                failure.message,
                format!("Ropewalk does not have Heroku's {typed} yet.")
            );
            assert_eq!(failure.code, 2);
        }
    }

    #[test]
    fn slips_of_the_finger_are_guessed() {
        for (typed, meant) in [
            ("ps:scal", "ps:scale"),
            ("confg", "config"),
            ("lgos", "logs"),
            ("rolback", "rollback"),
            ("app", "apps"),
        ] {
            let hint = explain(typed).hint.unwrap();
            assert!(
                hint.starts_with(&format!("Did you mean {meant}?")),
                "{typed}: {hint}"
            );
        }
        assert_eq!(
            explain("xyzzy-plugh").hint.unwrap(),
            "Run ropewalk help for a list of all commands."
        );
    }
}
