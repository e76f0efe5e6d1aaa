//! `ps:restart`: all dynos, those of one process type, or one.

use std::process::ExitCode;

use crate::cmd::context::{AppArgs, Context};
use crate::cmd::ps::Target;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A dyno (web.1) or a process type (web); without it, all dynos
    #[arg(value_name = "DYNO")]
    name: Option<String>,
    /// A dyno
    #[arg(short, long, value_name = "DYNO", conflicts_with_all = ["name", "process_type"])]
    dyno_name: Option<String>,
    /// A process type
    #[arg(short, long, value_name = "TYPE", conflicts_with = "name")]
    process_type: Option<String>,
    #[command(flatten)]
    app: AppArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let target = match (args.dyno_name, args.process_type) {
        (Some(dyno), _) => Target::Dyno(dyno),
        (None, Some(process_type)) => Target::ProcessType(process_type),
        (None, None) => Target::named(args.name),
    };
    let what = match &target {
        Target::All => "all dynos".to_owned(),
        Target::Dyno(dyno) => format!("dyno {}", paint.dyno(dyno)),
        Target::ProcessType(process_type) => format!("all {} dynos", paint.dyno(process_type)),
    };
    let action = cx
        .out
        .action(&format!("Restarting {what} on {}", paint.app(&app)));
    match &target {
        Target::All => client.restart_all(&app).await?,
        Target::Dyno(dyno) => client.restart_dyno(&app, dyno).await?,
        Target::ProcessType(process_type) => client.restart_formation(&app, process_type).await?,
    }
    action.done()?;
    Ok(ExitCode::SUCCESS)
}
