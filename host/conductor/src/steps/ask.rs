//! Having attempts run by other members, as the leader.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use inquisitor_engine::journal::StepRecord;
use inquisitor_engine::placement::{Assignment, Ear, Executor, Lost, Offer, Pool, Said};
use inquisitor_ledger::Hash;
use inquisitor_peer::{Call, Class};
use tokio::time::sleep;

use super::frame::{Frame, Frames};
use super::{MAX_GIVEN, STEP_LEASE};
use crate::facts;
use crate::network::links::{Links, Question};
use crate::network::wire::{self, OfferReply, StepOrder, Target};
use crate::node::{Node, Running};

/// How often each member is asked what it takes.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The same while some take nothing: a new leader is not known to all at once.
const ASK_SOON: Duration = Duration::from_millis(250);
/// How long it may take to answer that.
const OFFER_DEADLINE: Duration = Duration::from_secs(1);

/// Keeps the pool filled with the other voters that take attempts, for as long as it is not dropped; then it empties it. Never
/// ends.
pub(crate) async fn follow(node: &Arc<Node>, pool: &Pool) {
    let (Some(links), Some(_)) = (node.links.clone(), node.running()) else {
        return std::future::pending().await;
    };
    let _empties = Empties(pool);
    loop {
        let others = node.running().map(Running::other_voters).unwrap_or_default();
        let names: BTreeSet<&str> = others.iter().map(|other| other.member.name.as_str()).collect();
        pool.retain(|name| names.contains(name));
        let asked = others.iter().map(|other| async {
            let name = other.member.name.as_str();
            match offer(node, &links, other).await {
                Ok(offer) => {
                    let member = Member { node: node.clone(), links: links.clone(), target: other.clone() };
                    pool.offer(name, Arc::new(member), offer);
                    true
                }
                Err(why) => {
                    tracing::debug!(member = name, why, "a member takes no steps now");
                    pool.withdraw(name);
                    false
                }
            }
        });
        let all = join_all(asked).await.into_iter().all(|offers| offers);
        sleep(if all { ASK_EVERY } else { ASK_SOON }).await;
    }
}

struct Empties<'a>(&'a Pool);

impl Drop for Empties<'_> {
    fn drop(&mut self) {
        self.0.retain(|_| false);
    }
}

async fn offer(node: &Node, links: &Links, other: &Target) -> Result<Offer, String> {
    let Some(running) = node.running() else { return Err("this member has stopped".to_owned()) };
    let question = Question::new(wire::STEP_OFFER, &(), OFFER_DEADLINE);
    match links.exchange(running.id, other, Class::Request, &question).await {
        Ok(OfferReply::Offer { places, busy }) => Ok(Offer { places: places.min(MAX_GIVEN), busy }),
        Ok(OfferReply::NotNow(why)) => Err(why),
        Err(error) => Err(error.to_string()),
    }
}

/// Another member as an executor.
struct Member {
    node: Arc<Node>,
    links: Arc<Links>,
    target: Target,
}

#[async_trait]
impl Executor for Member {
    async fn run(&self, assignment: &Assignment, ear: Ear) -> Result<StepRecord, Lost> {
        let lost = |error: &dyn std::fmt::Display| Lost::new(error.to_string());
        let running = self.node.running().ok_or_else(|| Lost::new("this member has stopped"))?;
        let order = StepOrder {
            inquiry: assignment.inquiry.clone(),
            step: assignment.step as u64,
            round: assignment.round,
            term: assignment.token.term,
            attempt: assignment.token.attempt,
            state: assignment.state.clone(),
            trace: assignment.trace.clone(),
            // The lease is applied here, so what it is about is at or below this.
            applied: *self.node.published.applied.borrow(),
        };
        let head = self.links.head(running.id, self.target.id);
        let body = wire::encode(&head, &order, &[]).map_err(|error| lost(&error))?;
        // Each frame is bounded, and the stream lasts as long as the attempt.
        let call = Call::new(wire::STEP_RUN).body(body).deadline(STEP_LEASE).max_reply_bytes(u64::MAX);
        let channel = self.links.channel(&self.target.member).map_err(|error| lost(&error))?;
        let mut reply = channel.open(Class::Request, call).await.map_err(|error| lost(&error))?;
        let mut frames = Frames::default();
        loop {
            while let Some(frame) = frames.next().map_err(|problem| self.malformed(&problem))? {
                match frame {
                    Frame::Beat => {}
                    Frame::Said(json) => match serde_json::from_slice::<Said>(&json) {
                        Ok(said) => ear(said),
                        Err(error) => tracing::debug!(%error, "what an instrument said cannot be read"),
                    },
                    Frame::Record(json) => {
                        let record = serde_json::from_slice(&json).map_err(|error| self.malformed(&error))?;
                        self.confirm(&record);
                        return Ok(record);
                    }
                    Frame::Lost(reason) => return Err(Lost { reason }),
                }
            }
            match reply.body.chunk().await.map_err(|error| lost(&error))? {
                Some(piece) => frames.push(&piece),
                None => return Err(Lost::new("its answer ended without a record")),
            }
        }
    }
}

impl Member {
    fn malformed(&self, problem: &dyn std::fmt::Display) -> Lost {
        Lost::new(format!("`{}` gave an answer that makes no sense: {problem}", self.target.member.name))
    }

    /// The member put the blobs of its record where a majority has them, as it does before it proposes a command itself. So the
    /// command that names them need not ask again.
    fn confirm(&self, record: &StepRecord) {
        for digest in facts::record_blobs(record).filter_map(|digest| digest.parse::<Hash>().ok()) {
            self.node.transfers.confirm(digest);
        }
    }
}
