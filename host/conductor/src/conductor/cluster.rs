//! A conductor as a member of a cluster: listening, taking part, and taking leave.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use inquisitor_peer::{Endpoint, LocalMember, MemberName, ServerOptions, serve};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Parts, initialize};
use crate::claims::Claims;
use crate::config::ClusterConfig;
use crate::database::Store;
use crate::error::{ConductorError, chain};
use crate::forming::{self, Beginning};
use crate::identity::{Identity, genesis_id};
use crate::network::links::Links;
use crate::network::service::Service;
use crate::network::wire;
use crate::node::{Node, Running, Stage};
use crate::raft::Member;
use crate::state::blocking;
use crate::{duties, election, members, transfer};

/// How long requests of others may take to finish when this member stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// What a member of a cluster does beside answering the engine. Ends when dropped.
pub(super) struct Tasks {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    server: Mutex<Option<JoinHandle<()>>>,
    part: JoinHandle<()>,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.part.abort();
        if let Some(server) = self.server.lock().unwrap_or_else(PoisonError::into_inner).take() {
            server.abort();
        }
    }
}

/// The ways to others.
pub(super) async fn links(
    config: ClusterConfig,
    name: MemberName,
    identity: &Identity,
    state: &Arc<Store>,
) -> Result<Arc<Links>, ConductorError> {
    let store = state.clone();
    let claims = blocking(move || Claims::open(store)).await?;
    let member = LocalMember::new(name, identity.node_id, identity.incarnation, wire::protocol());
    let endpoint = Endpoint { member: Arc::new(member), credentials: config.credentials.clone() };
    Ok(Arc::new(Links::new(config, &endpoint, claims)))
}

pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, ConductorError> {
    TcpListener::bind(address).await.map_err(|source| ConductorError::Listen { address, source })
}

/// Starts to listen, and to take part: at once where the disk has taken part before, and else once it has found the others.
pub(super) async fn start(
    node: Arc<Node>,
    links: Arc<Links>,
    listener: TcpListener,
    parts: Parts,
    is_new: bool,
) -> Result<Tasks, ConductorError> {
    let known = *node.published.cluster.borrow();
    if let Some(cluster) = known {
        join(&links, cluster)?;
    }
    let address = listener.local_addr().map_err(|source| {
        let address = links.config.listen;
        ConductorError::Listen { address, source }
    })?;
    let mut parts = Some(parts);
    if is_new {
        node.set_stage(Stage::Forming("waits for the others".to_owned()));
    } else if let Some(parts) = parts.take() {
        parts.start(&node).await?;
    }
    let (stop, mut stopping) = watch::channel(false);
    let server = {
        let endpoint = links.endpoint();
        let service = Arc::new(Service::new(node.clone(), links.clone()));
        let options = ServerOptions { drain_timeout: DRAIN_TIMEOUT, ..ServerOptions::default() };
        tokio::spawn(async move {
            let stopped = async move {
                let _ = stopping.wait_for(|stop| *stop).await;
            };
            serve(listener, &endpoint, service, options, stopped).await;
        })
    };
    let part = tokio::spawn(async move {
        if let Err(error) = take_part(&node, &links, parts).await {
            tracing::error!(error = chain(&error), "this member cannot take part in a cluster");
            node.set_stage(Stage::Forming(chain(&error)));
        }
    });
    Ok(Tasks { address, stop, server: Mutex::new(Some(server)), part })
}

/// Takes part in the cluster from its forming on. `parts` are those of a new disk.
async fn take_part(node: &Arc<Node>, links: &Arc<Links>, parts: Option<Parts>) -> Result<(), ConductorError> {
    if let Some(parts) = parts {
        begin(node, links, parts).await?;
    }
    let learns_cluster = async {
        let mut cluster = node.published.cluster.subscribe();
        let found = cluster.wait_for(Option::is_some).await.ok().and_then(|cluster| *cluster);
        if let Some(error) = found.and_then(|cluster| join(links, cluster).err()) {
            tracing::error!(error = chain(&error), "the applied state is of another cluster");
        }
    };
    tokio::join!(
        learns_cluster,
        election::run(node.clone(), links.clone()),
        members::settle(node.clone(), links.clone()),
        duties::run(node.clone(), links.clone()),
    );
    Ok(())
}

/// Finds the others and starts Raft as they have it.
async fn begin(node: &Arc<Node>, links: &Arc<Links>, parts: Parts) -> Result<(), ConductorError> {
    let beginning = forming::form(node, links).await?;
    let genesis = genesis_id(links.local.name().as_str());
    match beginning {
        Beginning::Genesis => act_as(node, genesis).await?,
        Beginning::Late(cluster) => {
            act_as(node, genesis).await?;
            join(links, cluster)?;
        }
        Beginning::Joined(cluster) => join(links, cluster)?,
    }
    parts.start(node).await?;
    if let (Beginning::Genesis, Some(running)) = (&beginning, node.running()) {
        let members: BTreeMap<u64, Member> = links
            .config
            .peers
            .iter()
            .map(|(name, address)| {
                let member = Member { name: name.to_string(), address: address.to_string() };
                (genesis_id(name.as_str()), member)
            })
            .collect();
        initialize(&running.raft, members).await?;
    }
    Ok(())
}

async fn act_as(node: &Arc<Node>, id: u64) -> Result<(), ConductorError> {
    let node = node.clone();
    blocking(move || node.identity().act_as(&node.state, id)).await
}

fn join(links: &Links, cluster: Uuid) -> Result<(), ConductorError> {
    links.local.join(cluster).map_err(|error| ConductorError::Cluster(error.to_string()))
}

/// Hands leadership over, if this member leads others.
pub(super) async fn take_leave(node: &Node, running: &Running) {
    if running.leads() && !running.other_voters().is_empty() {
        match transfer::transfer(node, running, None).await {
            Ok(_) => tracing::info!("leadership was handed over"),
            Err(problem) => tracing::warn!(problem, "leadership was not handed over; the others will elect"),
        }
    }
}

impl Tasks {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends everything and waits for it.
    pub(super) async fn stop(&self) {
        self.part.abort();
        self.stop.send_replace(true);
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server
            && let Err(error) = server.await
        {
            tracing::error!(%error, "the task that answers other members failed");
        }
    }
}
