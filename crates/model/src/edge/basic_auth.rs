//! Who may come in: one user and one password, as HTTP's Basic scheme sends them (RFC 7617).
//!
//! The password itself is kept nowhere. What is kept is a digest that is cheap to compare with, because every request
//! brings the password again: a slow one, as for accounts, would let strangers keep the router busy. It is salted, sealed
//! on disk and sent to nobody but the router, so it cannot be guessed at without the host.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{EdgeError, Name};

/// Longest user name, in bytes.
const MAX_USER: usize = 64;
/// Shortest and longest password, in bytes.
const PASSWORD: (usize, usize) = (8, 128);

/// Bytes that make equal passwords look different.
pub type Salt = [u8; 16];

/// A user, and by what its password is known.
#[derive(Clone, PartialEq, Eq)]
pub struct BasicAuth {
    user: String,
    salt: Salt,
    digest: [u8; 32],
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl BasicAuth {
    /// `salt` is random.
    pub fn new(user: &str, password: &str, salt: Salt) -> Result<Self, EdgeError> {
        if !is_user(user) {
            return Err(Name::BasicAuth.refuse(user));
        }
        let (least, most) = PASSWORD;
        if !(least..=most).contains(&password.len()) || password.chars().any(char::is_control) {
            return Err(EdgeError::Password(least, most));
        }
        let digest = digest(&salt, format!("{user}:{password}").as_bytes());
        Ok(Self {
            user: user.to_owned(),
            salt,
            digest,
        })
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether these are the user and the password, with the colon between. Takes the same time whatever is wrong.
    pub fn admits(&self, credentials: &[u8]) -> bool {
        let brought = digest(&self.salt, credentials);
        let pairs = brought.iter().zip(&self.digest);
        pairs.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }

    /// To be kept, and given to [`BasicAuth::restore`].
    pub fn kept(&self) -> String {
        format!("{}:{}:{}", hex(&self.salt), hex(&self.digest), self.user)
    }

    /// `None` for what [`BasicAuth::kept`] never gave.
    pub fn restore(kept: &str) -> Option<Self> {
        let mut parts = kept.splitn(3, ':');
        let (salt, digest, user) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            user: is_user(user).then(|| user.to_owned())?,
            salt: unhex(salt)?,
            digest: unhex(digest)?,
        })
    }
}

/// No colon, for it ends the name.
fn is_user(text: &str) -> bool {
    (1..=MAX_USER).contains(&text.len())
        && !text.contains(':')
        && !text.chars().any(char::is_control)
}

fn digest(salt: &Salt, credentials: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(credentials);
    hash.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    if text.len() != 2 * LENGTH || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = [7; 16];

    #[test]
    fn only_the_user_with_the_password_comes_in() {
        let auth = BasicAuth::new("dev", "hunter2:hunter2", SALT).unwrap();
        assert_eq!(auth.user(), "dev");
        let again = BasicAuth::restore(&auth.kept()).unwrap();
        assert_eq!(again, auth);
        for auth in [auth, again] {
            assert!(auth.admits(b"dev:hunter2:hunter2"));
            for wrong in [
                "dev:hunter2:hunter",
                "dev:",
                "de:vhunter2:hunter2",
                "",
                "\0",
            ] {
                assert!(!auth.admits(wrong.as_bytes()), "{wrong}");
            }
        }
    }

    #[test]
    fn equal_passwords_look_different_and_are_never_shown() {
        let auth = BasicAuth::new("dev", "hunter2hunter2", SALT).unwrap();
        let other = BasicAuth::new("dev", "hunter2hunter2", [8; 16]).unwrap();
        assert_ne!(auth.kept(), other.kept());
        let shown = format!("{auth:?} {}", auth.kept());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!format!("{auth:?}").contains("0707"));
    }

    #[test]
    fn names_and_passwords_have_limits_and_no_password_is_repeated() {
        for user in ["", "a:b", "a\nb", &"u".repeat(65)] {
            assert!(BasicAuth::new(user, "long enough", SALT).is_err(), "{user}");
        }
        for password in ["", "seven77", "with\nline", &"p".repeat(129)] {
            let error = BasicAuth::new("dev", password, SALT)
                .unwrap_err()
                .to_string();
            assert_eq!(
                error,
                "The password of basic-auth must have 8 to 128 characters, all of which can be typed."
            );
        }
        for kept in [
            "",
            "07:07:dev",
            "::dev",
            &format!("{}:{}:", "0".repeat(32), "0".repeat(64)),
        ] {
            assert!(BasicAuth::restore(kept).is_none(), "{kept}");
        }
    }
}
