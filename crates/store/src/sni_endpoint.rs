//! Certificates that people brought or the platform got, with their keys sealed.

use jiff::Timestamp;
use ropewalk_model::AppId;
use rusqlite::{Row, params};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::row::{all, first, is_taken, parse, time};
use crate::{Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SniEndpoint {
    pub id: Uuid,
    pub app: AppId,
    pub name: String,
    /// PEM, leaf first.
    pub certificate_chain: String,
    /// The platform got it, renews it, and removes it with the domain it is for.
    pub acm: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A certificate that serves, with what it takes to serve it.
pub struct ServedCertificate {
    /// `None` for the platform's own names.
    pub app: Option<AppId>,
    pub hosts: Vec<String>,
    /// PEM, leaf first.
    pub certificate_chain: String,
    /// PEM.
    pub private_key: Zeroizing<String>,
}

impl std::fmt::Debug for ServedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServedCertificate")
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// A certificate to be kept.
#[derive(Clone)]
pub struct NewSniEndpoint {
    pub id: Uuid,
    pub app: AppId,
    pub name: String,
    pub certificate_chain: String,
    /// PEM.
    pub private_key: String,
}

impl std::fmt::Debug for NewSniEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSniEndpoint")
            .field("app", &self.app)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn context(id: Uuid) -> String {
    format!("sni endpoint {id}")
}

fn endpoint(row: &Row<'_>) -> Result<SniEndpoint> {
    Ok(SniEndpoint {
        id: parse(row, "id")?,
        app: parse(row, "app_id")?,
        name: row.get("name")?,
        certificate_chain: row.get("certificate_chain")?,
        acm: row.get("acm")?,
        created_at: parse(row, "created_at")?,
        updated_at: parse(row, "updated_at")?,
    })
}

impl View<'_> {
    /// The app's, oldest first.
    pub fn sni_endpoints(&self, app: AppId) -> Result<Vec<SniEndpoint>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM sni_endpoints WHERE app_id = ?1 ORDER BY created_at, id",
        )?;
        all(&mut statement, [app.to_string()], endpoint)
    }

    /// By name or id.
    pub fn find_sni_endpoint(&self, app: AppId, name_or_id: &str) -> Result<SniEndpoint> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM sni_endpoints WHERE app_id = ?1 AND (name = ?2 OR id = ?2)",
        )?;
        first(&mut statement, [&app.to_string(), name_or_id], endpoint)?
            .ok_or(StoreError::NotFound("sni_endpoint"))
    }

    /// Every certificate that serves a domain or a name of the platform's own.
    pub fn served_certificates(&self) -> Result<Vec<ServedCertificate>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM sni_endpoints
             WHERE id IN (SELECT sni_endpoint_id FROM domains) ORDER BY id",
        )?;
        let mut hosts = self.conn.prepare_cached(
            "SELECT hostname FROM domains WHERE sni_endpoint_id = ?1 ORDER BY hostname",
        )?;
        let rows = all(&mut statement, [], |row| {
            Ok((endpoint(row)?, row.get::<_, Vec<u8>>("private_key")?))
        })?;
        let of_domains = rows.into_iter().map(|(endpoint, sealed)| {
            let hosts = all(&mut hosts, [endpoint.id.to_string()], |row| Ok(row.get(0)?))?;
            let plain = self.key.unseal(&context(endpoint.id), &sealed)?;
            let key = String::from_utf8(plain).map_err(|_| StoreError::Unseal)?;
            Ok(ServedCertificate {
                app: Some(endpoint.app),
                hosts,
                certificate_chain: endpoint.certificate_chain,
                private_key: Zeroizing::new(key),
            })
        });
        let mut served = of_domains.collect::<Result<Vec<_>>>()?;
        served.extend(self.served_platform_certificates()?);
        Ok(served)
    }
}

impl Tx<'_> {
    pub fn create_sni_endpoint(&self, new: &NewSniEndpoint, now: Timestamp) -> Result<SniEndpoint> {
        let sealed = self
            .key
            .seal(&context(new.id), new.private_key.as_bytes())?;
        self.conn
            .execute(
                "INSERT INTO sni_endpoints
                     (id, app_id, name, certificate_chain, private_key, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
                params![
                    new.id.to_string(),
                    new.app.to_string(),
                    new.name,
                    new.certificate_chain,
                    sealed,
                    time(now)
                ],
            )
            .map_err(|error| match is_taken(&error) {
                true => StoreError::Taken {
                    what: "name",
                    name: new.name.clone(),
                },
                false => error.into(),
            })?;
        self.find_sni_endpoint(new.app, &new.id.to_string())
    }

    /// Takes a new certificate and key in the old one's place.
    pub fn update_sni_endpoint(
        &self,
        app: AppId,
        id: Uuid,
        certificate_chain: &str,
        private_key: &str,
        now: Timestamp,
    ) -> Result<SniEndpoint> {
        let sealed = self.key.seal(&context(id), private_key.as_bytes())?;
        self.conn.execute(
            "UPDATE sni_endpoints SET certificate_chain = ?3, private_key = ?4, updated_at = ?5
             WHERE id = ?1 AND app_id = ?2",
            params![
                id.to_string(),
                app.to_string(),
                certificate_chain,
                sealed,
                time(now)
            ],
        )?;
        self.find_sni_endpoint(app, &id.to_string())
    }

    /// Domains that it served have none afterwards.
    pub fn remove_sni_endpoint(&self, app: AppId, id: Uuid) -> Result<bool> {
        Ok(self.conn.execute(
            "DELETE FROM sni_endpoints WHERE id = ?1 AND app_id = ?2",
            [id.to_string(), app.to_string()],
        )? > 0)
    }

    pub fn set_domain_certificate(
        &self,
        domain: Uuid,
        endpoint: Option<Uuid>,
        now: Timestamp,
    ) -> Result<()> {
        self.conn.execute(
            "UPDATE domains SET sni_endpoint_id = ?2, updated_at = ?3 WHERE id = ?1",
            params![
                domain.to_string(),
                endpoint.map(|id| id.to_string()),
                time(now)
            ],
        )?;
        self.remove_idle_acm_endpoints()
    }

    /// What the platform got for a domain that is gone, or is served with another certificate now, serves nothing.
    pub(crate) fn remove_idle_acm_endpoints(&self) -> Result<()> {
        self.conn.execute(
            "DELETE FROM sni_endpoints WHERE acm = 1
             AND id NOT IN (SELECT sni_endpoint_id FROM domains WHERE sni_endpoint_id IS NOT NULL)",
            [],
        )?;
        Ok(())
    }
}
