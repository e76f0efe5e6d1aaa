//! `pipelines:promote`: an app's code goes on to the next stage, without a build.

use std::process::ExitCode;
use std::time::Duration;

use ropewalk_client::Client;
use ropewalk_client::types::pipeline::{
    Identified, PipelinePromotion, PipelinePromotionCreate, PipelinePromotionTarget,
    PromotionSourceCreate, PromotionTargetCreate, PromotionTargetStatus, Stage,
};
use tokio::time::Instant;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::cmd::pipelines::{Member, coupling, members};
use crate::cmd::releases::show_output;
use crate::ui::{Failure, json, table};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Longest wait: a release command and the boot of web dynos behind it.
const WITHIN: Duration = Duration::from_secs(3600 + 300);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Apps to promote to, with commas between; without it, those at the next stage
    #[arg(short, long, value_name = "APP,…", value_delimiter = ',')]
    to: Vec<String>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let action = cx.out.action("Fetching app info");
    let coupling = coupling(&client, &app).await?;
    action.done()?;
    let action = cx.out.action("Fetching apps from pipeline");
    let pipeline = client.pipeline(&coupling.pipeline.id.to_string()).await?;
    let members = members(&client, &pipeline).await?;
    action.done()?;
    let source = members
        .iter()
        .find(|member| member.id == coupling.app.id)
        .ok_or_else(|| Failure::new(format!("{app} is not in {} any more.", pipeline.name)))?;
    let (targets, place) = targets(&members, source, &app, &args.to)?;
    let action = cx.out.action(&format!("Starting promotion to {place}"));
    let promotion = PipelinePromotionCreate {
        pipeline: identified(&pipeline.id.to_string()),
        source: PromotionSourceCreate {
            app: identified(&source.id.to_string()),
            release: None,
        },
        targets: targets
            .iter()
            .map(|target| PromotionTargetCreate {
                app: identified(&target.id.to_string()),
            })
            .collect(),
    };
    let promotion = client.promote(&promotion).await?;
    action.done()?;
    let ended = follow(cx, &client, &promotion, args.json).await?;
    tell(cx, &promotion, &ended, &targets, args.json)
}

/// The apps that are promoted to, and what they are called together.
fn targets<'a>(
    members: &'a [Member],
    source: &Member,
    app: &str,
    to: &[String],
) -> Result<(Vec<&'a Member>, String), Failure> {
    if to.is_empty() {
        let stage = next(source.coupling.stage).ok_or_else(|| {
            Failure::new(format!(
                "Cannot promote {app} from the stage {}: none comes after it.",
                source.coupling.stage
            ))
            .hint("Name the apps to promote to: --to APP.")
        })?;
        let targets: Vec<&Member> = members
            .iter()
            .filter(|member| member.coupling.stage == stage)
            .collect();
        return match targets.is_empty() {
            false => Ok((targets, stage.to_string())),
            true => Err(
                Failure::new(format!("Cannot promote {app}: there is no app at {stage}.")).hint(
                    format!("Add one: ropewalk pipelines:add PIPELINE --stage {stage} -a APP."),
                ),
            ),
        };
    }
    let mut targets: Vec<&Member> = Vec::new();
    for name in to {
        let named = |member: &&Member| {
            member.name.as_deref() == Some(name) || member.id.to_string() == *name
        };
        let target = members
            .iter()
            .find(named)
            .ok_or_else(|| Failure::new(format!("Cannot find {name} in the pipeline.")))?;
        if target.id == source.id {
            return Err(Failure::new(format!(
                "Cannot promote from an app to itself: {app}. Name another one."
            )));
        }
        targets.push(target);
    }
    Ok((targets, to.join(", ")))
}

/// Where code goes from a stage.
fn next(stage: Stage) -> Option<Stage> {
    match stage {
        Stage::Development => Some(Stage::Staging),
        Stage::Review | Stage::Staging => Some(Stage::Production),
        Stage::Test | Stage::Production => None,
    }
}

fn identified(id: &str) -> Identified {
    Identified { id: id.to_owned() }
}

/// Waits until every target has ended. Of a single one, its release command is shown.
async fn follow(
    cx: &Context,
    client: &Client,
    promotion: &PipelinePromotion,
    wanted: JsonArgs,
) -> anyhow::Result<Vec<PipelinePromotionTarget>> {
    let id = promotion.id.to_string();
    let targets = client.promotion_targets(&id).await?;
    if let [target] = &targets[..]
        && let Some(release) = &target.release
    {
        let app = target.app.id.to_string();
        let release = client.release(&app, &release.id.to_string()).await?;
        if let Some(url) = &release.output_stream_url {
            cx.out.note("Running release command...")?;
            show_output(cx, client, url, wanted).await?;
        }
    }
    let action = cx.out.action("Waiting for promotion to complete");
    let give_up = Instant::now() + WITHIN;
    loop {
        let targets = client.promotion_targets(&id).await?;
        let pending =
            |target: &PipelinePromotionTarget| target.status == PromotionTargetStatus::Pending;
        if !targets.iter().any(pending) {
            action.done()?;
            return Ok(targets);
        }
        if Instant::now() >= give_up {
            return Err(Failure::new("The promotion has not ended yet.")
                .hint("It goes on; ropewalk releases shows how it ends.")
                .into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn tell(
    cx: &Context,
    promotion: &PipelinePromotion,
    ended: &[PipelinePromotionTarget],
    members: &[&Member],
    wanted: JsonArgs,
) -> anyhow::Result<ExitCode> {
    let all_well = ended
        .iter()
        .all(|target| target.status == PromotionTargetStatus::Succeeded);
    let code = match all_well {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    };
    if wanted.json {
        let all = serde_json::json!({"promotion": promotion, "targets": ended});
        json::print(&cx.out, &all)?;
        return Ok(code);
    }
    match all_well {
        true => cx.out.line("\nPromotion successful")?,
        false => cx.out.remark("Promotion to some apps failed")?,
    }
    let paint = cx.out.paint();
    let mut rows = Vec::new();
    for target in ended {
        let member = members.iter().find(|member| member.id == target.app.id);
        let name = member.and_then(|member| member.name.clone());
        let name = name.map_or_else(|| target.app.id.to_string(), |name| paint.app(&name));
        let status = match target.status {
            PromotionTargetStatus::Succeeded => paint.good("succeeded"),
            PromotionTargetStatus::Pending => paint.warning("pending"),
            PromotionTargetStatus::Failed => match &target.error_message {
                Some(why) => format!("{}, {why}", paint.bad("failed")),
                None => paint.bad("failed"),
            },
        };
        rows.push((name, status));
    }
    cx.out.line(&table::object(&rows))?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_goes_from_stage_to_stage() {
        assert_eq!(next(Stage::Development), Some(Stage::Staging));
        assert_eq!(next(Stage::Review), Some(Stage::Production));
        assert_eq!(next(Stage::Staging), Some(Stage::Production));
        assert_eq!(next(Stage::Production), None);
    }
}
