//! `completions`, `man`: what the shell and `man` know about us, made from the commands themselves.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::cmd::context::Context;
use crate::ui::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which shell
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Folder to write into; made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn shell(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let shell: Shell = args
        .shell
        .parse()
        .map_err(|_| Failure::usage(format!("{} is not known.", args.shell)))?;
    cx.out.line(script(shell)?.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn script(shell: Shell) -> anyhow::Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ropewalk", &mut script);
    let mut script = String::from_utf8(script)?;
    match shell {
        // Bash ends words at colons by itself, and our commands are full of them.
        Shell::Bash => script.push_str("COMP_WORDBREAKS=${COMP_WORDBREAKS//:}\n"),
        Shell::Zsh => script = escape_colons(&script),
        _ => {}
    }
    Ok(script)
}

/// In zsh's lists, `'name:description'`, the first bare colon ends the name.
fn escape_colons(script: &str) -> String {
    let names = names_with_colons();
    let lines = script.lines().map(|line| {
        // The longest, for a name may go on where another ends: `auth:2fa`, `auth:2fa:enable`.
        let listed = names
            .iter()
            .filter(|name| line.starts_with(&format!("'{name}:")))
            .max_by_key(|name| name.len());
        listed.map_or(line.to_owned(), |name| {
            line.replacen(name.as_str(), &name.replace(':', "\\:"), 1)
        })
    });
    lines.map(|line| line + "\n").collect()
}

/// Commands and their other names that are shown, as far as they have a colon.
fn names_with_colons() -> Vec<String> {
    Cli::command()
        .get_subcommands()
        .flat_map(|command| {
            std::iter::once(command.get_name())
                .chain(command.get_visible_aliases())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|name| name.contains(':'))
        .collect()
}

pub(crate) fn man(cx: &Context, args: &ManArgs) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} could not be made", folder.display()))?;
    clap_mangen::generate_to(Cli::command(), folder)
        .with_context(|| format!("the pages could not be written into {}", folder.display()))?;
    cx.out
        .note(&format!("Wrote man pages into {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zsh_takes_the_whole_name_of_every_command_with_a_colon() {
        let script = script(Shell::Zsh).unwrap();
        let listed: Vec<&str> = script
            .lines()
            .filter(|line| line.starts_with('\''))
            .collect();
        let names = names_with_colons();
        assert!(names.len() > 30, "{names:?}");
        for name in names {
            let escaped = format!("'{}:", name.replace(':', "\\:"));
            let bare = format!("'{name}:");
            assert!(
                listed.iter().any(|line| line.starts_with(&escaped)),
                "{name}"
            );
            assert!(!listed.iter().any(|line| line.starts_with(&bare)), "{name}");
        }
    }
}
