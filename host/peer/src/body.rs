//! Bodies: what is sent, at once or piece by piece, and what is received, never more than may be.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use tokio::time::timeout;

use crate::error::{ErrorKind, PeerError};

/// The body of a request or a response on its way out.
pub struct Payload(Outgoing);

pub(crate) type Outgoing = Either<Full<Bytes>, UnsyncBoxBody<Bytes, io::Error>>;

impl std::fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Either::Left(full) => write!(formatter, "Payload({:?} bytes)", full.size_hint().exact()),
            Either::Right(_) => formatter.write_str("Payload(stream)"),
        }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::from(Bytes::new())
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self(Either::Left(Full::new(bytes)))
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl Payload {
    /// A body that is asked for its next piece when the other side has room for it. Pieces of 64 KiB to 1 MiB do well. An
    /// error breaks the body off, which the other side sees as an error and never as an end.
    pub fn stream(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(Either::Right(BodyExt::boxed_unsync(StreamBody::new(
            pieces.map(|piece| piece.map(Frame::data)),
        ))))
    }

    /// The same body once more; none of a stream, which can be sent once.
    pub(crate) fn again(&self) -> Option<Self> {
        match &self.0 {
            Either::Left(full) => Some(Self(Either::Left(full.clone()))),
            Either::Right(_) => None,
        }
    }

    pub(crate) fn into_outgoing(self) -> Outgoing {
        self.0
    }

    pub(crate) fn from_outgoing(outgoing: Outgoing) -> Self {
        Self(outgoing)
    }
}

/// A body that comes in. Dropping it tells the sender to stop.
pub struct Body {
    incoming: Incoming,
    limit: u64,
    received: u64,
    /// Longest wait for a piece.
    patience: Duration,
    sender: Arc<str>,
}

impl std::fmt::Debug for Body {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Body").field("limit", &self.limit).field("received", &self.received).finish()
    }
}

impl Body {
    pub(crate) fn new(incoming: Incoming, limit: u64, patience: Duration, sender: Arc<str>) -> Self {
        Self { incoming, limit, received: 0, patience, sender }
    }

    /// How many bytes are still to come, where the sender said so.
    pub fn length(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// Whether the sender has announced more than the limit.
    pub(crate) fn is_too_large(&self) -> bool {
        self.incoming.size_hint().lower() > self.limit
    }

    pub(crate) fn too_large(&self) -> PeerError {
        PeerError::at(&self.sender, ErrorKind::TooLarge { limit: self.limit })
    }

    /// The next piece, of any size up to 64 KiB or so; none at the end. While nobody asks, the sender waits.
    ///
    /// # Errors
    /// When the body is larger than its limit, stops coming, or is broken off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, PeerError> {
        loop {
            let next =
                timeout(self.patience, poll_fn(|context| Pin::new(&mut self.incoming).poll_frame(context)));
            let frame = match next.await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => {
                    let reason = crate::connection::reason(&error);
                    return Err(PeerError::at(&self.sender, ErrorKind::Lost { reason, processed: true }));
                }
                Err(_) => return Err(PeerError::at(&self.sender, ErrorKind::Stalled(self.patience))),
            };
            // Trailers mean nothing here.
            let Ok(bytes) = frame.into_data() else { continue };
            self.received += bytes.len() as u64;
            if self.received > self.limit {
                return Err(self.too_large());
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    /// The whole body in memory.
    ///
    /// # Errors
    /// As [`Body::chunk`].
    pub async fn bytes(mut self) -> Result<Bytes, PeerError> {
        if self.is_too_large() {
            return Err(self.too_large());
        }
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        // At most the limit, whatever was announced: that was checked above.
        let announced = self.length().unwrap_or_default() as usize;
        let mut all = BytesMut::with_capacity(first.len() + second.len() + announced);
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }
}
