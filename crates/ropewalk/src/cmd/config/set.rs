//! `config:set`: KEY=VALUE pairs, one release for all of them.

use std::process::ExitCode;

use ropewalk_client::types::config_var::ConfigVarsUpdate;

use crate::cmd::config::{WaitArgs, change};
use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::{Failure, json, table};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pairs; the value starts behind the first `=` and may hold anything
    #[arg(value_name = "KEY=VALUE", required = true)]
    pairs: Vec<String>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let update = parse(&args.pairs, "config:unset")?;
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let mut vars = change(cx, &client, &app, "Setting", &update, args.wait).await?;
    vars.retain(|key, _| update.contains_key(key));
    if args.json.json {
        json::print(&cx.out, &vars)?;
        return Ok(ExitCode::SUCCESS);
    }
    let paint = cx.out.paint();
    let pairs: Vec<(String, String)> = vars
        .into_iter()
        .map(|(key, value)| (paint.key(&key), value))
        .collect();
    cx.out.line(&table::object(&pairs))?;
    Ok(ExitCode::SUCCESS)
}

/// `unset`: the command that removes one.
pub(crate) fn parse(pairs: &[String], unset: &str) -> Result<ConfigVarsUpdate, Failure> {
    let mut update = ConfigVarsUpdate::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            // Only the key may be shown: the rest could be a secret.
            return Err(Failure::usage(format!(
                "{} is not of the form KEY=VALUE.",
                pair.lines().next().unwrap_or("")
            ))
            .hint(format!("To remove a config var, run ropewalk {unset} KEY.")));
        };
        update.insert(key.to_owned(), Some(value.to_owned()));
    }
    Ok(update)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_starts_behind_the_first_equals_sign() {
        let pairs = [
            "URL=postgres://u:p@h/db?a=b".into(),
            "EMPTY=".into(),
            "KEY=line 1\nline=2\n".into(),
        ];
        let update = parse(&pairs, "config:unset").unwrap();
        assert_eq!(update["URL"].as_deref(), Some("postgres://u:p@h/db?a=b"));
        assert_eq!(update["EMPTY"].as_deref(), Some(""));
        assert_eq!(update["KEY"].as_deref(), Some("line 1\nline=2\n"));
    }

    #[test]
    fn a_pair_without_key_or_equals_sign_is_refused() {
        for pair in ["KEY", "=value", ""] {
            let refused = parse(&[pair.to_owned()], "config:unset");
            assert_eq!(refused.unwrap_err().code, 2, "{pair}");
        }
    }
}
