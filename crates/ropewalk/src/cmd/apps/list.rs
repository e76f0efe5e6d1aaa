//! `apps`: which apps there are.

use std::process::ExitCode;

use ropewalk_client::types::App;

use crate::cmd::context::{Context, JsonArgs};
use crate::ui::json;
use crate::ui::table::Table;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Include the apps of other people
    #[arg(short = 'A', long)]
    all: bool,
    /// There are no teams, so all of one's own apps are personal
    #[arg(short, long, hide = true)]
    personal: bool,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let listing = async {
        if args.all {
            client.apps().await
        } else {
            client.own_apps().await
        }
    };
    let (apps, account) = tokio::join!(listing, client.account());
    let (mut apps, account) = (apps?, account?);
    apps.sort_by(|a, b| a.name.cmp(&b.name));
    if args.json.json {
        json::print(&cx.out, &apps)?;
        return Ok(ExitCode::SUCCESS);
    }
    if apps.is_empty() {
        cx.out.line("You have no apps.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let (own, others): (Vec<&App>, Vec<&App>) = apps
        .iter()
        .partition(|app| app.owner.email == account.email);
    if !own.is_empty() {
        cx.out.heading(&format!("{} Apps", account.email))?;
        for app in &own {
            cx.out.line(&name(app))?;
        }
        cx.out.line("")?;
    }
    if !others.is_empty() {
        cx.out.heading(if args.all {
            "Apps of Others"
        } else {
            "Collaborated Apps"
        })?;
        let mut table = Table::bare();
        for app in &others {
            table.row([name(app), app.owner.email.clone()]);
        }
        cx.out.line(&format!("{}\n", table.render()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn name(app: &App) -> String {
    let mut name = app.name.clone();
    if app.region.name != "us" {
        name = format!("{name} ({})", app.region.name);
    }
    if app.locked {
        format!("{name} [locked]")
    } else {
        name
    }
}
