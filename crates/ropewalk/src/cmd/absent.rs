//! What to say to a command or flag that is not there: Heroku's own that is missing, or a slip of the finger.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::ui::Failure;

/// Whether a command of Heroku's may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// Not yet.
    Later,
    /// It has no place here.
    Never,
}

const ELSEWHERE: &str =
    "Run the service elsewhere and put its address into a config var: ropewalk config:set.";
const SHARE: &str = "Let people work on apps one by one: ropewalk access:add EMAIL.";
const OWN_CERTIFICATE: &str = "Get a certificate elsewhere and add it: ropewalk certs:add CRT KEY.";
const BY_NAME: &str = "There is no registry: name heroku/nodejs, heroku/python, heroku/static or heroku/procfile, or an address.";
const NO_LINK: &str = "Pipelines are not linked to a git host. Push to an app of the pipeline, and promote: ropewalk pipelines:promote.";
const INSIDE: &str = "Run a command inside a dyno: ropewalk run:inside web.1 bash.";

/// Commands of Heroku's CLI that Ropewalk does not have, whole nouns or single ones below nouns that it does have, and
/// what to do instead. The first that fits is said.
const HEROKUS: &[(&str, Absent, &str)] = &[
    (
        "accounts",
        Absent::Never,
        "Log in to the other server or account: ropewalk login; or set ROPEWALK_URL and ROPEWALK_TOKEN.",
    ),
    (
        "access:update",
        Absent::Later,
        "Whoever is added may push, scale, restart and roll back.",
    ),
    ("addons", Absent::Later, ELSEWHERE),
    (
        "apps:diff",
        Absent::Later,
        "Fetch what runs, and compare it: ropewalk slugs:download.",
    ),
    (
        "apps:errors",
        Absent::Later,
        "Read the platform's lines of the log: ropewalk logs --source heroku.",
    ),
    (
        "apps:favorites",
        Absent::Never,
        "ropewalk apps lists your apps.",
    ),
    (
        "apps:join",
        Absent::Later,
        "Ask the app's owner: ropewalk access:add EMAIL.",
    ),
    (
        "join",
        Absent::Later,
        "Ask the app's owner: ropewalk access:add EMAIL.",
    ),
    (
        "apps:leave",
        Absent::Later,
        "Remove yourself: ropewalk access:remove EMAIL.",
    ),
    (
        "leave",
        Absent::Later,
        "Remove yourself: ropewalk access:remove EMAIL.",
    ),
    ("apps:lock", Absent::Later, SHARE),
    ("lock", Absent::Later, SHARE),
    ("apps:unlock", Absent::Later, SHARE),
    ("unlock", Absent::Later, SHARE),
    ("apps:transfer", Absent::Later, SHARE),
    (
        "autocomplete:create",
        Absent::Never,
        "ropewalk completions SHELL prints the script for bash, zsh or fish.",
    ),
    (
        "autocomplete:doctor",
        Absent::Never,
        "ropewalk completions SHELL prints the script for bash, zsh or fish.",
    ),
    (
        "autocomplete:options",
        Absent::Never,
        "ropewalk completions SHELL prints the script for bash, zsh or fish.",
    ),
    ("buildpacks:info", Absent::Never, BY_NAME),
    ("buildpacks:search", Absent::Never, BY_NAME),
    ("buildpacks:versions", Absent::Never, BY_NAME),
    ("certs:chain", Absent::Never, OWN_CERTIFICATE),
    ("certs:key", Absent::Never, OWN_CERTIFICATE),
    (
        "certs:generate",
        Absent::Never,
        "Make a key and a request with openssl req, and add what comes back: ropewalk certs:add CRT KEY.",
    ),
    (
        "ci:debug",
        Absent::Never,
        "Run the tests by hand in a one-off dyno: ropewalk run bash.",
    ),
    (
        "ci:migrate-manifest",
        Absent::Never,
        "Move what app-ci.json says into app.json, below environments.test.",
    ),
    (
        "ci:open",
        Absent::Never,
        "There is no page to open: ropewalk ci lists test runs, ropewalk ci:info NUMBER shows one.",
    ),
    (
        "clients",
        Absent::Later,
        "Give a program a token of its own: ropewalk authorizations:create.",
    ),
    (
        "console",
        Absent::Never,
        "Run it in a one-off dyno: ropewalk run console.",
    ),
    (
        "container",
        Absent::Later,
        "Push the source with git: git push ropewalk main.",
    ),
    (
        "dashboard",
        Absent::Later,
        "ropewalk apps lists your apps, ropewalk apps:info shows one.",
    ),
    ("data", Absent::Later, ELSEWHERE),
    (
        "drains:get",
        Absent::Later,
        "ropewalk drains lists an app's log drains.",
    ),
    (
        "drains:set",
        Absent::Later,
        "Send one app's log on: ropewalk drains:add URL.",
    ),
    (
        "git:clone",
        Absent::Later,
        "Clone with git: git clone GIT_URL (ropewalk apps:info shows it).",
    ),
    ("kafka", Absent::Later, ELSEWHERE),
    (
        "local",
        Absent::Never,
        "Start the Procfile's lines by yourself; ropewalk config --shell gives the config vars.",
    ),
    (
        "mcp",
        Absent::Never,
        "Programs can run any command with --json, or speak the API.",
    ),
    ("members", Absent::Later, SHARE),
    (
        "notifications",
        Absent::Never,
        "What happens to an app stands in its log: ropewalk logs --tail.",
    ),
    ("orgs", Absent::Later, SHARE),
    (
        "pg",
        Absent::Later,
        "Run Postgres elsewhere and put its address into a config var: ropewalk config:set.",
    ),
    ("pipelines:connect", Absent::Later, NO_LINK),
    (
        "pipelines:diff",
        Absent::Later,
        "Compare the commits that ropewalk releases shows for each app: git log OLD..NEW.",
    ),
    (
        "pipelines:open",
        Absent::Never,
        "There is no page to open: ropewalk pipelines:info PIPELINE shows its apps.",
    ),
    ("pipelines:setup", Absent::Later, NO_LINK),
    (
        "pipelines:transfer",
        Absent::Later,
        "Its owner can give it away by the API: POST /pipeline-transfers.",
    ),
    (
        "plugins",
        Absent::Never,
        "Everything is in this one program: ropewalk help lists it.",
    ),
    (
        "psql",
        Absent::Later,
        "Run psql with the address that your config var holds: psql \"$(ropewalk config:get DATABASE_URL)\".",
    ),
    (
        "ps:copy",
        Absent::Later,
        "Print the file: ropewalk run:inside web.1 'cat FILE' > FILE.",
    ),
    ("ps:exec", Absent::Later, INSIDE),
    ("ps:forward", Absent::Later, INSIDE),
    ("ps:socks", Absent::Later, INSIDE),
    (
        "rake",
        Absent::Never,
        "Run it in a one-off dyno: ropewalk run rake.",
    ),
    (
        "redis",
        Absent::Later,
        "Run Redis elsewhere and put its address into a config var: ropewalk config:set.",
    ),
    (
        "regions",
        Absent::Never,
        "There is one region, us, and it is this server.",
    ),
    (
        "repl",
        Absent::Never,
        "Type the commands in your shell; ropewalk completions SHELL completes them there.",
    ),
    (
        "reviewapps",
        Absent::Later,
        "Make an app for the branch and push it there: git push REMOTE BRANCH:main.",
    ),
    ("search", Absent::Never, "ropewalk help lists all commands."),
    ("spaces", Absent::Later, "All apps run on this one server."),
    ("teams", Absent::Later, SHARE),
    (
        "telemetry",
        Absent::Later,
        "Send an app's log on: ropewalk drains:add URL.",
    ),
    (
        "trusted-ips",
        Absent::Never,
        "It is a setting of an app here: ropewalk edge:set trusted-ips=192.0.2.0/24.",
    ),
    (
        "update",
        Absent::Never,
        "Update the program the way you installed it.",
    ),
    ("usage", Absent::Later, "ropewalk ps shows what runs."),
    (
        "webhooks",
        Absent::Later,
        "What happens to an app stands in its log: ropewalk logs --tail.",
    ),
    ("which", Absent::Never, "ropewalk help lists all commands."),
];

/// Flags of Heroku's, below commands that Ropewalk does have.
const FLAGS: &[(&str, &str)] = &[
    ("--addons", ELSEWHERE),
    ("--bypass", "It is not needed: leave it out."),
    ("--columns", "Use --json, which has everything."),
    ("--csv", "Use --json, which has everything."),
    ("--endpoint", "Name the certificate: --name NAME."),
    ("--extended", "Use --json, which has everything."),
    ("--filter", "Use --json, which has everything."),
    ("--internal-routing", "There are no spaces: leave it out."),
    ("--manifest", "No manifest is read yet: leave it out."),
    ("--no-wrap", "Nothing is wrapped: leave it out."),
    (
        "--permissions",
        "Whoever is added may push, scale, restart and roll back: leave it out.",
    ),
    (
        "--show-domains",
        "The domains are always shown: leave it out.",
    ),
    ("--sort", "Use --json, which has everything."),
    ("--space", "There are no spaces: leave it out."),
    ("--sso", "Log in with the browser: leave it out."),
    ("--team", "There are no teams: leave it out."),
];

/// What to say about a flag that `command` does not have, if it is one of Heroku's.
pub(crate) fn flag(command: &str, typed: &str) -> Option<Failure> {
    let (name, instead) = FLAGS.iter().find(|(name, _)| *name == typed)?;
    Some(Failure::usage(format!("ropewalk {command} has no {name}.")).hint(*instead))
}

/// One clear sentence about `typed`, exit code 2.
pub(crate) fn explain(typed: &str) -> Failure {
    let known = HEROKUS
        .iter()
        .find(|(name, _, _)| is_or_is_below(typed, name));
    if let Some((_, absent, instead)) = known {
        let yet = match absent {
            Absent::Later => " yet",
            Absent::Never => "",
        };
        return Failure::usage(format!("Ropewalk does not have Heroku's {typed}{yet}."))
            .hint(*instead);
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
            "container:push",
            "members",
        ] {
            let failure = explain(typed);
            assert_eq!(
                failure.message,
                format!("Ropewalk does not have Heroku's {typed} yet.")
            );
            assert_eq!(failure.code, 2);
        }
        assert_eq!(
            explain("local:run").message,
            "Ropewalk does not have Heroku's local:run."
        );
    }

    #[test]
    fn nothing_that_is_here_is_called_absent() {
        let cli = Cli::command();
        for command in cli.get_subcommands() {
            for name in std::iter::once(command.get_name()).chain(command.get_all_aliases()) {
                assert!(
                    HEROKUS.iter().all(|(absent, _, _)| *absent != name),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn flags_of_herokus_get_a_clear_answer() {
        let failure = flag("apps", "--team").unwrap();
        assert_eq!(failure.message, "ropewalk apps has no --team.");
        assert_eq!(failure.code, 2);
        assert_eq!(flag("apps", "--wide"), None);
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
