//! Which of the platform's own names want a certificate, and whose certificates nobody needs any more. No IO.

use std::collections::HashSet;

use jiff::Timestamp;
use ropewalk_store::PlatformCertificate;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::certificate::Said;

/// Hosts of the platform itself. Without the first two nobody gets far.
const HOSTS: [&str; 3] = ["api", "git", "registry"];
const LEADING: usize = 2;

/// The names below a platform's domain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// One certificate for each.
    pub(crate) wanted: Vec<Name>,
    /// Whatever may be served below the domain, wanted by itself or not.
    all: HashSet<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) host: String,
    pub(crate) leads: bool,
}

impl Names {
    /// Of the hosts of the platform and every app's default name. Where TXT records can be set, a wildcard is for all.
    pub(crate) fn new<'a>(
        domain: &str,
        apps: impl IntoIterator<Item = &'a str>,
        dns: bool,
    ) -> Self {
        let wildcard = format!("*.{domain}");
        let single: Vec<Name> = HOSTS
            .into_iter()
            .chain(apps)
            .enumerate()
            .map(|(at, label)| Name {
                host: format!("{label}.{domain}"),
                leads: at < LEADING,
            })
            .collect();
        let mut all: HashSet<String> = single.iter().map(|name| name.host.clone()).collect();
        all.insert(wildcard.clone());
        let wanted = match dns {
            true => vec![Name {
                host: wildcard,
                leads: true,
            }],
            false => single,
        };
        Self { wanted, all }
    }

    /// Certificates that serve nobody: of names that are gone at once, and of those that others came in the place of
    /// once these are all there. Without `names` there is none that the platform wants.
    pub(crate) fn surplus(
        names: Option<&Self>,
        held: &[PlatformCertificate],
        now: Timestamp,
    ) -> Vec<String> {
        let Some(names) = names else {
            return held.iter().map(|one| one.hostname.clone()).collect();
        };
        let serves = |one: &&PlatformCertificate| {
            Said::of(&one.certificate_chain).is_ok_and(|said| said.until > now)
        };
        let serving: HashSet<&str> = held
            .iter()
            .filter(serves)
            .map(|one| one.hostname.as_str())
            .collect();
        let wanted: HashSet<&str> = names.wanted.iter().map(|name| name.host.as_str()).collect();
        let are_all_there = wanted.is_subset(&serving);
        let hosts = held.iter().map(|one| &one.hostname);
        hosts
            .filter(|host| !wanted.contains(host.as_str()))
            .filter(|host| {
                are_all_there || !names.all.contains(*host) || !serving.contains(host.as_str())
            })
            .cloned()
            .collect()
    }
}

/// Stands for a name where others have a domain.
pub(crate) fn id(host: &str) -> Uuid {
    let digest = Sha256::digest(host.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn now() -> Timestamp {
        "2026-06-01T12:00:00Z".parse().unwrap()
    }

    /// A certificate that ends with that year.
    fn held(host: &str, year: i32) -> PlatformCertificate {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let chain = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        PlatformCertificate {
            id: Uuid::new_v4(),
            hostname: host.to_owned(),
            certificate_chain: chain.pem(),
            updated_at: now(),
        }
    }

    fn wanted(names: &Names) -> Vec<(&str, bool)> {
        let wanted = names.wanted.iter();
        wanted
            .map(|name| (name.host.as_str(), name.leads))
            .collect()
    }

    #[test]
    fn every_name_wants_one_or_a_wildcard_is_for_all() {
        let each = Names::new("example.com", ["shop", "blog"], false);
        assert_eq!(
            wanted(&each),
            [
                ("api.example.com", true),
                ("git.example.com", true),
                ("registry.example.com", false),
                ("shop.example.com", false),
                ("blog.example.com", false),
            ]
        );
        let wildcard = Names::new("example.com", ["shop"], true);
        assert_eq!(wanted(&wildcard), [("*.example.com", true)]);
    }

    #[test]
    fn the_certificate_of_a_name_that_is_gone_goes() {
        let names = Names::new("example.com", ["shop"], false);
        let all = ["api", "old", "shop"].map(|label| held(&format!("{label}.example.com"), 2026));
        let surplus = Names::surplus(Some(&names), &all, now());
        assert_eq!(surplus, ["old.example.com"]);
        // Where they are not wanted at all, none stays.
        assert_eq!(Names::surplus(None, &all, now()).len(), 3);
        // Neither does one of another domain.
        let other = Names::new("example.net", ["shop"], false);
        assert_eq!(Names::surplus(Some(&other), &all, now()).len(), 3);
    }

    #[test]
    fn names_are_served_by_what_they_have_until_others_are_there() {
        let mut all = vec![
            held("api.example.com", 2026),
            held("shop.example.com", 2026),
        ];
        let names = Names::new("example.com", ["shop"], true);
        assert!(Names::surplus(Some(&names), &all, now()).is_empty());
        // One that has ended serves nobody, a wildcard neither.
        all.push(held("*.example.com", 2025));
        assert!(Names::surplus(Some(&names), &all, now()).is_empty());
        all[0] = held("api.example.com", 2025);
        let surplus = Names::surplus(Some(&names), &all, now());
        assert_eq!(surplus, ["api.example.com"]);
        all[2] = held("*.example.com", 2026);
        assert_eq!(Names::surplus(Some(&names), &all, now()).len(), 2);
        // And back.
        let names = Names::new("example.com", [], false);
        let mut all = vec![all.remove(2), held("api.example.com", 2026)];
        assert!(Names::surplus(Some(&names), &all, now()).is_empty());
        all.extend(["git", "registry"].map(|label| held(&format!("{label}.example.com"), 2026)));
        let surplus = Names::surplus(Some(&names), &all, now());
        assert_eq!(surplus, ["*.example.com"]);
    }
}
