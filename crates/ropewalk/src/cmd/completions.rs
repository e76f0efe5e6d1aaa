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
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ropewalk", &mut script);
    let mut script = String::from_utf8(script)?;
    if shell == Shell::Bash {
        // Bash ends words at colons by itself, and our commands are full of them.
        script.push_str("COMP_WORDBREAKS=${COMP_WORDBREAKS//:}\n");
    }
    cx.out.line(script.trim_end())?;
    Ok(ExitCode::SUCCESS)
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
