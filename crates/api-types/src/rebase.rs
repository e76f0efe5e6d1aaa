//! `/ropewalk/apps/:app/rebase`: putting an app on the newest version of its stack. Not in Heroku's API.

use serde::{Deserialize, Serialize};

use crate::reference::{Named, ReleaseRef};

/// Which version of its stack an app's newest release is on, and which is the newest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebase {
    pub app: Named,
    pub stack: Named,
    /// Digest of the version that it is on, or was on before; `null` where nothing was deployed.
    pub from: Option<String>,
    /// Digest of the newest version; `null` where this host has none of that stack.
    pub to: Option<String>,
    /// Whether a release was made just now. None is for an app that is on the newest version.
    pub rebased: bool,
    /// The app's newest release: the one that was made, if one was.
    pub release: ReleaseRef,
}
