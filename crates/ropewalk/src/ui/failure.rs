//! Errors as people see them: what failed, the server's error id, and what to do next.

use std::io;
use std::process::ExitCode;

use ropewalk_client::types::error::id;
use ropewalk_client::{ApiError, Error as ClientError};

use crate::ui::printer::Printer;

const NOT_THE_API: &str =
    "Is ROPEWALK_URL the address of the API, for example http://api.localhost:8080?";

/// A command that cannot go on, in a sentence, with a hint if there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// 1: it did not work. 2: it was asked for in a way that cannot work.
    pub(crate) code: u8,
}

impl Failure {
    /// It did not work.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            code: 1,
        }
    }

    /// It was asked for in a way that cannot work.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            code: 2,
            ..Self::new(message)
        }
    }

    /// What to do next.
    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// Shows `error` on standard error and gives the exit code that goes with it.
pub(crate) fn show(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let (lines, code) = describe(error);
    // When standard error is gone too, the exit code is all that is left to say.
    let _ = Printer::for_process().remark(&lines.join("\n"));
    ExitCode::from(code)
}

/// The reader of our output has gone: nothing to complain about.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
        && error.downcast_ref::<ClientError>().is_none()
}

fn describe(error: &anyhow::Error) -> (Vec<String>, u8) {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        let mut lines = vec![failure.message.clone()];
        lines.extend(failure.hint.clone());
        return (lines, failure.code);
    }
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Api(answer)) => (api_lines(answer), 1),
        Some(client) => {
            let mut lines = vec![sentence(&first_and_last(client))];
            lines.extend(client_hint(client).map(str::to_owned));
            (lines, 1)
        }
        None => (vec![sentence(&causes(error))], 1),
    }
}

fn api_lines(answer: &ApiError) -> Vec<String> {
    let body = &answer.body;
    let mut lines = vec![with_full_stop(&body.message)];
    if !body.id.is_empty() {
        lines.push(String::new());
        lines.push(format!("Error ID: {}", body.id));
    }
    lines.extend(body.app.as_ref().map(|app| format!("App: {}", app.name)));
    lines.extend(
        body.url
            .as_ref()
            .map(|url| format!("See {url} for more information.")),
    );
    lines.extend(api_hint(answer));
    lines
}

fn api_hint(answer: &ApiError) -> Option<String> {
    let hint = match answer.body.id.as_str() {
        id::UNAUTHORIZED => "Run ropewalk login to log in, or set ROPEWALK_TOKEN to a valid token.",
        id::NOT_FOUND => {
            let (what, command) = listed(answer.body.resource.as_deref()?)?;
            return Some(format!("Run ropewalk {command} to see {what}."));
        }
        _ if matches!(answer.status, 502..=504) => {
            "The server may be restarting. On its host, run ropewalk doctor."
        }
        // Whatever answered, it was not the API.
        "" => NOT_THE_API,
        _ => return None,
    };
    Some(hint.to_owned())
}

/// For something that was not found: what there is, and the command that lists it.
fn listed(resource: &str) -> Option<(&'static str, &'static str)> {
    Some(match resource {
        "app" => ("which apps you have", "apps"),
        "app_feature" => ("which features there are", "features"),
        "authorization" => ("which tokens you have", "authorizations"),
        "build" => ("which builds there are", "builds"),
        "collaborator" => ("who works on the app", "access"),
        "domain" => ("which domains the app has", "domains"),
        "tcp_route" => ("which TCP routes the app has", "tcp"),
        "dyno" => ("which dynos run", "ps"),
        "dyno_size" => ("which dyno sizes there are", "sizes"),
        "formation" => ("which process types there are", "ps:scale"),
        "job" => ("which jobs the app has", "jobs"),
        "key" => ("which keys you have", "keys"),
        "log_drain" => ("which log drains the app has", "drains"),
        "release" => ("which releases there are", "releases"),
        "session" => ("where you are logged in", "sessions"),
        "slug" => ("which slugs there are", "slugs"),
        "sni_endpoint" => ("which certificates the app has", "certs"),
        "user" => ("which accounts there are", "users"),
        _ => return None,
    })
}

fn client_hint(error: &ClientError) -> Option<&'static str> {
    match error {
        ClientError::Unreachable { .. } | ClientError::Timeout { .. } => {
            Some("Check ROPEWALK_URL and that the server is up: on its host, run ropewalk doctor.")
        }
        ClientError::BadUrl { .. } => {
            Some("Check ROPEWALK_URL, for example http://api.localhost:8080.")
        }
        ClientError::BadAnswer { .. } => Some(NOT_THE_API),
        ClientError::CaFile { .. } | ClientError::CaContent { .. } => Some("Check ROPEWALK_CA."),
        ClientError::StreamRefused { what: "log", .. } => {
            Some("The log session is over. Run the command again.")
        }
        ClientError::Attach(_) => Some("The dyno may still be running: see ropewalk ps."),
        _ => None,
    }
}

/// The error and what lies at the bottom of it. What stands between says how requests are made, and nothing else.
fn first_and_last(error: &ClientError) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    let (first, last) = (error.to_string(), last.to_string());
    match first.contains(&last) {
        true => first,
        false => format!("{first}: {last}"),
    }
}

/// The error and its causes, each once.
fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A clause that begins with a word becomes a sentence; one that begins with a path or a name keeps it as it is.
fn sentence(clause: &str) -> String {
    let first = clause.split(' ').next().unwrap_or_default();
    if !first.chars().all(char::is_alphabetic) {
        return with_full_stop(clause);
    }
    let mut letters = clause.chars();
    let capital = letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>())
        .unwrap_or_default();
    with_full_stop(&format!("{capital}{}", letters.as_str()))
}

fn with_full_stop(text: &str) -> String {
    match text.ends_with(['.', '?', '!', ':']) {
        true => text.to_owned(),
        false => format!("{text}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_to_do_next() {
        let error = anyhow::Error::from(Failure::usage("No app.").hint("Use --app."));
        assert_eq!(
            describe(&error),
            (vec!["No app.".into(), "Use --app.".into()], 2)
        );
    }

    #[test]
    fn causes_are_told_once_as_a_sentence() {
        let error = anyhow::anyhow!("no such file")
            .context("reading it: no such file")
            .context("cannot go on");
        assert_eq!(
            describe(&error).0,
            ["Cannot go on: reading it: no such file."]
        );
    }

    #[test]
    fn a_file_keeps_its_name_at_the_beginning_too() {
        let error = anyhow::anyhow!("no such file").context("server.key cannot be read");
        assert_eq!(
            describe(&error).0,
            ["server.key cannot be read: no such file."]
        );
    }

    #[test]
    fn only_our_own_output_counts_as_broken_pipe() {
        assert!(is_broken_pipe(
            &io::Error::from(io::ErrorKind::BrokenPipe).into()
        ));
        assert!(!is_broken_pipe(
            &io::Error::from(io::ErrorKind::NotFound).into()
        ));
    }
}
