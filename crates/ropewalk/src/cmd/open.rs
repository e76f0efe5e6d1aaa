//! `open`: the app in the person's browser.

use std::process::{ExitCode, Stdio};

use tokio::process::Command;

use crate::cmd::context::{AppArgs, Context};
use crate::ui::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Path below the app's address
    #[arg(value_name = "PATH")]
    path: Option<String>,
    #[command(flatten)]
    app: AppArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let app = cx.client()?.app(&app).await?;
    let url = app
        .web_url
        .ok_or_else(|| Failure::new(format!("{} has no address.", app.name)))?;
    // The address comes from the server and goes to a program: nothing but the web may be opened.
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Err(
            Failure::new(format!("The server gave {url}, which is no web address.")).into(),
        );
    }
    let url = format!(
        "{}/{}",
        url.trim_end_matches('/'),
        args.path.unwrap_or_default().trim_start_matches('/')
    );
    cx.out.note(&format!("Opening {url}"))?;
    match browse(cx.env.browser.as_deref(), &url).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(program) => Err(
            Failure::new(format!("No browser could be opened with {program}."))
                .hint(format!("Open {url} yourself."))
                .into(),
        ),
    }
}

/// Opens `url` in a browser: `with`, a program and its arguments, or else the system's own.
///
/// # Errors
/// The program that did not do it.
pub(crate) async fn browse(with: Option<&str>, url: &str) -> Result<(), String> {
    let default = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let mut words = with.unwrap_or(default).split_whitespace();
    let program = words.next().unwrap_or(default);
    let mut browser = Command::new(program);
    browser
        .args(words)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    match browser.status().await {
        Ok(status) if status.success() => Ok(()),
        _ => Err(program.to_owned()),
    }
}
