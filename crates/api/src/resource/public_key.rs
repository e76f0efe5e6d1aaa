//! An SSH public key as people paste it, and its fingerprints. Text only: nothing is looked up or kept here.
//!
//! Kinds are those that the server's SSH side can check: what is taken here must open the door there.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

use crate::transport::error::{ApiError, ApiResult};

/// Longest text of a key, in bytes. The longest kind that is taken has 350 with a long comment.
const MAX_TEXT: usize = 8 << 10;
/// Longest comment, in characters.
const MAX_COMMENT: usize = 255;

/// Kinds of keys, and the bytes of their point or number.
const KINDS: [(&str, Option<&str>, usize); 4] = [
    ("ssh-ed25519", None, 32),
    ("ecdsa-sha2-nistp256", Some("nistp256"), 65),
    ("ecdsa-sha2-nistp384", Some("nistp384"), 97),
    ("ecdsa-sha2-nistp521", Some("nistp521"), 133),
];

/// A key that can be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    /// Kind, base64 and comment, one space apart.
    pub(crate) text: String,
    /// Empty when none was given.
    pub(crate) comment: String,
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub(crate) fingerprint: String,
}

/// Reads one line of a `.pub` file.
///
/// # Errors
/// 422 with what is wrong with it and what to do. The text itself is never repeated: it may be a private key.
pub(crate) fn parse(text: &str) -> ApiResult<PublicKey> {
    if text.len() > MAX_TEXT {
        return Err(ApiError::invalid("That is too long for an SSH public key."));
    }
    if text.contains("PRIVATE KEY") {
        return Err(ApiError::invalid(
            "That is a private key, which nobody else should have. Send the file that ends in .pub.",
        ));
    }
    let text = text.trim();
    let mut words = text.splitn(3, [' ', '\t']);
    let (kind, encoded) = (words.next().unwrap_or_default(), words.next());
    let Some(encoded) = encoded.filter(|_| !text.contains(['\n', '\r', '\0'])) else {
        return Err(malformed());
    };
    if kind == "ssh-rsa" || kind == "ssh-dss" {
        return Err(ApiError::invalid(
            "RSA and DSA keys are not accepted. Make a newer one: ssh-keygen -t ed25519",
        ));
    }
    if kind.starts_with("sk-") || kind.contains("-cert-") {
        return Err(ApiError::invalid(
            "Keys of security tokens and certificates are not accepted. Make a plain one: ssh-keygen -t ed25519",
        ));
    }
    let known = KINDS.iter().find(|(name, ..)| *name == kind);
    let (_, curve, length) = known.ok_or_else(malformed)?;
    let blob = BASE64_STANDARD.decode(encoded).map_err(|_| malformed())?;
    if !holds(&blob, kind, *curve, *length) {
        return Err(malformed());
    }
    let comment: String = words
        .next()
        .unwrap_or_default()
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_COMMENT)
        .collect();
    let line = format!("{kind} {encoded} {comment}");
    Ok(PublicKey {
        text: line.trim_end().to_owned(),
        comment,
        fingerprint: sha256(&blob),
    })
}

/// Whether the bytes are a key of that kind and nothing else.
fn holds(blob: &[u8], kind: &str, curve: Option<&str>, length: usize) -> bool {
    let mut rest = blob;
    let named = take(&mut rest) == Some(kind.as_bytes())
        && curve.is_none_or(|curve| take(&mut rest) == Some(curve.as_bytes()));
    // 4: a point that is not compressed, the only form there is in SSH.
    let sound = |key: &[u8]| key.len() == length && (curve.is_none() || key.first() == Some(&4));
    named && take(&mut rest).is_some_and(sound) && rest.is_empty()
}

/// The next string: its length in four bytes, then its bytes.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (value, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(value)
}

fn sha256(blob: &[u8]) -> String {
    let digest = BASE64_STANDARD_NO_PAD.encode(Sha256::digest(blob));
    format!("SHA256:{digest}")
}

/// `17:63:a4:…` of a key that was taken before: how Heroku's clients know keys. It proves nothing.
pub(crate) fn md5(text: &str) -> String {
    let encoded = text.split(' ').nth(1).unwrap_or_default();
    let blob = BASE64_STANDARD.decode(encoded).unwrap_or_default();
    let pairs: Vec<String> = md5::compute(blob)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    pairs.join(":")
}

fn malformed() -> ApiError {
    ApiError::invalid(
        "That is not an SSH public key. It is one line that begins with ssh-ed25519 or ecdsa-sha2-nistp256, -384 or -521.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by `ssh-keygen` for these tests; the fingerprints are what `ssh-keygen -l` says of them.
    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICSrwH9XycPKZ/rCUXyt/fh/dsn7p9TUb6+nHWvedsbU";
    const ED25519_SHA256: &str = "SHA256:aWedss8YQlAsCcWrollXJ057QgCDJtHL0uRG6VXdCqo";
    const ED25519_MD5: &str = "f1:08:ee:ed:3f:76:7f:fa:62:5a:b9:f0:d8:30:00:ac";
    const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBO2qHTRSnb/12+E/zW2ZWVF9ZQ5p5ErVP2pncJehYanhTUfwN+qXSTk3xbx2yH1++aSBTLSBUHjhXiu3kxrX7ZU=";
    const P384: &str = "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBCGjJPc0nETayuKbEGDvFt4OCpGVPtMTMbmuMZaBs5DfehRrtz5sYyJHf74xRCCCwjAYITlp5PycT0Q0rlmcbJRvr9lxrjvqBr/PQKR04VAYWV3EuUgRxF2AyCpLueBOfA==";
    const P521: &str = "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAAbqthzrIrJmkrtZkW65PsVxSmwO+xuquxMEV1TwUyn6Nh83zGcs1ZH2SFsM9htOujrjqCNJ6jDDn0szaFyj7QLwAASUGvzo+eZlK5/uB9wKTqmxYjPKN0+ByZEtJaMj0fdrVKM8Rxnl7ZAKTM5GlKuhlIu4ZPEgNMx8Aevj2+ZO4JFDw==";

    #[test]
    fn fingerprints_are_those_of_ssh_keygen() {
        let key = parse(&format!("  {ED25519} dev@example.com\n")).unwrap();
        assert_eq!(key.fingerprint, ED25519_SHA256);
        assert_eq!(md5(&key.text), ED25519_MD5);
        assert_eq!(key.comment, "dev@example.com");
        assert_eq!(key.text, format!("{ED25519} dev@example.com"));
    }

    #[test]
    fn every_kind_is_read_and_comments_are_cleaned() {
        for kind in [ED25519, P256, P384, P521] {
            assert_eq!(parse(kind).unwrap().text, kind);
        }
        let long = format!("{P256} my\x1b[31m  laptop {}", "x".repeat(1000));
        let comment = parse(&long).unwrap().comment;
        assert!(comment.starts_with("my[31m  laptop x"), "{comment}");
        assert_eq!(comment.chars().count(), MAX_COMMENT);
    }

    #[test]
    fn whatever_is_no_key_is_refused_and_not_repeated() {
        let (kind, encoded) = ED25519.split_once(' ').unwrap();
        let mut longer = BASE64_STANDARD.decode(encoded).unwrap();
        longer.push(0);
        for text in [
            "",
            kind,
            encoded,
            "ssh-ed25519 !!!",
            &format!("{kind} {}", &encoded[..encoded.len() - 4]),
            &format!("{kind} {}", BASE64_STANDARD.encode(longer)),
            &format!("ecdsa-sha2-nistp256 {encoded}"),
            &format!("{ED25519}\n{P256}"),
            &format!("command=\"x\" {ED25519}"),
            &format!("ssh-rsa {encoded}"),
            &format!("sk-ssh-ed25519@openssh.com {encoded}"),
            "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n",
            &format!("{ED25519} {}", "x".repeat(MAX_TEXT)),
        ] {
            let said = format!("{:?}", parse(text).unwrap_err());
            assert!(
                !said.contains("secret") && !said.contains(encoded),
                "{said}"
            );
        }
    }
}
