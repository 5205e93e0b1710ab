//! What a member says while it runs an attempt: a kind, a length and so many bytes.

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes of a frame. Most are a few; a record has up to 16 KiB of readings, and refusals and a failure in the words of an
/// instrument.
pub(super) const MAX_FRAME_BYTES: usize = 1 << 20;

/// Kind and length.
const HEAD_BYTES: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// It is still at work.
    Beat,
    /// JSON of what the instrument says.
    Said(Bytes),
    /// JSON of the record. The last frame.
    Record(Bytes),
    /// There will be no record, and why. The last frame.
    Lost(String),
}

impl Frame {
    /// # Errors
    /// When it is larger than [`MAX_FRAME_BYTES`].
    pub(super) fn encode(&self) -> Result<Bytes, String> {
        let (kind, body): (u8, &[u8]) = match self {
            Self::Beat => (0, &[]),
            Self::Said(json) => (1, json),
            Self::Record(json) => (2, json),
            Self::Lost(why) => (3, why.as_bytes()),
        };
        match u32::try_from(body.len()) {
            Ok(length) if body.len() <= MAX_FRAME_BYTES => {
                let mut bytes = BytesMut::with_capacity(HEAD_BYTES + body.len());
                bytes.extend_from_slice(&[kind]);
                bytes.extend_from_slice(&length.to_be_bytes());
                bytes.extend_from_slice(body);
                Ok(bytes.freeze())
            }
            _ => Err(format!("a frame of {} bytes, where {MAX_FRAME_BYTES} are allowed", body.len())),
        }
    }
}

/// Frames out of the pieces in which they arrive. Holds less than one frame and one piece.
#[derive(Default)]
pub(super) struct Frames(BytesMut);

impl Frames {
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }

    /// The next frame, where all of it is there.
    ///
    /// # Errors
    /// When it is no frame.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, String> {
        let Some(&[kind, a, b, c, d]) = self.0.first_chunk() else { return Ok(None) };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > MAX_FRAME_BYTES {
            return Err(format!("a frame of {length} bytes, where {MAX_FRAME_BYTES} are allowed"));
        }
        if self.0.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.0.advance(HEAD_BYTES);
        let body = self.0.split_to(length).freeze();
        match kind {
            0 => Ok(Some(Frame::Beat)),
            1 => Ok(Some(Frame::Said(body))),
            2 => Ok(Some(Frame::Record(body))),
            3 => Ok(Some(Frame::Lost(String::from_utf8_lossy(&body).into_owned()))),
            _ => Err(format!("a frame of the kind {kind}, which is none")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames() -> Vec<Frame> {
        vec![
            Frame::Beat,
            Frame::Said(Bytes::from_static(b"{}")),
            Frame::Lost("it stops".into()),
            Frame::Record(vec![b'x'; 100_000].into()),
        ]
    }

    proptest! {
        #[test]
        fn frames_arrive_whole_in_whatever_pieces(cuts in proptest::collection::vec(1_usize..70_000, 1..8)) {
            let sent: Vec<u8> = frames().iter().flat_map(|frame| frame.encode().unwrap()).collect();
            let (mut arrived, mut stream, mut rest) = (Vec::new(), Frames::default(), sent.as_slice());
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                stream.push(piece);
                while let Some(frame) = stream.next().unwrap() {
                    arrived.push(frame);
                }
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(arrived, frames());
        }

        #[test]
        fn garbage_is_an_error_or_waits_for_more(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut stream = Frames::default();
            stream.push(&bytes);
            while let Ok(Some(_)) = stream.next() {}
        }
    }

    #[test]
    fn a_frame_has_a_bound_on_both_sides() {
        let large = Frame::Record(vec![0; MAX_FRAME_BYTES + 1].into());
        assert!(large.encode().unwrap_err().contains("1048576 are allowed"));
        let mut stream = Frames::default();
        stream.push(&[2, 0xff, 0, 0, 0]);
        assert!(stream.next().unwrap_err().contains("a frame of 4278190080 bytes"));
    }
}
