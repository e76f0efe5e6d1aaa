//! One order from its beginning to the certificate. Decides nothing: which name, and by which challenge, was planned.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier,
    NewOrder, Order, OrderStatus,
};
use jiff::Timestamp;
use ropewalk_model::acm::{AcmStatus, Challenge};
use ropewalk_store::Store;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::timeout;
use uuid::Uuid;

use crate::answers::{Answer, Answers, Proof};
use crate::authority::{Authority, POLL, again};
use crate::certificate::{self, Request, Said};
use crate::failure::Failure;
use crate::hook::{self, Hook};

/// For all of it. A TXT record takes its time.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// What it takes to carry an order out.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) store: Store,
    pub(crate) authority: Arc<Authority>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) hook: Option<Hook>,
}

/// An order that was planned.
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) domain: Uuid,
    pub(crate) host: String,
    pub(crate) challenge: Challenge,
    pub(crate) replaces: Option<CertificateIdentifier<'static>>,
}

/// A certificate for the name, PEM.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) said: Said,
}

/// A TXT record that was set.
struct Record {
    name: String,
    value: String,
}

pub(crate) async fn run(means: &Means, job: &Job) -> Result<Issued, Failure> {
    let mut record = None;
    let outcome = timeout(PATIENCE, carry_out(means, job, &mut record)).await;
    means.answers.withdraw(job.id).await;
    if let (Some(hook), Some(record)) = (&means.hook, record) {
        hook.remove(&record.name, &record.value).await;
    }
    let outcome = outcome.unwrap_or_else(|_| Err(Failure::slow()));
    if let Err(failure) = &outcome {
        means.authority.doubt(failure).await;
    }
    outcome
}

async fn carry_out(
    means: &Means,
    job: &Job,
    record: &mut Option<Record>,
) -> Result<Issued, Failure> {
    let account = means.authority.account().await?;
    let mut order = begin(&account, job).await?;
    prove(means, job, &mut order, record).await?;
    match again!(order.poll_ready(&POLL).await) {
        Ok(OrderStatus::Ready) => {}
        Ok(_) | Err(Error::Api(_)) => return Err(why(&mut order).await),
        Err(error) => return Err(error.into()),
    }
    verified(means, job).await;
    let request = Request::new(&job.host).map_err(unfit)?;
    again!(order.finalize_csr(&request.csr).await)?;
    let chain = again!(order.poll_certificate(&POLL).await)?;
    let said = check(&chain, &request.key, &job.host)?;
    Ok(Issued {
        chain,
        key: request.key,
        said,
    })
}

async fn begin(account: &Account, job: &Job) -> Result<Order, Failure> {
    let names = [Identifier::Dns(job.host.clone())];
    if let Some(replaced) = &job.replaces {
        let order = NewOrder::new(&names).replaces(replaced.clone());
        match again!(account.new_order(&order).await) {
            Ok(order) => return Ok(order),
            // Perhaps it is replaced already: then it is a new one.
            Err(error) => {
                tracing::info!(host = job.host, %error, "An order could not replace a certificate.")
            }
        }
    }
    Ok(again!(account.new_order(&NewOrder::new(&names)).await)?)
}

/// Puts up what shows that the name leads here, and tells the authority to look.
async fn prove(
    means: &Means,
    job: &Job,
    order: &mut Order,
    record: &mut Option<Record>,
) -> Result<(), Failure> {
    let kind = match job.challenge {
        Challenge::Http => ChallengeType::Http01,
        Challenge::TlsAlpn => ChallengeType::TlsAlpn01,
        Challenge::Dns => ChallengeType::Dns01,
    };
    let mut authorizations = order.authorizations();
    loop {
        let mut authorization = match again!(authorizations.next().await.transpose())? {
            None => return Ok(()),
            Some(authorization) => authorization,
        };
        // It saw that lately, and believes it still.
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge = authorization.challenge(kind.clone()).ok_or_else(|| {
            let way = job.challenge.as_str();
            Failure::refused(format!(
                "The certificate authority offers no {way} for this name."
            ))
        })?;
        let proof = challenge.key_authorization();
        match job.challenge {
            Challenge::Http => {
                let proof = Proof::Http {
                    token: challenge.token.clone(),
                    authorization: proof.as_str().to_owned(),
                };
                give(means, job, proof).await?;
            }
            Challenge::TlsAlpn => {
                let digest = <[u8; 32]>::try_from(proof.digest().as_ref())
                    .map_err(|_| Failure::away("a digest of another length"))?;
                let (chain, key) = certificate::proof(&job.host, &digest).map_err(unfit)?;
                give(means, job, Proof::Tls { chain, key }).await?;
            }
            Challenge::Dns => {
                let hook = means.hook.as_ref().ok_or_else(|| {
                    Failure::refused("This server cannot set a TXT record for this name.")
                })?;
                let record = record.insert(Record {
                    name: hook::record(&job.host),
                    value: proof.dns_value(),
                });
                hook.add(&record.name, &record.value).await?;
            }
        }
        again!(challenge.set_ready().await)?;
    }
}

async fn give(means: &Means, job: &Job, proof: Proof) -> Result<(), Failure> {
    let answer = Answer {
        host: job.host.clone(),
        proof,
    };
    match means.answers.give(job.id, answer).await {
        true => Ok(()),
        false => Err(Failure::away("no router took the answer for the authority")),
    }
}

fn unfit(error: rcgen::Error) -> Failure {
    Failure {
        detail: error.to_string(),
        ..Failure::refused("This name cannot stand in a certificate.")
    }
}

/// Why the authority does not believe that the name leads here.
async fn why(order: &mut Order) -> Failure {
    if let Some(problem) = &order.state().error {
        return Failure::of_problem(problem);
    }
    let mut authorizations = order.authorizations();
    while let Ok(Some(mut authorization)) = again!(authorizations.next().await.transpose()) {
        let state = match again!(authorization.refresh().await.map(drop)) {
            Ok(()) => &*authorization,
            Err(error) => return error.into(),
        };
        let said = state.challenges.iter().find_map(|one| one.error.as_ref());
        if let Some(problem) = said {
            return Failure::of_problem(problem);
        }
    }
    Failure::refused("The certificate authority does not say why.")
}

/// Told meanwhile; a ledger that cannot be written now is found out with the certificate.
async fn verified(means: &Means, job: &Job) {
    let domain = job.domain;
    let told = means
        .store
        .write(move |tx| {
            // A domain that is served already stays as it is.
            let waits = tx.acm_domains()?.into_iter().any(|wanted| {
                wanted.domain.id == domain && wanted.domain.acm_status != Some(AcmStatus::Ok)
            });
            match waits {
                true => {
                    tx.set_acm_status(domain, Some(AcmStatus::Verified), None, Timestamp::now())
                }
                false => Ok(()),
            }
        })
        .await;
    if let Err(error) = told {
        tracing::warn!(%error, "The state of a domain could not be written.");
    }
}

/// What came must be what was ordered.
fn check(chain: &str, key: &str, host: &str) -> Result<Said, Failure> {
    let unusable = |what: &str| Failure::away(format!("the authority sent {what}"));
    let certificates = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| unusable("no PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| unusable("a certificate, and our key is unreadable"))?;
    CertifiedKey::from_der(certificates, key, &aws_lc_rs::default_provider())
        .map_err(|error| unusable(&format!("an unusable certificate ({error})")))?;
    let said = Said::of(chain).map_err(|_| unusable("an unreadable certificate"))?;
    if !said.names.iter().any(|name| name == host) {
        return Err(unusable("a certificate for another name"));
    }
    if said.until <= Timestamp::now() {
        return Err(unusable("a certificate that has ended"));
    }
    Ok(said)
}
