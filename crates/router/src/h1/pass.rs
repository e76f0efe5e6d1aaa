//! The second half of an ordinary exchange: the answer's body on its way to the client, and the end of the request.

use std::future::poll_fn;
use std::task::{Context, Poll};

use super::client::Client;
use super::flow::{Broken, Down, ROUNDS, Up};
use super::pool::Open;
use super::room;
use super::turn::{Asked, Fault, Seat, Turn, after};
use crate::clock;
use crate::code::Code;

impl<S: Client> Seat<'_, S> {
    /// Passes the answer on.
    pub(crate) async fn pass_on(
        &mut self,
        asked: Box<Asked>,
        down: &mut Down,
        mut open: Open,
    ) -> Turn {
        let Asked {
            mut visit,
            mut up,
            mut close,
            ..
        } = *asked;
        let ended = poll_fn(|cx| self.poll_body(cx, &mut up, down, &mut open)).await;
        visit.add_bytes(std::mem::take(&mut down.bytes));
        match ended {
            Ok(()) => visit.succeed(down.status),
            Err(Fault::Final(code)) => {
                visit.fail(code);
                return Turn::Last;
            }
            Err(_) => {
                // A body without a promised length is over when the client says so.
                if down.open_ended {
                    visit.succeed(down.status);
                }
                return Turn::Last;
            }
        }
        let reusable = down.keeps && up.is_done() && !up.refused && down.input.is_empty();
        let mut rest = None;
        match visit.upstream() {
            Some(upstream) if reusable && !upstream.is_retired() => upstream.bare.park(open),
            _ if reusable => {}
            _ => rest = Some(open),
        }
        drop(visit);
        if let Some(mut open) = rest.filter(|_| !up.is_done()) {
            let done = poll_fn(|cx| self.poll_rest(cx, &mut up, down, &mut open)).await;
            close |= done.is_err() || up.refused;
        } else if poll_fn(|cx| self.poll_flushed(cx, down)).await.is_err() {
            return Turn::Last;
        }
        room::give_up(&mut up.bytes);
        Turn::last_if(close || up.refused)
    }

    /// Ready when the dyno's part is over; what is left of it for the client is not sent yet, so that a request is
    /// recorded by the time its client has the answer.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Up,
        down: &mut Down,
        open: &mut Open,
    ) -> Poll<Result<(), Fault>> {
        if down.cut {
            return Poll::Ready(Err(Fault::Final(Code::H18)));
        }
        if let Poll::Ready(Err(_)) = up.poll(cx, self.client, self.input, &mut open.stream) {
            return Poll::Ready(Err(Fault::Gone));
        }
        let mut rounds = 0;
        loop {
            if down.is_done() {
                return Poll::Ready(Ok(()));
            }
            let out = down.poll_out(cx, self.client);
            if let Poll::Ready(Err(_)) = out {
                return Poll::Ready(Err(Fault::Gone));
            }
            if out.is_pending() {
                let limit = self.router.limits.idle;
                let full = after(down.full.unwrap_or(down.last), limit);
                return match self.alarm.poll_at(cx, clock::at(full)) {
                    Poll::Ready(()) => Poll::Ready(Err(Fault::Gone)),
                    Poll::Pending => Poll::Pending,
                };
            }
            if rounds == ROUNDS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            rounds += 1;
            match down.poll_more(cx, &mut open.stream, self.client) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::Final(Code::H18))),
                Poll::Pending => break,
            }
        }
        if self.poll_gone(cx, up).is_ready() {
            return Poll::Ready(Err(Fault::Gone));
        }
        let idle = after(down.last.max(up.last), self.router.limits.idle);
        match self.alarm.poll_at(cx, clock::at(idle)) {
            Poll::Ready(()) => Poll::Ready(Err(Fault::Final(Code::H15))),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when the client has all of the answer, and the dyno all of the request.
    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        up: &mut Up,
        down: &mut Down,
        open: &mut Open,
    ) -> Poll<Result<(), Broken>> {
        let sent = up.poll(cx, self.client, self.input, &mut open.stream)?;
        let flushed = self.poll_flushed(cx, down)?;
        if sent.is_ready() && flushed.is_ready() {
            return Poll::Ready(Ok(()));
        }
        let idle = after(down.last.max(up.last), self.router.limits.idle);
        match self.alarm.poll_at(cx, clock::at(idle)) {
            Poll::Ready(()) => Poll::Ready(Err(Broken::Client)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when the client has all of the answer.
    pub(crate) fn poll_flushed(
        &mut self,
        cx: &mut Context<'_>,
        down: &mut Down,
    ) -> Poll<Result<(), Broken>> {
        if down.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        let out = down.poll_out(cx, self.client);
        if out.is_pending() {
            let full = after(down.full.unwrap_or(down.last), self.router.limits.idle);
            if self.alarm.poll_at(cx, clock::at(full)).is_ready() {
                return Poll::Ready(Err(Broken::Client));
            }
        }
        out
    }
}
