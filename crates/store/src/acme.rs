//! What is needed to get certificates: apps that want them, orders so far, and the account at the authority.

use jiff::Timestamp;
use ropewalk_model::AppId;
use ropewalk_model::acm::{AcmStatus, Challenge, Outcome};
use rusqlite::{Row, params};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::row::{all, first, parse, parse_opt, parse_with, time};
use crate::{App, Domain, NewSniEndpoint, Result, SniEndpoint, StoreError, Tx, View};

/// One order, under way or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeOrder {
    pub id: Uuid,
    pub hostname: String,
    /// None where the name is the platform's own.
    pub app: Option<AppId>,
    pub challenge: Challenge,
    pub began_at: Timestamp,
    /// `None` while it is under way, and when the server ended meanwhile.
    pub outcome: Option<Outcome>,
    /// Why it failed, for the app's people.
    pub reason: Option<String>,
}

/// Who we are at an authority.
pub struct AcmeAccount {
    /// JSON with the account's key.
    pub credentials: Zeroizing<String>,
    /// The address that the authority has.
    pub email: Option<String>,
}

impl std::fmt::Debug for AcmeAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmeAccount")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

/// A domain whose app wants a certificate for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmDomain {
    pub domain: Domain,
    /// When somebody last asked for new tries.
    pub asked_at: Option<Timestamp>,
    /// What it is served with now.
    pub endpoint: Option<SniEndpoint>,
}

fn order(row: &Row<'_>) -> Result<AcmeOrder> {
    let outcome: Option<String> = row.get("outcome")?;
    Ok(AcmeOrder {
        id: parse(row, "id")?,
        hostname: row.get("hostname")?,
        app: parse_opt(row, "app_id")?,
        challenge: parse_with(row, "challenge", Challenge::parse)?,
        began_at: parse(row, "began_at")?,
        outcome: match outcome {
            None => None,
            Some(_) => Some(parse_with(row, "outcome", Outcome::parse)?),
        },
        reason: row.get("reason")?,
    })
}

fn context(directory: &str) -> String {
    format!("acme account {directory}")
}

impl View<'_> {
    /// Domains of all apps that want certificates to be got for them, by id.
    pub fn acm_domains(&self) -> Result<Vec<AcmDomain>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT domains.*, apps.acm_asked_at FROM domains JOIN apps ON apps.id = domains.app_id
             WHERE apps.acm = 1 ORDER BY domains.id",
        )?;
        let rows = all(&mut statement, [], |row| {
            Ok((crate::domain::domain(row)?, parse_opt(row, "acm_asked_at")?))
        })?;
        rows.into_iter()
            .map(|(domain, asked_at)| {
                let endpoint = match domain.sni_endpoint {
                    None => None,
                    Some(id) => Some(self.find_sni_endpoint(domain.app, &id.to_string())?),
                };
                Ok(AcmDomain {
                    domain,
                    asked_at,
                    endpoint,
                })
            })
            .collect()
    }

    /// Orders that are remembered, oldest first.
    pub fn acme_orders(&self) -> Result<Vec<AcmeOrder>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM acme_orders ORDER BY began_at, id")?;
        all(&mut statement, [], order)
    }

    pub fn acme_account(&self, directory: &str) -> Result<Option<AcmeAccount>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM acme_accounts WHERE directory = ?1")?;
        let found = first(&mut statement, [directory], |row| {
            Ok((row.get::<_, Vec<u8>>("credentials")?, row.get("email")?))
        })?;
        let Some((sealed, email)) = found else {
            return Ok(None);
        };
        let plain = self.key.unseal(&context(directory), &sealed)?;
        let text = String::from_utf8(plain).map_err(|_| StoreError::Unseal)?;
        Ok(Some(AcmeAccount {
            credentials: Zeroizing::new(text),
            email,
        }))
    }
}

impl Tx<'_> {
    /// From now on the platform gets the app's certificates by itself, and tries anew what failed before.
    pub fn enable_acm(&self, app: AppId, now: Timestamp) -> Result<App> {
        self.conn.execute(
            "UPDATE apps SET acm = 1, acm_asked_at = ?2, updated_at = ?2 WHERE id = ?1",
            params![app.to_string(), time(now)],
        )?;
        self.app(app)
    }

    /// The certificates that the platform got go with it.
    pub fn disable_acm(&self, app: AppId, now: Timestamp) -> Result<App> {
        let id = app.to_string();
        self.conn.execute(
            "DELETE FROM sni_endpoints WHERE app_id = ?1 AND acm = 1",
            [&id],
        )?;
        self.conn.execute(
            "UPDATE domains SET acm_status = NULL, acm_status_reason = NULL WHERE app_id = ?1",
            [&id],
        )?;
        self.conn.execute(
            "UPDATE apps SET acm = 0, acm_asked_at = NULL, updated_at = ?2 WHERE id = ?1",
            params![id, time(now)],
        )?;
        self.app(app)
    }

    /// Says how far the platform is with a domain; not, when its app no longer wants it.
    pub fn set_acm_status(
        &self,
        domain: Uuid,
        status: Option<AcmStatus>,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<()> {
        self.conn.execute(
            "UPDATE domains SET acm_status = ?2, acm_status_reason = ?3, updated_at = ?4
             WHERE id = ?1 AND app_id IN (SELECT id FROM apps WHERE acm = 1)",
            params![
                domain.to_string(),
                status.map(AcmStatus::as_str),
                reason,
                time(now)
            ],
        )?;
        Ok(())
    }

    /// Puts a certificate that the platform got in force for a domain. `None` when it is no longer wanted: the domain
    /// or its app is gone, has it switched off, or has a certificate of its own now.
    pub fn keep_acm_certificate(
        &self,
        domain: Uuid,
        new: &NewSniEndpoint,
        now: Timestamp,
    ) -> Result<Option<SniEndpoint>> {
        let known = match self.find_domain(new.app, &domain.to_string()) {
            Err(StoreError::NotFound(_)) => return Ok(None),
            known => known?,
        };
        if !self.app(new.app)?.acm {
            return Ok(None);
        }
        let before = match known.sni_endpoint {
            None => None,
            Some(id) => Some(self.find_sni_endpoint(new.app, &id.to_string())?),
        };
        let endpoint = match before {
            Some(endpoint) if !endpoint.acm => return Ok(None),
            Some(endpoint) => self.update_sni_endpoint(
                new.app,
                endpoint.id,
                &new.certificate_chain,
                &new.private_key,
                now,
            )?,
            None => {
                let made = self.create_sni_endpoint(new, now)?;
                self.conn.execute(
                    "UPDATE sni_endpoints SET acm = 1 WHERE id = ?1",
                    [made.id.to_string()],
                )?;
                self.set_domain_certificate(domain, Some(made.id), now)?;
                self.find_sni_endpoint(new.app, &made.id.to_string())?
            }
        };
        self.set_acm_status(domain, Some(AcmStatus::Ok), None, now)?;
        Ok(Some(endpoint))
    }

    pub fn begin_acme_order(&self, order: &AcmeOrder) -> Result<()> {
        self.conn.execute(
            "INSERT INTO acme_orders (id, hostname, app_id, challenge, began_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                order.id.to_string(),
                order.hostname,
                order.app.map(|app| app.to_string()),
                order.challenge.as_str(),
                time(order.began_at)
            ],
        )?;
        Ok(())
    }

    pub fn end_acme_order(&self, id: Uuid, outcome: Outcome, reason: Option<&str>) -> Result<()> {
        self.conn.execute(
            "UPDATE acme_orders SET outcome = ?2, reason = ?3 WHERE id = ?1",
            params![id.to_string(), outcome.as_str(), reason],
        )?;
        Ok(())
    }

    /// Forgets orders that began before `cutoff`, but of each name the last that succeeded: it tells what worked.
    pub fn forget_acme_orders(&self, cutoff: Timestamp) -> Result<()> {
        self.conn.execute(
            "DELETE FROM acme_orders WHERE began_at < ?1 AND NOT (
                 outcome IS 'issued'
                 AND hostname IN (SELECT hostname FROM domains UNION SELECT hostname FROM platform_certificates)
                 AND began_at = (SELECT max(began_at) FROM acme_orders AS other
                                 WHERE other.hostname = acme_orders.hostname AND other.outcome = 'issued'))",
            [time(cutoff)],
        )?;
        Ok(())
    }

    pub fn put_acme_account(
        &self,
        directory: &str,
        account: &AcmeAccount,
        now: Timestamp,
    ) -> Result<()> {
        let sealed = self
            .key
            .seal(&context(directory), account.credentials.as_bytes())?;
        self.conn.execute(
            "INSERT INTO acme_accounts (directory, credentials, email, created_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (directory) DO UPDATE SET credentials = ?2, email = ?3",
            params![directory, sealed, account.email, time(now)],
        )?;
        Ok(())
    }

    /// The authority knows it no longer.
    pub fn forget_acme_account(&self, directory: &str) -> Result<()> {
        self.conn.execute(
            "DELETE FROM acme_accounts WHERE directory = ?1",
            [directory],
        )?;
        Ok(())
    }
}
