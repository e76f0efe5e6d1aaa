//! One file per resource of the API: from a request to the ledger and back to its wire form.

pub(crate) mod account;
pub(crate) mod app;
pub(crate) mod app_feature;
pub(crate) mod app_name;
pub(crate) mod attach;
pub(crate) mod build;
pub(crate) mod buildpack_installation;
pub(crate) mod certificate;
pub(crate) mod collaborator;
pub(crate) mod config_var;
pub(crate) mod domain;
pub(crate) mod dyno;
pub(crate) mod dyno_size;
pub(crate) mod empty;
pub(crate) mod formation;
pub(crate) mod log_session;
pub(crate) mod oauth;
pub(crate) mod output;
pub(crate) mod path;
pub(crate) mod rate_limit;
pub(crate) mod region;
pub(crate) mod release;
pub(crate) mod slug;
pub(crate) mod sni_endpoint;
pub(crate) mod stack;
pub(crate) mod status;
