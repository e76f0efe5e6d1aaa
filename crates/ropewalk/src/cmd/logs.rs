//! `logs`: an app's log, its end or as it grows.

use std::process::ExitCode;

use ropewalk_client::types::log_session::LogSessionCreate;
use serde::Serialize;

use crate::cmd::context::{AppArgs, Context, JsonArgs};
use crate::ui::{Failure, Paint};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of past lines to show
    #[arg(short, long, value_name = "NUM", default_value_t = 100)]
    num: u32,
    /// Only this dyno (web.1) or process type (web)
    #[arg(
        short,
        long = "dyno",
        alias = "dyno-name",
        alias = "ps",
        value_name = "DYNO"
    )]
    dyno: Option<String>,
    /// Only this process type
    #[arg(short, long, value_name = "TYPE", conflicts_with = "dyno")]
    process_type: Option<String>,
    /// Only lines of the app or of the platform (heroku)
    #[arg(short, long, value_name = "SOURCE")]
    source: Option<String>,
    /// Keep showing new lines
    #[arg(short, long)]
    tail: bool,
    /// Show lines without colour
    #[arg(long)]
    no_color: bool,
    /// Show lines with colour even in a pipe
    #[arg(long, conflicts_with = "no_color")]
    force_colors: bool,
    #[command(flatten)]
    app: AppArgs,
    /// One JSON object a line: timestamp, source, dyno, message
    #[command(flatten)]
    json: JsonArgs,
}

/// One line taken apart.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line<'a> {
    timestamp: &'a str,
    /// `app` or `heroku`.
    source: &'a str,
    /// `web.1`, `router` ...
    dyno: &'a str,
    message: &'a str,
}

pub(crate) async fn run(cx: &Context, args: Args) -> anyhow::Result<ExitCode> {
    let app = cx.app(&args.app).await?;
    let session = LogSessionCreate {
        lines: Some(args.num),
        tail: Some(args.tail),
        source: args.source,
        dyno: args.dyno.or(args.process_type),
        ..LogSessionCreate::default()
    };
    let paint = match (args.no_color, args.force_colors) {
        (true, _) => Paint { on: false },
        (false, true) => Paint { on: true },
        (false, false) => cx.out.paint(),
    };
    show(cx, &app, &session, paint, args.json).await
}

/// The whole log of one dyno, as it grows.
pub(crate) async fn follow(cx: &Context, app: &str, dyno: &str) -> anyhow::Result<ExitCode> {
    let session = LogSessionCreate {
        tail: Some(true),
        dyno: Some(dyno.to_owned()),
        ..LogSessionCreate::default()
    };
    show(cx, app, &session, cx.out.paint(), JsonArgs::default()).await
}

async fn show(
    cx: &Context,
    app: &str,
    session: &LogSessionCreate,
    paint: Paint,
    wanted: JsonArgs,
) -> anyhow::Result<ExitCode> {
    let mut stream = cx.client()?.logs(app, session).await?;
    while let Some(text) = stream.next().await? {
        let line = Line::parse(&text);
        if wanted.json {
            let unknown = || Failure::new("The server sent a line that is not of the log's form.");
            cx.out
                .line(&serde_json::to_string(&line.ok_or_else(unknown)?)?)?;
        } else {
            cx.out
                .line(&line.map_or(text.clone(), |line| line.painted(paint)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl<'a> Line<'a> {
    /// `2024-06-10T08:00:00.123456+00:00 app[web.1]: Listening on 5000`
    fn parse(text: &'a str) -> Option<Self> {
        let (timestamp, rest) = text.split_once(' ')?;
        let (source, rest) = rest.split_once('[')?;
        let (dyno, message) = rest.split_once("]:")?;
        let plain = |word: &str| !word.is_empty() && !word.contains(char::is_whitespace);
        let message = message.strip_prefix(' ').unwrap_or(message);
        (plain(source) && plain(dyno)).then_some(Self {
            timestamp,
            source,
            dyno,
            message,
        })
    }

    fn painted(&self, paint: Paint) -> String {
        let head = format!("{} {}[{}]:", self.timestamp, self.source, self.dyno);
        let name = if self.source == "app" {
            self.dyno
        } else {
            self.source
        };
        let message = if self.message.contains(" code=H") && self.dyno == "router" {
            paint.bad(self.message)
        } else {
            self.message.to_owned()
        };
        format!("{} {message}", paint.by_name(name, &head))
            .trim_end()
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line =
            Line::parse("2024-06-10T08:00:00.1+00:00 heroku[router]: at=info path=\"/[x]: y\"")
                .unwrap();
        assert_eq!(
            (line.source, line.dyno, line.message),
            ("heroku", "router", "at=info path=\"/[x]: y\"")
        );
        assert_eq!(Line::parse("2024 app[web.1]:").unwrap().message, "");
        assert_eq!(Line::parse("no log line"), None);
    }

    #[test]
    fn without_colours_a_line_stays_as_it_came() {
        let text = "2024-06-10T08:00:00.1+00:00 app[web.1]: Listening on 5000";
        assert_eq!(
            Line::parse(text).unwrap().painted(Paint { on: false }),
            text
        );
    }
}
