//! The forms that travel: JSON of the Platform API v3 and of the link between server and router.
//!
//! Nothing here is ever stored, and no rule lives here: a type says what the wire says, no more.
//!
//! Answers spell every key, `null` included; requests leave out what they do not say, and take unknown keys
//! without complaint. Times travel in whole seconds of UTC, `2012-01-01T12:00:00Z` ([`time`]).

pub mod account;
pub mod app;
pub mod app_feature;
pub mod attach;
pub mod autoscale;
pub mod browser_login;
pub mod build;
pub mod buildpack_installation;
pub mod collaborator;
pub mod config_var;
pub mod domain;
pub mod dyno;
pub mod dyno_setting;
pub mod dyno_size;
pub mod edge;
pub mod error;
pub mod formation;
pub mod generation;
pub mod job;
pub mod key;
pub mod log_drain;
pub mod log_session;
pub mod metrics;
pub mod monitor;
pub mod oauth;
pub mod page;
pub mod pipeline;
mod present;
pub mod rate_limit;
pub mod reference;
pub mod region;
pub mod release;
pub mod router;
pub mod secret;
pub mod sleep;
pub mod slug;
pub mod sni_endpoint;
pub mod source;
pub mod stack;
pub mod task;
pub mod tcp_route;
pub mod test_run;
pub mod time;
pub mod top;
pub mod two_factor;
pub mod user;

pub use account::Account;
pub use app::App;
pub use app_feature::AppFeature;
pub use autoscale::{AutoscaleEvent, AutoscaleRule};
pub use build::Build;
pub use buildpack_installation::BuildpackInstallation;
pub use collaborator::Collaborator;
pub use config_var::ConfigVars;
pub use domain::Domain;
pub use dyno::Dyno;
pub use dyno_setting::DynoSettings;
pub use dyno_size::DynoSize;
pub use edge::Edge;
pub use error::ErrorBody;
pub use formation::Formation;
pub use generation::Generation;
pub use job::{Job, JobRun};
pub use key::{Key, SshGit};
pub use log_drain::LogDrain;
pub use log_session::LogSession;
pub use metrics::Metrics;
pub use monitor::Monitor;
pub use oauth::Authorization;
pub use pipeline::{Pipeline, PipelineCoupling};
pub use reference::{ById, Named, ReleaseRef, UserRef};
pub use region::Region;
pub use release::Release;
pub use secret::Secret;
pub use slug::Slug;
pub use sni_endpoint::SniEndpoint;
pub use stack::Stack;
pub use tcp_route::TcpRoute;
pub use test_run::TestRun;
pub use top::Top;
pub use user::User;
