//! Certificates that the platform got for its own names, with their keys sealed.

use jiff::Timestamp;
use rusqlite::{Row, params};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::row::{all, first, parse, time};
use crate::{Result, ServedCertificate, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformCertificate {
    /// Stays while the name has one.
    pub id: Uuid,
    /// `*.zone` allowed.
    pub hostname: String,
    /// PEM, leaf first.
    pub certificate_chain: String,
    pub updated_at: Timestamp,
}

fn context(id: Uuid) -> String {
    format!("platform certificate {id}")
}

fn certificate(row: &Row<'_>) -> Result<PlatformCertificate> {
    Ok(PlatformCertificate {
        id: parse(row, "id")?,
        hostname: row.get("hostname")?,
        certificate_chain: row.get("certificate_chain")?,
        updated_at: parse(row, "updated_at")?,
    })
}

impl View<'_> {
    /// By name.
    pub fn platform_certificates(&self) -> Result<Vec<PlatformCertificate>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM platform_certificates ORDER BY hostname")?;
        all(&mut statement, [], certificate)
    }

    pub(crate) fn served_platform_certificates(&self) -> Result<Vec<ServedCertificate>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM platform_certificates ORDER BY hostname")?;
        let rows = all(&mut statement, [], |row| {
            Ok((certificate(row)?, row.get::<_, Vec<u8>>("private_key")?))
        })?;
        rows.into_iter()
            .map(|(known, sealed)| {
                let plain = self.key.unseal(&context(known.id), &sealed)?;
                let key = String::from_utf8(plain).map_err(|_| StoreError::Unseal)?;
                Ok(ServedCertificate {
                    app: None,
                    hosts: vec![known.hostname],
                    certificate_chain: known.certificate_chain,
                    private_key: Zeroizing::new(key),
                })
            })
            .collect()
    }
}

impl Tx<'_> {
    /// Puts a certificate in force for a name, in the place of the one that it had.
    pub fn put_platform_certificate(
        &self,
        hostname: &str,
        certificate_chain: &str,
        private_key: &str,
        now: Timestamp,
    ) -> Result<()> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM platform_certificates WHERE hostname = ?1")?;
        let known = first(&mut statement, [hostname], certificate)?;
        let id = known.map_or_else(Uuid::new_v4, |known| known.id);
        let sealed = self.key.seal(&context(id), private_key.as_bytes())?;
        self.conn.execute(
            "INSERT INTO platform_certificates (hostname, id, certificate_chain, private_key, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (hostname) DO UPDATE SET certificate_chain = ?3, private_key = ?4, updated_at = ?5",
            params![hostname, id.to_string(), certificate_chain, sealed, time(now)],
        )?;
        Ok(())
    }

    pub fn remove_platform_certificate(&self, hostname: &str) -> Result<()> {
        self.conn.execute(
            "DELETE FROM platform_certificates WHERE hostname = ?1",
            [hostname],
        )?;
        Ok(())
    }
}
