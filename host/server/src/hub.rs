//! Streams of events: what the ledger gained, handed to whoever watches an inquiry.
//!
//! One task, [`Hub::follow`], reads new ledger entries in their order and gives each to the watchers of its inquiry; an entry of
//! an inquiry that nobody watches costs one look into a map, and while nobody watches anything the ledger is not read at all.
//! Beside them go live events (log lines, progress), which the engine tells the hub as an [`Observer`] and which are nowhere
//! else.
//!
//! A watcher never makes the hub wait, and the hub keeps nothing for it beyond [`KEPT_ENTRIES`] and [`KEPT_LIVE`]: whoever
//! falls behind reads the entries it missed from the ledger, and has lost the live events. So memory depends on the number of
//! watched inquiries and on nothing else.
//!
//! The rule that keeps a stream without gap or repetition: register with [`Hub::watch`] first, read the history after that, and
//! leave out what comes a second time.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use inquisitor_conductor::Conductor;
use inquisitor_engine::events::{Event, Observer};
use serde::Deserialize;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::places::{Place, Places};

/// Entries kept for each watched inquiry.
const KEPT_ENTRIES: usize = 64;
/// Live events kept for each watched inquiry.
const KEPT_LIVE: usize = 64;
/// Bytes of the text of a live event; longer text is cut. An instrument chooses it.
const MAX_LIVE_TEXT: usize = 8 << 10;
/// Entries read from the ledger at once.
const SLICE: usize = 500;
/// How long the task waits after the ledger could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// A ledger entry of a watched inquiry.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Position in the ledger.
    pub(crate) index: u64,
    /// Canonical bytes.
    pub(crate) bytes: Bytes,
}

/// Gives entries and events to those who watch.
pub(crate) struct Hub {
    channels: Mutex<HashMap<String, Channel>>,
    streams: Places,
    /// Version of the registry of tenants, keys and plugins that was last seen.
    registry: watch::Sender<u64>,
    closed: CancellationToken,
}

struct Channel {
    entries: broadcast::Sender<Entry>,
    live: broadcast::Sender<Arc<Event>>,
    watchers: usize,
}

/// One who watches an inquiry. Stops watching when dropped.
pub(crate) struct Watcher {
    hub: Arc<Hub>,
    inquiry: String,
    pub(crate) entries: broadcast::Receiver<Entry>,
    pub(crate) live: broadcast::Receiver<Arc<Event>>,
    _place: Place,
}

impl Hub {
    /// A hub that lets so many watch at once.
    pub(crate) fn new(max_streams: usize) -> Arc<Self> {
        Arc::new(Self {
            channels: Mutex::default(),
            streams: Places::new(max_streams),
            registry: watch::Sender::new(0),
            closed: CancellationToken::new(),
        })
    }

    /// Watch an inquiry from now on, with a key of this tenant or with one above tenants.
    ///
    /// # Errors
    /// Where as many watch as may; a sentence for people.
    pub(crate) fn watch(self: &Arc<Self>, inquiry: &str, tenant: Option<&str>) -> Result<Watcher, String> {
        let place = self.streams.take(tenant, "event streams open")?;
        let mut channels = self.channels();
        let channel = channels.entry(inquiry.to_owned()).or_insert_with(|| Channel {
            entries: broadcast::Sender::new(KEPT_ENTRIES),
            live: broadcast::Sender::new(KEPT_LIVE),
            watchers: 0,
        });
        channel.watchers += 1;
        let (entries, live) = (channel.entries.subscribe(), channel.live.subscribe());
        Ok(Watcher { hub: self.clone(), inquiry: inquiry.to_owned(), entries, live, _place: place })
    }

    /// Streams that are open.
    pub(crate) fn open_streams(&self) -> usize {
        self.streams.taken()
    }

    /// Changes whenever tenants, keys or uploaded plugins did. The value is the registry's version.
    pub(crate) fn registry_changes(&self) -> watch::Receiver<u64> {
        self.registry.subscribe()
    }

    /// End all streams: the host is stopping.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Done when [`Hub::close`] was called.
    pub(crate) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    /// Follow the ledger until the hub is closed. To be spawned once.
    pub(crate) async fn follow(self: Arc<Self>, conductor: Arc<Conductor>) {
        let mut applied = conductor.subscribe();
        let mut next = *applied.borrow_and_update();
        loop {
            let registry = conductor.registry().version;
            self.registry.send_if_modified(|known| std::mem::replace(known, registry) != registry);
            let size = *applied.borrow_and_update();
            next = if self.channels().is_empty() {
                // Whoever comes now registers before it reads, and can read all of these.
                size
            } else {
                match self.hand_out(&conductor, next, size).await {
                    Ok(next) => next,
                    Err(error) => {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "streams of events wait: the ledger cannot be read"
                        );
                        tokio::time::sleep(RETRY).await;
                        continue;
                    }
                }
            };
            tokio::select! {
                changed = applied.changed() => if changed.is_err() { return },
                () = self.closed.cancelled() => return,
            }
        }
    }

    /// Give out the entries of positions `next` to `size`; the position after the last one.
    async fn hand_out(
        &self,
        conductor: &Conductor,
        mut next: u64,
        size: u64,
    ) -> Result<u64, inquisitor_conductor::ConductorError> {
        while next < size {
            let entries = conductor.ledger_entries(next, SLICE).await?;
            if entries.is_empty() {
                break;
            }
            for (index, bytes) in entries {
                self.give(index, bytes);
                next = index + 1;
            }
        }
        Ok(next)
    }

    fn give(&self, index: u64, bytes: Vec<u8>) {
        /// The only member that matters here; the rest is skipped without being kept.
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow)]
            inquiry: Cow<'a, str>,
        }
        let Ok(head) = serde_json::from_slice::<Head<'_>>(&bytes) else {
            tracing::error!(index, "a ledger entry cannot be read");
            return;
        };
        let sender = match self.channels().get(head.inquiry.as_ref()) {
            Some(channel) => channel.entries.clone(),
            None => return,
        };
        // Fails only where the last watcher has just gone.
        let _ = sender.send(Entry { index, bytes: bytes.into() });
    }

    fn channels(&self) -> MutexGuard<'_, HashMap<String, Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut channels = self.hub.channels();
        if let Some(channel) = channels.get_mut(&self.inquiry) {
            channel.watchers -= 1;
            if channel.watchers == 0 {
                channels.remove(&self.inquiry);
                // What thousands of streams left behind is given back.
                if channels.capacity() > 64 && channels.len() < channels.capacity() / 4 {
                    channels.shrink_to_fit();
                }
            }
        }
    }
}

impl Observer for Hub {
    fn event(&self, inquiry: &str, mut event: Event) {
        match &mut event {
            Event::StepLog { line, .. } => cut(&mut line.message),
            Event::StepProgress { message, .. } => cut(message),
            // All else is in the ledger.
            _ => return,
        }
        let channels = self.channels();
        if let Some(channel) = channels.get(inquiry) {
            let _ = channel.live.send(Arc::new(event));
        }
    }
}

fn cut(text: &mut String) {
    if text.len() > MAX_LIVE_TEXT {
        let end = (0..=MAX_LIVE_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(inquiry: &str, index: u64) -> Vec<u8> {
        format!(r#"{{"body":{{"step":0}},"index":{index},"inquiry":"{inquiry}","kind":"step-leased","time":"t","v":1}}"#)
            .into_bytes()
    }

    fn progress(message: String) -> Event {
        Event::StepProgress { step: "s".into(), fraction: 0.5, message }
    }

    #[tokio::test]
    async fn entries_go_to_those_who_watch_their_inquiry() {
        let hub = Hub::new(10);
        let (mut one, mut other) = (hub.watch("a", None).unwrap(), hub.watch("b", None).unwrap());
        hub.give(3, entry("a", 3));
        hub.give(4, entry("c", 4));
        hub.give(5, entry("b", 5));
        hub.give(6, b"not an entry".to_vec());
        assert_eq!(one.entries.recv().await.unwrap().index, 3);
        assert_eq!(other.entries.recv().await.unwrap().index, 5);
        assert!(one.entries.is_empty() && other.entries.is_empty());
    }

    #[test]
    fn nothing_stays_of_those_who_went() {
        let hub = Hub::new(5000);
        let watchers: Vec<Watcher> =
            (0..5000).map(|n| hub.watch(&format!("i{}", n / 2), None).unwrap()).collect();
        assert!(hub.watch("one more", None).is_err());
        assert_eq!((hub.open_streams(), hub.channels().len()), (5000, 2500));
        drop(watchers);
        assert_eq!((hub.open_streams(), hub.channels().len()), (0, 0));
        assert!(hub.channels().capacity() < 100);
    }

    #[tokio::test]
    async fn a_slow_watcher_is_told_that_it_missed_entries_and_holds_a_bounded_number() {
        let hub = Hub::new(1);
        let mut slow = hub.watch("a", None).unwrap();
        for index in 0..100_000 {
            hub.give(index, entry("a", index));
            hub.event("a", progress("working".into()));
        }
        assert!(matches!(slow.entries.recv().await, Err(broadcast::error::RecvError::Lagged(_))));
        assert!(slow.entries.recv().await.unwrap().index >= 100_000 - 2 * KEPT_ENTRIES as u64);
    }

    #[tokio::test]
    async fn live_text_is_cut() {
        let hub = Hub::new(1);
        let mut watcher = hub.watch("a", None).unwrap();
        hub.event("a", progress("ä".repeat(MAX_LIVE_TEXT)));
        let event = watcher.live.recv().await.unwrap();
        let Event::StepProgress { message, .. } = event.as_ref() else { panic!("progress") };
        assert!(
            message.len() <= MAX_LIVE_TEXT + '…'.len_utf8() && message.ends_with('…'),
            "{}",
            message.len()
        );
    }
}
