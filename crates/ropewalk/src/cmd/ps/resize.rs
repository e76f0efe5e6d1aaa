//! `ps:type`: which size dynos have. `ps:type standard-2x` changes all, `ps:type web=standard-2x` one type.

use std::process::ExitCode;

use ropewalk_client::types::Formation;
use ropewalk_client::types::formation::FormationUpdate;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::ps::no_process_types;
use crate::ui::table::Table;
use crate::ui::{Failure, json};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// SIZE for all process types, or TYPE=SIZE; without any, show what there is
    #[arg(value_name = "TYPE=SIZE")]
    changes: Vec<String>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let mut formation = client.formation(&app).await?;
    let updates = updates(&app, &args.changes, &formation)?;
    if !updates.is_empty() {
        let action = cx.out.action(&format!(
            "Scaling dynos on {}",
            cx.out.paint_err().app(&app)
        ));
        client.update_formation(&app, updates).await?;
        action.done()?;
        formation = client.formation(&app).await?;
    }
    formation.sort_by(|a, b| a.process_type.cmp(&b.process_type));
    if args.json.json {
        json::print(&cx.out, &formation)?;
    } else if formation.is_empty() {
        return Err(no_process_types(&app).into());
    } else {
        cx.out.heading(&format!("{app} Process Types"))?;
        let mut table = Table::with_headings(&["Type", "Size", "Qty"]);
        for part in &formation {
            table.row([
                cx.out.paint().dyno(&part.process_type),
                part.size.clone(),
                part.quantity.to_string(),
            ]);
        }
        cx.out.line(&table.render())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn updates(
    app: &str,
    changes: &[String],
    formation: &[Formation],
) -> Result<Vec<FormationUpdate>, Failure> {
    let resize = |process_type: &str, size: &str| FormationUpdate {
        process_type: Some(process_type.to_owned()),
        size: Some(size.to_owned()),
        ..FormationUpdate::default()
    };
    if let [size] = changes
        && !size.contains('=')
    {
        if formation.is_empty() {
            return Err(no_process_types(app));
        }
        return Ok(formation
            .iter()
            .map(|part| resize(&part.process_type, size))
            .collect());
    }
    let pairs = changes.iter().map(|change| match change.split_once('=') {
        Some((process_type, size)) if !process_type.is_empty() && !size.is_empty() => {
            Ok(resize(process_type, size))
        }
        _ => Err(
            Failure::usage(format!("{change} is not of the form TYPE=SIZE."))
                .hint("For example: ropewalk ps:type web=standard-2x."),
        ),
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_and_its_size_are_understood() {
        let updates = updates(
            "demo",
            &["web=standard-2x".into(), "worker=basic".into()],
            &[],
        )
        .unwrap();
        assert_eq!(updates[1].process_type.as_deref(), Some("worker"));
        assert_eq!(updates[1].size.as_deref(), Some("basic"));
        for wrong in ["=basic", "web="] {
            assert_eq!(
                super::updates("demo", &[wrong.to_owned()], &[])
                    .unwrap_err()
                    .code,
                2
            );
        }
    }
}
