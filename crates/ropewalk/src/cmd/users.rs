//! `users`, `users:*`: the accounts of a server, for administrators; and one's own password.

use std::io::IsTerminal;
use std::process::ExitCode;

use ropewalk_client::types::account::AccountUpdate;
use ropewalk_client::types::user::{UserCreate, UserUpdate};
use ropewalk_client::types::{Secret, User};

use crate::cmd::context::{Context, JsonArgs};
use crate::ui::table::Table;
use crate::ui::{Failure, json, prompt, table, time};

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Email of the new account
    #[arg(value_name = "EMAIL")]
    email: String,
    /// May everything, on all apps, and makes accounts
    #[arg(long)]
    admin: bool,
    /// The person's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// `-` reads the password from standard input; without it and without a terminal, a login token is printed
    #[arg(long, value_name = "-", value_parser = ["-"])]
    password: Option<String>,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UpdateArgs {
    /// Email or id of the account
    #[arg(value_name = "EMAIL")]
    user: String,
    /// Another email
    #[arg(long, value_name = "EMAIL")]
    email: Option<String>,
    /// The person's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Make an administrator
    #[arg(long, conflicts_with = "no_admin")]
    admin: bool,
    /// No administrator any more
    #[arg(long)]
    no_admin: bool,
    /// Disable two-factor authentication, for somebody who has lost the device and the recovery codes
    #[arg(long)]
    no_two_factor: bool,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DestroyArgs {
    /// Email or id of the account
    #[arg(value_name = "EMAIL")]
    user: String,
    /// The same again, instead of typing it when asked
    #[arg(short, long, value_name = "EMAIL")]
    confirm: Option<String>,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PasswordArgs {
    /// Email or id of somebody else's account; without it, your own
    #[arg(value_name = "EMAIL")]
    user: Option<String>,
}

pub(crate) async fn list(cx: &Context, args: JsonArgs) -> anyhow::Result<ExitCode> {
    let mut users = cx.client()?.users().await?;
    users.sort_by(|a, b| a.email.cmp(&b.email));
    if args.json {
        json::print(&cx.out, &users)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::with_headings(&["Email", "Name", "Role", "Two-factor", "Last login"]);
    for user in users {
        table.row([
            user.email,
            user.name.unwrap_or_default(),
            role(user.admin).to_owned(),
            on(user.two_factor_authentication).to_owned(),
            user.last_login
                .map_or_else(|| "never".to_owned(), time::ago),
        ]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn create(cx: &Context, args: CreateArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let password = if args.password.is_some() {
        Some(prompt::ask_secret("Password: ")?)
    } else if std::io::stdin().is_terminal() {
        let typed = new_password("Password (nothing for a login token instead): ")?;
        Some(typed).filter(|typed| !typed.is_empty())
    } else {
        None
    };
    let wanted = UserCreate {
        email: args.email,
        name: args.name,
        admin: args.admin.then_some(true),
        password: password.map(Secret),
    };
    let paint = cx.out.paint_err();
    let action = cx
        .out
        .action(&format!("Creating account {}", paint.key(&wanted.email)));
    let user = client.create_user(&wanted).await?;
    action.done()?;
    if args.json.json {
        json::print(&cx.out, &user)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(token) = &user.login_token {
        cx.out.note(
            "This token is shown once and is good for a week. Whoever has it logs in with\n\
             ropewalk login --token - and sets a password with ropewalk users:password:",
        )?;
        cx.out.line(&token.0)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn update(cx: &Context, args: UpdateArgs) -> anyhow::Result<ExitCode> {
    let change = UserUpdate {
        email: args.email,
        name: args.name,
        admin: match (args.admin, args.no_admin) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        },
        password: None,
        two_factor_authentication: args.no_two_factor.then_some(false),
    };
    if change == UserUpdate::default() {
        return Err(Failure::usage("What is to be changed?")
            .hint("Use --email, --name, --admin, --no-admin or --no-two-factor.")
            .into());
    }
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let action = cx
        .out
        .action(&format!("Updating account {}", paint.key(&args.user)));
    let user = client.update_user(&args.user, &change).await?;
    action.done()?;
    show(cx, &user, args.json)
}

pub(crate) async fn destroy(cx: &Context, args: DestroyArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let typed = match args.confirm {
        Some(typed) => typed,
        None => {
            cx.out.remark(&format!(
                "WARNING: This ends the account {} with its tokens and its access to apps.\n\
                 To proceed, type {} or re-run this command with\n--confirm {}",
                args.user, args.user, args.user
            ))?;
            prompt::ask("> ")?
        }
    };
    if typed.trim() != args.user {
        let text = format!("Confirmation did not match {}. Aborted.", args.user);
        return Err(Failure::new(text).into());
    }
    let paint = cx.out.paint_err();
    let action = cx
        .out
        .action(&format!("Destroying account {}", paint.key(&args.user)));
    let last = client.delete_user(&args.user).await?;
    action.done()?;
    args.json.print(cx, &last)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn password(cx: &Context, args: PasswordArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let current = match &args.user {
        Some(_) => None,
        None => Some(prompt::ask_secret(
            "Current password (nothing if there is none): ",
        )?),
    };
    let new = new_password("New password: ")?;
    let action = cx.out.action("Changing password");
    match &args.user {
        Some(user) => {
            let change = UserUpdate {
                password: Some(Secret(new)),
                ..UserUpdate::default()
            };
            client.update_user(user, &change).await?;
        }
        None => {
            let change = AccountUpdate {
                password: current.filter(|typed| !typed.is_empty()).map(Secret),
                new_password: Some(Secret(new)),
                ..AccountUpdate::default()
            };
            client.update_account(&change).await?;
        }
    }
    action.done_with("other sessions have ended")?;
    Ok(ExitCode::SUCCESS)
}

/// Twice on a terminal, where a slip would not be seen.
fn new_password(question: &str) -> anyhow::Result<String> {
    let typed = prompt::ask_secret(question)?;
    if !typed.is_empty()
        && std::io::stdin().is_terminal()
        && prompt::ask_secret("The same again: ")? != typed
    {
        return Err(Failure::new("The two are not the same.").into());
    }
    Ok(typed)
}

fn show(cx: &Context, user: &User, args: JsonArgs) -> anyhow::Result<ExitCode> {
    if args.json {
        json::print(&cx.out, user)?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.out.line(&table::object(&[
        ("Email".to_owned(), user.email.clone()),
        ("Name".to_owned(), user.name.clone().unwrap_or_default()),
        ("Role".to_owned(), role(user.admin).to_owned()),
        (
            "Two-factor".to_owned(),
            on(user.two_factor_authentication).to_owned(),
        ),
    ]))?;
    Ok(ExitCode::SUCCESS)
}

fn role(admin: bool) -> &'static str {
    if admin { "administrator" } else { "user" }
}

fn on(enabled: bool) -> &'static str {
    if enabled { "on" } else { "off" }
}
