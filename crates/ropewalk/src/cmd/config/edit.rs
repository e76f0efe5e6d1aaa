//! `config:edit`: config vars as a text in the person's editor; what changed there is sent.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use ropewalk_client::types::ConfigVars;
use ropewalk_client::types::config_var::ConfigVarsUpdate;
use tokio::process::Command;

use crate::cmd::config::{WaitArgs, change};
use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Edit the bare value of this config var only
    #[arg(value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let before = client.config_vars(&app).await?;
    let update = match &args.key {
        Some(key) => {
            let old = before.get(key).map(String::as_str).unwrap_or_default();
            let new = edit(cx, old).await?;
            // Editors end a text with a line feed that nobody typed.
            let new = if old.ends_with('\n') {
                new
            } else {
                new.strip_suffix('\n').unwrap_or(&new).to_owned()
            };
            let changed = before.get(key).map(String::as_str).unwrap_or_default() != new;
            if changed {
                ConfigVarsUpdate::from([(key.clone(), Some(new))])
            } else {
                ConfigVarsUpdate::new()
            }
        }
        None => difference(&before, &read(&edit(cx, &write(&app, &before)).await?)?),
    };
    if update.is_empty() {
        cx.out.note("No changes.")?;
        args.json.print(cx, &before)?;
        return Ok(ExitCode::SUCCESS);
    }
    let vars = change(cx, &client, &app, "Updating", &update, args.wait).await?;
    args.json.print(cx, &vars)?;
    Ok(ExitCode::SUCCESS)
}

/// Lets the person edit `text`. The file is readable by its owner only, and gone afterwards.
async fn edit(cx: &Context, text: &str) -> anyhow::Result<String> {
    let mut file = tempfile::Builder::new()
        .prefix("ropewalk-config-")
        .suffix(".env")
        .tempfile()?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    run_editor(cx.env.editor.as_deref().unwrap_or("vi"), file.path()).await?;
    std::fs::read_to_string(file.path()).context("the edited text could not be read")
}

async fn run_editor(editor: &str, file: &Path) -> anyhow::Result<()> {
    let mut words = editor.split_whitespace();
    let program = words
        .next()
        .ok_or_else(|| Failure::new("EDITOR is empty."))?;
    let status = Command::new(program).args(words).arg(file).status().await;
    let status = status.map_err(|error| {
        Failure::new(format!(
            "The editor {program} could not be started: {error}."
        ))
        .hint("Set EDITOR to one that is there, for example EDITOR=nano.")
    })?;
    if status.success() {
        return Ok(());
    }
    let text = format!("The editor {program} did not end well ({status}): nothing was changed.");
    Err(Failure::new(text).into())
}

/// One `KEY=value` a line; values that a line cannot hold as they are stand in JSON quotes.
fn write(app: &str, vars: &ConfigVars) -> String {
    let mut text = format!(
        "# Config vars of {app}: one KEY=value a line. Take a line away to unset it.\n# Values with line feeds or outer blanks stand in double quotes: KEY=\"one\\ntwo\".\n"
    );
    for (key, value) in vars {
        let plain = value.trim() == value
            && !value.starts_with('"')
            && !value.chars().any(char::is_control);
        let value = if plain {
            value.clone()
        } else {
            serde_json::Value::from(value.as_str()).to_string()
        };
        text.push_str(&format!("{key}={value}\n"));
    }
    text
}

fn read(text: &str) -> Result<ConfigVars, Failure> {
    let mut vars = ConfigVars::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = || {
            Failure::new(format!(
                "Line {} is not of the form KEY=value: nothing was changed.",
                number + 1
            ))
        };
        let (key, value) = line.split_once('=').ok_or_else(wrong)?;
        let value = value.trim();
        let value = if value.starts_with('"') {
            serde_json::from_str(value)
                .map_err(|_| wrong().hint("Its quotes do not close, or hold a wrong escape."))?
        } else {
            value.to_owned()
        };
        vars.insert(key.trim().to_owned(), value);
    }
    Ok(vars)
}

fn difference(before: &ConfigVars, after: &ConfigVars) -> ConfigVarsUpdate {
    let gone = before
        .keys()
        .filter(|key| !after.contains_key(*key))
        .map(|key| (key.clone(), None));
    let changed = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(value));
    gone.chain(changed.map(|(key, value)| (key.clone(), Some(value.clone()))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives_the_text() {
        let values = [
            "plain",
            "a=b # c",
            " blanks ",
            "",
            "line 1\nline 2\n",
            "\"quoted\"",
            "tab\there",
            "\u{e4}\u{20ac}",
        ];
        let vars: ConfigVars = values
            .iter()
            .enumerate()
            .map(|(number, value)| (format!("KEY{number}"), (*value).to_owned()))
            .collect();
        assert_eq!(read(&write("demo", &vars)).unwrap(), vars);
    }

    #[test]
    fn only_what_changed_is_sent() {
        let vars = |pairs: &[(&str, &str)]| -> ConfigVars {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        let update = difference(
            &vars(&[("A", "1"), ("B", "2"), ("C", "3")]),
            &vars(&[("A", "1"), ("B", "x"), ("D", "4")]),
        );
        let expected = [
            ("B".into(), Some("x".into())),
            ("C".into(), None),
            ("D".into(), Some("4".into())),
        ];
        assert_eq!(update, ConfigVarsUpdate::from(expected));
    }

    #[test]
    fn a_line_that_is_no_pair_changes_nothing() {
        assert_eq!(
            read("A=1\nwhat\n").unwrap_err().message,
            "Line 2 is not of the form KEY=value: nothing was changed."
        );
        assert!(read("A=\"open\n").is_err());
    }
}
