//! What only the leader does: it drives inquiries, whichever member took them, and leases their steps to all.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::app::App;

/// Ledger entries read at once.
const SLICE: usize = 500;
/// How long to wait after the ledger could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// Drive inquiries for as long as this member leads, and let go of them when it does not. Ends with the host.
pub(crate) async fn follow(app: Arc<App>) {
    let mut leads = app.conductor.leads();
    loop {
        let leading = *leads.borrow_and_update();
        if leading {
            // A second start changes nothing; what was paused goes on with what the journal says.
            app.dispatcher.start();
            app.dispatcher.resume();
        } else {
            app.dispatcher.pause();
        }
        tokio::select! {
            changed = leads.changed() => if changed.is_err() { return },
            () = hear(&app), if leading => {}
            () = app.conductor.follow_executors(app.engine.pool()), if leading => {}
        }
    }
}

/// What the leader must hear of an entry.
#[derive(Deserialize)]
struct Heard<'a> {
    #[serde(borrow)]
    kind: &'a str,
    inquiry: &'a str,
}

/// Wake for what other members took in, and end what they were asked to end: their handlers cannot reach this dispatcher.
async fn hear(app: &App) {
    let mut sizes = app.conductor.subscribe();
    // What was submitted before is found by the dispatcher itself when it starts and resumes.
    let mut next = *sizes.borrow_and_update();
    while sizes.changed().await.is_ok() {
        let size = *sizes.borrow_and_update();
        if app.conductor.is_alone() {
            next = size;
            continue;
        }
        while next < size {
            match app.conductor.ledger_entries(next, SLICE).await {
                Ok(entries) if entries.is_empty() => break,
                Ok(entries) => {
                    for (index, bytes) in entries {
                        next = index + 1;
                        act(app, &bytes);
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the ledger cannot be followed");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

fn act(app: &App, entry: &[u8]) {
    // An entry that this version cannot read is none that it acts on.
    let Ok(heard) = serde_json::from_slice::<Heard<'_>>(entry) else { return };
    match heard.kind {
        "inquiry-submitted" => app.dispatcher.wake(heard.inquiry),
        "inquiry-cancel-requested" => app.dispatcher.cancel(heard.inquiry),
        _ => {}
    }
}
