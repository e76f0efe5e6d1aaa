//! API tokens: kept as hashes, shown by their first and last characters.

use jiff::Timestamp;
use ropewalk_model::rights::Actor;
use ropewalk_model::{Scopes, TokenId, UserId};
use rusqlite::{Row, params};
use sha2::{Digest, Sha256};

use crate::row::{all, first, parse, parse_opt, time};
use crate::{Result, StoreError, Tx, User, View};

/// A token as the ledger knows it: never its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: TokenId,
    pub user: UserId,
    /// Redacted form: first four characters, ten asterisks, last four.
    pub hint: String,
    pub description: String,
    pub scope: String,
    /// Made by logging in, rather than by asking for a token.
    pub session: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

impl Token {
    pub fn scopes(&self) -> Scopes {
        Scopes::parse(&self.scope)
    }

    /// Whether it is refused by `now`.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// What [`ropewalk_model::rights::authorise`] wants to know of whoever shows it.
    pub fn actor(&self, user: &User) -> Actor {
        Actor {
            user: user.id,
            admin: user.admin,
            scopes: self.scopes(),
        }
    }
}

/// A token to be kept. `text` is hashed and forgotten.
pub struct NewToken {
    pub id: TokenId,
    pub user: UserId,
    pub text: String,
    pub description: String,
    pub scope: String,
    pub session: bool,
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

pub(crate) fn hash(text: &str) -> Vec<u8> {
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

fn token(row: &Row<'_>) -> Result<Token> {
    let created_at = parse(row, "created_at")?;
    Ok(Token {
        id: parse(row, "id")?,
        user: parse(row, "user_id")?,
        hint: row.get("hint")?,
        description: row.get("description")?,
        scope: row.get("scope")?,
        session: row.get("session")?,
        created_at,
        updated_at: parse_opt(row, "updated_at")?.unwrap_or(created_at),
        expires_at: parse_opt(row, "expires_at")?,
    })
}

impl View<'_> {
    /// Whose token this text is, unless it has expired by `now`.
    pub fn authenticate(&self, text: &str, now: Timestamp) -> Result<Option<(User, Token)>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM tokens WHERE hash = ?1")?;
        let Some(found) = first(&mut statement, [hash(text)], token)? else {
            return Ok(None);
        };
        if found.has_expired(now) {
            return Ok(None);
        }
        Ok(Some((self.user(found.user)?, found)))
    }

    /// By id, also when it has expired; `None` once it was deleted.
    pub fn token(&self, id: TokenId) -> Result<Option<Token>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM tokens WHERE id = ?1")?;
        first(&mut statement, [id.to_string()], token)
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
    pub fn create_token(&self, new: &NewToken, now: Timestamp) -> Result<Token> {
        // What has expired is of no use to anybody.
        self.conn.execute(
            "DELETE FROM tokens WHERE user_id = ?1 AND expires_at <= ?2",
            params![new.user.to_string(), time(now)],
        )?;
        self.conn.execute(
            "INSERT INTO tokens (id, user_id, hash, hint, description, scope, session, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                new.id.to_string(),
                new.user.to_string(),
                hash(&new.text),
                hint(&new.text),
                new.description,
                new.scope,
                new.session,
                time(now),
                new.expires_at.map(time),
            ],
        )?;
        if new.session {
            self.conn.execute(
                "UPDATE users SET last_login = ?2 WHERE id = ?1",
                params![new.user.to_string(), time(now)],
            )?;
        }
        self.made(new.id)
    }

    pub fn describe_token(&self, id: TokenId, description: &str, now: Timestamp) -> Result<Token> {
        self.conn.execute(
            "UPDATE tokens SET description = ?2, updated_at = ?3 WHERE id = ?1",
            params![id.to_string(), description, time(now)],
        )?;
        self.made(id)
    }

    /// The same token under another text; the old text is refused from now on. `text` is hashed and forgotten.
    pub fn renew_token(
        &self,
        id: TokenId,
        text: &str,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Token> {
        self.conn.execute(
            "UPDATE tokens SET hash = ?2, hint = ?3, expires_at = ?4, updated_at = ?5 WHERE id = ?1",
            params![
                id.to_string(),
                hash(text),
                hint(text),
                expires_at.map(time),
                time(now)
            ],
        )?;
        self.made(id)
    }

    /// It is refused from now on; `false` when it was not there.
    pub fn delete_token(&self, id: TokenId) -> Result<bool> {
        self.revoke();
        Ok(self
            .conn
            .execute("DELETE FROM tokens WHERE id = ?1", [id.to_string()])?
            > 0)
    }

    /// Ends a user's sessions but the one in hand.
    pub fn delete_sessions(&self, user: UserId, but: Option<TokenId>) -> Result<()> {
        self.revoke();
        self.conn.execute(
            "DELETE FROM tokens WHERE user_id = ?1 AND session = 1 AND id IS NOT ?2",
            params![user.to_string(), but.map(|id| id.to_string())],
        )?;
        Ok(())
    }

    fn made(&self, id: TokenId) -> Result<Token> {
        self.token(id)?.ok_or(StoreError::NotFound("authorization"))
    }
}
