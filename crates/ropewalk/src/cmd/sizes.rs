//! `sizes`, `sizes:add`, `sizes:set`, `sizes:remove`: what dynos of each size may use, for who runs the host.

use std::process::ExitCode;

use ropewalk_client::types::dyno_size::{SizeChange, SizeLimits};

use crate::cmd::context::{Context, JsonArgs};
use crate::ui::table::Table;
use crate::ui::{Failure, json};

/// What there is to say, for the help of `sizes:add` and `sizes:set`.
pub(crate) const SETTINGS: &str = "\
Settings:
  memory=1G        What a dyno is promised, all its processes together: 16M to 4096G
  limit=2G         Beyond it the kernel ends a process; twice the memory, or the memory itself, where nothing is said
  cpu-shares=1024  Its weight where dynos want more CPU than there is: 2 to 262144
  cpu=1.5          Cores that it has at most, also where others idle: 0.01 to 1024, or off
  pids=512         Processes and threads: 16 to 4194304
  disk=8G          Files that it may write beside those of its slug: 16M or more, or off
  price=0.02       For an hour, in the operator's money, or off
  dedicated=on     Shown to clients as a size of dynos that share nothing
  sleeps=on        Apps with web dynos of it sleep when nobody asks for them";
const NAMES: &str = "memory, limit, cpu-shares, cpu, pids, disk, price, dedicated, sleeps";
/// Thousandths of a cent.
const IN_ONE: f64 = 100_000.0;

#[derive(Debug, clap::Args)]
pub(crate) struct SettingsArgs {
    /// The size
    #[arg(value_name = "SIZE")]
    size: String,
    /// What it is; all that can be said is listed below
    #[arg(value_name = "NAME=VALUE", required = true)]
    settings: Vec<String>,
    #[command(flatten)]
    json: JsonArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// The size
    #[arg(value_name = "SIZE")]
    size: String,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn list(cx: &Context, args: JsonArgs) -> anyhow::Result<ExitCode> {
    let mut sizes = cx.client()?.dyno_sizes().await?;
    sizes.sort_by(|a, b| {
        (a.memory_mib, a.cpu_shares, &a.name).cmp(&(b.memory_mib, b.cpu_shares, &b.name))
    });
    show(cx, &sizes, args)
}

pub(crate) async fn add(cx: &Context, args: SettingsArgs) -> anyhow::Result<ExitCode> {
    let size = SizeChange {
        name: Some(args.size),
        ..parse(&args.settings)?
    };
    let name = size.name.as_deref().unwrap_or_default();
    if size.memory_mib.is_none() {
        return Err(Failure::usage("How much memory is a dyno of it promised?")
            .hint(format!("For example: ropewalk sizes:add {name} memory=1G."))
            .into());
    }
    let paint = cx.out.paint_err();
    let action = cx
        .out
        .action(&format!("Adding dyno size {}", paint.key(name)));
    let added = cx.client()?.add_dyno_size(&size).await?;
    action.done()?;
    show_one(cx, &added, args.json)
}

pub(crate) async fn set(cx: &Context, args: SettingsArgs) -> anyhow::Result<ExitCode> {
    let change = parse(&args.settings)?;
    let paint = cx.out.paint_err();
    let action = cx
        .out
        .action(&format!("Changing dyno size {}", paint.key(&args.size)));
    let changed = cx.client()?.change_dyno_size(&args.size, &change).await?;
    action.done()?;
    show_one(cx, &changed, args.json)
}

pub(crate) async fn remove(cx: &Context, args: RemoveArgs) -> anyhow::Result<ExitCode> {
    let paint = cx.out.paint_err();
    let action = cx
        .out
        .action(&format!("Removing dyno size {}", paint.key(&args.size)));
    let removed = cx.client()?.remove_dyno_size(&args.size).await?;
    action.done()?;
    args.json.print(cx, &removed)?;
    Ok(ExitCode::SUCCESS)
}

fn parse(settings: &[String]) -> Result<SizeChange, Failure> {
    let mut change = SizeChange::default();
    let mut named = Vec::new();
    for text in settings {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if named.contains(&name) {
            return Err(
                Failure::usage(format!("{name} is named twice.")).hint("Name each setting once.")
            );
        }
        named.push(name);
        one(&mut change, name, value)?;
    }
    Ok(change)
}

fn one(change: &mut SizeChange, name: &str, value: &str) -> Result<(), Failure> {
    let must = |must: &str| {
        Failure::usage(format!("{name} must be {must}, not {value:?}."))
            .hint("What can be said of a size: ropewalk sizes:set --help.")
    };
    let memory = |value: &str| mib(value).ok_or_else(|| must("a size such as 512M or 1.5G"));
    let number = |value: &str| value.parse().map_err(|_| must("a number"));
    let is_on = |value: &str| match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(must("on or off")),
    };
    match name {
        "memory" => change.memory_mib = Some(memory(value)?),
        "limit" => change.limit_mib = Some(memory(value)?),
        "cpu-shares" => change.cpu_shares = Some(number(value)?),
        "pids" => change.pids = Some(number(value)?),
        "cpu" => {
            let cores = part_of(value, 1000.0).and_then(|millis| u32::try_from(millis).ok());
            let said = |of: Option<u32>| of.ok_or_else(|| must("cores such as 0.5 or 2, or off"));
            change.cpu_millis = Some(unless_off(value, || said(cores))?);
        }
        "disk" => {
            let said = || mib(value).ok_or_else(|| must("a size such as 512M or 8G, or off"));
            change.disk_mib = Some(unless_off(value, said)?);
        }
        "price" => {
            let said =
                || part_of(value, IN_ONE).ok_or_else(|| must("a price such as 0.02, or off"));
            change.price = Some(unless_off(value, said)?);
        }
        "dedicated" => change.dedicated = Some(is_on(value)?),
        "sleeps" => change.sleeps = Some(is_on(value)?),
        _ => {
            let text = format!("There is no setting {name} of dyno sizes. There are: {NAMES}.");
            return Err(
                Failure::usage(text).hint("For example: ropewalk sizes:set basic memory=1G.")
            );
        }
    }
    Ok(())
}

fn unless_off<T>(
    value: &str,
    read: impl FnOnce() -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    match value {
        "off" => Ok(None),
        _ => read().map(Some),
    }
}

/// `512M`, `1.5G`, in MiB.
fn mib(text: &str) -> Option<u64> {
    let (number, each) = match text.strip_suffix(['G', 'g']) {
        Some(number) => (number, 1024.0),
        None => (text.strip_suffix(['M', 'm'])?, 1.0),
    };
    part_of(number, each)
}

/// A decimal number of units, in their parts: positive, and no more than a float holds exactly.
fn part_of(text: &str, parts: f64) -> Option<u64> {
    let plain = text.len() <= 12
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = text.parse().ok().filter(|_| plain)?;
    let number = (number * parts).round();
    (1.0..=1e15).contains(&number).then_some(number as u64)
}

fn show_one(cx: &Context, size: &SizeLimits, args: JsonArgs) -> anyhow::Result<ExitCode> {
    match args.json {
        true => {
            json::print(&cx.out, size)?;
            Ok(ExitCode::SUCCESS)
        }
        false => show(cx, std::slice::from_ref(size), args),
    }
}

fn show(cx: &Context, sizes: &[SizeLimits], args: JsonArgs) -> anyhow::Result<ExitCode> {
    if args.json {
        json::print(&cx.out, &sizes)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::with_headings(&[
        "Size",
        "Memory",
        "Limit",
        "CPU Shares",
        "CPU",
        "Processes",
        "Disk",
        "Price/Hour",
    ]);
    let paint = cx.out.paint();
    for size in sizes {
        let off = || "-".to_owned();
        let cores = |millis: u32| format!("{}", f64::from(millis) / 1000.0);
        table.row([
            match (size.usual, size.sleeps) {
                (true, _) => format!("{} (default)", paint.key(&size.name)),
                (_, true) => format!("{} (sleeps)", paint.key(&size.name)),
                _ => paint.key(&size.name),
            },
            told(size.memory_mib),
            told(size.limit_mib),
            size.cpu_shares.to_string(),
            size.cpu_millis.map_or_else(off, cores),
            size.pids.to_string(),
            size.disk_mib.map_or_else(off, told),
            size.price.map_or_else(off, price),
        ]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

/// `512 MiB`, `1.5 GiB`
fn told(mib: u64) -> String {
    match mib {
        0..1024 => format!("{mib} MiB"),
        _ => format!("{} GiB", (mib as f64 / 102.4).round() / 10.0),
    }
}

/// With cents, and what is less only where there is some.
fn price(millicents: u64) -> String {
    let text = format!("{:.5}", millicents as f64 / IN_ONE);
    let short = text.trim_end_matches('0');
    let cents = text.find('.').map_or(0, |point| point + 3);
    text[..short.len().max(cents)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SizeChange, Failure> {
        let settings: Vec<String> = text.split(' ').map(str::to_owned).collect();
        parse(&settings)
    }

    #[test]
    fn settings_read_as_people_type_them() {
        let change = read("memory=1.5G limit=2G cpu=0.5 disk=off price=0.007 sleeps=on").unwrap();
        let expected = SizeChange {
            memory_mib: Some(1536),
            limit_mib: Some(2048),
            cpu_millis: Some(Some(500)),
            disk_mib: Some(None),
            price: Some(Some(700)),
            sleeps: Some(true),
            ..SizeChange::default()
        };
        assert_eq!(change, expected);
        for bad in [
            "memory",
            "memory=",
            "memory=1",
            "memory=0M",
            "memory=1e3G",
            "memory=-1G",
            "cpu=inf",
            "pids=x",
            "sleeps=yes",
            "color=red",
            "pids=20 pids=30",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn figures_read_well() {
        assert_eq!(
            [told(512), told(2560), told(14336)],
            ["512 MiB", "2.5 GiB", "14 GiB"]
        );
        assert_eq!(
            [price(700), price(2000), price(500_000)],
            ["0.007", "0.02", "5.00"]
        );
    }
}
