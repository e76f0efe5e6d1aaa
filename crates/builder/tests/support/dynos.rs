//! Dynos that say what the test wants them to.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream;
use ropewalk_builder::{DynoError, DynoOutput, DynoRun, Dynos, RunningDyno};
use ropewalk_model::DynoId;
use uuid::Uuid;

/// What a dyno writes before its tests begin, what they write, and how it ends; without an end it runs for ever.
#[derive(Debug, Clone, Default)]
pub struct Play {
    pub setup: &'static str,
    /// `None`: the setup is the last of it.
    pub tests: Option<&'static str>,
    pub exit: Option<i64>,
}

#[derive(Debug, Default)]
pub struct PlayedDynos {
    pub play: Mutex<Play>,
    pub runs: Mutex<Vec<DynoRun>>,
    /// Dynos whose output somebody still reads.
    pub running: Arc<()>,
}

impl Dynos for PlayedDynos {
    fn run(&self, run: DynoRun) -> BoxFuture<'_, Result<RunningDyno, DynoError>> {
        let play = self.play.lock().unwrap().clone();
        let mark = run.env["ROPEWALK_TEST_MARK"].clone();
        self.runs.lock().unwrap().push(run);
        let mut output = vec![DynoOutput::Stdout(Bytes::from_static(
            play.setup.as_bytes(),
        ))];
        if let Some(tests) = play.tests {
            let text = format!("{mark}\n{tests}");
            output.push(DynoOutput::Stdout(Bytes::from(text)));
        }
        output.extend(play.exit.map(DynoOutput::Exit));
        let running = Arc::clone(&self.running);
        let ends = play.exit.is_some();
        let output = stream::iter(output).chain(match ends {
            true => stream::empty().boxed(),
            false => stream::pending().boxed(),
        });
        let output = output.map(move |one| {
            let _held = &running;
            one
        });
        Box::pin(async move {
            Ok(RunningDyno {
                dyno: DynoId(Uuid::new_v4()),
                output: output.boxed(),
            })
        })
    }
}
