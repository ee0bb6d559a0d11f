//! Reads a request's body, as far as it may go.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use crate::memory::Held;

/// Both senders give up after 15 s or less, and Kafka needs its part of that.
const READ_TIMEOUT: Duration = Duration::from_secs(8);

/// How much of a body that is too large is read and thrown away, and for how long: a sender that is still sending when
/// the connection is closed sees a broken connection in place of our answer.
const DISCARD_BYTES: usize = 32 * 1024 * 1024;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is longer than allowed.
    TooLarge,
    /// It did not come in time, or its sender is gone.
    Incomplete,
    /// There is no memory for it now.
    NoRoom,
}

/// The whole body. Its announced length may be missing or a lie: what counts is what comes.
///
/// What has come of it counts in `held`, so that a sender takes no more memory than it has filled.
///
/// A sender that `waits` for our consent (`Expect: 100-continue`) is told at once that its body is too large.
pub(crate) async fn read(mut body: Body, max_bytes: usize, waits: bool, held: &mut Held) -> Result<Bytes, Unread> {
    let announced = body.size_hint().lower();
    if announced > max_bytes as u64 && waits {
        return Err(Unread::TooLarge);
    }
    let read = tokio::time::timeout(READ_TIMEOUT, collect(&mut body, max_bytes, held)).await;
    let read = read.unwrap_or(Err(Unread::Incomplete));
    if read == Err(Unread::TooLarge) {
        // Whether all of it came or not, the answer is the same.
        let _ = tokio::time::timeout(DISCARD_TIMEOUT, discard(&mut body)).await;
    }
    read
}

async fn collect(body: &mut Body, max_bytes: usize, held: &mut Held) -> Result<Bytes, Unread> {
    // Most deliveries come in one piece, which needs no copy.
    let first = next(body).await?.unwrap_or_default();
    if first.len() as u64 + body.size_hint().lower() > max_bytes as u64 {
        return Err(Unread::TooLarge);
    }
    if !held.grow(first.len()) {
        return Err(Unread::NoRoom);
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut whole = BytesMut::from(first);
    while let Some(data) = next(body).await? {
        if whole.len() + data.len() > max_bytes {
            return Err(Unread::TooLarge);
        }
        if !held.grow(data.len()) {
            return Err(Unread::NoRoom);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

async fn discard(body: &mut Body) {
    let mut discarded = 0;
    while let Ok(Some(data)) = next(body).await {
        discarded += data.len();
        if discarded > DISCARD_BYTES {
            return;
        }
    }
}

/// The next piece of data; trailers are passed over.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Unread> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Unread::Incomplete)?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;
    use crate::memory::Memory;

    /// A body in pieces, without an announced length.
    fn pieces(lengths: &'static [usize]) -> Body {
        let frames = lengths.iter().map(|length| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; *length]))));
        Body::new(StreamBody::new(futures_util::stream::iter(frames)))
    }

    async fn length_of(body: Body) -> Result<usize, Unread> {
        read(body, 10, false, &mut Memory::for_bodies_of(10).hold()).await.map(|bytes| bytes.len())
    }

    #[tokio::test]
    async fn exactly_the_limit_passes() {
        assert_eq!(length_of(Body::empty()).await, Ok(0));
        assert_eq!(length_of(Body::from(vec![b'x'; 10])).await, Ok(10));
        assert_eq!(length_of(pieces(&[10])).await, Ok(10));
        assert_eq!(length_of(pieces(&[4, 0, 5, 1])).await, Ok(10));
    }

    #[tokio::test]
    async fn one_byte_more_does_not() {
        assert_eq!(length_of(Body::from(vec![b'x'; 11])).await, Err(Unread::TooLarge));
        assert_eq!(length_of(pieces(&[11])).await, Err(Unread::TooLarge));
        assert_eq!(length_of(pieces(&[4, 5, 2])).await, Err(Unread::TooLarge));
        assert_eq!(length_of(pieces(&[0, 11, 1000])).await, Err(Unread::TooLarge));
    }

    #[tokio::test]
    async fn without_memory_there_is_no_body() {
        let memory = Memory::for_bodies_of(10);
        let mut others = memory.hold();
        while others.grow(1024 * 1024) {}
        let refused = read(pieces(&[4, 4]), 10, false, &mut memory.hold()).await;
        assert_eq!(refused, Err(Unread::NoRoom));
        drop(others);
        assert!(read(pieces(&[4, 4]), 10, false, &mut memory.hold()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up() {
        let endless = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert_eq!(length_of(Body::new(endless)).await, Err(Unread::Incomplete));
    }
}
