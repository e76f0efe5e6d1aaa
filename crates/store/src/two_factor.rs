//! Second factors: the sealed secret, which code was used last, and the recovery codes that are left.
//!
//! What a code is for a secret is not known here.

use jiff::Timestamp;
use ropewalk_model::UserId;
use rusqlite::{OptionalExtension, params};
use zeroize::Zeroizing;

use crate::row::time;
use crate::token::hash;
use crate::{Result, Tx, View};

/// An account's second factor.
pub struct TwoFactor {
    pub secret: Zeroizing<Vec<u8>>,
    /// It counts; otherwise it waits for a first code.
    pub enabled: bool,
    /// Codes of this step and of earlier ones are spent.
    pub last_step: u64,
}

impl std::fmt::Debug for TwoFactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TwoFactor")
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

fn context(user: UserId) -> String {
    format!("two-factor {user}")
}

impl View<'_> {
    pub fn two_factor(&self, user: UserId) -> Result<Option<TwoFactor>> {
        let row: Option<(Option<Vec<u8>>, bool, u64)> = self
            .conn
            .query_row(
                "SELECT two_factor, two_factor_at IS NOT NULL, two_factor_step FROM users WHERE id = ?1",
                [user.to_string()],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        let Some((Some(sealed), enabled, last_step)) = row else {
            return Ok(None);
        };
        Ok(Some(TwoFactor {
            secret: Zeroizing::new(self.key.unseal(&context(user), &sealed)?),
            enabled,
            last_step,
        }))
    }
}

impl Tx<'_> {
    /// Keeps a secret that does not count yet.
    pub fn propose_two_factor(&self, user: UserId, secret: &[u8]) -> Result<()> {
        let sealed = self.key.seal(&context(user), secret)?;
        self.conn.execute(
            "UPDATE users SET two_factor = ?2, two_factor_at = NULL, two_factor_step = 0 WHERE id = ?1",
            params![user.to_string(), sealed],
        )?;
        Ok(())
    }

    /// From now on logging in takes a code. The texts are hashed and forgotten.
    pub fn enable_two_factor(
        &self,
        user: UserId,
        recovery_codes: &[String],
        now: Timestamp,
    ) -> Result<()> {
        self.conn.execute(
            "UPDATE users SET two_factor_at = ?2, updated_at = ?2 WHERE id = ?1",
            params![user.to_string(), time(now)],
        )?;
        self.forget_recovery_codes(user)?;
        for code in recovery_codes {
            self.conn.execute(
                "INSERT INTO recovery_codes (user_id, hash) VALUES (?1, ?2)",
                params![user.to_string(), hash(code)],
            )?;
        }
        Ok(())
    }

    pub fn disable_two_factor(&self, user: UserId, now: Timestamp) -> Result<()> {
        self.conn.execute(
            "UPDATE users SET two_factor = NULL, two_factor_at = NULL, two_factor_step = 0, updated_at = ?2
             WHERE id = ?1",
            params![user.to_string(), time(now)],
        )?;
        self.forget_recovery_codes(user)
    }

    /// Spends the code of a step; `false` when it, or a later one, is spent already.
    pub fn spend_step(&self, user: UserId, step: u64) -> Result<bool> {
        let changed = self.conn.execute(
            "UPDATE users SET two_factor_step = ?2 WHERE id = ?1 AND two_factor_step < ?2",
            params![user.to_string(), step],
        )?;
        Ok(changed > 0)
    }

    /// Spends a recovery code; `false` when there is no such code.
    pub fn spend_recovery_code(&self, user: UserId, code: &str) -> Result<bool> {
        let changed = self.conn.execute(
            "DELETE FROM recovery_codes WHERE user_id = ?1 AND hash = ?2",
            params![user.to_string(), hash(code)],
        )?;
        Ok(changed > 0)
    }

    fn forget_recovery_codes(&self, user: UserId) -> Result<()> {
        self.conn.execute(
            "DELETE FROM recovery_codes WHERE user_id = ?1",
            [user.to_string()],
        )?;
        Ok(())
    }
}
