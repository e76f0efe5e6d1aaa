//! How arguments are understood.

use clap::CommandFactory;

use super::*;

fn command(line: &[&str]) -> Result<ApiCommand, Early> {
    let args = std::iter::once("ropewalk")
        .chain(line.iter().copied())
        .map(OsString::from);
    parse(args).map(|invocation| match invocation.command {
        Command::Api(command) => *command,
        Command::Ops(command) => panic!("{command:?}"),
    })
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn colons_and_aliases_lead_to_the_same_command() {
    for (line, expected) in [
        (&["create", "demo"][..], "AppsCreate"),
        (&["apps:create", "-a", "demo"], "AppsCreate"),
        (&["rollback", "v3"], "Rollback"),
        (&["releases:rollback"], "Rollback"),
        (&["scale", "web=2"], "PsScale"),
        (&["ps:scale", "web-1", "-a", "demo"], "PsScale"),
        (&["restart"], "PsRestart"),
        (&["whoami", "--json"], "Whoami"),
        (&["info", "demo"], "AppsInfo"),
        (&["logs", "-t", "-n", "5", "-d", "web", "-s", "app"], "Logs"),
        (&["config:set", "A=1=2\n3", "-r", "staging"], "ConfigSet"),
        (&["run", "-x", "bash", "-c", "exit 7"], "Run"),
        (
            &["jobs:add", "0 4 * * *", "-n", "x", "--", "rake", "--all"],
            "JobsAdd",
        ),
        (&["jobs:set", "x", "--pause"], "JobsSet"),
        (
            &["domains:remove", "www.example.com", "--app", "demo"],
            "DomainsRemove",
        ),
    ] {
        let command = format!("{:?}", command(line).unwrap());
        assert!(command.starts_with(expected), "{line:?}: {command}");
    }
}

#[test]
fn what_is_not_there_is_explained() {
    for (line, message) in [
        (
            &["pg:info", "-a", "demo"][..],
            "Ropewalk does not have Heroku's pg:info yet.",
        ),
        (&["confg"], "confg is not a ropewalk command."),
    ] {
        match command(line) {
            Err(Early::Absent(failure)) => {
                assert_eq!((failure.message.as_str(), failure.code), (message, 2))
            }
            other => panic!("{other:?}"),
        }
    }
}
