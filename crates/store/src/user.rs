//! Accounts.

use jiff::Timestamp;
use ropewalk_model::UserId;
use rusqlite::{Row, params};

use crate::row::{all, first, is_taken, parse, parse_opt, time};
use crate::{PasswordHash, Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub name: Option<String>,
    pub admin: bool,
    /// Can log in by a password; whoever cannot, has tokens.
    pub has_password: bool,
    /// Logging in takes a code besides.
    pub two_factor: bool,
    pub last_login: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

fn user(row: &Row<'_>) -> Result<User> {
    Ok(User {
        id: parse(row, "id")?,
        email: row.get("email")?,
        name: row.get("name")?,
        admin: row.get("admin")?,
        has_password: row.get::<_, Option<String>>("password_hash")?.is_some(),
        two_factor: row.get::<_, Option<String>>("two_factor_at")?.is_some(),
        last_login: parse_opt(row, "last_login")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

impl View<'_> {
    /// Also one that was deleted: builds and releases still name it.
    pub fn user(&self, id: UserId) -> Result<User> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM users WHERE id = ?1")?;
        first(&mut statement, [id.to_string()], user)?.ok_or(StoreError::NotFound("user"))
    }

    /// By e-mail address, in any case.
    pub fn user_by_email(&self, email: &str) -> Result<Option<User>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM users WHERE email = ?1 AND deleted_at IS NULL")?;
        first(&mut statement, [email], user)
    }

    /// By e-mail address or id, as paths of the API allow both.
    pub fn find_user(&self, email_or_id: &str) -> Result<User> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM users WHERE (email = ?1 OR id = ?1) AND deleted_at IS NULL",
        )?;
        first(&mut statement, [email_or_id], user)?.ok_or(StoreError::NotFound("user"))
    }

    /// Oldest first.
    pub fn users(&self) -> Result<Vec<User>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM users WHERE deleted_at IS NULL ORDER BY created_at, id",
        )?;
        all(&mut statement, [], user)
    }

    /// Names of the apps that a user owns.
    pub fn owned_apps(&self, user: UserId) -> Result<Vec<String>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT name FROM apps WHERE owner_id = ?1 AND NOT ephemeral ORDER BY name",
        )?;
        all(&mut statement, [user.to_string()], |row| Ok(row.get(0)?))
    }
}

impl Tx<'_> {
    /// An address that belonged to a deleted account gets that account's id again, and nothing else of it.
    pub fn create_user(
        &self,
        id: UserId,
        email: &str,
        admin: bool,
        now: Timestamp,
    ) -> Result<User> {
        let at = time(now);
        let revived = self.conn.execute(
            "UPDATE users SET email = ?1, name = NULL, admin = ?2, created_at = ?3, updated_at = ?3, deleted_at = NULL
             WHERE email = ?1 AND deleted_at IS NOT NULL",
            params![email, admin, at],
        )?;
        if revived == 0 {
            self.conn
                .execute(
                    "INSERT INTO users (id, email, admin, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)",
                    params![id.to_string(), email, admin, at],
                )
                .map_err(|error| taken(error, email))?;
        }
        self.find_user(email)
    }

    pub fn set_password(&self, id: UserId, password: &PasswordHash, now: Timestamp) -> Result<()> {
        self.conn.execute(
            "UPDATE users SET password_hash = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), password.0, time(now)],
        )?;
        Ok(())
    }

    pub fn set_user_name(&self, id: UserId, name: Option<&str>, now: Timestamp) -> Result<()> {
        self.conn.execute(
            "UPDATE users SET name = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), name, time(now)],
        )?;
        Ok(())
    }

    pub fn set_email(&self, id: UserId, email: &str, now: Timestamp) -> Result<()> {
        self.conn
            .execute(
                "UPDATE users SET email = ?2, updated_at = ?3 WHERE id = ?1",
                params![id.to_string(), email, time(now)],
            )
            .map_err(|error| taken(error, email))?;
        Ok(())
    }

    pub fn set_admin(&self, id: UserId, admin: bool, now: Timestamp) -> Result<()> {
        self.revoke();
        if !admin {
            self.keep_an_administrator(id)?;
        }
        self.conn.execute(
            "UPDATE users SET admin = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), admin, time(now)],
        )?;
        Ok(())
    }

    /// Ends an account with its tokens, its keys and its part in others' apps. Who owns apps or
    /// pipelines, and the last administrator, stay.
    pub fn delete_user(&self, id: UserId, now: Timestamp) -> Result<()> {
        self.revoke();
        let found = self.user(id)?;
        let apps = self.owned_apps(id)?;
        if let Some(first) = apps.first() {
            let text = match apps.len() - 1 {
                0 => format!("{} owns the app {first}; destroy it first.", found.email),
                more => format!(
                    "{} owns {first} and {more} more apps; destroy them first.",
                    found.email
                ),
            };
            return Err(StoreError::Refused(text));
        }
        if let Some(first) = self.owned_pipelines(id)?.first() {
            let text = format!(
                "{} owns the pipeline {first}; destroy it or give it away first.",
                found.email
            );
            return Err(StoreError::Refused(text));
        }
        self.keep_an_administrator(id)?;
        self.disable_two_factor(id, now)?;
        for sql in [
            "DELETE FROM tokens WHERE user_id = ?1",
            "DELETE FROM ssh_keys WHERE user_id = ?1",
            "DELETE FROM collaborators WHERE user_id = ?1",
        ] {
            self.conn.execute(sql, [id.to_string()])?;
        }
        // What others' apps have of the user stays readable, so the row must.
        self.conn.execute(
            "UPDATE users SET name = NULL, admin = 0, password_hash = NULL, last_login = NULL, updated_at = ?2,
                 deleted_at = ?2
             WHERE id = ?1",
            params![id.to_string(), time(now)],
        )?;
        Ok(())
    }

    fn keep_an_administrator(&self, id: UserId) -> Result<()> {
        let users = self.users()?;
        let is_admin = users.iter().any(|user| user.id == id && user.admin);
        let others = users.iter().any(|user| user.id != id && user.admin);
        if is_admin && !others {
            return Err(StoreError::Refused(
                "This is the last administrator; make somebody else one first.".to_owned(),
            ));
        }
        Ok(())
    }
}

fn taken(error: rusqlite::Error, email: &str) -> StoreError {
    if is_taken(&error) {
        StoreError::Taken {
            what: "e-mail address",
            name: email.to_owned(),
        }
    } else {
        error.into()
    }
}
