//! The formation: the one place where a wanted quantity is written.

use jiff::Timestamp;
use ropewalk_model::formation::{FormationError, Quantity};
use ropewalk_model::{AppId, DynoSize, ProcessType, Sizes, SlugId};
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::dyno_size::size_of;
use crate::row::{all, parse, parse_with, time};
use crate::{Result, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formation {
    pub id: Uuid,
    pub app: AppId,
    pub process_type: ProcessType,
    pub quantity: u32,
    pub size: DynoSize,
    /// From the slug of the head release; a type without a command is not shown and not run.
    pub command: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// One line of `ps:scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormationChange {
    pub process_type: ProcessType,
    pub quantity: Option<Quantity>,
    pub size: Option<DynoSize>,
}

fn formation(row: &Row<'_>, sizes: &Sizes) -> Result<Formation> {
    Ok(Formation {
        id: parse(row, "id")?,
        app: parse(row, "app_id")?,
        process_type: parse_with(row, "type", |text| ProcessType::parse(text).ok())?,
        quantity: row.get("quantity")?,
        size: size_of(row, sizes)?,
        command: None,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

impl View<'_> {
    /// The process types of the app's head release with their quantities, by type.
    pub fn formation(&self, id: AppId) -> Result<Vec<Formation>> {
        let app = self.app(id)?;
        let commands = match self.head_release(&app)?.slug {
            Some(slug) => self.slug(slug)?.process_types,
            None => return Ok(Vec::new()),
        };
        let mut rows = self.quantities(id)?;
        rows.retain_mut(|row| {
            row.command = commands.get(row.process_type.as_str()).cloned();
            row.command.is_some()
        });
        Ok(rows)
    }

    /// Every quantity that was ever chosen, whether or not some release has such a process type; without commands.
    pub fn quantities(&self, id: AppId) -> Result<Vec<Formation>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM formations WHERE app_id = ?1 ORDER BY type")?;
        let sizes = self.sizes()?;
        all(&mut statement, [id.to_string()], |row| {
            formation(row, &sizes)
        })
    }
}

impl Tx<'_> {
    /// Applies all changes or none, and returns the whole formation.
    pub fn scale(
        &self,
        app: AppId,
        changes: &[FormationChange],
        now: Timestamp,
    ) -> Result<Vec<Formation>> {
        let settings = self.dyno_settings(app)?;
        for change in changes {
            let name = &change.process_type;
            let rows = self.formation(app)?;
            let row = rows
                .iter()
                .find(|row| row.process_type == *name)
                .ok_or_else(|| FormationError::UnknownType(name.to_string()))?;
            let quantity = match change.quantity {
                Some(_) if name.is_one_off() => {
                    return Err(FormationError::OneOff(name.to_string()).into());
                }
                Some(quantity) => quantity.apply(row.quantity)?,
                None => row.quantity,
            };
            if settings.most(name).is_some_and(|most| quantity > most) {
                return Err(FormationError::Singleton(name.to_string()).into());
            }
            let size = change.size.unwrap_or(row.size);
            self.admit(app, name, (quantity, size), (row.quantity, row.size))?;
            self.conn.execute(
                "UPDATE formations SET quantity = ?2, size = ?3, updated_at = ?4 WHERE id = ?1",
                params![row.id.to_string(), quantity, size.name.as_str(), time(now)],
            )?;
        }
        self.formation(app)
    }

    /// Rows for the slug's process types that have none: one web dyno, none of the others
    /// (Heroku Dev Center, "Scaling Your Dyno Formation").
    pub(crate) fn add_formations(&self, app: AppId, slug: SlugId, now: Timestamp) -> Result<()> {
        for name in self.slug(slug)?.process_types.keys() {
            self.conn.execute(
                "INSERT INTO formations (id, app_id, type, quantity, size, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT (app_id, type) DO NOTHING",
                params![
                    Uuid::new_v4().to_string(),
                    app.to_string(),
                    name,
                    u32::from(name == "web"),
                    DynoSize::DEFAULT.name.as_str(),
                    time(now)
                ],
            )?;
        }
        Ok(())
    }
}
