//! `ps`, `ps:*`: an app's dynos and how many of them there should be.

pub(crate) mod autoscale;
pub(crate) mod list;
pub(crate) mod resize;
pub(crate) mod restart;
pub(crate) mod scale;
pub(crate) mod settings;
pub(crate) mod sleep;
pub(crate) mod stop;
pub(crate) mod wait;

use ropewalk_client::types::Formation;

use crate::ui::Failure;

/// Dynos that restart and stop are about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    All,
    /// `web.1`
    Dyno(String),
    /// `web`
    ProcessType(String),
}

impl Target {
    /// A name with a dot is a dyno, without one a process type.
    fn named(name: Option<String>) -> Self {
        match name {
            None => Self::All,
            Some(name) if name.contains('.') => Self::Dyno(name),
            Some(name) => Self::ProcessType(name),
        }
    }
}

fn no_process_types(app: &str) -> Failure {
    Failure::new(format!("No process types on {app}."))
        .hint("Push code with a Procfile first: git push ropewalk main.")
}

/// `web at 4:Standard-1X, worker at 1:Standard-2X`
fn now_running<'a>(formation: impl Iterator<Item = &'a Formation>) -> String {
    let parts: Vec<String> = formation
        .map(|part| format!("{} at {}:{}", part.process_type, part.quantity, part.size))
        .collect();
    parts.join(", ")
}
