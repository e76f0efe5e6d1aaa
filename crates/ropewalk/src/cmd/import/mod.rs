//! `import`: copies an app from Heroku, or from another Ropewalk, by the one API that both speak.
//!
//! Every step looks at what is there first and changes only what differs, so that an import that broke off goes on
//! when it is run again. What cannot be copied is told at the end, and why.

mod app;
mod code;
mod edge;
mod origin;
mod parts;
mod report;

use std::process::ExitCode;

use ropewalk_client::Client;

use crate::cmd::context::Context;
use crate::cmd::releases::ending::ending;
use crate::ui::Failure;
use origin::Origin;
use report::Report;

/// Heroku's own API.
const HEROKU: &str = "https://api.heroku.com";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What the app runs on so far: heroku, for everything that speaks Heroku's API
    #[arg(value_name = "KIND")]
    kind: Kind,
    /// App to copy
    #[arg(value_name = "APP")]
    app: String,
    /// API to copy it from
    #[arg(long, value_name = "URL", default_value = HEROKU)]
    from: String,
    /// A token for that API: `-` reads it from standard input, `env` from HEROKU_API_KEY. Without it: .netrc, and
    /// HEROKU_API_KEY for Heroku itself
    #[arg(long, value_name = "WHENCE")]
    token: Option<Whence>,
    /// Name of the copy; the app's own unless said otherwise
    #[arg(long, value_name = "NAME")]
    to: Option<String>,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    Heroku,
}

/// Where the other API's token is. Never in an argument, which everybody on a machine can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Whence {
    #[value(name = "-")]
    Input,
    Env,
}

/// What every step is given.
pub(super) struct Import<'a> {
    cx: &'a Context,
    /// Here.
    client: Client,
    /// Name of the copy.
    name: String,
    dry_run: bool,
    report: Report,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let Kind::Heroku = args.kind;
    let client = cx.client()?;
    let from = origin::client(cx, &args.from, args.token)?;
    let name = args.to.unwrap_or_else(|| args.app.clone());
    if from.base() == client.base() && name == args.app {
        return Err(Failure::usage("An app cannot be copied onto itself.")
            .hint("Give the copy another name: --to NAME.")
            .into());
    }
    let paint = cx.out.paint_err();
    let action = cx.out.action(&format!(
        "Reading {} from {}",
        paint.app(&args.app),
        from.base().host_str().unwrap_or_default()
    ));
    let origin = Origin::read(&from, &args.app).await?;
    action.done()?;
    let mut import = Import {
        cx,
        client,
        name,
        dry_run: args.dry_run,
        report: Report::default(),
    };
    let outcome = import.all(&from, &origin).await;
    import.report.show(cx, &import.name, args.dry_run)?;
    outcome
}

impl Import<'_> {
    async fn all(&mut self, from: &Client, origin: &Origin) -> anyhow::Result<ExitCode> {
        let there = self.create(origin).await?;
        self.edge(origin, there).await?;
        self.config_vars(origin, there).await?;
        self.buildpacks(origin, there).await?;
        let release = self.code(from, origin, there).await?;
        self.formation(origin, there).await?;
        if let Some(release) = release {
            let action = self.cx.out.action("Waiting for it to serve");
            let ended = ending(&self.client, &self.name, &release).await?;
            if let Some(failure) = ended.failure(release.version) {
                drop(action);
                // The rest can be copied all the same; the app serves once it is mended.
                self.report.left("the release", &failure.message);
                self.rest(origin, there).await?;
                return Ok(ExitCode::FAILURE);
            }
            action.done()?;
        }
        self.rest(origin, there).await?;
        Ok(match self.report.incomplete {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        })
    }

    async fn rest(&mut self, origin: &Origin, there: bool) -> anyhow::Result<()> {
        self.domains(origin, there).await?;
        self.features(origin, there).await?;
        self.drains(origin, there).await?;
        self.maintenance(origin, there).await?;
        self.never(origin);
        Ok(())
    }

    /// Does one thing, unless it is only to be told.
    async fn step<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, ropewalk_client::Error>>,
    ) -> Result<Option<T>, ropewalk_client::Error> {
        if self.dry_run {
            let _ = self.cx.out.note(&format!("Would: {what}"));
            return Ok(None);
        }
        let action = self.cx.out.action(what);
        let done = work.await?;
        let _ = action.done();
        Ok(Some(done))
    }
}
