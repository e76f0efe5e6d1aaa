//! Accounts and their API tokens.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use jiff::Timestamp;
use ropewalk_model::{TokenId, UserId};
use rusqlite::{Row, params};
use sha2::{Digest, Sha256};

use crate::row::{all, first, is_taken, parse, parse_opt, time};
use crate::{Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub name: Option<String>,
    pub admin: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A token as the ledger knows it: never its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub user: UserId,
    /// Redacted form: first four characters, ten asterisks, last four.
    pub hint: String,
    pub description: String,
    pub scope: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// A token to be kept. `text` is hashed and forgotten.
pub struct NewToken {
    pub id: TokenId,
    pub user: UserId,
    pub text: String,
    pub description: String,
    pub scope: String,
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewToken")
            .field("id", &self.id)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

fn hash(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

fn hint(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() < 12 {
        return "*".repeat(10);
    }
    let head: String = chars[..4].iter().collect();
    let tail: String = chars[chars.len() - 4..].iter().collect();
    format!("{head}{}{tail}", "*".repeat(10))
}

fn user(row: &Row<'_>) -> Result<User> {
    Ok(User {
        id: parse(row, "id")?,
        email: row.get("email")?,
        name: row.get("name")?,
        admin: row.get("admin")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

fn token(row: &Row<'_>) -> Result<Token> {
    Ok(Token {
        id: parse(row, "id")?,
        user: parse(row, "user_id")?,
        hint: row.get("hint")?,
        description: row.get("description")?,
        scope: row.get("scope")?,
        created_at: parse(row, "created_at")?,
        expires_at: parse_opt(row, "expires_at")?,
    })
}

impl View<'_> {
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
            .prepare_cached("SELECT * FROM users WHERE email = ?1")?;
        first(&mut statement, [email], user)
    }

    pub fn users(&self) -> Result<Vec<User>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM users ORDER BY created_at")?;
        all(&mut statement, [], user)
    }

    /// Whose token this text is, unless it has expired by `now`.
    pub fn authenticate(&self, text: &str, now: Timestamp) -> Result<Option<(User, Token)>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM tokens WHERE hash = ?1")?;
        let Some(found) = first(&mut statement, [hash(text)], token)? else {
            return Ok(None);
        };
        if found.expires_at.is_some_and(|at| at <= now) {
            return Ok(None);
        }
        Ok(Some((self.user(found.user)?, found)))
    }

    /// The account whose password this is. Costs tens of milliseconds by design.
    pub fn verify_password(&self, email: &str, password: &str) -> Result<Option<User>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT password_hash FROM users WHERE email = ?1")?;
        let kept: Option<Option<String>> = first(&mut statement, [email], |row| Ok(row.get(0)?))?;
        // An unknown account costs the same time as a wrong password.
        let dummy = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$9Uu0yW1Yd0t2nX0o8Yw0k2q5Tn9m1b7vC3xQ4r6s8tA";
        let text = kept.clone().flatten().unwrap_or_else(|| dummy.to_owned());
        let Ok(parsed) = PasswordHash::new(&text) else {
            return Ok(None);
        };
        let matches = Argon2::default()
            .verify_password(password.as_bytes(), &parsed)
            .is_ok();
        if matches && kept.flatten().is_some() {
            self.user_by_email(email)
        } else {
            Ok(None)
        }
    }

    /// A user's tokens, oldest first.
    pub fn tokens(&self, user: UserId) -> Result<Vec<Token>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM tokens WHERE user_id = ?1 ORDER BY created_at")?;
        all(&mut statement, [user.to_string()], token)
    }
}

impl Tx<'_> {
    pub fn create_user(
        &self,
        id: UserId,
        email: &str,
        admin: bool,
        now: Timestamp,
    ) -> Result<User> {
        let at = time(now);
        self.conn
            .execute(
                "INSERT INTO users (id, email, admin, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)",
                params![id.to_string(), email, admin, at],
            )
            .map_err(|error| match is_taken(&error) {
                true => StoreError::Taken { what: "e-mail address", name: email.to_owned() },
                false => error.into(),
            })?;
        self.user(id)
    }

    pub fn set_password(&self, id: UserId, password: &str, now: Timestamp) -> Result<()> {
        let hash = Argon2::default()
            .hash_password(password.as_bytes())
            .map_err(|error| StoreError::Corrupt {
                what: "password",
                value: error.to_string(),
            })?
            .to_string();
        self.conn.execute(
            "UPDATE users SET password_hash = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), hash, time(now)],
        )?;
        Ok(())
    }

    pub fn create_token(&self, new: &NewToken, now: Timestamp) -> Result<Token> {
        self.conn.execute(
            "INSERT INTO tokens (id, user_id, hash, hint, description, scope, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                new.id.to_string(),
                new.user.to_string(),
                hash(&new.text),
                hint(&new.text),
                new.description,
                new.scope,
                time(now),
                new.expires_at.map(time),
            ],
        )?;
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM tokens WHERE id = ?1")?;
        first(&mut statement, [new.id.to_string()], token)?.ok_or(StoreError::NotFound("token"))
    }

    pub fn delete_token(&self, id: TokenId) -> Result<bool> {
        Ok(self
            .conn
            .execute("DELETE FROM tokens WHERE id = ?1", [id.to_string()])?
            > 0)
    }
}
