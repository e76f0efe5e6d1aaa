//! A wait that seldom ends, beside work that is polled all the time.
//!
//! A connection waits all its life for the router to stop. Asking that again whenever a byte moves would take the same
//! few locks in every task; this asks again only when the wait itself has called.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Acquire};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// See [`seldom`].
#[derive(Debug)]
pub(crate) struct Seldom<F> {
    wait: F,
    bell: Arc<Bell>,
    /// The task that the bell wakes.
    task: Option<Waker>,
}

/// What `wait` believes to be its task.
#[derive(Debug, Default)]
struct Bell {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

/// `wait`, polled only at first and when it has woken somebody.
pub(crate) fn seldom<F: Future + Unpin>(wait: F) -> Seldom<F> {
    Seldom {
        wait,
        bell: Arc::default(),
        task: None,
    }
}

impl<F: Future + Unpin> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let known = this
            .task
            .as_ref()
            .is_some_and(|task| task.will_wake(cx.waker()));
        if known && !this.bell.rung.load(Acquire) {
            return Poll::Pending;
        }
        if !known {
            this.task = Some(cx.waker().clone());
            this.bell.wakes(cx.waker().clone());
        }
        // What rings from here on is seen by the next poll.
        this.bell.rung.swap(false, AcqRel);
        let waker = Waker::from(Arc::clone(&this.bell));
        Pin::new(&mut this.wait).poll(&mut Context::from_waker(&waker))
    }
}

impl Bell {
    fn wakes(&self, task: Waker) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, std::sync::atomic::Ordering::Release);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn it_is_asked_again_only_when_it_called() {
        let (asked, news) = (AtomicU32::new(0), Notify::new());
        let mut inner = pin!(news.notified());
        let counted = pin!(poll_fn(|cx| {
            asked.fetch_add(1, Relaxed);
            inner.as_mut().poll(cx)
        }));
        let mut wait = seldom(counted);
        for _ in 0..3 {
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut wait).poll(cx))).await;
            assert!(polled.is_pending());
        }
        assert_eq!(asked.load(Relaxed), 1);
        news.notify_one();
        wait.await;
        assert_eq!(asked.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn it_wakes_the_task_that_asked_last() {
        let news = Arc::new(Notify::new());
        let rings = Arc::clone(&news);
        let mut wait = seldom(Box::pin(async move { rings.notified().await }));
        let mut elsewhere = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut wait).poll(&mut elsewhere).is_pending());
        let waiting = tokio::spawn(wait);
        tokio::task::yield_now().await;
        news.notify_one();
        waiting.await.expect("it ends");
    }
}
