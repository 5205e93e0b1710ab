//! How a conductor is opened.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use inquisitor_peer::{Credentials, MemberName, Resolver, SystemResolver};
use openraft::SnapshotPolicy;

use crate::error::ConductorError;
use crate::network::wire::SNAPSHOT_CHUNK_BYTES;
use crate::peers::PeerList;

/// Log entries after which a snapshot is made and the log before it purged. A snapshot copies the whole state, so it must not
/// be frequent. Where entries are large, the log's size asks for one before ([`crate::propose`]).
const SNAPSHOT_EVERY: u64 = 20_000;
/// Entries that stay in the log after a snapshot, so that a member a little behind gets entries and no snapshot.
const KEEP_IN_LOG: u64 = 1_000;
/// Entries that a new member may be behind when it becomes a voter.
pub(crate) const CAUGHT_UP: u64 = 1_000;
/// How long a piece of a snapshot may take, the last one with the installing of all of it. A member that is gone is noticed
/// by its connection, long before.
const SNAPSHOT_PIECE_TIMEOUT: Duration = Duration::from_secs(600);

/// How to open a conductor.
#[derive(Debug, Clone)]
pub struct ConductorConfig {
    /// The directory that holds the log, the state, snapshots and blobs. It is the conductor's alone.
    pub data_dir: PathBuf,
    /// The member's name. For people where it is alone; in a cluster one of the list.
    pub node_name: String,
    /// Log entries after which a snapshot is made.
    pub snapshot_every: u64,
    /// The cluster that the member belongs to; none for one that is alone and listens to nobody.
    pub cluster: Option<ClusterConfig>,
}

/// How a member takes part in a cluster.
#[derive(Clone)]
pub struct ClusterConfig {
    /// All members that the cluster is formed of, this one included. Only members that form a cluster must have the same
    /// list; once there is one, the others find it through any member that they list.
    pub peers: PeerList,
    /// Where to listen for other members. Port 0 takes any that is free ([`crate::Conductor::peer_address`]).
    pub listen: SocketAddr,
    /// What members prove themselves with.
    pub credentials: Credentials,
    /// How often a leader says that it is there.
    pub heartbeat: Duration,
    /// A member that has not heard a leader for this long, and up to twice as long by chance, stands for election. At least
    /// three heartbeats.
    pub election_timeout: Duration,
    /// How long a new member waits for all listed members before it forms the cluster with a majority of them.
    pub forming_grace: Duration,
    /// How the hosts of the list become addresses.
    pub resolver: Arc<dyn Resolver>,
}

impl std::fmt::Debug for ClusterConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ClusterConfig")
            .field("peers", &self.peers.to_string())
            .field("listen", &self.listen)
            .field("credentials", &self.credentials)
            .field("heartbeat", &self.heartbeat)
            .field("election_timeout", &self.election_timeout)
            .field("forming_grace", &self.forming_grace)
            .finish_non_exhaustive()
    }
}

impl ClusterConfig {
    /// The usual settings: heartbeats each 100 ms, elections after 500 ms to 1 s, 15 s for all members to be heard.
    pub fn new(peers: PeerList, listen: SocketAddr, credentials: Credentials) -> Self {
        Self {
            peers,
            listen,
            credentials,
            heartbeat: Duration::from_millis(100),
            election_timeout: Duration::from_millis(500),
            forming_grace: Duration::from_secs(15),
            resolver: Arc::new(SystemResolver),
        }
    }
}

impl ConductorConfig {
    /// The usual settings of a member that is alone.
    pub fn new(data_dir: impl Into<PathBuf>, node_name: impl Into<String>) -> Self {
        Self {
            data_dir: data_dir.into(),
            node_name: node_name.into(),
            snapshot_every: SNAPSHOT_EVERY,
            cluster: None,
        }
    }

    /// The member's name as a member of a cluster.
    pub(crate) fn member_name(&self, cluster: &ClusterConfig) -> Result<MemberName, ConductorError> {
        let name: MemberName = self
            .node_name
            .parse()
            .map_err(|error: inquisitor_peer::PeerError| ConductorError::Peers(error.to_string()))?;
        if cluster.peers.address(&name).is_none() {
            return Err(ConductorError::Peers(format!(
                "this member, `{name}`, is not in it; it has {}",
                cluster.peers
            )));
        }
        Ok(name)
    }

    pub(crate) fn raft(&self, cluster: &str) -> Result<openraft::Config, ConductorError> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let base = openraft::Config {
            cluster_name: cluster.to_owned(),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            max_in_snapshot_log_to_keep: KEEP_IN_LOG.min(self.snapshot_every),
            snapshot_max_chunk_size: SNAPSHOT_CHUNK_BYTES,
            install_snapshot_timeout: millis(SNAPSHOT_PIECE_TIMEOUT),
            replication_lag_threshold: CAUGHT_UP,
            ..openraft::Config::default()
        };
        let config = match &self.cluster {
            None => openraft::Config {
                heartbeat_interval: 50,
                election_timeout_min: 150,
                election_timeout_max: 300,
                ..base
            },
            Some(cluster) => {
                if cluster.heartbeat.is_zero() || cluster.election_timeout < 3 * cluster.heartbeat {
                    return Err(ConductorError::Peers(format!(
                        "heartbeats each {:?} do not fit elections after {:?}; three heartbeats must fit in",
                        cluster.heartbeat, cluster.election_timeout
                    )));
                }
                // The upper bound is how long members refuse to vote for another after they heard a leader. When to stand
                // for election is decided by `crate::election`.
                openraft::Config {
                    heartbeat_interval: millis(cluster.heartbeat),
                    election_timeout_min: millis(cluster.election_timeout) - 1,
                    election_timeout_max: millis(cluster.election_timeout),
                    enable_elect: false,
                    ..base
                }
            }
        };
        config.validate().map_err(|error| ConductorError::Consensus(error.to_string()))
    }
}
