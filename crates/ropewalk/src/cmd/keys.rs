//! `keys`, `keys:*`: SSH keys of one's account, for git over SSH.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use ropewalk_client::types::Key;
use ropewalk_client::types::key::KeyCreate;

use crate::cmd::context::{Context, JsonArgs};
use crate::ui::{Failure, json, prompt};

/// Largest file that is read as a public key, in bytes.
const MAX_FILE: u64 = 8 << 10;
/// The file that is taken, or offered first.
const USUAL: &str = "id_ed25519.pub";

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Show the keys whole
    #[arg(short, long)]
    long: bool,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// The public key's file; without it, the one in ~/.ssh
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Ask nothing: take ~/.ssh/id_ed25519.pub, or the only one there
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// The key's comment, as ropewalk keys shows it
    #[arg(value_name = "COMMENT")]
    comment: String,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn list(cx: &Context, args: ListArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let keys = sorted(client.keys().await?);
    if args.json.json {
        json::print(&cx.out, &keys)?;
        return Ok(ExitCode::SUCCESS);
    }
    if keys.is_empty() {
        cx.out.line("You have no SSH keys.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let email = client.account().await?.email;
    cx.out.heading(&format!("{email} keys"))?;
    for key in &keys {
        match args.long {
            true => cx.out.line(&key.public_key)?,
            false => cx.out.line(&short(key))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn add(cx: &Context, args: AddArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let file = match args.file {
        Some(file) => file,
        None => chosen(cx, args.yes)?,
    };
    let public_key = read(&file).await?;
    let action = cx.out.action(&format!(
        "Uploading {} SSH key",
        cx.out.paint_err().key(&file.display().to_string())
    ));
    let key = client.add_key(&KeyCreate { public_key }).await?;
    action.done()?;
    if args.json.json {
        json::print(&cx.out, &key)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn remove(cx: &Context, args: RemoveArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let keys = sorted(client.keys().await?);
    if keys.is_empty() {
        return Err(Failure::new("You have no SSH keys.")
            .hint("Add one: ropewalk keys:add.")
            .into());
    }
    let wanted: Vec<&Key> = keys
        .iter()
        .filter(|key| key.comment == args.comment)
        .collect();
    if wanted.is_empty() {
        let comments: Vec<&str> = keys.iter().map(|key| key.comment.as_str()).collect();
        let text = format!("SSH Key {} not found.", args.comment);
        return Err(Failure::new(text)
            .hint(format!("Found keys: {}.", comments.join(", ")))
            .into());
    }
    let action = cx.out.action(&format!(
        "Removing {} SSH key",
        cx.out.paint_err().key(&args.comment)
    ));
    let mut removed = Vec::new();
    for key in wanted {
        removed.push(client.remove_key(&key.id.to_string()).await?);
    }
    action.done()?;
    args.json.print(cx, &removed)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn clear(cx: &Context, args: JsonArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let action = cx.out.action("Removing all SSH keys");
    let mut removed = Vec::new();
    for key in client.keys().await? {
        removed.push(client.remove_key(&key.id.to_string()).await?);
    }
    action.done()?;
    args.print(cx, &removed)?;
    Ok(ExitCode::SUCCESS)
}

/// Which file of `~/.ssh` is meant: the person is asked, for a key opens their account.
fn chosen(cx: &Context, yes: bool) -> anyhow::Result<PathBuf> {
    let home = cx.env.home.as_ref();
    let home = home.ok_or_else(|| Failure::usage("HOME is not set: name the key's file."))?;
    let files = public_keys(&home.join(".ssh"));
    let Some(first) = files.first() else {
        return Err(
            Failure::new("Could not find an existing SSH key at ~/.ssh.")
                .hint("Make one: ssh-keygen -t ed25519")
                .into(),
        );
    };
    if yes {
        let usual = files.len() == 1 || first.ends_with(USUAL);
        return match usual {
            true => Ok(first.clone()),
            false => Err(Failure::usage("Which key? Several are at ~/.ssh; name the file.").into()),
        };
    }
    if files.len() == 1 {
        let text = format!("Found an SSH public key at {}", first.display());
        cx.out.remark(&text)?;
        let answer = prompt::ask("Would you like to upload it? [Y/n] ")?;
        return match answer.trim().to_ascii_lowercase().as_str() {
            "" | "y" | "yes" => Ok(first.clone()),
            _ => Err(Failure::new("No key was uploaded.").into()),
        };
    }
    for (number, file) in files.iter().enumerate() {
        cx.out
            .remark(&format!("{}) {}", number + 1, file.display()))?;
    }
    let answer = prompt::ask("Which SSH key would you like to upload? [1] ")?;
    let number = match answer.trim() {
        "" => Some(1),
        text => text.parse::<usize>().ok(),
    };
    number
        .and_then(|number| files.get(number.checked_sub(1)?))
        .cloned()
        .ok_or_else(|| Failure::new(format!("There is no key {}.", answer.trim())).into())
}

/// The `.pub` files of a folder, the usual one first; certificates are none.
fn public_keys(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".pub") && !name.ends_with("-cert.pub"))
        .collect();
    names.sort_by_key(|name| (name != USUAL, name.clone()));
    names.iter().map(|name| folder.join(name)).collect()
}

async fn read(path: &Path) -> anyhow::Result<String> {
    let unreadable = || format!("{} cannot be read", path.display());
    let size = tokio::fs::metadata(path)
        .await
        .with_context(unreadable)?
        .len();
    let text = match size > MAX_FILE {
        true => String::new(),
        false => tokio::fs::read_to_string(path)
            .await
            .with_context(unreadable)?,
    };
    // Nothing else leaves this machine, least of all the private half.
    let known = ["ssh-", "ecdsa-", "sk-"];
    match known.iter().any(|kind| text.trim_start().starts_with(kind)) {
        true => Ok(text.trim().to_owned()),
        false => Err(
            Failure::new(format!("{} is not a valid ssh key file.", path.display()))
                .hint("Name the file that ends in .pub.")
                .into(),
        ),
    }
}

fn sorted(mut keys: Vec<Key>) -> Vec<Key> {
    keys.sort_by(|a, b| (&a.comment, a.created_at).cmp(&(&b.comment, b.created_at)));
    keys
}

/// `laptop ssh-ed25519 AAAAC3NzaC...Dw6Zq2Yl8k`
fn short(key: &Key) -> String {
    let mut words = key.public_key.split(' ');
    let (kind, encoded) = (words.next(), words.next().unwrap_or_default());
    // Base64 has no character of more than one byte; what has is shown whole.
    let ends = encoded
        .get(..10)
        .zip(encoded.get(encoded.len().saturating_sub(10)..))
        .map_or_else(
            || encoded.to_owned(),
            |(head, tail)| format!("{head}...{tail}"),
        );
    format!("{} {} {ends}", key.comment, kind.unwrap_or_default())
}
