//! What carries one request to an upstream: a connection to itself (HTTP/1.1), or a seat on one that it shares (HTTP/2).

use std::task::{Context, Poll};

use futures_util::future::Either;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use crate::pool::{self, Pool};
use crate::shared::{self, Seat};
use crate::upload::Upload;

#[derive(Debug)]
pub(crate) enum Carrier {
    Own(pool::Sender),
    Shared(shared::Sender),
}

/// What is held of it until the response has come, whole.
#[derive(Debug)]
pub(crate) enum Held {
    Own(pool::Sender),
    Seat(Seat),
}

impl Carrier {
    /// Hands over a request; the future is its reply.
    pub(crate) fn send(
        self,
        request: Request<Upload>,
    ) -> (
        impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<>,
        Held,
    ) {
        match self {
            Carrier::Own(mut sender) => {
                let reply = sender.send(request);
                (Either::Left(reply), Held::Own(sender))
            }
            Carrier::Shared(sender) => {
                let (reply, seat) = sender.send(request);
                (Either::Right(reply), Held::Seat(seat))
            }
        }
    }
}

impl Held {
    /// Moves the connection's bytes, where nobody else does. Ready when it is gone and this has to be dropped to have the
    /// request back.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Held::Own(sender) => sender.poll_ended(cx),
            Held::Seat(_) => Poll::Pending,
        }
    }

    /// Whether the upstream speaks another protocol than the one that it is asked by.
    pub(crate) fn is_foreign(&self) -> bool {
        match self {
            Held::Own(_) => false,
            Held::Seat(seat) => seat.is_foreign(),
        }
    }

    /// Whether others use the connection too, each within frames of its own.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Held::Seat(_))
    }

    /// Lets the connection move while nobody polls this.
    pub(crate) fn detach(&mut self) {
        match self {
            Held::Own(sender) => sender.detach(),
            Held::Seat(_) => {}
        }
    }

    /// Gives it back: the connection can be used again.
    pub(crate) fn park(self, pool: &Pool) {
        match self {
            Held::Own(sender) => pool.park(sender),
            Held::Seat(_) => {}
        }
    }
}
