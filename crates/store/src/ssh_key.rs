//! SSH public keys. A key belongs to one account, for it is all that says who pushes.

use jiff::Timestamp;
use ropewalk_model::UserId;
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::row::{all, first, is_taken, parse, time};
use crate::{Result, StoreError, Tx, User, View};

/// Keys of one account.
const MOST: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    pub id: Uuid,
    pub user: UserId,
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// Kind, base64 and comment, as it was given.
    pub public_key: String,
    pub comment: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A key to be kept; it must have been checked.
#[derive(Debug, Clone)]
pub struct NewSshKey {
    pub id: Uuid,
    pub user: UserId,
    pub fingerprint: String,
    pub public_key: String,
    pub comment: String,
}

fn key(row: &Row<'_>) -> Result<SshKey> {
    Ok(SshKey {
        id: parse(row, "id")?,
        user: parse(row, "user_id")?,
        fingerprint: row.get("fingerprint")?,
        public_key: row.get("public_key")?,
        comment: row.get("comment")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

impl View<'_> {
    /// A user's keys, oldest first.
    pub fn ssh_keys(&self, user: UserId) -> Result<Vec<SshKey>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM ssh_keys WHERE user_id = ?1 ORDER BY created_at, id")?;
        all(&mut statement, [user.to_string()], key)
    }

    /// Whose key has this fingerprint, in the form of [`SshKey::fingerprint`].
    pub fn ssh_key_owner(&self, fingerprint: &str) -> Result<Option<User>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT user_id FROM ssh_keys WHERE fingerprint = ?1")?;
        first(&mut statement, [fingerprint], |row| parse(row, "user_id"))?
            .map(|id| self.user(id))
            .transpose()
    }
}

impl Tx<'_> {
    /// # Errors
    /// [`StoreError::Refused`] when the key is somebody's already, or the account has 100.
    pub fn add_ssh_key(&self, new: &NewSshKey, now: Timestamp) -> Result<SshKey> {
        // An account that was deleted meanwhile gets none: whoever has its address next would have the key.
        self.find_user(&new.user.to_string())?;
        if self.ssh_keys(new.user)?.len() >= MOST {
            return Err(StoreError::Refused(format!(
                "An account has at most {MOST} SSH keys."
            )));
        }
        self.conn
            .execute(
                "INSERT INTO ssh_keys (id, user_id, fingerprint, public_key, comment, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
                params![
                    new.id.to_string(),
                    new.user.to_string(),
                    new.fingerprint,
                    new.public_key,
                    new.comment,
                    time(now)
                ],
            )
            .map_err(|error| match is_taken(&error) {
                true => StoreError::Refused("Key is already in use by an account.".to_owned()),
                false => error.into(),
            })?;
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM ssh_keys WHERE id = ?1")?;
        first(&mut statement, [new.id.to_string()], key)?.ok_or(StoreError::NotFound("key"))
    }

    /// It opens nothing from now on; `false` when the user had no such key.
    pub fn remove_ssh_key(&self, user: UserId, id: Uuid) -> Result<bool> {
        let removed = self.conn.execute(
            "DELETE FROM ssh_keys WHERE id = ?1 AND user_id = ?2",
            [id.to_string(), user.to_string()],
        )?;
        Ok(removed > 0)
    }
}
