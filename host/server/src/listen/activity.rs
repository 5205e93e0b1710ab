//! What a connection does, so that one that does nothing can be told from one that waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::Version;

/// How long a connection may be kept open for the next request: longer than the minute of the usual proxies, so that they
/// never send one into a connection that is being closed.
const IDLE: Duration = Duration::from_secs(75);

/// What a connection does, told by its socket and by its requests.
#[derive(Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    under_way: AtomicUsize,
    /// Whether bytes came while no request was under way: the beginning of a head.
    head_begun: AtomicBool,
    /// Whether it is HTTP/2, where bytes come that belong to no request.
    is_http2: AtomicBool,
}

impl Activity {
    /// Bytes came in.
    pub(super) fn read(&self) {
        if self.under_way.load(Ordering::Relaxed) == 0 {
            self.head_begun.store(true, Ordering::Relaxed);
        }
    }

    /// A request is there.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> UnderWay {
        self.is_http2.store(version == Version::HTTP_2, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }
}

/// A request that is under way until this is dropped, which is when the last byte of its answer is taken.
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let activity = &self.0;
        if activity.under_way.fetch_sub(1, Ordering::Relaxed) == 1 {
            activity.head_begun.store(false, Ordering::Relaxed);
        }
    }
}

/// Looks at a connection again and again, and says when it has done nothing for too long.
pub(super) struct Watch {
    activity: Arc<Activity>,
    every: Duration,
    begun: u64,
    head_begun: bool,
    idle: Duration,
}

impl Watch {
    /// To be asked once after each `every`, which is also how long the head of a request may take, twice at most.
    pub(super) fn new(activity: Arc<Activity>, every: Duration) -> Self {
        Self { activity, every, begun: 0, head_begun: false, idle: Duration::ZERO }
    }

    /// Whether the connection should be closed.
    pub(super) fn is_over(&mut self) -> bool {
        let activity = &self.activity;
        let begun = activity.begun.load(Ordering::Relaxed);
        let is_http2 = activity.is_http2.load(Ordering::Relaxed);
        let head_begun = activity.head_begun.load(Ordering::Relaxed) && !is_http2;
        if activity.under_way.load(Ordering::Relaxed) > 0 || begun != self.begun {
            (self.begun, self.head_begun, self.idle) = (begun, false, Duration::ZERO);
            return false;
        }
        self.idle += self.every;
        let head_is_late = std::mem::replace(&mut self.head_begun, head_begun) && head_begun;
        // The first request must come at once, and later ones once they have begun.
        begun == 0 || head_is_late || self.idle >= IDLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    fn watched() -> (Arc<Activity>, Watch) {
        let activity = Arc::new(Activity::default());
        (activity.clone(), Watch::new(activity, EVERY))
    }

    /// How often it is looked at until the connection is over.
    fn looks(watch: &mut Watch) -> usize {
        (1..100).find(|_| watch.is_over()).unwrap_or(100)
    }

    #[test]
    fn a_connection_without_a_first_request_is_over_at_once() {
        let (activity, mut watch) = watched();
        activity.read();
        assert_eq!(looks(&mut watch), 1);
    }

    #[test]
    fn one_that_waits_for_the_next_request_may_wait_longer() {
        let (activity, mut watch) = watched();
        activity.read();
        drop(activity.begin(Version::HTTP_11));
        assert!(!watch.is_over());
        assert_eq!(looks(&mut watch), 8);
    }

    #[test]
    fn one_with_half_a_head_may_not() {
        let (activity, mut watch) = watched();
        drop(activity.begin(Version::HTTP_11));
        assert!(!watch.is_over());
        activity.read();
        assert_eq!(looks(&mut watch), 2);
    }

    #[test]
    fn bytes_of_http_2_belong_to_no_head() {
        let (activity, mut watch) = watched();
        drop(activity.begin(Version::HTTP_2));
        assert!(!watch.is_over());
        activity.read();
        assert_eq!(looks(&mut watch), 8);
    }

    #[test]
    fn a_request_under_way_may_take_as_long_as_it_likes() {
        let (activity, mut watch) = watched();
        let under_way = activity.begin(Version::HTTP_11);
        assert_eq!(looks(&mut watch), 100);
        drop(under_way);
        assert_eq!(looks(&mut watch), 8);
    }
}
