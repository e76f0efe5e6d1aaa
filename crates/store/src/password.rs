//! Account passwords: Argon2id, so that trying them is dear.
//!
//! Each hash and each check takes 19 MiB and tens of milliseconds by design: callers bound how many run at once.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

use crate::row::first;
use crate::{Result, StoreError, User, View};

/// What an unknown account is checked against, so that it costs the same time as a wrong password.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$9Uu0yW1Yd0t2nX0o8Yw0k2q5Tn9m1b7vC3xQ4r6s8tA";

/// A password as the ledger keeps it.
#[derive(Clone)]
pub struct PasswordHash(pub(crate) String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

impl PasswordHash {
    /// Blocks for tens of milliseconds: not for the writer, nor for a task's thread.
    pub fn of(password: &str) -> Result<Self> {
        let hash = Argon2::default()
            .hash_password(password.as_bytes())
            .map_err(|error| StoreError::Corrupt {
                what: "password",
                value: error.to_string(),
            })?;
        Ok(Self(hash.to_string()))
    }
}

impl View<'_> {
    /// Whether anybody can log in by a password at all.
    pub fn any_password(&self) -> Result<bool> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT 1 FROM users WHERE password_hash IS NOT NULL LIMIT 1")?;
        Ok(first(&mut statement, [], |_| Ok(()))?.is_some())
    }

    /// The account whose password this is. Blocks for tens of milliseconds whenever [`Self::any_password`].
    pub fn verify_password(&self, email: &str, password: &str) -> Result<Option<User>> {
        if !self.any_password()? {
            return Ok(None);
        }
        let mut statement = self.conn.prepare_cached(
            "SELECT password_hash FROM users WHERE email = ?1 AND deleted_at IS NULL",
        )?;
        let kept: Option<String> = first(&mut statement, [email], |row| Ok(row.get(0)?))?.flatten();
        let Ok(parsed) = phc::PasswordHash::new(kept.as_deref().unwrap_or(NOBODYS)) else {
            return Ok(None);
        };
        let matches = Argon2::default()
            .verify_password(password.as_bytes(), &parsed)
            .is_ok();
        if matches && kept.is_some() {
            self.user_by_email(email)
        } else {
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_for_unknown_accounts_costs_as_much_as_a_real_hash() {
        let nobodys = phc::PasswordHash::new(NOBODYS).unwrap();
        let real = PasswordHash::of("x").unwrap();
        let real = phc::PasswordHash::new(&real.0).unwrap();
        assert_eq!(nobodys.algorithm, real.algorithm);
        for name in ["m", "t", "p"] {
            assert_eq!(
                nobodys.params.get(name).map(|value| value.to_string()),
                real.params.get(name).map(|value| value.to_string()),
                "{name}"
            );
        }
    }
}
