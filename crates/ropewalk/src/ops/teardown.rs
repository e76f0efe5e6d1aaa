//! `ropewalk teardown`: removes what an installation has in the kernel and in Docker Engine, by its own label only.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use ropewalk_engine::{DockerEngine, Engine, EngineError, firewall::Firewall};
use ropewalk_slug::Mounts;
use ropewalk_slug::view::unmount_below;

use super::DataArg;
use super::data::Data;
use super::stacks;
use crate::ui::Printer;

#[derive(Debug, Args)]
pub(crate) struct Teardown {
    #[command(flatten)]
    data: DataArg,
    /// Remove the stack images from the engine too
    #[arg(long)]
    purge: bool,
}

impl Teardown {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        let data = Data::existing(&self.data.data)?;
        if std::os::unix::net::UnixStream::connect(data.socket("platform.sock")).is_ok() {
            bail!(
                "the server still runs on {}; stop it first",
                data.root.display()
            );
        }
        let engine = DockerEngine::connect(None, data.instance.clone())?;
        for container in engine
            .list()
            .await
            .context("containers could not be listed")?
        {
            engine.remove(&container.id).await?;
        }
        for network in engine.networks().await? {
            engine.remove_network(&network).await?;
        }
        let firewall = Firewall {
            instance: data.instance.clone(),
        };
        firewall.remove().await?;
        let mounts = Mounts::open(&data.path("mnt"))?;
        mounts.sweep(&BTreeSet::new(), &BTreeSet::new()).await?;
        // Of builds, and of what was being read, when the server was killed.
        for folder in ["builds", "tmp"].map(|name| data.path(name)) {
            if folder.is_dir() {
                unmount_below(&folder).await?;
            }
        }
        if self.purge {
            for image in stacks::images(&data).await? {
                match image.remove(&engine).await {
                    // A container of another installation runs on it: that one removes it.
                    Err(error @ EngineError::Refused { .. }) => {
                        Printer::for_process().line(&format!("       An image stays: {error}"))?;
                    }
                    removed => removed?,
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
