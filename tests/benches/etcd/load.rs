//! Clients in a closed loop, the same for all that is measured: each asks, waits for the answer, and asks again.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

/// Asked and thrown away before anything is counted: connections are made, caches are warm.
const WARM_UP: Duration = Duration::from_millis(300);

/// One client with its own connection.
pub(crate) trait Client: Send + 'static {
    /// Ask once. `number` is different each time that this client asks.
    fn ask(&mut self, number: u64) -> impl Future<Output = Result<(), String>> + Send;
}

/// What came of it.
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) p99: Duration,
}

/// Have all of these ask for so long.
///
/// # Panics
/// When a request fails: figures of a system that refuses some are of no use.
pub(crate) async fn run<C: Client>(clients: Vec<C>, time: Duration) -> Load {
    let stop = Arc::new(AtomicBool::new(false));
    let begin = Instant::now() + WARM_UP;
    let end = begin + time;
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let stop = stop.clone();
        tasks.spawn(async move {
            let mut times = Vec::new();
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                client.ask(number).await.unwrap_or_else(|problem| panic!("{problem}"));
                number += 1;
                let answered = Instant::now();
                if asked >= begin && answered <= end {
                    times.push(answered - asked);
                }
            }
            times
        });
    }
    tokio::time::sleep_until(end.into()).await;
    stop.store(true, Ordering::Relaxed);
    let mut times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let p99 = times.get(last * 99 / 100).copied().unwrap_or_default();
    Load { per_second: times.len() as f64 / time.as_secs_f64(), p99 }
}
