//! The table in docs/heroku-cli.md, made from the rows and from the CLI's own list of its commands.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::table::{ROWS, Verdict, verdict};

const BEGIN: &str = "<!-- begin: made by tests/e2e/tests/heroku_cli, UPDATE_EXPECT=1 -->\n";
const END: &str = "<!-- end -->\n";

/// Holds the document against the table; writes it when UPDATE_EXPECT is set.
pub(crate) fn check(manifest: &Value) {
    let made = table(manifest);
    let path = e2e::workspace().join("docs/heroku-cli.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (old, after) = rest.split_once(END).unwrap();
    if old == made {
        return;
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
    } else {
        panic!("docs/heroku-cli.md is not what the suite says: run it with UPDATE_EXPECT=1");
    }
}

/// One line for each family of commands, a column for each verdict; then the reasons, where there are any.
fn table(manifest: &Value) -> String {
    let mut families: BTreeMap<&str, [Vec<&str>; 4]> = BTreeMap::new();
    let mut never: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut awaits: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for command in commands(manifest) {
        let family = command.split(':').next().unwrap_or(command);
        let columns = families.entry(family).or_default();
        let column = match verdict(command) {
            Some(Verdict::Works) => 0,
            Some(Verdict::Helper) => 1,
            Some(Verdict::NotYet) => 2,
            Some(Verdict::Awaits(what)) => {
                awaits.entry(what).or_default().push(command);
                2
            }
            Some(Verdict::Never(why)) => {
                never.entry(why).or_default().push(command);
                3
            }
            None => {
                unknown.push(command);
                continue;
            }
        };
        columns[column].push(command);
    }
    assert!(
        unknown.is_empty(),
        "nothing is said of {}",
        unknown.join(" ")
    );
    let mut text =
        "| works | only by `ropewalk heroku` | not yet | never |\n|---|---|---|---|\n".to_owned();
    for columns in families.values() {
        let cells: Vec<String> = columns.iter().map(|list| list.join(", ")).collect();
        text += &format!("| {} |\n", cells.join(" | ").replace("  ", " "));
    }
    for (verdict, reasons) in [("Not yet", awaits), ("Never", never)] {
        text += &format!("\n{verdict}, because\n");
        for (why, commands) in reasons {
            text += &format!("- {why}: {}\n", commands.join(", "));
        }
    }
    text
}

/// Those that the CLI shows in its help.
fn commands(manifest: &Value) -> BTreeSet<&str> {
    let all = manifest["commands"].as_object().unwrap();
    let shown: BTreeSet<&str> = all
        .iter()
        .filter(|(_, command)| command["hidden"] != Value::Bool(true))
        .map(|(name, _)| name.as_str())
        .collect();
    let gone: Vec<&str> = ROWS
        .iter()
        .map(|row| row.command)
        .filter(|command| !shown.contains(command))
        .collect();
    assert!(gone.is_empty(), "the CLI has no {}", gone.join(" "));
    shown
}
