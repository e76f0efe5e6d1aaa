//! What the ledger says about a build before it begins.

use ropewalk_engine::ImageIds;
use ropewalk_model::ConfigVars;
use ropewalk_store::{App, BuildStatus, Stack};

use super::buildpacks::Known;
use super::order::Order;
use crate::context::Context;
use crate::{Error, Result};

/// How many builds back the last successful one is looked for.
const LOOK_BACK: u32 = 50;

#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) app: App,
    pub(crate) stack: Stack,
    /// The build image, as the engine knows it.
    pub(crate) image: String,
    pub(crate) config: ConfigVars,
    /// The app's own list; empty means detection.
    pub(crate) buildpacks: Vec<String>,
    pub(crate) known: Known,
    /// The last successful build was of this very commit.
    pub(crate) built_before: bool,
}

impl Recipe {
    pub(crate) async fn look_up(context: &Context, order: &Order) -> Result<Self> {
        let id = order.app.id;
        // What else is called the same need not be the same.
        let commit = order.version().filter(|_| order.is_push());
        let commit = commit.map(str::to_owned);
        let (app, stack, config, buildpacks, built_before) = context
            .store
            .read(move |view| {
                let app = view.app(id)?;
                let stack = view.newest_stack(&app.stack)?;
                let head = view.head_release(&app)?;
                let config = view.config_vars(id, head.version)?;
                let last = view
                    .builds(id, LOOK_BACK)?
                    .into_iter()
                    .find(|build| build.status == BuildStatus::Succeeded);
                let built_before =
                    commit.is_some() && last.is_some_and(|build| build.commit == commit);
                Ok((app, stack, config, view.buildpacks(id)?, built_before))
            })
            .await?;
        let stack = stack.ok_or_else(|| Error::NoStack(app.stack.clone()))?;
        let ids = ImageIds::read(&stack.images["build"]);
        let ids = ids.ok_or_else(|| Error::NoBuildImage {
            stack: stack.name.clone(),
        })?;
        let Some(image) = ids.find(context.engine.as_ref()).await? else {
            return Err(Error::NoStack(stack.name));
        };
        let folder = context.options.buildpacks.clone();
        let known = tokio::task::spawn_blocking(move || Known::read(&folder)).await??;
        Ok(Self {
            app,
            stack,
            image,
            config,
            buildpacks,
            known,
            built_before,
        })
    }
}
