//! `pipelines`, `pipelines:*`: apps that carry the same code, by stage.

pub(crate) mod change;
pub(crate) mod promote;

use std::collections::HashMap;
use std::process::ExitCode;

use ropewalk_client::types::pipeline::{Pipeline, PipelineCoupling, Stage};
use ropewalk_client::{Client, Error};
use serde::Serialize;
use uuid::Uuid;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::table::Table;
use crate::ui::{Failure, json};

/// A stage at which apps are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StageArg {
    Review,
    Development,
    Staging,
    Production,
}

impl From<StageArg> for Stage {
    fn from(stage: StageArg) -> Self {
        match stage {
            StageArg::Review => Self::Review,
            StageArg::Development => Self::Development,
            StageArg::Staging => Self::Staging,
            StageArg::Production => Self::Production,
        }
    }
}

/// `-p`, `-a`, `-r`: which pipeline, by itself or as that of an app.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct PipelineArgs {
    /// Name of the pipeline; without it, that of the app
    #[arg(short = 'p', long, value_name = "PIPELINE")]
    pub(crate) pipeline: Option<String>,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

impl PipelineArgs {
    /// The pipeline that is meant.
    pub(crate) async fn find(&self, cx: &Context, client: &Client) -> anyhow::Result<Pipeline> {
        if let Some(name) = &self.pipeline {
            return Ok(client.pipeline(name).await?);
        }
        let app = cx.app(&self.app).await.map_err(|error| {
            match self.app.app.is_some() || self.app.remote.is_some() {
                true => error,
                false => Failure::usage("Which pipeline? None is named, and no app is known.")
                    .hint("Name it: -p PIPELINE, or an app that is in it: -a APP.")
                    .into(),
            }
        })?;
        let coupling = coupling(client, &app).await?;
        Ok(client.pipeline(&coupling.pipeline.id.to_string()).await?)
    }
}

/// An app's place.
pub(crate) async fn coupling(client: &Client, app: &str) -> anyhow::Result<PipelineCoupling> {
    match client.coupling_of_app(app).await {
        Err(Error::Api(error)) if error.body.resource.as_deref() == Some("pipeline_coupling") => {
            Err(Failure::new(format!("{app} is in no pipeline."))
                .hint("Add it to one: ropewalk pipelines:add PIPELINE --stage STAGE.")
                .into())
        }
        found => Ok(found?),
    }
}

/// One app of a pipeline. Of an app that one may not see, only its id is known.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Member {
    pub(crate) id: Uuid,
    pub(crate) name: Option<String>,
    pub(crate) coupling: PipelineCoupling,
}

/// The apps of a pipeline, in the order in which code moves, and by name within a stage.
pub(crate) async fn members(client: &Client, pipeline: &Pipeline) -> anyhow::Result<Vec<Member>> {
    let couplings = client.pipeline_couplings(&pipeline.id.to_string()).await?;
    let ids: Vec<String> = couplings
        .iter()
        .map(|coupling| coupling.app.id.to_string())
        .collect();
    let known: HashMap<Uuid, String> = match ids.is_empty() {
        true => HashMap::new(),
        false => client
            .apps_by_id(ids)
            .await?
            .into_iter()
            .map(|app| (app.id, app.name))
            .collect(),
    };
    let mut members: Vec<Member> = couplings
        .into_iter()
        .map(|coupling| Member {
            id: coupling.app.id,
            name: known.get(&coupling.app.id).cloned(),
            coupling,
        })
        .collect();
    members.sort_by(|a, b| {
        let key = |member: &Member| (member.coupling.stage, member.name.clone());
        key(a).cmp(&key(b))
    });
    Ok(members)
}

pub(crate) async fn list(cx: &Context, args: JsonArgs) -> anyhow::Result<ExitCode> {
    let mut pipelines = cx.client()?.pipelines().await?;
    pipelines.sort_by(|a, b| a.name.cmp(&b.name));
    if args.json {
        json::print(&cx.out, &pipelines)?;
    } else if pipelines.is_empty() {
        cx.out.line("You have no pipelines.")?;
    } else {
        cx.out.heading("My Pipelines")?;
        for pipeline in &pipelines {
            cx.out.line(&pipeline.name)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {
    /// Name of the pipeline; without it, that of the app
    #[arg(value_name = "PIPELINE")]
    name: Option<String>,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

pub(crate) async fn info(cx: &Context, args: InfoArgs) -> anyhow::Result<ExitCode> {
    let client = cx.client()?;
    let named = PipelineArgs {
        pipeline: args.name,
        app: args.app,
    };
    let pipeline = named.find(cx, &client).await?;
    let members = members(&client, &pipeline).await?;
    if args.json.json {
        let all = serde_json::json!({"pipeline": pipeline, "apps": members});
        json::print(&cx.out, &all)?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.out.heading(&pipeline.name)?;
    let own = client.account().await?;
    if let Some(owner) = &pipeline.owner {
        let owner = match owner.id == own.id {
            true => own.email,
            false => owner.id.to_string(),
        };
        cx.out.line(&format!("owner: {owner}\n"))?;
    }
    if members.is_empty() {
        cx.out.line("There are no apps in it.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::with_headings(&["app name", "stage"]);
    for member in &members {
        let name = match &member.name {
            Some(name) => cx.out.paint().app(name),
            None => member.id.to_string(),
        };
        table.row([name, member.coupling.stage.to_string()]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}
