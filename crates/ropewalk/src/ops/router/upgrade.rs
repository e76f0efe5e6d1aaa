//! `ropewalk router:upgrade`: the router that runs gives way to the program that is installed now.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use crate::ops::DataArg;
use crate::ops::data::Data;
use crate::ops::leftovers::router;
use crate::ui::Printer;

/// For another router to serve: what the one that runs allows for it, and a little more.
const WITHIN: Duration = Duration::from_secs(25);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    #[command(flatten)]
    data: DataArg,
}

impl Upgrade {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        let data = Data::existing(&self.data.data)?;
        let action = Printer::for_process().action("Upgrading router");
        let (from, to) = replace(&data).await?;
        action.done_with(&format!("process {to} took over from {from}"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Has the router of this data directory give way to a new one, and waits until that one serves. The old and the new
/// one's pid.
///
/// # Errors
/// When none runs, or the new one does not come to serve: then the old one goes on.
async fn replace(data: &Data) -> Result<(Pid, Pid)> {
    let Some(old) = router(data) else {
        bail!(
            "no router runs on {}: start it with `ropewalk router` or, where it is a service, `systemctl start ropewalk-router`",
            data.root.display()
        );
    };
    kill_process(old, Signal::HUP)
        .with_context(|| format!("process {old}, the router, could not be told"))?;
    let deadline = Instant::now() + WITHIN;
    while Instant::now() < deadline {
        match router(data) {
            Some(now) if now != old => return Ok((old, now)),
            _ => tokio::time::sleep(LOOK).await,
        }
    }
    bail!(
        "the new router did not come to serve, so process {old} goes on; its log says why (`journalctl -u ropewalk-router`)"
    )
}
