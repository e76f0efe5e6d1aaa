//! `ps:scale`: how many dynos of which size. `web=3`, `worker=1:standard-2x`, `web+1`, `clock-1`.

use std::process::ExitCode;
use std::str::FromStr;

use ropewalk_client::types::formation::{FormationUpdate, Quantity};

use crate::cmd::autoscale::note_on_scaling;
use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::ps::{no_process_types, now_running};
use crate::ui::{Failure, json};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// TYPE=QUANTITY[:SIZE], TYPE+N or TYPE-N; without any, show what there is
    #[arg(value_name = "TYPE=QUANTITY[:SIZE]")]
    changes: Vec<String>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

/// One change as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    process_type: String,
    /// `3`, `+1` or `-1`.
    quantity: String,
    size: Option<String>,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let changes = args
        .changes
        .iter()
        .map(|change| change.parse())
        .collect::<Result<Vec<Change>, Failure>>()?;
    let app = cx.app(&args.app).await?;
    if changes.is_empty() {
        show(cx, &app, args.json).await
    } else {
        change(cx, &app, changes, args.json).await
    }
}

async fn show(cx: &Context, app: &str, json: JsonArgs) -> anyhow::Result<ExitCode> {
    let mut formation = cx.client()?.formation(app).await?;
    formation.sort_by(|a, b| a.process_type.cmp(&b.process_type));
    if json.json {
        json::print(&cx.out, &formation)?;
    } else if formation.is_empty() {
        return Err(no_process_types(app).into());
    } else {
        let parts: Vec<String> = formation
            .iter()
            .map(|part| format!("{}={}:{}", part.process_type, part.quantity, part.size))
            .collect();
        cx.out.line(&parts.join(" "))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn change(
    cx: &Context,
    app: &str,
    changes: Vec<Change>,
    json: JsonArgs,
) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let action = cx.out.action("Scaling dynos");
    let names: Vec<String> = changes
        .iter()
        .map(|change| change.process_type.clone())
        .collect();
    let mut formation = client
        .update_formation(
            app,
            changes.into_iter().map(FormationUpdate::from).collect(),
        )
        .await?;
    formation.retain(|part| names.contains(&part.process_type));
    formation.sort_by_key(|part| names.iter().position(|name| *name == part.process_type));
    action.done_with(&format!("now running {}", now_running(formation.iter())))?;
    if json.json {
        json::print(&cx.out, &formation)?;
    }
    // The number is set, whatever becomes of this.
    let rules = client.autoscale_rules(app).await.unwrap_or_default();
    for part in &formation {
        let rule = rules
            .iter()
            .find(|rule| rule.process_type == part.process_type);
        if let Some(note) = rule.and_then(|rule| note_on_scaling(rule, part.quantity)) {
            cx.out.remark(&note)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl FromStr for Change {
    type Err = Failure;

    fn from_str(typed: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!(
                "{typed} is not of the form TYPE=QUANTITY[:SIZE], TYPE+N or TYPE-N."
            ))
            .hint("For example: ropewalk ps:scale web=2:standard-2x worker+1.")
        };
        let (change, size) = match typed.split_once(':') {
            Some((change, size)) => (change, Some(size)),
            None => (typed, None),
        };
        let digits = change.len() - change.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (front, number) = change.split_at(change.len() - digits);
        let sign = front
            .chars()
            .next_back()
            .filter(|sign| "=+-".contains(*sign))
            .ok_or_else(wrong)?;
        let process_type = front.strip_suffix(sign).unwrap_or_default();
        let named = |text: &str| {
            text.chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        let fine = !process_type.is_empty()
            && named(process_type)
            && !number.is_empty()
            && size.is_none_or(|size| !size.is_empty() && named(size));
        if !fine {
            return Err(wrong());
        }
        let quantity = if sign == '=' {
            number.to_owned()
        } else {
            format!("{sign}{number}")
        };
        Ok(Self {
            process_type: process_type.to_owned(),
            quantity,
            size: size.map(str::to_owned),
        })
    }
}

impl From<Change> for FormationUpdate {
    fn from(change: Change) -> Self {
        Self {
            process_type: Some(change.process_type),
            quantity: Some(Quantity::Text(change.quantity)),
            size: change.size,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_understood() {
        for (typed, process_type, quantity, size) in [
            ("web=3", "web", "3", None),
            ("worker=1:standard-2x", "worker", "1", Some("standard-2x")),
            ("web+1", "web", "+1", None),
            ("web-2", "web", "-2", None),
            ("web=0", "web", "0", None),
            ("my-worker_2=4", "my-worker_2", "4", None),
            ("my-worker-2", "my-worker", "-2", None),
            ("web+1:Performance-M", "web", "+1", Some("Performance-M")),
        ] {
            let change: Change = typed.parse().unwrap();
            assert_eq!(
                (
                    change.process_type.as_str(),
                    change.quantity.as_str(),
                    change.size.as_deref()
                ),
                (process_type, quantity, size),
                "{typed}"
            );
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for typed in [
            "web",
            "web=",
            "=3",
            "web=x",
            "web3",
            "web=3:",
            "web=3:a:b",
            "we b=1",
            "web==1",
            "",
            "web=1.5",
        ] {
            assert_eq!(typed.parse::<Change>().unwrap_err().code, 2, "{typed}");
        }
    }
}
