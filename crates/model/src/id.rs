//! Typed ids: a UUID that cannot be taken for another kind's UUID.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// An app; stays when the app is renamed.
    AppId,
    /// One build, that is one run of buildpacks.
    BuildId,
    /// An app's place in a pipeline.
    CouplingId,
    /// One dyno, that is one container from its start to its end; `web.1` has another one after each restart.
    DynoId,
    /// A job of an app; stays when the job is renamed.
    JobId,
    /// A pipeline; stays when the pipeline is renamed.
    PipelineId,
    /// One promotion, with all its targets.
    PromotionId,
    /// One release of an app.
    ReleaseId,
    /// One slug.
    SlugId,
    /// A place for a source archive.
    SourceId,
    /// One of the dynos that a test run is spread over.
    TestNodeId,
    /// One run of a pipeline's tests.
    TestRunId,
    /// An API token (never the token itself).
    TokenId,
    /// A person's account.
    UserId,
}

/// Tells the objects of one installation (one data directory) from all others on the same engine:
/// eight lower-case hexadecimal characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId(String);

impl InstanceId {
    /// `None` unless `text` is eight lower-case hexadecimal characters.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 8
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        fits.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
