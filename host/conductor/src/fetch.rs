//! Blobs between members.
//!
//! A blob is spread before a command may name it: a majority of the voters holds it on disk then, so that it is there as long
//! as the command is. Small ones are sent at once; of large ones the receiver fetches piece after piece, each at an offset,
//! so that what a broken connection cost is one piece. Whoever lacks a blob that it needs fetches it the same way, from
//! whoever has it. All that comes is checked against the digest before it is kept.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use inquisitor_engine::journal::JournalError;
use inquisitor_ledger::Hash;
use inquisitor_peer::{Body, Call, Class, PeerIdentity, Refusal, Response};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use crate::blobs::{Blobs, MAX_BLOB_BYTES};
use crate::error::{ConductorError, chain};
use crate::lately::Lately;
use crate::network::links::{AskError, Links};
use crate::network::wire::{BLOB_CHUNK_BYTES, BLOB_GET, BLOB_HOLD, BLOB_PULL, BLOB_PUT, Target};
use crate::node::{Node, Running};
use crate::raft::{Member, is_majority};

/// Blobs that are fetched or sent at a time; others wait. With [`MAX_BLOB_BYTES`] it bounds the memory that they take.
const MAX_TRANSFERS: usize = 8;
/// Blobs that a member is given at a time; bounds what waits for one that is slow.
const MAX_GIVEN: usize = 64;
/// Bytes up to which a blob's digest is taken on the task that asks: a fraction of a millisecond.
const SMALL_BLOB: usize = 256 << 10;
/// How long a piece, or a member's answer to a question about a blob, may take.
const PIECE_DEADLINE: Duration = Duration::from_secs(10);
/// How long a member may take to fetch a whole blob.
const PULL_DEADLINE: Duration = Duration::from_secs(120);
/// How long a spread may take until a majority holds the blob.
const SPREAD_DEADLINE: Duration = Duration::from_secs(130);

/// Transfers under way, and what is known from those that are over.
pub(crate) struct Transfers {
    places: Semaphore,
    /// One fetch for each blob; others wait for it.
    fetching: Mutex<HashMap<Hash, Arc<tokio::sync::Mutex<()>>>>,
    /// Blobs that a majority holds.
    confirmed: Lately,
    /// Places for each member that is given blobs.
    giving: Mutex<HashMap<u64, Arc<Semaphore>>>,
}

impl Default for Transfers {
    fn default() -> Self {
        Self {
            places: Semaphore::new(MAX_TRANSFERS),
            fetching: Mutex::default(),
            confirmed: Lately::default(),
            giving: Mutex::default(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transfers {
    fn places_of(&self, id: u64) -> Arc<Semaphore> {
        lock(&self.giving).entry(id).or_insert_with(|| Arc::new(Semaphore::new(MAX_GIVEN))).clone()
    }

    /// Takes note that a majority holds the blob.
    pub(crate) fn confirm(&self, digest: Hash) {
        self.confirmed.note(digest);
    }
}

fn failed(digest: &Hash, message: impl Into<String>) -> JournalError {
    JournalError::Blob { digest: digest.to_string(), message: message.into() }
}

/// Runs work on files on a thread that may block.
async fn on_disk<T: Send + 'static>(
    blobs: &Blobs,
    work: impl FnOnce(&Blobs) -> Result<T, JournalError> + Send + 'static,
) -> Result<T, JournalError> {
    let blobs = blobs.clone();
    let done = tokio::task::spawn_blocking(move || work(&blobs)).await;
    done.map_err(|error| JournalError::Storage(error.to_string()))?
}

impl Node {
    /// Keeps a blob here and, in a cluster, on a majority of the voters. The others get it too, in the background.
    pub(crate) async fn put_blob(self: &Arc<Self>, bytes: Vec<u8>) -> Result<Hash, JournalError> {
        let bytes = Bytes::from(bytes);
        let small = (bytes.len() <= SMALL_BLOB).then(|| Hash::digest(&bytes));
        if let Some(digest) = small
            && self.blobs.has_lately(&digest)
            && (self.links.is_none() || self.transfers.confirmed.has(&digest))
        {
            return Ok(digest);
        }
        let Some(links) = self.links.clone() else {
            return on_disk(&self.blobs, move |blobs| blobs.put(&bytes)).await;
        };
        if bytes.len() > MAX_BLOB_BYTES {
            // Before anybody is sent it.
            return on_disk(&self.blobs, move |blobs| blobs.put(&bytes)).await;
        }
        let digest = small.unwrap_or_else(|| Hash::digest(&bytes));
        if self.transfers.confirmed.has(&digest) {
            // The same manifest is submitted again and again, as by a schedule.
            return on_disk(&self.blobs, move |blobs| blobs.put(&bytes)).await;
        }
        let here = bytes.clone();
        if bytes.len() > BLOB_CHUNK_BYTES {
            // The others fetch it from here, so it must be here first.
            on_disk(&self.blobs, move |blobs| blobs.put(&here)).await?;
            self.spread(&links, digest, None).await?;
        } else {
            let stored = on_disk(&self.blobs, move |blobs| blobs.put(&here));
            let (stored, spread) = tokio::join!(stored, self.spread(&links, digest, Some(bytes)));
            stored?;
            spread?;
        }
        Ok(digest)
    }

    /// Refuses a digest without a blob, and one that a majority does not hold.
    pub(crate) async fn check_blob(self: &Arc<Self>, digest: &str) -> Result<(), JournalError> {
        let wrong =
            |message: String| JournalError::Blob { digest: digest.chars().take(80).collect(), message };
        let hash: Hash = digest.parse().map_err(|error| wrong(chain(&error)))?;
        let is_here = self.blobs.hold(&hash).map_err(|error| wrong(chain(&error)))?;
        let Some(links) = self.links.clone() else {
            return match is_here {
                true => Ok(()),
                false => Err(wrong("a command names it and it is not stored; put it first".into())),
            };
        };
        if self.transfers.confirmed.has(&hash) {
            return Ok(());
        }
        if !is_here {
            // Put on another member; fetched, so that it can be spread from here.
            self.fetch(&links, &hash).await?;
        }
        self.spread(&links, hash, None).await
    }

    /// Reads a blob, from another member where it is not here or damaged.
    pub(crate) async fn blob(&self, digest: &str) -> Result<Vec<u8>, JournalError> {
        let (Some(links), Ok(hash)) = (self.links.clone(), digest.parse::<Hash>()) else {
            let digest = digest.to_owned();
            return on_disk(&self.blobs, move |blobs| blobs.get(&digest)).await;
        };
        match self.local(hash).await {
            Ok(bytes) => Ok(bytes),
            Err(_) => {
                self.fetch(&links, &hash).await?;
                self.local(hash).await
            }
        }
    }

    async fn local(&self, digest: Hash) -> Result<Vec<u8>, JournalError> {
        on_disk(&self.blobs, move |blobs| blobs.get(&digest.to_string())).await
    }

    /// Returns once a majority of the voters holds the blob. Where `bytes` are given, this member is storing them; where not,
    /// it holds the blob.
    async fn spread(
        self: &Arc<Self>,
        links: &Arc<Links>,
        digest: Hash,
        bytes: Option<Bytes>,
    ) -> Result<(), JournalError> {
        let deadline = Instant::now() + SPREAD_DEADLINE;
        let running = self.running_by(deadline).await?;
        let membership = running.membership();
        let others = running.other_voters();
        let (done, mut held) = mpsc::channel(others.len().max(1));
        for other in others {
            let (node, links, bytes, done) = (self.clone(), links.clone(), bytes.clone(), done.clone());
            let places = self.transfers.places_of(other.id);
            // Goes on when a majority is reached, if it has begun by then.
            tokio::spawn(async move {
                let _place = tokio::select! {
                    place = places.acquire() => place,
                    () = done.closed() => return,
                };
                let given = node.give(&links, &other, digest, bytes).await;
                let _ = done.send((other, given)).await;
            });
        }
        drop(done);
        let mut holders = BTreeSet::from([running.id]);
        let mut problems = Vec::new();
        while !is_majority(membership.membership(), &holders) {
            match timeout_at(deadline, held.recv()).await {
                Ok(Some((other, Ok(())))) => {
                    holders.insert(other.id);
                }
                Ok(Some((other, Err(error)))) => problems.push(format!("{other}: {error}")),
                Ok(None) | Err(_) => {
                    return Err(JournalError::Unavailable(format!(
                        "the blob {digest} is not held by a majority of the members: {}",
                        if problems.is_empty() {
                            "they did not answer".to_owned()
                        } else {
                            problems.join("; ")
                        }
                    )));
                }
            }
        }
        self.transfers.confirm(digest);
        Ok(())
    }

    /// Returns once one member holds the blob.
    async fn give(
        &self,
        links: &Links,
        other: &Target,
        digest: Hash,
        bytes: Option<Bytes>,
    ) -> Result<(), AskError> {
        let channel = links.channel(&other.member)?;
        if let Some(bytes) = bytes {
            let call = Call::new(format!("{BLOB_PUT}{digest}")).body(bytes).deadline(PIECE_DEADLINE);
            channel.call(Class::Bulk, call).await?;
            return Ok(());
        }
        let call = Call::new(format!("{BLOB_HOLD}{digest}")).deadline(PIECE_DEADLINE);
        if channel.call(Class::Bulk, call).await?.as_ref() == [1] {
            return Ok(());
        }
        let call = Call::new(format!("{BLOB_PULL}{digest}")).deadline(PULL_DEADLINE);
        channel.call(Class::Bulk, call).await?;
        Ok(())
    }

    /// Gets a blob from any member that has it.
    pub(crate) async fn fetch(&self, links: &Links, digest: &Hash) -> Result<(), JournalError> {
        let running = self.running_by(Instant::now() + PIECE_DEADLINE).await?;
        self.fetch_from(links, digest, &sources(running)).await
    }

    async fn fetch_from(&self, links: &Links, digest: &Hash, sources: &[Member]) -> Result<(), JournalError> {
        let turn = lock(&self.transfers.fetching).entry(*digest).or_default().clone();
        let _turn = turn.lock().await;
        let fetched = self.fetch_in_turn(links, digest, sources).await;
        lock(&self.transfers.fetching).remove(digest);
        fetched
    }

    async fn fetch_in_turn(
        &self,
        links: &Links,
        digest: &Hash,
        sources: &[Member],
    ) -> Result<(), JournalError> {
        if self.local(*digest).await.is_ok() {
            return Ok(());
        }
        let _place =
            self.transfers.places.acquire().await.map_err(|_| JournalError::from(ConductorError::Closed))?;
        let mut bytes = Vec::new();
        let mut problems = Vec::new();
        for source in sources {
            // Goes on at the offset where the one before broke off.
            let received = receive(links, source, digest, &mut bytes).await;
            match received {
                Ok(()) if Hash::digest(&bytes) == *digest => {
                    let whole = std::mem::take(&mut bytes);
                    return on_disk(&self.blobs, move |blobs| blobs.put(&whole).map(drop)).await;
                }
                Ok(()) => {
                    bytes.clear();
                    problems.push(format!("`{}` sent something else", source.name));
                }
                Err(problem) => problems.push(problem),
            }
        }
        let asked =
            if problems.is_empty() { "there is no other member".to_owned() } else { problems.join("; ") };
        Err(failed(digest, format!("it is not stored here and no other member gave it: {asked}")))
    }

    /// Answers what is asked about blobs; none where the path is about something else.
    pub(crate) async fn answer_blob(
        &self,
        peer: &PeerIdentity,
        path: &str,
        body: Body,
    ) -> Result<Result<Bytes, Response>, Body> {
        let Some((what, rest)) = split(path) else { return Err(body) };
        Ok(self.blob_answer(peer, what, rest, body).await)
    }

    async fn blob_answer(
        &self,
        peer: &PeerIdentity,
        what: &str,
        rest: &str,
        body: Body,
    ) -> Result<Bytes, Response> {
        let invalid = |problem: &str| Response::refuse(Refusal::Invalid, problem);
        let (digest, offset) = match rest.split_once('/') {
            Some((digest, offset)) => {
                (digest, offset.parse().map_err(|_| invalid("the offset is no number"))?)
            }
            None => (rest, 0),
        };
        let digest: Hash = digest.parse().map_err(|_| invalid("the digest is none"))?;
        let failed = |error: JournalError| Response::refuse(Refusal::Failed, error.to_string());
        match what {
            BLOB_HOLD => {
                let held = on_disk(&self.blobs, move |blobs| {
                    let held = blobs.hold(&digest);
                    held.map_err(|error| JournalError::Storage(error.to_string()))
                });
                Ok(Bytes::from(vec![u8::from(held.await.map_err(failed)?)]))
            }
            BLOB_PUT => {
                let bytes = body.bytes().await?;
                if Hash::digest(&bytes) != digest {
                    return Err(invalid("the bytes do not match the digest"));
                }
                on_disk(&self.blobs, move |blobs| blobs.put(&bytes)).await.map_err(failed)?;
                Ok(Bytes::new())
            }
            BLOB_PULL => {
                let source =
                    self.source(peer).ok_or_else(|| invalid("you are no member that I can reach"))?;
                let links = self.links().map_err(|error| failed(error.into()))?;
                self.fetch_from(links, &digest, &[source]).await.map_err(failed)?;
                Ok(Bytes::new())
            }
            _ => {
                let piece = on_disk(&self.blobs, move |blobs| blobs.piece(&digest, offset, BLOB_CHUNK_BYTES));
                Ok(piece.await.map_err(failed)?.into())
            }
        }
    }

    /// Where the peer lives.
    fn source(&self, peer: &PeerIdentity) -> Option<Member> {
        let of_cluster = self.running().and_then(|running| {
            let membership = running.membership();
            membership
                .nodes()
                .find(|(_, member)| member.name == peer.name.as_str())
                .map(|(_, member)| member.clone())
        });
        of_cluster.or_else(|| {
            let address = self.links.as_ref()?.config.peers.address(&peer.name)?;
            Some(Member { name: peer.name.to_string(), address: address.to_string() })
        })
    }
}

/// The other members, the leader first.
fn sources(running: &Running) -> Vec<Member> {
    let leader = running.leader().map(|leader| leader.id);
    let membership = running.membership();
    let mut others: Vec<_> = membership.nodes().filter(|(id, _)| **id != running.id).collect();
    others.sort_by_key(|(id, _)| Some(**id) != leader);
    others.into_iter().map(|(_, member)| member.clone()).collect()
}

/// Receives what follows the bytes that are there.
async fn receive(links: &Links, source: &Member, digest: &Hash, bytes: &mut Vec<u8>) -> Result<(), String> {
    let problem = |error: &dyn std::error::Error| format!("`{}`: {error}", source.name);
    let channel = links.channel(source).map_err(|error| problem(&error))?;
    loop {
        let path = format!("{BLOB_GET}{digest}/{}", bytes.len());
        let call = Call::new(path).deadline(PIECE_DEADLINE).max_reply_bytes(BLOB_CHUNK_BYTES as u64);
        let piece = channel.call(Class::Bulk, call).await.map_err(|error| problem(&error))?;
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_BLOB_BYTES {
            bytes.clear();
            return Err(format!(
                "`{}` sent more than the {MAX_BLOB_BYTES} bytes that a blob may have",
                source.name
            ));
        }
        if piece.len() < BLOB_CHUNK_BYTES {
            return Ok(());
        }
    }
}

fn split(path: &str) -> Option<(&'static str, &str)> {
    [BLOB_HOLD, BLOB_PUT, BLOB_PULL, BLOB_GET]
        .into_iter()
        .find_map(|what| Some((what, path.strip_prefix(what)?)))
}

impl Node {
    /// Fetches all blobs that the state names and that are not here; returns how many could not be had.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub(crate) async fn backfill(&self, links: &Links) -> Result<usize, ConductorError> {
        let (state, blobs) = (self.state.clone(), self.blobs.clone());
        let missing = crate::state::blocking(move || {
            let mut missing = Vec::new();
            for digest in crate::sweep::named(&state)? {
                let digest = Hash(digest);
                if !blobs
                    .hold(&digest)
                    .map_err(ConductorError::io("read the blob", std::path::Path::new(&digest.to_string())))?
                {
                    missing.push(digest);
                }
            }
            Ok(missing)
        })
        .await?;
        let mut lost = 0;
        let mut missing = missing.into_iter();
        let fetch = async |digest: Hash| self.fetch(links, &digest).await;
        // One after the other, most of the time would go by waiting for answers and for the disk.
        let mut under_way: FuturesUnordered<_> = missing.by_ref().take(MAX_TRANSFERS).map(fetch).collect();
        while let Some(fetched) = under_way.next().await {
            if let Err(error) = fetched {
                tracing::warn!(%error, "a blob that the state names cannot be had");
                lost += 1;
            }
            under_way.extend(missing.next().map(fetch));
        }
        Ok(lost)
    }
}
