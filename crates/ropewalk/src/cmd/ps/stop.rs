//! `ps:stop`: one dyno, or those of one process type; the platform starts standing ones again.

use std::process::ExitCode;

use crate::cmd::context::{AppArgs, Context};
use crate::cmd::ps::Target;
use crate::ui::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A dyno (run.1234) or a process type (web)
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
    let target = match (args.dyno_name, args.process_type) {
        (Some(dyno), _) => Target::Dyno(dyno),
        (None, Some(process_type)) => Target::ProcessType(process_type),
        (None, None) => Target::named(args.name),
    };
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    match target {
        Target::All => {
            return Err(Failure::usage("Which dynos? None were named.")
                .hint("Name one (web.1) or a process type (web). To stop them for good, run ropewalk ps:scale web=0.")
                .into());
        }
        Target::Dyno(dyno) => {
            let action = cx.out.action(&format!(
                "Stopping {} dyno on {}",
                paint.dyno(&dyno),
                paint.app(&app)
            ));
            client.stop_dyno(&app, &dyno).await?;
            action.done()?;
        }
        Target::ProcessType(process_type) => {
            let what = paint.dyno(&process_type);
            let action = cx
                .out
                .action(&format!("Stopping {what} dynos on {}", paint.app(&app)));
            client.stop_formation(&app, &process_type).await?;
            action.done()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
