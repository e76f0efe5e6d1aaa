//! Automatic certificates, with the routers as what the authority looks at.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use ropewalk_acme::{Acme, Answer, External, Front, Policy, Proof, Settings};
use ropewalk_api_types::Secret;
use ropewalk_api_types::router::{self, Challenge};
use ropewalk_telemetry::Tasks;

use super::certificates::Keeper;
use super::{Parts, Server};

/// Starts what gets certificates. Where they cannot be got, it is `Err` with what users are told.
pub(super) async fn start(
    server: &Server,
    parts: &Parts,
    keeper: &Arc<Keeper>,
    tasks: &Tasks,
) -> Result<Result<Acme, String>> {
    let args = &server.acme;
    args.check()?;
    let Some(directory) = args.directory(&server.domain)? else {
        if server.acme_platform {
            bail!(
                "--acme-platform: no certificate authority can look at {}; name one that can with --acme-directory",
                server.domain
            );
        }
        return Ok(Err(
            "This server is for this machine alone, where no certificate authority can look. \
             Bring a certificate of your own: `ropewalk certs:add CRT KEY`."
                .to_owned(),
        ));
    };
    if server.rendezvous().is_none() {
        return Ok(Err(
            "This server does not speak HTTPS, so a certificate would serve nothing. \
             Install it with --acme-email, or with --cert and --key, first."
                .to_owned(),
        ));
    }
    let external = match (&args.acme_eab_key_id, &args.acme_eab_key_file) {
        (Some(id), Some(file)) => {
            Some(External::read(id.clone(), file).context("--acme-eab-key-file")?)
        }
        _ => None,
    };
    let ca_file = args.acme_ca_file.clone();
    let roots = tokio::task::spawn_blocking(move || ropewalk_acme::roots(ca_file.as_deref()))
        .await?
        .context("--acme-ca-file")?;
    let acme = Acme::new(ropewalk_acme::Parts {
        store: parts.store.clone(),
        logs: parts.logs.clone(),
        front: Arc::new(Routers(Arc::clone(keeper))),
        settings: Settings {
            directory,
            email: args.acme_email.clone(),
            external,
            roots,
            hook: args.acme_dns_hook.clone(),
        },
        policy: Policy::default(),
        platform: server.acme_platform.then(|| server.domain.clone()),
    })?;
    let looked_after = acme.clone();
    tasks.supervise("automatic certificates", move |token| {
        let acme = looked_after.clone();
        async move {
            acme.run(token).await;
            Ok::<_, Infallible>(())
        }
    });
    Ok(Ok(acme))
}

struct Routers(Arc<Keeper>);

impl Front for Routers {
    fn publish(&self, answers: Vec<Answer>) -> BoxFuture<'_, bool> {
        let challenges = answers.into_iter().map(challenge).collect();
        self.0.publish_challenges(challenges).boxed()
    }

    fn answering(&self) -> BoxFuture<'_, ()> {
        self.0.answering().boxed()
    }

    fn certificates_changed(&self) {
        self.0.changed();
    }
}

fn challenge(answer: Answer) -> Challenge {
    Challenge {
        host: answer.host,
        proof: match answer.proof {
            Proof::Http {
                token,
                authorization,
            } => router::Proof::Http {
                token,
                authorization,
            },
            Proof::Tls { chain, key } => router::Proof::Tls {
                chain,
                key: Secret(key),
            },
        },
    }
}
