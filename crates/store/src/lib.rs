//! The ledger: everything that was promised to somebody, in one SQLite file.
//!
//! Architecture invariant: only this crate names rusqlite. A write that was answered is on disk
//! (`synchronous=FULL`); rows never leave as wire forms. There is one writer, so a transaction sees no other.

mod acme;
mod admission;
mod app;
mod autoscale;
mod build;
mod check;
mod collaborator;
mod domain;
mod dyno;
mod dyno_setting;
mod dyno_size;
mod edge;
mod error;
mod expected_slug;
mod formation;
mod job;
mod job_run;
mod log_drain;
mod migrate;
mod password;
mod pipeline;
mod platform_certificate;
mod promotion;
mod release;
mod row;
mod seal;
mod sleep;
mod slug;
mod sni_endpoint;
mod ssh_key;
mod stack;
mod tcp_route;
mod test_run;
mod token;
mod two_factor;
mod user;
mod worker;

pub use acme::{AcmDomain, AcmeAccount, AcmeOrder};
pub use app::{App, NewApp};
pub use autoscale::{
    AutoscaleEvent, AutoscaleRule, KEPT_EVENTS, NewAutoscaleEvent, NewAutoscaleRule, WebhookChange,
};
pub use build::{Build, BuildSource, BuildStatus, NewBuild};
pub use check::FileCheck;
pub use collaborator::Collaborator;
pub use domain::Domain;
pub use dyno::{Dyno, NewDyno, Retire};
pub use error::StoreError;
pub use expected_slug::ExpectedSlug;
pub use formation::{Formation, FormationChange};
pub use job::{FileJob, Job, JobSettings};
pub use job_run::{JobRun, OpenRun};
pub use log_drain::LogDrain;
pub use migrate::schema;
pub use password::PasswordHash;
pub use pipeline::{Coupling, Pipeline};
pub use platform_certificate::PlatformCertificate;
pub use promotion::{Promotion, PromotionTarget};
pub use release::{NewRelease, Release};
pub use seal::Key;
pub use sleep::AppSleep;
pub use slug::{NewSlug, Slug, Tgz};
pub use sni_endpoint::{NewSniEndpoint, ServedCertificate, SniEndpoint};
pub use ssh_key::{NewSshKey, SshKey};
pub use stack::{Stack, StackUse};
pub use tcp_route::{NewTcpRoute, TcpEntrance, TcpRoute, WantedEntrance};
pub use test_run::{NewTestRun, TestCase, TestRun};
pub use token::{NewToken, Token};
pub use two_factor::TwoFactor;
pub use user::User;
pub use worker::{Store, Tx, View};

pub type Result<T> = std::result::Result<T, StoreError>;
