//! The builder's port on one-off dynos, filled by the scheduler: what test runs run in.

use std::fmt;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use ropewalk_api_types::attach::{FromDyno, ToDyno};
use ropewalk_builder::{DynoError, DynoOutput, DynoRun, Dynos, RunningDyno};
use ropewalk_model::ProcessType;
use ropewalk_scheduler::{NewRun, Scheduler, SchedulerError};

pub(crate) struct OneOffs {
    pub(crate) scheduler: Scheduler,
}

impl fmt::Debug for OneOffs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneOffs")
    }
}

impl Dynos for OneOffs {
    fn run(&self, run: DynoRun) -> BoxFuture<'_, Result<RunningDyno, DynoError>> {
        async move {
            let new = NewRun {
                app: run.app,
                command: run.command,
                process_type: ProcessType::run(),
                size: None,
                env: run.env,
                attach: true,
                tty: false,
                time_to_live: u32::try_from(run.time_to_live.as_secs()).ok(),
            };
            let started = self.scheduler.start_run(new).await.map_err(refused)?;
            let lost = || DynoError::Failed("it was gone before it was attached".to_owned());
            let secret = started.secret.ok_or_else(lost)?;
            let attached = self.scheduler.attach(&secret).await.map_err(refused)?;
            let attached = attached.ok_or_else(lost)?;
            // It finds its input at an end. That it has ended already is seen by its output.
            let _ = attached.input.send(ToDyno::StdinClosed).await;
            // Both ends are held until nobody reads any more: letting go of them hangs up.
            let output = stream::unfold(attached, |mut attached| async {
                let frame = attached.output.recv().await?;
                Some((frame, attached))
            });
            Ok(RunningDyno {
                dyno: started.dyno.id,
                output: output.map(told).boxed(),
            })
        }
        .boxed()
    }
}

fn told(frame: FromDyno) -> DynoOutput {
    match frame {
        FromDyno::Stdout(bytes) => DynoOutput::Stdout(bytes),
        FromDyno::Stderr(bytes) => DynoOutput::Stderr(bytes),
        FromDyno::Exit(code) => DynoOutput::Exit(code),
    }
}

fn refused(error: SchedulerError) -> DynoError {
    match error {
        SchedulerError::Refused(text) => DynoError::Refused(text),
        error => DynoError::Failed(error.to_string()),
    }
}
