//! What the words mean: apps, process types, dyno sizes, releases, and the rules that hold between them.
//!
//! Architecture invariant: nothing here does IO, is async, reads a clock or draws randomness. Time and ids
//! are parameters. No wire form and no row is known here.

pub mod acm;
pub mod admission;
pub mod check;
pub mod config_var;
pub mod cron;
pub mod drain;
pub mod dyno;
pub mod dyno_setting;
pub mod edge;
pub mod egress;
pub mod formation;
pub mod id;
pub mod job;
pub mod log_line;
pub mod monitor;
pub mod name;
pub mod pipeline;
pub mod procfile;
pub mod release;
pub mod response_times;
pub mod rights;
pub mod scaling;
pub mod scope;
pub mod size;
pub mod sleep;
pub mod tcp;
pub mod test_run;
pub mod time_zone;
pub mod traffic;

pub use check::Check;
pub use config_var::{ConfigVarName, ConfigVars};
pub use cron::Cron;
pub use drain::DrainUrl;
pub use dyno::{DynoName, DynoState};
pub use dyno_setting::{AppDynoSettings, DynoSettings};
pub use egress::Egress;
pub use id::{
    AppId, BuildId, CouplingId, DynoId, InstanceId, JobId, PipelineId, PromotionId, ReleaseId,
    SlugId, SourceId, TestNodeId, TestRunId, TokenId, UserId,
};
pub use name::{AppName, ProcessType};
pub use response_times::ResponseTimes;
pub use scope::{Scope, Scopes};
pub use size::{DynoSize, SizeName, Sizes};
pub use sleep::SleepTier;
pub use traffic::Traffic;
