//! Whether the client is still there while its request waits for something else.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

use super::room;
use super::turn::Fault;

/// What comes of `future`, unless the client leaves meanwhile. `size`: of what lies in `input` already.
pub(crate) async fn watched<F: Future + Unpin, S: AsyncRead + Unpin>(
    mut future: F,
    client: &mut S,
    input: &mut Vec<u8>,
    size: usize,
    watches: bool,
) -> Result<F::Output, Fault> {
    poll_fn(|cx| {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if watches && input.len() == size && poll_gone(cx, client, input).is_ready() {
            return Poll::Ready(Err(Fault::Gone));
        }
        Poll::Pending
    })
    .await
}

/// Ready when the client has left; what it has sent instead is in `input`.
pub(crate) fn poll_gone<S: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    client: &mut S,
    input: &mut Vec<u8>,
) -> Poll<()> {
    if input.capacity() == 0 {
        *input = room::small();
    }
    match poll_read_buf(Pin::new(client), cx, input) {
        Poll::Ready(Ok(count)) if count > 0 => Poll::Pending,
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => {
            if input.is_empty() {
                room::give_up(input);
            }
            Poll::Pending
        }
    }
}
