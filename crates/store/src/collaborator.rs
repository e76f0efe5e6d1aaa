//! Who works on an app besides its owner.

use jiff::Timestamp;
use ropewalk_model::rights::Relation;
use ropewalk_model::{AppId, UserId};
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::row::{all, first, is_taken, parse, time};
use crate::{App, Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collaborator {
    pub id: Uuid,
    pub app: AppId,
    pub user: UserId,
    pub created_at: Timestamp,
}

fn collaborator(row: &Row<'_>) -> Result<Collaborator> {
    Ok(Collaborator {
        id: parse(row, "id")?,
        app: parse(row, "app_id")?,
        user: parse(row, "user_id")?,
        created_at: parse(row, "created_at")?,
    })
}

impl View<'_> {
    /// What `user` is to `app`.
    pub fn relation(&self, user: UserId, app: &App) -> Result<Relation> {
        let collaborates = self.collaborator(app.id, user)?.is_some();
        Ok(Relation::of(user, app.owner, collaborates))
    }

    pub fn collaborator(&self, app: AppId, user: UserId) -> Result<Option<Collaborator>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM collaborators WHERE app_id = ?1 AND user_id = ?2")?;
        first(
            &mut statement,
            [app.to_string(), user.to_string()],
            collaborator,
        )
    }

    /// In the order in which they came.
    pub fn collaborators(&self, app: AppId) -> Result<Vec<Collaborator>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM collaborators WHERE app_id = ?1 ORDER BY created_at")?;
        all(&mut statement, [app.to_string()], collaborator)
    }

    /// The apps of others that `user` works on.
    pub fn collaborations(&self, user: UserId) -> Result<Vec<AppId>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT app_id FROM collaborators WHERE user_id = ?1")?;
        all(&mut statement, [user.to_string()], |row| {
            parse(row, "app_id")
        })
    }
}

impl Tx<'_> {
    pub fn add_collaborator(
        &self,
        id: Uuid,
        app: AppId,
        user: UserId,
        now: Timestamp,
    ) -> Result<Collaborator> {
        self.conn
            .execute(
                "INSERT INTO collaborators (id, app_id, user_id, created_at) VALUES (?1, ?2, ?3, ?4)",
                params![
                    id.to_string(),
                    app.to_string(),
                    user.to_string(),
                    time(now)
                ],
            )
            .map_err(|error| match is_taken(&error) {
                true => StoreError::Refused("User is already a collaborator on app.".to_owned()),
                false => error.into(),
            })?;
        self.collaborator(app, user)?
            .ok_or(StoreError::NotFound("collaborator"))
    }

    /// `false` when there was none.
    pub fn remove_collaborator(&self, app: AppId, user: UserId) -> Result<bool> {
        self.revoke();
        let removed = self.conn.execute(
            "DELETE FROM collaborators WHERE app_id = ?1 AND user_id = ?2",
            [app.to_string(), user.to_string()],
        )?;
        Ok(removed > 0)
    }
}
