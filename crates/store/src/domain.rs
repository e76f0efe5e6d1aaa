//! Custom domains: host names beside the app's own.

use jiff::Timestamp;
use ropewalk_model::AppId;
use ropewalk_model::acm::AcmStatus;
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::row::{all, first, is_taken, parse, parse_opt, parse_with, time};
use crate::{Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    pub id: Uuid,
    pub app: AppId,
    pub hostname: String,
    /// The certificate that it is served with.
    pub sni_endpoint: Option<Uuid>,
    /// How far the platform is with getting one; `None` where it does not.
    pub acm_status: Option<AcmStatus>,
    pub acm_status_reason: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

pub(crate) fn domain(row: &Row<'_>) -> Result<Domain> {
    let acm_status: Option<String> = row.get("acm_status")?;
    Ok(Domain {
        id: parse(row, "id")?,
        app: parse(row, "app_id")?,
        hostname: row.get("hostname")?,
        sni_endpoint: parse_opt(row, "sni_endpoint_id")?,
        acm_status: match acm_status {
            None => None,
            Some(_) => Some(parse_with(row, "acm_status", AcmStatus::parse)?),
        },
        acm_status_reason: row.get("acm_status_reason")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

impl View<'_> {
    pub fn domains(&self, app: AppId) -> Result<Vec<Domain>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM domains WHERE app_id = ?1 ORDER BY id")?;
        all(&mut statement, [app.to_string()], domain)
    }

    pub fn all_domains(&self) -> Result<Vec<Domain>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM domains ORDER BY id")?;
        all(&mut statement, [], domain)
    }

    /// By host name or id.
    pub fn find_domain(&self, app: AppId, hostname_or_id: &str) -> Result<Domain> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM domains WHERE app_id = ?1 AND (hostname = ?2 OR id = ?2)",
        )?;
        first(&mut statement, [&app.to_string(), hostname_or_id], domain)?
            .ok_or(StoreError::NotFound("domain"))
    }
}

impl Tx<'_> {
    /// `hostname` is already normalised (lower case, no trailing dot). What a TCP route has is taken, too.
    pub fn add_domain(
        &self,
        id: Uuid,
        app: AppId,
        hostname: &str,
        now: Timestamp,
    ) -> Result<Domain> {
        if self.is_tcp_hostname(hostname)? {
            return Err(StoreError::Taken {
                what: "domain",
                name: hostname.to_owned(),
            });
        }
        self.conn
            .execute(
                "INSERT INTO domains (id, app_id, hostname, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)",
                params![id.to_string(), app.to_string(), hostname, time(now)],
            )
            .map_err(|error| match is_taken(&error) {
                true => StoreError::Taken { what: "domain", name: hostname.to_owned() },
                false => error.into(),
            })?;
        self.find_domain(app, hostname)
    }

    pub fn remove_domain(&self, id: Uuid) -> Result<bool> {
        let removed = self
            .conn
            .execute("DELETE FROM domains WHERE id = ?1", [id.to_string()])?;
        self.remove_idle_acm_endpoints()?;
        Ok(removed > 0)
    }
}
