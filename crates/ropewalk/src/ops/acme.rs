//! Which authority issues certificates for apps' own domains: options of the server, which `install` writes into its
//! unit.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;

/// Let's Encrypt.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AcmeArgs {
    /// Directory of the authority that issues certificates for apps' own domains; Let's Encrypt's without it, and none
    /// where the domain is localhost
    #[arg(long, value_name = "URL")]
    pub(super) acme_directory: Option<String>,
    /// Where the authority writes to when something is wrong with a certificate
    #[arg(long, value_name = "EMAIL")]
    pub(super) acme_email: Option<String>,
    /// Authorities to trust for the directory besides the host's, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) acme_ca_file: Option<PathBuf>,
    /// Id of the account that the authority's operator gave out
    #[arg(long, value_name = "ID", requires = "acme_eab_key_file")]
    pub(super) acme_eab_key_id: Option<String>,
    /// File with that account's HMAC key, base64url
    #[arg(long, value_name = "FILE", requires = "acme_eab_key_id")]
    pub(super) acme_eab_key_file: Option<PathBuf>,
    /// Program that sets TXT records, called as PROGRAM add|remove NAME VALUE; with it there are wildcard certificates
    #[arg(long, value_name = "PROGRAM")]
    pub(super) acme_dns_hook: Option<PathBuf>,
}

impl AcmeArgs {
    /// The authority's directory; `None` where no authority can look.
    pub(super) fn directory(&self, domain: &str) -> Result<Option<String>> {
        let directory = match &self.acme_directory {
            Some(directory) => directory.as_str(),
            None if domain == "localhost" => return Ok(None),
            None => DIRECTORY,
        };
        if !directory.starts_with("https://") {
            bail!("--acme-directory {directory}: an authority is spoken to over https:// only");
        }
        Ok(Some(directory.to_owned()))
    }

    /// What cannot be meant.
    pub(super) fn check(&self) -> Result<()> {
        let paths = [
            ("--acme-ca-file", &self.acme_ca_file),
            ("--acme-eab-key-file", &self.acme_eab_key_file),
            ("--acme-dns-hook", &self.acme_dns_hook),
        ];
        for (option, path) in paths {
            if let Some(path) = path.as_deref().filter(|path| !path.is_absolute()) {
                bail!("{option} {}: name it by its whole path", path.display());
            }
        }
        if let Some(email) = &self.acme_email
            && (!email.contains('@') || email.contains(|c: char| c.is_whitespace() || c == ','))
        {
            bail!("--acme-email {email}: that is no e-mail address");
        }
        self.directory("").map(drop)
    }

    /// The options as a line of a unit takes them, with a blank in front of each.
    pub(super) fn for_unit(&self) -> Result<String> {
        self.check()?;
        let path =
            |path: &Option<PathBuf>| path.as_deref().map(Path::display).map(|p| p.to_string());
        let options = [
            ("--acme-directory", self.acme_directory.clone()),
            ("--acme-email", self.acme_email.clone()),
            ("--acme-ca-file", path(&self.acme_ca_file)),
            ("--acme-eab-key-id", self.acme_eab_key_id.clone()),
            ("--acme-eab-key-file", path(&self.acme_eab_key_file)),
            ("--acme-dns-hook", path(&self.acme_dns_hook)),
        ];
        let mut line = String::new();
        for (option, value) in options {
            let Some(value) = value else { continue };
            // Nothing that systemd reads as anything but itself.
            let plain = |c: char| c.is_ascii_alphanumeric() || "/:.-_~@+=?&,".contains(c);
            if value.is_empty() || !value.chars().all(plain) {
                bail!(
                    "{option} {value}: only letters, digits and /:.-_~@+=?&, can stand in a unit; \
                     set it by a drop-in instead (systemctl edit ropewalk-server)"
                );
            }
            line.push_str(&format!(" {option} {value}"));
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_authority_can_look_at_this_machine_alone() {
        let args = AcmeArgs::default();
        assert_eq!(args.directory("localhost").unwrap(), None);
        assert_eq!(
            args.directory("example.com").unwrap().as_deref(),
            Some(DIRECTORY)
        );
        let own = |url: &str| AcmeArgs {
            acme_directory: Some(url.to_owned()),
            ..AcmeArgs::default()
        };
        let url = "https://ca.example.com/dir";
        assert_eq!(
            own(url).directory("localhost").unwrap().as_deref(),
            Some(url)
        );
        assert!(
            own("http://ca.example.com/dir")
                .directory("a.test")
                .is_err()
        );
    }

    #[test]
    fn a_unit_gets_what_cannot_be_misread_alone() {
        assert_eq!(AcmeArgs::default().for_unit().unwrap(), "");
        let args = AcmeArgs {
            acme_directory: Some("https://ca.example.com/dir".to_owned()),
            acme_email: Some("ops+tls@example.com".to_owned()),
            acme_dns_hook: Some("/usr/local/bin/set-txt".into()),
            ..AcmeArgs::default()
        };
        assert_eq!(
            args.for_unit().unwrap(),
            " --acme-directory https://ca.example.com/dir --acme-email ops+tls@example.com \
             --acme-dns-hook /usr/local/bin/set-txt"
        );
        for bad in ["relative", "/a b", "/a%n", "/a\nExecStart=x", "/$HOME"] {
            let args = AcmeArgs {
                acme_dns_hook: Some(bad.into()),
                ..AcmeArgs::default()
            };
            assert!(args.for_unit().is_err(), "{bad:?}");
        }
        let args = AcmeArgs {
            acme_email: Some("nobody".to_owned()),
            ..AcmeArgs::default()
        };
        assert!(args.for_unit().is_err());
    }
}
