//! A timer for limits that are set for every request and hardly ever reached.
//!
//! Putting a timer into the runtime's wheel and taking it out again costs more than the rest of a limit. The one timer
//! of a client's connection therefore stays where it is while limits come and go; when it rings for a limit that is no
//! more, it is set to the one that is. A connection has one limit at a time: on the head of a request, then on the
//! first byte of its response.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Sleep as HyperSleep, Timer};
use tokio::time::{Instant, Sleep, sleep_until};

tokio::task_local! {
    /// The timer of this task's connection while no limit uses it.
    static KEPT: Cell<Option<Pin<Box<Sleep>>>>;
}

/// A limit's use of its connection's timer; elsewhere a timer of its own.
#[derive(Debug)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

/// Gives hyper its timers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alarms;

/// The limit of one of hyper's waits.
struct Limit {
    due: Instant,
    alarm: Alarm,
}

/// Runs a connection that keeps its timer from limit to limit.
pub(crate) fn keep<T>(connection: impl Future<Output = T>) -> impl Future<Output = T> {
    // No async function: it would have room for the connection twice.
    KEPT.scope(Cell::new(None), connection)
}

impl Alarm {
    pub(crate) fn take() -> Alarm {
        Alarm(KEPT.try_with(Cell::take).ok().flatten())
    }

    /// Ready at `due`, which may be another one each time.
    pub(crate) fn poll_at(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= due || Instant::now() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(timer) = self.0.take() {
            // Outside of a connection that keeps it, it is dropped.
            let _ = KEPT.try_with(|kept| kept.set(Some(timer)));
        }
    }
}

impl Timer for Alarms {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn HyperSleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn HyperSleep>> {
        Box::pin(Limit {
            due: deadline.into(),
            alarm: Alarm::take(),
        })
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into()
    }
}

impl Future for Limit {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let due = self.due;
        self.alarm.poll_at(cx, due)
    }
}

impl HyperSleep for Limit {}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn ring(due: Instant) -> Instant {
        let mut alarm = Alarm::take();
        poll_fn(|cx| alarm.poll_at(cx, due)).await;
        Instant::now()
    }

    #[tokio::test]
    async fn a_kept_timer_rings_for_the_limit_that_is() {
        let ms = Duration::from_millis;
        keep(async {
            let began = Instant::now();
            {
                let mut alarm = Alarm::take();
                let polled = poll_fn(|cx| Poll::Ready(alarm.poll_at(cx, began + ms(10)))).await;
                assert!(polled.is_pending());
            }
            // Later than what the timer is set to, then sooner.
            assert!(ring(began + ms(60)).await >= began + ms(60));
            let far = began + Duration::from_secs(60);
            let mut alarm = Alarm::take();
            let polled = poll_fn(|cx| Poll::Ready(alarm.poll_at(cx, far))).await;
            assert!(polled.is_pending());
            drop(alarm);
            assert!(ring(began + ms(80)).await < far);
        })
        .await;
        let began = Instant::now();
        assert!(ring(began + ms(5)).await >= began + ms(5));
    }
}
