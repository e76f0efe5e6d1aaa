//! Texts whose parsers are public: what is read can be written, and read again as the same.

use std::fmt::Display;
use std::str::FromStr;

use bytes::Bytes;
use ropewalk_api_types::page::Range;
use ropewalk_model::config_var::ConfigVarName;
use ropewalk_model::drain::DrainUrl;
use ropewalk_model::edge::{Hsts, MaxBody, RateLimit, TrustedIps};
use ropewalk_model::egress::Cidr;
use ropewalk_model::formation::Quantity;
use ropewalk_model::procfile::Procfile;
use ropewalk_model::{AppName, DynoName, ProcessType};

pub(crate) fn procfile(bytes: &[u8]) {
    if let Ok(procfile) = Procfile::parse(bytes) {
        assert!(bytes.len() <= 64 << 10, "larger than a Procfile may be");
        for warning in &procfile.warnings {
            assert!(warning.len() < 1024);
        }
    }
}

pub(crate) fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    again::<Hsts>(&text);
    again::<MaxBody>(&text);
    again::<RateLimit>(&text);
    again::<TrustedIps>(&text);
    again::<Cidr>(&text);
    // Where the last value has dots, nobody can tell where it begins.
    let has_dots = |range: &Range| range.last.as_ref().is_some_and(|last| last.contains('.'));
    if !text.parse().is_ok_and(|range| has_dots(&range)) {
        again::<Range>(&text);
    }
}

pub(crate) fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for (read, written) in [
        (
            AppName::parse(&text).is_ok(),
            AppName::parse(&text).map(|name| name.to_string()).ok(),
        ),
        (
            ProcessType::parse(&text).is_ok(),
            ProcessType::parse(&text).map(|name| name.to_string()).ok(),
        ),
        (
            DynoName::parse(&text).is_ok(),
            DynoName::parse(&text).map(|name| name.to_string()).ok(),
        ),
    ] {
        assert_eq!(read, written.is_some());
        if let Some(written) = written {
            assert!(!written.contains(['/', '\0', '\n', ' ']), "{written:?}");
        }
    }
    if let Ok(name) = ConfigVarName::parse(&text) {
        assert!(!name.to_string().contains(['=', '\0']));
    }
    let _ = Quantity::parse(&text);
}

pub(crate) fn drain_url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = DrainUrl::parse(&text);
}

/// The frames of attached dynos, of either side.
pub(crate) fn attach(bytes: &[u8]) {
    use ropewalk_api_types::attach::{FromDyno, Ticket, ToDyno};
    let frame = Bytes::copy_from_slice(bytes);
    let _ = FromDyno::decode(&frame);
    let _ = ToDyno::decode(&frame);
    let _ = Ticket::decode(&String::from_utf8_lossy(bytes));
}

pub(crate) fn mount_table(bytes: &[u8]) {
    for mount in ropewalk_slug::mountinfo::parse(bytes) {
        let _ = mount;
    }
}

fn again<T: FromStr + Display + PartialEq>(text: &str) {
    let Ok(read) = text.parse::<T>() else {
        return;
    };
    let written = read.to_string();
    assert!(
        written
            .parse::<T>()
            .is_ok_and(|once_more| once_more == read),
        "{text:?} is written {written:?}"
    );
}
