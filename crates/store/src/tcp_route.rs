//! TCP routes: ports of the host, and names over TLS, whose bytes go to an app's dynos as they are.

use jiff::Timestamp;
use ropewalk_model::AppId;
use ropewalk_model::ProcessType;
use ropewalk_model::tcp::{MOST_ROUTES, Ports, ProxyProtocol};
use rusqlite::{Row, params};
use uuid::Uuid;

use crate::row::{all, first, is_taken, parse, parse_with, time};
use crate::{Result, StoreError, Tx, View};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpRoute {
    pub id: Uuid,
    pub app: AppId,
    pub process_type: ProcessType,
    pub entrance: TcpEntrance,
    /// Where the dynos listen.
    pub dyno_port: u16,
    /// Seconds for which a connection may be silent.
    pub idle_timeout: u32,
    /// Dynos are told who the client is, in this way.
    pub proxy_protocol: Option<ProxyProtocol>,
    pub created_at: Timestamp,
}

/// Where clients come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TcpEntrance {
    /// Of the host.
    Port(u16),
    /// Named by clients of TLS: lower case, no dot at its end.
    Hostname(String),
}

/// Where clients are to come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedEntrance {
    /// The lowest of these that nobody has.
    Lowest(Ports),
    This(TcpEntrance),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTcpRoute {
    pub id: Uuid,
    pub app: AppId,
    pub process_type: ProcessType,
    pub entrance: WantedEntrance,
    pub dyno_port: u16,
    pub idle_timeout: u32,
    pub proxy_protocol: Option<ProxyProtocol>,
}

fn tcp_route(row: &Row<'_>) -> Result<TcpRoute> {
    let port: Option<u16> = row.get("port")?;
    let hostname: Option<String> = row.get("hostname")?;
    let entrance = match (port, hostname) {
        (Some(port), None) => TcpEntrance::Port(port),
        (None, Some(hostname)) => TcpEntrance::Hostname(hostname),
        (port, hostname) => {
            return Err(StoreError::Corrupt {
                what: "TCP route",
                value: format!("{port:?} {hostname:?}"),
            });
        }
    };
    Ok(TcpRoute {
        id: parse(row, "id")?,
        app: parse(row, "app_id")?,
        process_type: parse_with(row, "process_type", |text| ProcessType::parse(text).ok())?,
        entrance,
        dyno_port: row.get("dyno_port")?,
        idle_timeout: row.get("idle_timeout")?,
        proxy_protocol: match row.get::<_, Option<String>>("proxy_protocol")? {
            Some(_) => Some(parse_with(row, "proxy_protocol", ProxyProtocol::parse)?),
            None => None,
        },
        created_at: parse(row, "created_at")?,
    })
}

impl View<'_> {
    /// Ports first, then names, each in order.
    pub fn tcp_routes(&self, app: AppId) -> Result<Vec<TcpRoute>> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM tcp_routes WHERE app_id = ?1 ORDER BY port IS NULL, port, hostname",
        )?;
        all(&mut statement, [app.to_string()], tcp_route)
    }

    /// Of every app.
    pub fn all_tcp_routes(&self) -> Result<Vec<TcpRoute>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT * FROM tcp_routes ORDER BY id")?;
        all(&mut statement, [], tcp_route)
    }

    /// By port, host name or id.
    pub fn find_tcp_route(&self, app: AppId, key: &str) -> Result<TcpRoute> {
        let mut statement = self.conn.prepare_cached(
            "SELECT * FROM tcp_routes
             WHERE app_id = ?1 AND (id = ?2 OR hostname = ?2 OR CAST(port AS TEXT) = ?2)",
        )?;
        first(&mut statement, [&app.to_string(), key], tcp_route)?
            .ok_or(StoreError::NotFound("tcp_route"))
    }

    /// Whether a dyno of this type has to listen for somebody.
    pub fn has_tcp_route(&self, app: AppId, process_type: &ProcessType) -> Result<bool> {
        let mut statement = self.conn.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM tcp_routes WHERE app_id = ?1 AND process_type = ?2)",
        )?;
        Ok(statement.query_row([&app.to_string(), process_type.as_str()], |row| row.get(0))?)
    }

    /// Whether a TCP route has this name.
    pub(crate) fn is_tcp_hostname(&self, hostname: &str) -> Result<bool> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM tcp_routes WHERE hostname = ?1)")?;
        Ok(statement.query_row([hostname], |row| row.get(0))?)
    }

    fn is_tcp_port(&self, port: u16) -> Result<bool> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM tcp_routes WHERE port = ?1)")?;
        Ok(statement.query_row([port], |row| row.get(0))?)
    }

    fn is_domain(&self, hostname: &str) -> Result<bool> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM domains WHERE hostname = ?1)")?;
        Ok(statement.query_row([hostname], |row| row.get(0))?)
    }
}

impl Tx<'_> {
    /// # Errors
    /// [`StoreError::Taken`] where another route has the port or the name, or a domain has the name;
    /// [`StoreError::Refused`] when no port is free, or the app has as many routes as it may.
    pub fn add_tcp_route(&self, new: &NewTcpRoute, now: Timestamp) -> Result<TcpRoute> {
        if self.tcp_routes(new.app)?.len() >= MOST_ROUTES {
            return Err(StoreError::Refused(format!(
                "An app has at most {MOST_ROUTES} TCP routes."
            )));
        }
        let entrance = match &new.entrance {
            WantedEntrance::This(entrance) => entrance.clone(),
            WantedEntrance::Lowest(ports) => TcpEntrance::Port(self.lowest_tcp_port(*ports)?),
        };
        let (port, hostname) = match &entrance {
            TcpEntrance::Port(port) => (Some(*port), None),
            TcpEntrance::Hostname(name) => (None, Some(name.as_str())),
        };
        if let Some(name) = hostname
            && self.is_domain(name)?
        {
            return Err(StoreError::Taken {
                what: "domain",
                name: name.to_owned(),
            });
        }
        self.conn
            .execute(
                "INSERT INTO tcp_routes
                 (id, app_id, process_type, port, hostname, dyno_port, idle_timeout, proxy_protocol, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    new.id.to_string(),
                    new.app.to_string(),
                    new.process_type.as_str(),
                    port,
                    hostname,
                    new.dyno_port,
                    new.idle_timeout,
                    new.proxy_protocol.map(ProxyProtocol::as_str),
                    time(now)
                ],
            )
            .map_err(|error| match (is_taken(&error), &entrance) {
                (true, TcpEntrance::Port(port)) => StoreError::Taken {
                    what: "port",
                    name: port.to_string(),
                },
                (true, TcpEntrance::Hostname(name)) => StoreError::Taken {
                    what: "domain",
                    name: name.clone(),
                },
                (false, _) => error.into(),
            })?;
        self.find_tcp_route(new.app, &new.id.to_string())
    }

    pub fn remove_tcp_route(&self, id: Uuid) -> Result<bool> {
        let removed = self
            .conn
            .execute("DELETE FROM tcp_routes WHERE id = ?1", [id.to_string()])?;
        Ok(removed > 0)
    }

    fn lowest_tcp_port(&self, ports: Ports) -> Result<u16> {
        for port in ports.all() {
            if !self.is_tcp_port(port)? {
                return Ok(port);
            }
        }
        Err(StoreError::Refused(format!(
            "Every port of {ports} is taken. The administrator opens more: ropewalk server --tcp-ports."
        )))
    }
}
