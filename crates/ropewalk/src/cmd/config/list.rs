//! `config`: all config vars.

use std::process::ExitCode;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::{json, table};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    app: AppArgs,
    /// Output in the form KEY='value' that a shell reads
    #[arg(short, long, conflicts_with = "json")]
    shell: bool,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let vars = cx.client()?.config_vars(&app).await?;
    if args.json.json {
        json::print(&cx.out, &vars)?;
    } else if args.shell {
        for (key, value) in &vars {
            cx.out.line(&format!("{key}={}", quote(value)))?;
        }
    } else if vars.is_empty() {
        cx.out
            .line(&format!("{} has no config vars.", cx.out.paint().app(&app)))?;
    } else {
        cx.out.heading(&format!("{app} Config Vars"))?;
        let paint = cx.out.paint();
        let pairs: Vec<(String, String)> = vars
            .into_iter()
            .map(|(key, value)| (paint.key(&key), value))
            .collect();
        cx.out.line(&table::object(&pairs))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// For a POSIX shell: bare when harmless, in single quotes otherwise.
pub(crate) fn quote(value: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !value.is_empty() && value.chars().all(harmless) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn a_shell_reads_the_value_back() {
        for (value, quoted) in [
            ("plain-1.2", "plain-1.2"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME\n", "'$HOME\n'"),
        ] {
            assert_eq!(quote(value), quoted);
        }
    }
}
