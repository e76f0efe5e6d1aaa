//! `apps:create`: a new app, and a git remote for it.

use std::process::ExitCode;

use ropewalk_client::types::App;
use ropewalk_client::types::app::AppCreate;

use crate::cmd::context::{Context, JsonArgs, remotes};
use crate::ui::{Failure, json};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the app; without one the server makes one up
    #[arg(value_name = "APP")]
    name: Option<String>,
    /// Name of the app
    #[arg(short = 'a', long = "app", value_name = "APP", conflicts_with = "name")]
    app: Option<String>,
    /// Name of the git remote to make
    #[arg(short, long, value_name = "REMOTE", default_value = "ropewalk")]
    remote: String,
    /// Make no git remote
    #[arg(short, long)]
    no_remote: bool,
    /// Stack to build on
    #[arg(short, long, value_name = "STACK")]
    stack: Option<String>,
    /// Region to run in
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Buildpack to use; may be given several times
    #[arg(short, long, value_name = "BUILDPACK")]
    buildpack: Vec<String>,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let name = args.name.or(args.app);
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Creating {}",
        name.as_deref().map_or("app".into(), |name| paint.app(name))
    ));
    let wanted = AppCreate {
        name: name.clone(),
        region: args.region,
        stack: args.stack,
        feature_flags: None,
    };
    let app = client.create_app(&wanted).await?;
    let stack = format!("stack is {}", app.build_stack.name);
    action.done_with(&if name.is_some() {
        stack
    } else {
        format!("{}, {stack}", paint.app(&app.name))
    })?;
    if !args.buildpack.is_empty() {
        let action = cx.out.action(&format!(
            "Setting buildpack to {}",
            args.buildpack.join(", ")
        ));
        client.set_buildpacks(&app.name, &args.buildpack).await?;
        action.done()?;
    }
    if args.json.json {
        json::print(&cx.out, &app)?;
    } else {
        let web = app.web_url.clone().unwrap_or_default();
        cx.out.line(&format!(
            "{} | {}",
            cx.out.paint().command(&web),
            cx.out.paint().key(&app.git_url)
        ))?;
    }
    if !args.no_remote {
        add_remote(cx, &args.remote, &app).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The app is there by now, so a remote that cannot be made is a remark and no failure.
async fn add_remote(cx: &Context, remote: &str, app: &App) -> anyhow::Result<()> {
    let host = cx.git_host()?;
    if !remotes::in_repository().await.unwrap_or(false) {
        return Ok(());
    }
    let there = remotes::all(&host)
        .await?
        .into_iter()
        .find(|there| there.name == remote);
    let outcome = match there {
        Some(there) if there.app != app.name => Err(Failure::new(format!(
            "The git remote {remote} already leads to {}.",
            there.app
        ))
        .into()),
        _ => remotes::set(remote, &app.git_url, &host).await,
    };
    match outcome {
        Ok(()) => Ok(()),
        Err(error) => Ok(cx.out.remark(&format!(
            "{error}\nTo push to the new app, run ropewalk git:remote --app {} --remote NAME.",
            app.name
        ))?),
    }
}
