//! What a connection does, so that one that does nothing can be told from one that waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Version;
use tokio::time::Instant;

/// How long a connection may be kept open for the next request: longer than the minute of the usual proxies, so that they
/// never send one into a connection that is being closed.
const IDLE: Duration = Duration::from_secs(75);
/// How long one part of an answer may wait for its client. In HTTP/2 a client grants what may be sent, and one that grants
/// nothing keeps an answer waiting while its connection works.
const UNTAKEN: Duration = Duration::from_secs(60);

/// What a connection does, told by its socket and by its requests.
#[derive(Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    under_way: AtomicUsize,
    /// Whether bytes came while no request was under way: the beginning of a head.
    head_begun: AtomicBool,
    /// Whether it is HTTP/2, where bytes come that belong to no request.
    is_http2: AtomicBool,
    /// Answers of which a part was handed on and the next one not yet asked for, by the number of their request, with when.
    untaken: Mutex<HashMap<u64, Instant>>,
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
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay { activity: self.clone(), number, is_untaken: false }
    }

    /// Whether a part of an answer has waited for the client for too long.
    fn is_stuck(&self) -> bool {
        self.untaken().values().any(|since| since.elapsed() >= UNTAKEN)
    }

    fn untaken(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.untaken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is under way until this is dropped, which is when the last byte of its answer is taken.
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    number: u64,
    is_untaken: bool,
}

impl UnderWay {
    /// A part of the answer was handed on: it waits until the next one is asked for.
    pub(super) fn handed_on(&mut self) {
        self.is_untaken = true;
        self.activity.untaken().insert(self.number, Instant::now());
    }

    /// The next part of the answer is asked for, so the one before it was taken.
    pub(super) fn asked(&mut self) {
        if std::mem::take(&mut self.is_untaken) {
            self.activity.untaken().remove(&self.number);
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.asked();
        let activity = &self.activity;
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

    /// Whether the connection should be closed. Where it is `crowded`, because others wait for a connection, one may rest
    /// between two requests for no longer than the head of a request may take.
    pub(super) fn is_over(&mut self, crowded: bool) -> bool {
        let activity = &self.activity;
        if activity.is_stuck() {
            return true;
        }
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
        begun == 0 || head_is_late || crowded || self.idle >= IDLE
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
        (1..100).find(|_| watch.is_over(false)).unwrap_or(100)
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
        assert!(!watch.is_over(false));
        assert_eq!(looks(&mut watch), 8);
    }

    #[test]
    fn one_with_half_a_head_may_not() {
        let (activity, mut watch) = watched();
        drop(activity.begin(Version::HTTP_11));
        assert!(!watch.is_over(false));
        activity.read();
        assert_eq!(looks(&mut watch), 2);
    }

    #[test]
    fn bytes_of_http_2_belong_to_no_head() {
        let (activity, mut watch) = watched();
        drop(activity.begin(Version::HTTP_2));
        assert!(!watch.is_over(false));
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
    #[test]
    fn where_others_wait_nobody_rests_for_long() {
        let (activity, mut watch) = watched();
        let under_way = activity.begin(Version::HTTP_11);
        assert!(!watch.is_over(true));
        drop(under_way);
        // It may have ended in this very moment.
        assert!(!watch.is_over(false));
        assert!(watch.is_over(true));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_its_connection() {
        let (activity, mut watch) = watched();
        let mut taken = activity.begin(Version::HTTP_2);
        let mut untaken = activity.begin(Version::HTTP_2);
        let mut silent = activity.begin(Version::HTTP_2);
        silent.handed_on();
        // It is asked for more and there is nothing yet, as of a stream of events.
        silent.asked();
        untaken.handed_on();
        for _ in 0..5 {
            taken.asked();
            taken.handed_on();
            tokio::time::advance(EVERY).await;
            assert!(!watch.is_over(false));
        }
        tokio::time::advance(EVERY).await;
        assert!(watch.is_over(false));
        drop(untaken);
        assert!(!watch.is_over(false));
    }
}
