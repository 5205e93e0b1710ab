//! The cluster: how it stands, and what an operator can have it do.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use inquisitor_conductor::{MemberStatus, RaftStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{NoQuery, Path};
use super::json::Json;
use super::problems::{OfSomething, Usual};
use crate::app::App;
use crate::gate::{Action, Permit, Principal};
use crate::problem::Problem;

/// What is answered without a key.
pub(super) fn open_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(raft_status))
}

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(transfer)).routes(routes!(snapshot)).routes(routes!(remove))
}

/// What a member says of consensus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Raft {
    /// Name of the member.
    pub name: String,
    /// Id in the cluster, 16 hexadecimal digits.
    pub node_id: String,
    /// The cluster's id; empty until it is known.
    pub cluster: String,
    /// `leader`, `follower`, `candidate`, `learner`, `joining` or `shutdown`.
    #[schema(example = "leader")]
    pub role: String,
    /// The current term.
    pub term: u64,
    /// Id of the leader, where one is known.
    pub leader: Option<String>,
    /// Whether somebody leads whom this member has heard lately.
    pub has_leader: bool,
    /// Milliseconds since it heard the leader, or a majority where it leads itself.
    pub last_contact_ms: Option<u64>,
    /// Index of the last entry of the log.
    pub last_log_index: Option<u64>,
    /// Index of the last entry applied.
    pub applied_index: Option<u64>,
    /// Index of the last entry in the last snapshot.
    pub snapshot_index: Option<u64>,
    /// Index of the last entry purged.
    pub purged_index: Option<u64>,
    /// Hash over everything ever written to the state up to `applied_index`: two members with equal indexes and different
    /// hashes have drifted apart.
    pub state_hash: String,
    /// The members of the cluster as this one sees them, by name.
    pub members: Vec<Member>,
    /// What keeps this member from being of use.
    pub obstacles: Vec<String>,
}

/// A member as another one sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its id, which changes with its disk.
    pub node_id: String,
    /// Where other members reach it; empty for one that is alone.
    pub address: String,
    /// Whether it counts; a learner is replicated to and does not.
    pub voter: bool,
    /// Whether it leads, as far as is known.
    pub leader: bool,
    /// Index of the last entry that it is known to hold; none unless the member that was asked leads.
    pub matched_index: Option<u64>,
    /// How many entries it is behind; none unless the member that was asked leads.
    pub lag: Option<u64>,
    /// Milliseconds since it answered the member that was asked.
    pub last_contact_ms: Option<u64>,
    /// Why it did not answer since.
    pub problem: Option<String>,
}

impl From<RaftStatus> for Raft {
    fn from(status: RaftStatus) -> Self {
        Self {
            name: status.name,
            node_id: status.node_id,
            cluster: status.cluster,
            role: status.role.to_owned(),
            term: status.term,
            leader: status.leader,
            has_leader: status.has_leader,
            last_contact_ms: status.last_contact_ms,
            last_log_index: status.last_log_index,
            applied_index: status.applied_index,
            snapshot_index: status.snapshot_index,
            purged_index: status.purged_index,
            state_hash: status.state_hash,
            members: status.members.into_iter().map(Member::from).collect(),
            obstacles: status.obstacles,
        }
    }
}

impl From<MemberStatus> for Member {
    fn from(status: MemberStatus) -> Self {
        Self {
            name: status.name,
            node_id: status.node_id,
            address: status.address,
            voter: status.voter,
            leader: status.leader,
            matched_index: status.matched_index,
            lag: status.lag,
            last_contact_ms: status.last_contact_ms,
            problem: status.problem,
        }
    }
}

/// Say how the cluster stands, as this member sees it.
#[utoipa::path(
    get, path = "/raft/status", tag = "host", security(()),
    responses(
        (status = 200, description = "What this member says of consensus.", body = Raft),
        (status = 500, description = "A defect of this host.", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn raft_status(State(app): State<Arc<App>>) -> Result<axum::Json<Raft>, Problem> {
    of(&app).await.map(axum::Json)
}

/// How the cluster stands, as this member sees it.
pub(super) async fn of(app: &App) -> Result<Raft, Problem> {
    app.conductor.status().await.map(Raft::from).map_err(|error| Problem::internal(&error))
}

/// To whom leadership goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Transfer {
    /// Name of the member; none: the member that was asked hands over if it leads, to the one that is furthest.
    #[schema(max_length = 253)]
    pub to: Option<String>,
}

/// Hand leadership over.
///
/// Without `to`, a member that does not lead has nothing to hand over, and nothing happens: this is what a member is asked
/// before it is stopped. For keys above tenants.
#[utoipa::path(
    post, path = "/v1/raft/transfer-leader", tag = "host", request_body = Transfer,
    responses(
        (status = 200, description = "How the cluster stands now.", body = Raft),
        (status = 409, description = "There is no such voter, or it did not come to lead.", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not JSON.", body = Problem, content_type = "application/problem+json"),
        Usual,
    )
)]
async fn transfer(
    State(app): State<Arc<App>>,
    principal: Principal,
    _: NoQuery,
    Json(transfer): Json<Transfer>,
) -> Result<axum::Json<Raft>, Problem> {
    let resource = transfer.to.as_deref().unwrap_or_default();
    let permit = principal.permit(&app, Action::HostManage, resource, None).await?;
    let leads = *app.conductor.leads().borrow();
    let has_others = app.conductor.members().iter().filter(|member| member.voter).count() > 1;
    if transfer.to.is_some() || (leads && has_others) {
        record(&app, permit).await?;
        let handed = app.conductor.transfer_leader(transfer.to.as_deref()).await;
        handed.map_err(|error| Problem::conflict(error.to_string()))?;
    }
    of(&app).await.map(axum::Json)
}

/// Make a snapshot.
///
/// The log before it is purged, save for what members a little behind may need. On this member. For keys above tenants.
#[utoipa::path(
    post, path = "/v1/raft/snapshot", tag = "host",
    responses((status = 202, description = "It is being made."), Usual)
)]
async fn snapshot(
    State(app): State<Arc<App>>,
    principal: Principal,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    let permit = principal.permit(&app, Action::HostManage, "snapshot", None).await?;
    record(&app, permit).await?;
    app.conductor.snapshot().await?;
    Ok(StatusCode::ACCEPTED)
}

/// Remove a member from the cluster.
///
/// Whether or not it lives; what only it held is lost with it. A member is added by starting it with a list of peers that
/// names others of the cluster. For keys above tenants.
#[utoipa::path(
    delete, path = "/v1/raft/members/{name}", tag = "host",
    params(("name" = String, Path, description = "Name of the member.")),
    responses(
        (status = 204, description = "It is no member any more."),
        (status = 409, description = "It leads, or is the last one.", body = Problem, content_type = "application/problem+json"),
        OfSomething,
    )
)]
async fn remove(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(name): Path<String>,
    _: NoQuery,
) -> Result<StatusCode, Problem> {
    let permit = principal.permit(&app, Action::HostManage, &name, None).await?;
    if !app.conductor.members().iter().any(|member| member.name == name) {
        let name: String = name.chars().take(64).collect();
        return Err(Problem::not_found(format!("there is no member `{name}`")));
    }
    record(&app, permit).await?;
    app.conductor.remove_member(&name).await.map_err(|error| Problem::conflict(error.to_string()))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes of the cluster are none of its state, so the decision is recorded by itself, before.
pub(super) async fn record(app: &App, permit: Permit) -> Result<(), Problem> {
    use inquisitor_engine::journal::{Command, Journal as _};
    let command = Command::Decide { access: Box::new(permit.into_access()) };
    app.conductor.propose(command).await?;
    Ok(())
}
