//! Running an attempt for the leader.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use inquisitor_engine::journal::Token;
use inquisitor_engine::placement::{Assignment, Ear, Lost, Worker};
use inquisitor_peer::{Payload, Refusal, Response};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::frame::{Frame, MAX_FRAME_BYTES};
use super::{BEAT, STEP_LEASE};
use crate::network::wire::{OfferReply, StepOrder};
use crate::node::{Node, Running};
use crate::read;

/// Frames that wait for the network. What an instrument says beyond is left out; the record waits for room.
const MAX_WAITING: usize = 64;

/// How much this member takes of the leader.
pub(crate) fn offer(node: &Node, running: &Running, from: u64) -> OfferReply {
    if running.raft.server_metrics().borrow().current_leader != Some(from) {
        return OfferReply::NotNow("it knows of another leader, or of none".to_owned());
    }
    match node.worker.worker().and_then(|worker| worker.offer()) {
        Ok(offer) => OfferReply::Offer { places: offer.places, busy: offer.busy },
        Err(why) => OfferReply::NotNow(why),
    }
}

/// Begins an attempt that the member `from` leased to this one. The answer's body lasts as long as the attempt.
pub(crate) fn begin(
    node: &Arc<Node>,
    running: &Running,
    from: u64,
    order: StepOrder,
) -> Result<Payload, Response> {
    let refuse = |why: String| Err(Response::refuse(Refusal::Busy, why));
    if !is_led(running, from, order.term) {
        return refuse(format!(
            "only the leader leases steps, and this member knows of another than the one of term {}",
            order.term
        ));
    }
    let worker = match node.worker.worker() {
        Ok(worker) => worker,
        Err(why) => return refuse(why),
    };
    let (frames, waiting) = mpsc::channel(MAX_WAITING);
    tokio::spawn(run(node.clone(), worker, from, order, frames));
    Ok(body(waiting))
}

/// The attempt, until it ends or nobody wants it any more.
async fn run(
    node: Arc<Node>,
    worker: Arc<dyn Worker>,
    from: u64,
    order: StepOrder,
    frames: mpsc::Sender<Frame>,
) {
    let term = order.term;
    let last = tokio::select! {
        done = attempt(&node, worker, order, &frames) => match done {
            Ok(record) => Frame::Record(record),
            Err(Lost { reason }) => Frame::Lost(reason),
        },
        // The leader has let go of the stream, or is gone.
        () = frames.closed() => return,
        () = no_longer_led(&node, from, term) => {
            Frame::Lost(format!("the leader that leased the step in term {term} leads no more"))
        }
    };
    // Fails only where the stream has ended.
    let _ = frames.send(last).await;
}

async fn attempt(
    node: &Node,
    worker: Arc<dyn Worker>,
    order: StepOrder,
    frames: &mpsc::Sender<Frame>,
) -> Result<Bytes, Lost> {
    until_known(node, &order).await?;
    let assignment = Assignment {
        inquiry: order.inquiry,
        step: usize::try_from(order.step).map_err(|error| Lost::new(error.to_string()))?,
        round: order.round,
        token: Token { term: order.term, attempt: order.attempt },
        state: order.state,
        trace: order.trace,
    };
    let record = worker.run(&assignment, ear(frames.clone())).await?;
    let json = serde_json::to_vec(&record).map_err(|error| Lost::new(error.to_string()))?;
    if json.len() > MAX_FRAME_BYTES {
        return Err(Lost::new(format!(
            "its record has {} bytes, where at most {MAX_FRAME_BYTES} go back to the leader",
            json.len()
        )));
    }
    Ok(json.into())
}

/// Sends on what the instrument says, as long as there is room: it is for eyes only.
fn ear(frames: mpsc::Sender<Frame>) -> Ear {
    Arc::new(move |said| {
        if let Ok(json) = serde_json::to_vec(&said)
            && json.len() <= MAX_FRAME_BYTES
        {
            let _ = frames.try_send(Frame::Said(json.into()));
        }
    })
}

/// Waits until the inquiry is applied here. What an attempt needs of it never changes, so once it is there it is new enough.
async fn until_known(node: &Node, order: &StepOrder) -> Result<(), Lost> {
    let is_known = async || {
        let (state, inquiry) = (node.state.clone(), order.inquiry.clone());
        let read = crate::state::blocking(move || read::has_inquiry(&state, &inquiry)).await;
        read.map_err(|error| Lost::new(error.to_string()))
    };
    if is_known().await? {
        return Ok(());
    }
    if let Some(running) = node.running() {
        running.applied_by(&node.published, order.applied, Instant::now() + STEP_LEASE).await;
    }
    match is_known().await? {
        true => Ok(()),
        false => Err(Lost::new("it lags behind: the inquiry is not applied there yet")),
    }
}

/// Whether this member follows that leader in that term.
fn is_led(running: &Running, leader: u64, term: u64) -> bool {
    let metrics = running.raft.server_metrics();
    let metrics = metrics.borrow();
    metrics.current_leader == Some(leader) && metrics.vote.leader_id().get_term() == term
}

async fn no_longer_led(node: &Node, leader: u64, term: u64) {
    let Some(running) = node.running() else { return };
    let mut metrics = running.raft.server_metrics();
    // An error says that Raft has stopped, and with it this member.
    let _ = metrics
        .wait_for(|metrics| {
            metrics.current_leader != Some(leader) || metrics.vote.leader_id().get_term() != term
        })
        .await;
}

/// Frames as they come, and a sign of life where none comes. Ends behind the last one.
fn body(waiting: mpsc::Receiver<Frame>) -> Payload {
    Payload::stream(stream::unfold(Some(waiting), |waiting| async {
        let mut waiting = waiting?;
        let frame = match timeout(BEAT, waiting.recv()).await {
            Ok(frame) => frame?,
            Err(_) => Frame::Beat,
        };
        let rest = match &frame {
            Frame::Beat | Frame::Said(_) => Some(waiting),
            Frame::Record(_) | Frame::Lost(_) => None,
        };
        Some((frame.encode().map_err(std::io::Error::other), rest))
    }))
}
