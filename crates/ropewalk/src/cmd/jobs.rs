//! `jobs`, `jobs:add`, `jobs:set`, `jobs:remove`, `jobs:run`, `jobs:runs`: commands that recur.

use std::process::ExitCode;

use ropewalk_client::types::job::{Job, JobChange, JobRun};

use crate::cmd::context::{AppArgs, AppJsonArgs, Context, JsonArgs};
use crate::cmd::run::line;
use crate::ui::table::Table;
use crate::ui::{Failure, json, time};

/// For the help of `jobs:add`.
pub(crate) const NOTES: &str = "\
SCHEDULE is a cron expression: minute, hour, day of month, month and day of week, or @hourly, @daily, @weekly, @monthly, @yearly.
  ropewalk jobs:add \"0 4 * * *\" --time-zone Europe/Vienna -- rake nightly
A first word that names a process type stands for that type's command.
Jobs can also be declared in app.json, whose come and go with the releases:
  {\"cron\": [{\"command\": \"rake nightly\", \"schedule\": \"0 4 * * *\"}]}";

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Overlap {
    Skip,
    Allow,
    Replace,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Missed {
    Skip,
    Once,
}

/// What both `jobs:add` and `jobs:set` say of a job.
#[derive(Debug, clap::Args)]
struct Options {
    /// Whose clock the schedule goes by, such as Europe/Vienna; UTC if it is not said
    #[arg(long, visible_alias = "tz", value_name = "ZONE")]
    time_zone: Option<String>,
    /// Seconds after which a run is ended: 1 to 86400, a day if it is not said
    #[arg(long, value_name = "SECONDS")]
    time_limit: Option<u32>,
    /// When a run's time comes while the one before it goes on: skip it (if it is not said), allow both, or replace the
    /// one before
    #[arg(long, value_enum, value_name = "POLICY")]
    overlap: Option<Overlap>,
    /// When a run's time came while the server was away: skip it (if it is not said), or run once
    #[arg(long, value_enum, value_name = "POLICY")]
    missed: Option<Missed>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// When it runs, such as "0 4 * * *"
    #[arg(value_name = "SCHEDULE")]
    schedule: String,
    /// What the job is called; made of its command if it is not said
    #[arg(short, long, value_name = "NAME")]
    name: Option<String>,
    /// Size of its dynos
    #[arg(short, long, value_name = "SIZE")]
    size: Option<String>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
    /// The command, behind --
    #[arg(value_name = "COMMAND", required = true, last = true)]
    command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// The job
    #[arg(value_name = "JOB")]
    job: String,
    /// When it runs, such as "0 4 * * *"
    #[arg(long, value_name = "SCHEDULE")]
    schedule: Option<String>,
    /// Another name
    #[arg(short, long, value_name = "NAME")]
    name: Option<String>,
    /// Size of its dynos; default for that of most dynos
    #[arg(short, long, value_name = "SIZE")]
    size: Option<String>,
    #[command(flatten)]
    options: Options,
    /// Let it not run by itself
    #[arg(long, conflicts_with = "resume")]
    pause: bool,
    /// Let it run by itself again
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
    /// Another command, behind --
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct JobArgs {
    /// The job
    #[arg(value_name = "JOB")]
    job: String,
    #[command(flatten)]
    app: AppArgs,
    #[command(flatten)]
    json: JsonArgs,
}

impl Options {
    fn change(self) -> JobChange {
        JobChange {
            time_zone: self.time_zone,
            time_limit: self.time_limit,
            overlap: self.overlap.map(|policy| {
                let word = match policy {
                    Overlap::Skip => "skip",
                    Overlap::Allow => "allow",
                    Overlap::Replace => "replace",
                };
                word.to_owned()
            }),
            missed: self.missed.map(|policy| {
                let word = match policy {
                    Missed::Skip => "skip",
                    Missed::Once => "once",
                };
                word.to_owned()
            }),
            ..JobChange::default()
        }
    }
}

pub(crate) async fn list(cx: &Context, args: AppJsonArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let jobs = cx.client()?.jobs(&app).await?;
    if args.json.json {
        json::print(&cx.out, &jobs)?;
        return Ok(ExitCode::SUCCESS);
    }
    let paint = cx.out.paint();
    if jobs.is_empty() {
        let line = format!("{} has no jobs.", paint.app(&app));
        cx.out.line(&line)?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.out.heading(&format!("{} Jobs", paint.app(&app)))?;
    let headings = [
        "Name",
        "Schedule",
        "Time Zone",
        "Command",
        "Next Run",
        "Last Run",
        "From",
    ];
    let mut table = Table::with_headings(&headings);
    for job in &jobs {
        table.row([
            job.name.clone(),
            job.schedule.clone(),
            job.time_zone.clone(),
            job.command.clone(),
            next(job),
            job.last_run.as_ref().map(outcome).unwrap_or_default(),
            job.source.clone(),
        ]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn add(cx: &Context, args: AddArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let paint = cx.out.paint_err();
    let command = line::join(&args.command);
    let action = cx.out.action(&format!(
        "Adding a job to {} that runs {}",
        paint.app(&app),
        paint.command(&command)
    ));
    let wanted = JobChange {
        name: args.name,
        schedule: Some(args.schedule),
        command: Some(command),
        size: args.size.map(Some),
        ..args.options.change()
    };
    let job = client.add_job(&app, &wanted).await?;
    action.done_with(&paint.key(&job.name))?;
    tell(cx, args.json, &job)
}

pub(crate) async fn set(cx: &Context, args: SetArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let client = cx.client()?;
    let wanted = JobChange {
        name: args.name,
        schedule: args.schedule,
        command: (!args.command.is_empty()).then(|| line::join(&args.command)),
        size: args
            .size
            .map(|size| Some(size).filter(|size| size != "default")),
        active: match (args.pause, args.resume) {
            (true, _) => Some(false),
            (_, true) => Some(true),
            _ => None,
        },
        ..args.options.change()
    };
    if wanted == JobChange::default() {
        let failure = Failure::usage("There is nothing to change.")
            .hint("Run ropewalk jobs:set --help to see what can be.");
        return Err(failure.into());
    }
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Changing job {} of {}",
        paint.key(&args.job),
        paint.app(&app)
    ));
    let job = client.change_job(&app, &args.job, &wanted).await?;
    action.done()?;
    tell(cx, args.json, &job)
}

pub(crate) async fn remove(cx: &Context, args: JobArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Removing job {} from {}",
        paint.key(&args.job),
        paint.app(&app)
    ));
    let removed = cx.client()?.remove_job(&app, &args.job).await?;
    action.done()?;
    args.json.print(cx, &removed)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn run(cx: &Context, args: JobArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Running job {} on {}",
        paint.key(&args.job),
        paint.app(&app)
    ));
    let run = cx.client()?.run_job(&app, &args.job).await?;
    match &run.dyno {
        Some(dyno) => action.done_with(&paint.dyno(&dyno.name))?,
        None => action.done_with("it starts when the run before it has ended")?,
    }
    if args.json.json {
        json::print(&cx.out, &run)?;
        return Ok(ExitCode::SUCCESS);
    }
    let paint = cx.out.paint();
    if let Some(dyno) = &run.dyno {
        let logs = paint.command(&format!("ropewalk logs --app {app} --dyno {}", dyno.name));
        cx.out.line(&format!("Run {logs} to view the output."))?;
    }
    let runs = paint.command(&format!("ropewalk jobs:runs {} --app {app}", args.job));
    cx.out.line(&format!("Run {runs} to see how it ended."))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn runs(cx: &Context, args: JobArgs) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let mut runs = cx.client()?.job_runs(&app, &args.job).await?;
    // The newest first. Their times travel in whole seconds, in which there may be two: the API knows the order.
    runs.reverse();
    if args.json.json {
        json::print(&cx.out, &runs)?;
        return Ok(ExitCode::SUCCESS);
    }
    let paint = cx.out.paint();
    if runs.is_empty() {
        let line = format!(
            "Job {} of {} has not run yet.",
            paint.key(&args.job),
            paint.app(&app)
        );
        cx.out.line(&line)?;
        return Ok(ExitCode::SUCCESS);
    }
    cx.out.heading(&format!(
        "{} Runs of {}",
        paint.app(&app),
        paint.key(&args.job)
    ))?;
    let mut table = Table::with_headings(&["Dyno", "By", "State", "Exit", "Took", "Time"]);
    for run in &runs {
        table.row([
            run.dyno
                .as_ref()
                .map(|dyno| dyno.name.clone())
                .unwrap_or_default(),
            run.trigger.clone(),
            state(run),
            run.exit_code
                .map(|code| code.to_string())
                .unwrap_or_default(),
            took(run),
            time::ago(run.slot_at),
        ]);
    }
    cx.out.line(&table.render())?;
    Ok(ExitCode::SUCCESS)
}

/// When it runs next.
fn tell(cx: &Context, as_json: JsonArgs, job: &Job) -> anyhow::Result<ExitCode> {
    if as_json.json {
        json::print(&cx.out, job)?;
        return Ok(ExitCode::SUCCESS);
    }
    let line = match job.next_run_at {
        Some(at) => format!("It runs next at {}.", time::ago(at)),
        None => "It does not run by itself.".to_owned(),
    };
    cx.out.line(&line)?;
    Ok(ExitCode::SUCCESS)
}

fn next(job: &Job) -> String {
    match job.next_run_at {
        Some(at) => time::ago(at),
        None if job.active => "never".to_owned(),
        None => "paused".to_owned(),
    }
}

/// `succeeded`, `failed, exit 3`, `skipped`.
fn outcome(run: &JobRun) -> String {
    match run.exit_code {
        Some(code) if code != 0 => format!("{}, exit {code}", run.state),
        _ => run.state.clone(),
    }
}

fn state(run: &JobRun) -> String {
    match &run.reason {
        Some(reason) => format!("{}: {reason}", run.state),
        None => run.state.clone(),
    }
}

fn took(run: &JobRun) -> String {
    match (run.started_at, run.ended_at) {
        (Some(started), Some(ended)) => format!("{}s", ended.duration_since(started).as_secs()),
        _ => String::new(),
    }
}
