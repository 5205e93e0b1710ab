//! What both ends of an HTTP/2 connection have in common.

use http::StatusCode;

use crate::error::Refusal;

/// Longest path of a request, in bytes.
pub const MAX_PATH_BYTES: usize = 1024;
/// Longest message of a refusal, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 4096;
/// Largest list of headers: ours are five short ones and a path.
pub(crate) const MAX_HEADER_BYTES: u32 = 8 * 1024;
/// Largest frame that is accepted: four records of TLS. Larger ones make small requests on the connection wait.
pub(crate) const MAX_FRAME_BYTES: u32 = 64 * 1024;
/// What a sender may send ahead of the reader on one stream, and on all streams of a connection together: 1 MiB fills
/// 10 Gbit/s at a round trip of 0.8 ms, and bounds what a connection may hold in memory.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

const STATUS: [(Refusal, StatusCode); 5] = [
    (Refusal::UnknownPath, StatusCode::NOT_FOUND),
    (Refusal::Invalid, StatusCode::BAD_REQUEST),
    (Refusal::TooLarge, StatusCode::PAYLOAD_TOO_LARGE),
    (Refusal::Busy, StatusCode::SERVICE_UNAVAILABLE),
    (Refusal::Failed, StatusCode::INTERNAL_SERVER_ERROR),
];

pub(crate) fn status(refusal: Refusal) -> StatusCode {
    let found = STATUS.iter().find(|(candidate, _)| *candidate == refusal);
    found.map_or(StatusCode::INTERNAL_SERVER_ERROR, |(_, status)| *status)
}

/// What a status other than OK stands for.
pub(crate) fn refusal(status: StatusCode) -> Refusal {
    let found = STATUS.iter().find(|(_, candidate)| *candidate == status);
    found.map_or(Refusal::Failed, |(refusal, _)| *refusal)
}

/// Whether a path may stand in a request: `/` and visible ASCII.
pub(crate) fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= MAX_PATH_BYTES
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'))
}

/// The chain of causes in one line: hyper's own text seldom says what happened.
pub(crate) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next.take().filter(|_| parts.len() < 5) {
        let text = error.to_string();
        if parts.last().is_none_or(|last| *last != text) {
            parts.push(text);
        }
        next = error.source();
    }
    parts.join(": ")
}

/// Whether the other side said that it never looked at the request.
pub(crate) fn is_unprocessed(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            // A stream fails so when the peer's goodbye named an earlier stream as its last.
            let after_the_last = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
            return error.is_remote() && (refused || after_the_last);
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_keep_their_meaning_on_the_wire() {
        for (meaning, _) in STATUS {
            assert_eq!(refusal(status(meaning)), meaning);
        }
        assert_eq!(refusal(StatusCode::IM_A_TEAPOT), Refusal::Failed);
    }

    #[test]
    fn paths_are_plain() {
        assert!(is_path("/raft/append") && is_path("/blobs/sha256:ab"));
        for path in ["", "raft", "/a b", "/a?b", "/a#b", "/ä", "/a\n"] {
            assert!(!is_path(path), "{path}");
        }
        assert!(!is_path(&format!("/{}", "a".repeat(MAX_PATH_BYTES))));
    }
}
