//! `apps:destroy`: the end of an app, after its name was typed.

use std::process::ExitCode;

use crate::cmd::context::{AppArgs, Context, JsonArgs, remotes};
use crate::ui::{Failure, prompt};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the app
    #[arg(value_name = "APP")]
    name: Option<String>,
    #[command(flatten)]
    app: AppArgs,
    /// The app's name, instead of typing it when asked
    #[arg(short, long, value_name = "APP")]
    confirm: Option<String>,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let named = match args.name {
        Some(name) => name,
        None => cx.app(&args.app).await?,
    };
    let client = cx.client()?;
    // The server's name of it: what was typed may be its id, and must exist before we ask.
    let app = client.app(&named).await?.name;
    confirm(cx, &app, args.confirm)?;
    let action = cx
        .out
        .action(&format!("Destroying {}", cx.out.paint_err().app(&app)));
    let last = client.destroy_app(&app).await?;
    action.done()?;
    args.json.print(cx, &last)?;
    for remote in remotes::all(&cx.git_host()?)
        .await?
        .into_iter()
        .filter(|remote| remote.app == app)
    {
        remotes::remove(&remote.name).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn confirm(cx: &Context, app: &str, typed: Option<String>) -> anyhow::Result<()> {
    let typed = match typed {
        Some(typed) => typed,
        None => {
            let paint = cx.out.paint_err();
            cx.out.remark(&format!(
                "WARNING: This will delete {} with its code, releases and config vars.\nTo proceed, type {} or re-run this command with\n--confirm {}",
                paint.app(app),
                paint.bad(app),
                paint.bad(app)
            ))?;
            prompt::ask("> ")?
        }
    };
    if typed.trim() == app {
        return Ok(());
    }
    Err(Failure::new(format!("Confirmation did not match {app}. Aborted.")).into())
}
