//! `ps:sleep`, `ps:wake`: an app that costs nothing until somebody asks for it.

use std::process::ExitCode;

use ropewalk_client::types::sleep::AppSleepUpdate;

use crate::cmd::context::{AppArgs, AppJsonArgs, Context, JsonArgs};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its dynos end, instead of stopping where they are: nothing of them is left, and waking takes a boot
    #[arg(long)]
    stopped: bool,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn sleep(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let action = cx
        .out
        .action(&format!("Putting {} to sleep", paint.app(&app)));
    let update = AppSleepUpdate {
        tier: args.stopped.then(|| "stopped".to_owned()),
    };
    let sleep = client.put_to_sleep(&app, &update).await?;
    action.done()?;
    args.json.print(cx, &sleep)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn wake(cx: &Context, args: AppJsonArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!("Waking {}", paint.app(&app)));
    let sleep = client.wake(&app).await?;
    action.done()?;
    args.json.print(cx, &sleep)?;
    Ok(ExitCode::SUCCESS)
}
