//! A certificate for a domain and everything directly below it, by an authority that only the test knows.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Ran;

pub struct Tls {
    /// Where the router takes TLS.
    pub port: u16,
    /// The authority's certificate: what clients must trust.
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

const KEY: [&str; 5] = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
];

impl Tls {
    /// Made in `folder`.
    pub fn of(folder: &Path, domain: &str, port: u16) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let names = format!("subjectAltName=DNS:{domain},DNS:*.{domain}\n");
        std::fs::write(folder.join("names"), names).unwrap();
        let openssl = |args: &[&str]| {
            let output = Command::new("openssl")
                .args(args)
                .current_dir(folder)
                .output()
                .unwrap();
            Ran::of(output).good();
        };
        let authority = [
            "req",
            "-x509",
            "-days",
            "30",
            "-subj",
            "/CN=Authority of a test",
        ];
        let files = ["-keyout", "ca.key", "-out", "ca.pem"];
        openssl(&[&authority[..], &KEY, &files].concat());
        let subject = format!("/CN={domain}");
        let files = ["-keyout", "site.key", "-out", "site.csr"];
        openssl(&[&["req", "-subj", &subject][..], &KEY, &files].concat());
        let signed = ["x509", "-req", "-in", "site.csr", "-days", "30"];
        let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        openssl(&[&signed[..], &by, &["-extfile", "names", "-out", "site.pem"]].concat());
        Self {
            port,
            ca: folder.join("ca.pem"),
            cert: folder.join("site.pem"),
            key: folder.join("site.key"),
        }
    }
}
