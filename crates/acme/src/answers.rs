//! What routers answer to an authority while orders are under way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::timeout;
use uuid::Uuid;

/// For every router to take an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One answer, for one host alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    pub host: String,
    pub proof: Proof,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    Http {
        token: String,
        authorization: String,
    },
    /// PEM.
    Tls { chain: String, key: String },
}

/// Who stands between the world and apps.
pub trait Front: Send + Sync {
    /// Hands these to the routers, in the place of those before; `false` when that is not possible now.
    fn publish(&self, answers: Vec<Answer>) -> BoxFuture<'_, bool>;

    /// Waits until there is a router and every one gives what was published last.
    fn answering(&self) -> BoxFuture<'_, ()>;

    /// Certificates in the ledger changed: routers are to have them. Never waits.
    fn certificates_changed(&self);
}

/// The answers of all orders under way.
pub(crate) struct Answers {
    front: Arc<dyn Front>,
    /// By order.
    current: Mutex<BTreeMap<Uuid, Answer>>,
}

impl Answers {
    pub(crate) fn new(front: Arc<dyn Front>) -> Self {
        Self {
            front,
            current: Mutex::default(),
        }
    }

    /// Whether every router gives the answer now.
    pub(crate) async fn give(&self, order: Uuid, answer: Answer) -> bool {
        let mut current = self.current.lock().await;
        current.insert(order, answer);
        let all = current.values().cloned().collect();
        // Under the lock: what was put together first must not be published last.
        let published = self.front.publish(all).await;
        drop(current);
        published && timeout(PATIENCE, self.front.answering()).await.is_ok()
    }

    /// The order has ended.
    pub(crate) async fn withdraw(&self, order: Uuid) {
        let mut current = self.current.lock().await;
        if current.remove(&order).is_some() {
            let all = current.values().cloned().collect();
            self.front.publish(all).await;
        }
    }
}
