//! `ropewalk server`: wires the parts of the control plane together. Owns no rule.

mod account;
mod acme;
mod archives;
mod autoscale;
mod catalog;
mod certificates;
mod egress;
mod health;
mod host;
mod platform;
mod prepare;
mod rendezvous;
mod ssh;
mod travel;

pub(crate) use host::{LOCAL_NAME, feed_watchdog};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use ropewalk_api::{Context, Rate, SigningKey, Terminals, Urls};
use ropewalk_builder::{AppUrls, Builder, Limits, Options};
use ropewalk_engine::{DockerEngine, Engine};
use ropewalk_log_drains::{LogDrains, Timing, host_roots};
use ropewalk_logs::{Logs, Outputs};
use ropewalk_model::Egress;
use ropewalk_model::admission::{Memory, OVERCOMMIT, OVERCOMMITS};
use ropewalk_model::egress::Cidr;
use ropewalk_model::tcp::Ports;
use ropewalk_ocsp::Staples;
use ropewalk_registry::BlobStore;
use ropewalk_scheduler::{Config, Policy, Routes, Scheduler};
use ropewalk_slug::Mounts;
use ropewalk_store::{Key, Store};
use ropewalk_telemetry::Tasks;
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::acme::AcmeArgs;
use super::data::{Data, STAPLES, write_pid};
use super::dynos::OneOffs;
use super::releases::Deploys;
use super::{DataArg, bundle, stacks};

/// For requests and tasks to end when the server is stopped.
const GRACE: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(crate) struct Server {
    #[command(flatten)]
    data: DataArg,
    /// Apps are APP.DOMAIN, the API is api.DOMAIN
    #[arg(long, default_value = "localhost", env = "ROPEWALK_DOMAIN")]
    domain: String,
    /// The port that clients use, for the addresses that are shown
    #[arg(long, default_value_t = 80)]
    port: u16,
    /// Clients use https
    #[arg(long)]
    https: bool,
    /// The router also speaks TLS on its port, with certificates of the local authority
    #[arg(long, conflicts_with = "https")]
    local_tls: bool,
    /// Git speaks SSH here too, besides HTTP
    #[arg(long, value_name = "ADDR")]
    ssh: Option<std::net::SocketAddr>,
    /// Builds get nothing of the host's certificates, proxies and package index settings
    #[arg(long)]
    no_inherit: bool,
    /// Builds at the same time
    #[arg(long, default_value_t = 2)]
    builds: usize,
    /// Minutes after a build for which empty containers wait for the next build and its web dynos; 0 is not at all
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=1440))]
    build_ready: u64,
    /// Empty containers that wait, while apps are asleep and stopped, for whichever is asked for first
    #[arg(long, default_value_t = 1, value_parser = up_to_four)]
    dynos_ready: usize,
    /// How much of the host's memory dynos may be promised by their sizes, in percent: most use far less than their quota
    #[arg(long, default_value_t = OVERCOMMIT, value_parser = clap::value_parser!(u32).range(i64::from(*OVERCOMMITS.start())..=i64::from(*OVERCOMMITS.end())))]
    memory_overcommit: u32,
    /// No build starts with less than this free on the data directory's disk, in MiB
    #[arg(long, default_value_t = 5120)]
    disk_floor: u64,
    /// Private networks that users' addresses may lead to (source archives, log drains, OCSP): 10.0.0.0/8,192.168.1.9
    #[arg(
        long,
        value_name = "CIDR,…",
        value_delimiter = ',',
        env = "ROPEWALK_ALLOW_EGRESS"
    )]
    allow_egress: Vec<Cidr>,
    /// Ports of this host that apps may have for raw TCP: 20000-20099, at most 200 of them
    #[arg(long, value_name = "FIRST-LAST", env = "ROPEWALK_TCP_PORTS")]
    tcp_ports: Option<Ports>,
    /// The chain that the router has from its --cert, so that its authority is asked whether it is revoked (OCSP)
    #[arg(long, value_name = "FILE", requires = "https")]
    cert: Option<PathBuf>,
    /// The authority also issues certificates for the platform's own names: api.DOMAIN, git.DOMAIN, registry.DOMAIN and
    /// every APP.DOMAIN; with --acme-dns-hook it is one for *.DOMAIN
    #[arg(long, requires = "https")]
    acme_platform: bool,
    #[command(flatten)]
    acme: AcmeArgs,
}

fn up_to_four(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= 4);
    number.ok_or_else(|| "a number from 0 to 4 is wanted".to_owned())
}

impl Server {
    pub(crate) async fn run(self) -> Result<ExitCode> {
        ropewalk_telemetry::init(ropewalk_telemetry::Format::Human)?;
        let data = Data::open(&self.data.data)?;
        let _only = host::only_one(&data)?;
        data.empty_tmp().await?;
        write_pid(&data.socket("server.pid"), std::process::id())?;
        let parts = self.parts(&data).await?;
        let tasks = Tasks::default();
        let prepared = watch::Sender::new(false);
        self.start(&data, &parts, &tasks, prepared).await?;
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        tracing::info!(data = %data.root.display(), domain = self.domain, "The server is up.");
        tokio::spawn(host::feed_watchdog());
        super::asked_to_end().await;
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        parts.builder.stop().await;
        tasks.stop(GRACE).await;
        parts.logs.flush().await;
        tracing::info!("The server has stopped.");
        Ok(ExitCode::SUCCESS)
    }

    async fn parts(&self, data: &Data) -> Result<Parts> {
        let store = Store::open(&data.path("ledger.db"), Key::open(&data.path("key"))?)?;
        let memory = Memory {
            host_mib: host::memory_mib(),
            overcommit: self.memory_overcommit,
        };
        store.write(move |tx| tx.set_host_memory(memory)).await?;
        account::ensure_admin(data, &store, &self.domain).await?;
        stacks::register(data, &store).await?;
        let logs = Logs::open(&data.path("logs"))?;
        let outputs = Outputs::open(&data.path("logs"))?;
        let engine: Arc<dyn Engine> = Arc::new(DockerEngine::connect(None, data.instance.clone())?);
        let mounts = Mounts::open(&data.path("mnt"))?;
        let platform = ropewalk_scheduler::Platform {
            domain: self.domain.clone(),
            socket: data.socket("platform.sock"),
            rendezvous: data.socket("rendezvous.sock"),
            tcp_ports: self.tcp_ports,
        };
        let routes = Routes::new(platform, logs.clone());
        let config = Config {
            instance: data.instance.clone(),
            slugs: data.path("slugs"),
            network: data.dyno_network(),
            policy: Policy::default(),
            standby: Duration::from_secs(self.build_ready * 60),
            spares: self.dynos_ready,
        };
        let scheduler = Scheduler::new(ropewalk_scheduler::Parts {
            config,
            store: store.clone(),
            engine: engine.clone(),
            mounts: mounts.clone(),
            logs: logs.clone(),
            outputs: outputs.clone(),
            routes: routes.clone(),
        });
        let deploys = Deploys {
            scheduler: scheduler.clone(),
            logs: logs.clone(),
        };
        let builder = Builder::new(
            self.build_options(data)?,
            store.clone(),
            engine.clone(),
            Arc::new(deploys),
            Arc::new(platform::BuildOutputs {
                outputs: outputs.clone(),
                logs: logs.clone(),
            }),
            Arc::new(egress::Egress::new(self.egress())?),
            Arc::new(OneOffs {
                scheduler: scheduler.clone(),
            }),
        )?;
        let log_drains = LogDrains::new(ropewalk_log_drains::Parts {
            store: store.clone(),
            logs: logs.clone(),
            egress: self.egress(),
            roots: tokio::task::spawn_blocking(host_roots).await?,
            timing: Timing::default(),
        })?;
        let blobs = Arc::new(BlobStore::open(&data.path("blobs"))?);
        Ok(Parts {
            store,
            logs,
            outputs,
            engine,
            mounts,
            routes,
            scheduler,
            builder,
            blobs,
            log_drains,
        })
    }

    fn egress(&self) -> Egress {
        Egress::new(self.allow_egress.clone())
    }

    fn build_options(&self, data: &Data) -> Result<Options> {
        let program = std::env::current_exe()?;
        let socket = data.socket("hook.sock");
        let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
        Ok(Options {
            data: data.root.clone(),
            instance: data.instance.clone(),
            buildpacks: bundle::unpacked(&data.root)?.join("buildpacks"),
            hook_command: vec![
                text(&program),
                "git-hook".to_owned(),
                "--socket".to_owned(),
                text(&socket),
            ],
            urls: AppUrls {
                scheme: self.scheme().to_owned(),
                suffix: self.suffix(),
            },
            environment: std::env::vars().collect::<BTreeMap<_, _>>(),
            inherit: !self.no_inherit,
            limits: Limits {
                builds: self.builds,
                ready: Duration::from_secs(self.build_ready * 60),
                disk_floor: self.disk_floor << 20,
                ..Limits::default()
            },
        })
    }

    fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    fn suffix(&self) -> String {
        let own = if self.https { 443 } else { 80 };
        if self.port == own {
            self.domain.clone()
        } else {
            format!("{}:{}", self.domain, self.port)
        }
    }

    /// Where TLS is spoken: terminals of clients other than ours come there.
    fn rendezvous(&self) -> Option<String> {
        match (self.https, self.local_tls) {
            (true, _) => Some(format!("api.{}:{}", self.domain, self.port)),
            // Names below localhost do not resolve everywhere.
            (_, true) => Some(format!("127.0.0.1:{}", self.port)),
            _ => None,
        }
    }

    async fn start(
        &self,
        data: &Data,
        parts: &Parts,
        tasks: &Tasks,
        prepared: watch::Sender<bool>,
    ) -> Result<()> {
        let shutdown = tasks.shutdown();
        let listen = |name: &str| -> Result<UnixListener> {
            let path = data.socket(name);
            let _ = std::fs::remove_file(&path);
            UnixListener::bind(&path)
                .with_context(|| format!("{} could not be listened on", path.display()))
        };
        // The router first: it may be waiting with requests.
        let router = listen("router.sock")?;
        let (routes, token) = (parts.routes.clone(), shutdown.clone());
        tasks.spawn("router link", async move {
            if let Err(error) = routes.serve(router, token).await {
                tracing::error!(%error, "The router's socket failed.");
            }
        });
        let ready = prepared.subscribe();
        prepare::start(data, parts, tasks, prepared);
        let (scheduler, wait) = (parts.scheduler.clone(), ready.clone());
        tasks.supervise("scheduler", move |token| {
            let (scheduler, mut ready) = (scheduler.clone(), wait.clone());
            async move {
                let is_ready = tokio::select! {
                    ready = ready.wait_for(|ready| *ready) => ready.is_ok(),
                    () = token.cancelled() => false,
                };
                if is_ready {
                    scheduler.run(token).await
                } else {
                    Ok(())
                }
            }
        });
        let scheduler = parts.scheduler.clone();
        tasks.supervise("sweeper", move |token| {
            let scheduler = scheduler.clone();
            async move {
                scheduler.run_sweeps(token).await;
                Ok::<_, std::convert::Infallible>(())
            }
        });
        let scheduler = parts.scheduler.clone();
        tasks.supervise("memory watch", move |token| {
            let scheduler = scheduler.clone();
            async move {
                scheduler.run_watch(token).await;
                Ok::<_, std::convert::Infallible>(())
            }
        });
        let scheduler = parts.scheduler.clone();
        tasks.supervise("disk watch", move |token| {
            let scheduler = scheduler.clone();
            async move {
                scheduler.run_disk(token).await;
                Ok::<_, std::convert::Infallible>(())
            }
        });
        let scheduler = parts.scheduler.clone();
        tasks.supervise("jobs", move |token| {
            let scheduler = scheduler.clone();
            async move {
                scheduler.run_jobs(token).await;
                Ok::<_, std::convert::Infallible>(())
            }
        });
        // What an earlier run left goes before anything new comes; that needs the engine.
        let (builder, hooks) = (parts.builder.clone(), listen("hook.sock")?);
        let (swept, mut engine_ready) = (watch::Sender::new(false), ready.clone());
        let git_ready = swept.subscribe();
        tasks.spawn("git hooks", async move {
            if engine_ready.wait_for(|ready| *ready).await.is_err() {
                return;
            }
            while let Err(error) = builder.sweep().await {
                tracing::warn!(%error, "What earlier builds left could not be removed yet.");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            swept.send_replace(true);
            builder.serve_hooks(hooks).await;
        });
        let (builder, mut swept) = (parts.builder.clone(), git_ready.clone());
        tasks.spawn("build sweeper", async move {
            if swept.wait_for(|swept| *swept).await.is_ok() {
                builder.sweep_now_and_then().await;
            }
        });

        let staples = Staples::new(ropewalk_ocsp::Parts {
            folder: data.path(STAPLES),
            logs: parts.logs.clone(),
            egress: self.egress(),
            timing: ropewalk_ocsp::Timing::default(),
        });
        let asking = staples.clone();
        tasks.supervise("words on certificates", move |token| {
            let staples = asking.clone();
            async move {
                staples.run(token).await;
                Ok::<_, std::convert::Infallible>(())
            }
        });
        let certificates = Arc::new(certificates::Keeper::new(
            parts.store.clone(),
            parts.routes.clone(),
            staples.clone(),
            self.cert.clone().map(|chain| certificates::Files {
                chain,
                hosts: vec![self.domain.clone(), format!("*.{}", self.domain)],
            }),
        ));
        let keeper = certificates.clone();
        tasks.supervise("certificates", move |token| {
            let keeper = keeper.clone();
            async move { keeper.keep(token).await }
        });
        let (acme, no_acm) = match acme::start(self, parts, &certificates, tasks).await? {
            Ok(acme) => (Some(acme), None),
            Err(why_not) => (None, Some(why_not)),
        };
        let egress = egress::Egress::new(self.egress())?;
        let scaling = autoscale::Parts::new(parts, egress, self.domain.clone())?;
        tasks.supervise("autoscaler", move |token| {
            autoscale::keep(scaling.clone(), token)
        });
        let travels = Arc::new(travel::Travels {
            store: parts.store.clone(),
            blobs: parts.blobs.clone(),
            mounts: parts.mounts.clone(),
            slugs: data.path("slugs"),
            tmp: data.path("tmp"),
            turns: travel::Turns::default(),
        });

        let log_drains = parts.log_drains.clone();
        tasks.supervise("log drains", move |token| {
            let log_drains = log_drains.clone();
            async move {
                log_drains.run(token).await;
                Ok::<_, std::convert::Infallible>(())
            }
        });

        let platform = platform::Ports {
            certificates,
            staples,
            acme,
            travels: travels.clone(),
            scheduler: parts.scheduler.clone(),
            builder: parts.builder.clone(),
            routes: parts.routes.clone(),
            store: parts.store.clone(),
            logs: parts.logs.clone(),
            engine: parts.engine.clone(),
            log_drains: parts.log_drains.clone(),
            tasks: tasks.clone(),
        };
        let ssh = ssh::Door::open(data, self.ssh)?;
        let own_port = if self.https { 443 } else { 80 };
        let terminals = Terminals::new(parts.store.clone());
        let api = ropewalk_api::routes(Context {
            terminals: terminals.clone(),
            store: parts.store.clone(),
            logs: parts.logs.clone(),
            outputs: parts.outputs.clone(),
            platform: Arc::new(platform),
            urls: Urls {
                scheme: self.scheme().to_owned(),
                domain: self.domain.clone(),
                port: (self.port != own_port).then_some(self.port),
                rendezvous: self.rendezvous(),
            },
            ssh: ssh.as_ref().map(ssh::Door::shown),
            signing_key: SigningKey::derive(&std::fs::read(data.path("key"))?),
            default_stack: "debian-13".to_owned(),
            no_acm,
            tcp_ports: self.tcp_ports,
            egress: self.egress(),
            shutdown: shutdown.clone(),
            rate: Rate::REQUESTS,
            login_rate: Rate::LOGINS,
        });
        let catalog = catalog::Releases {
            store: parts.store.clone(),
            blobs: parts.blobs.clone(),
            travels,
        };
        let hosts = host::Hosts {
            domain: self.domain.clone(),
            api,
            git: parts.builder.routes(),
            registry: ropewalk_registry::routes(parts.blobs.clone(), Arc::new(catalog)),
            health: health::Health {
                prepared: ready,
                engine: health::watch_engine(tasks, &parts.engine),
                git: git_ready.clone(),
                scheduler: parts.scheduler.clone(),
            },
            git_ready,
        };
        if let Some(door) = ssh {
            door.start(tasks, &parts.builder, hosts.git_ready.clone());
        }
        tasks.spawn(
            "terminals",
            rendezvous::serve(
                listen("rendezvous.sock")?,
                parts.scheduler.clone(),
                terminals,
                shutdown.clone(),
            ),
        );
        let socket = listen("platform.sock")?;
        tasks.spawn("platform", host::serve(socket, hosts, shutdown));
        Ok(())
    }
}

/// Everything that lives as long as the server.
pub(super) struct Parts {
    store: Store,
    logs: Logs,
    outputs: Outputs,
    engine: Arc<dyn Engine>,
    mounts: Mounts,
    routes: Routes,
    scheduler: Scheduler,
    builder: Builder,
    blobs: Arc<BlobStore>,
    log_drains: LogDrains,
}
