//! Every parser of ours that input reaches, as a function of bytes that panics when what must hold of every input does
//! not: it ends, it does not panic by itself, and what it makes of the bytes is sound.
//!
//! `cargo test` runs each over its corpus (`corpus/<target>/`) and over bent copies of it; `cargo xtask fuzz` runs them
//! under libFuzzer, which looks for new ways by itself. Private parsers are reached through the module `fuzz` of their
//! crate, where what must hold stands beside them.

mod archive;
mod bend;
mod texts;

use std::path::PathBuf;

pub use bend::Bent;

/// One parser.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// All there are.
pub const TARGETS: &[Target] = &[
    // What clients and proxies say to the router, dynos to it, and the server.
    target("proxy-header", ropewalk_router::fuzz::proxy_header),
    target("http3-frames", ropewalk_router::fuzz::http3_frames),
    target("opening", ropewalk_router::fuzz::opening),
    target("request-heads", ropewalk_router::fuzz::request_heads),
    target("ordinary-heads", ropewalk_router::fuzz::ordinary_heads),
    target("ordinary-answers", ropewalk_router::fuzz::ordinary_answers),
    target("cookies", ropewalk_router::fuzz::cookies),
    target("websocket-answer", ropewalk_router::fuzz::websocket_answer),
    target("terminal", ropewalk_router::fuzz::terminal),
    target("link-line", ropewalk_router::fuzz::link_line),
    // What the API and the registry are asked.
    target("page", ropewalk_api::fuzz::page),
    target("credentials", ropewalk_api::fuzz::credentials),
    target("ssh-key", ropewalk_api::fuzz::ssh_key),
    target("certificates", ropewalk_api::fuzz::certificates),
    target("blob-range", ropewalk_registry::fuzz::blob_range),
    // What people push.
    target("procfile", texts::procfile),
    target("slugignore", ropewalk_builder::fuzz::slugignore),
    target("flat-yaml", ropewalk_builder::fuzz::flat_yaml),
    target("archive", archive::archive),
    target("hook-request", ropewalk_builder::fuzz::hook_request),
    target("hook-answers", ropewalk_builder::fuzz::hook_answers),
    target("ssh-command", ropewalk_builder::fuzz::ssh_command),
    target("changes", ropewalk_builder::fuzz::changes),
    target("address", ropewalk_builder::fuzz::address),
    // What people set.
    target("settings", texts::settings),
    target("names", texts::names),
    target("drain-url", texts::drain_url),
    // What programs of this host say.
    target("attach", texts::attach),
    target("output-frames", ropewalk_engine::fuzz::output_frames),
    target("listening", ropewalk_engine::fuzz::listening),
    target("mount-table", texts::mount_table),
    target("kept-lines", ropewalk_logs::fuzz::kept_lines),
    target("syslog-frame", ropewalk_log_drains::fuzz::syslog_frame),
    // What authorities say.
    target("ocsp-answer", ropewalk_ocsp::fuzz::ocsp_answer),
];

impl Target {
    pub fn find(name: &str) -> Option<Target> {
        TARGETS.iter().find(|target| target.name == name).copied()
    }

    /// Where its inputs lie.
    pub fn corpus(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(self.name)
    }
}
