//! `env`: prints what a shell has to export so that Heroku's CLI talks to this server without a helper.

use std::io::IsTerminal;
use std::process::ExitCode;

use crate::cmd::context::{Context, not_logged_in};
use crate::cmd::heroku::environment::{self, Mode};
use crate::cmd::heroku::{git, owned};
use crate::ui::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How the CLI is led to the server
    #[arg(long, value_enum, default_value_t = Mode::B)]
    mode: Mode,
}

/// Prints `export NAME='value'` and `unset NAME` lines, the token among them: that is what they are for.
pub(crate) fn run(cx: &Context, args: &Args) -> anyhow::Result<ExitCode> {
    let token = cx.token()?.ok_or_else(not_logged_in)?;
    let ca = cx.env.ca.as_deref().or(cx.settings.ca.as_deref());
    let api = cx.api_host()?;
    let direct = environment::direct(args.mode, &api, &token, ca).map_err(|unfit| {
        Failure::new(unfit.to_string())
            .hint("Use the helper instead, which works with every server: ropewalk heroku -- ps.")
    })?;
    let mut variables = owned(direct);
    variables.extend(git::for_shell(&cx.env.heroku, &api.git_host(), ca));
    if std::io::stdout().is_terminal() {
        cx.out
            .remark("Your token stands below. Use: eval \"$(ropewalk env)\"")?;
    }
    cx.out.remark(
        "Some commands have hosts of Heroku's written into them and send them the token: see docs/heroku-cli.md.\n\
         `ropewalk heroku -- …` keeps it here.",
    )?;
    for (name, value) in variables {
        let line = match value {
            Some(value) => format!("export {name}={}", quoted(&value.to_string_lossy())),
            None => format!("unset {name}"),
        };
        cx.out.line(&line)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// As one word of a POSIX shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        let value = "a'b\"$(c)\nd\\";
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {}", quoted(value))])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), value);
    }
}
