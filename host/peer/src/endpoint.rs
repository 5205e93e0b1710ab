//! This member's side of every connection.

use std::sync::Arc;

use crate::credentials::Credentials;
use crate::identity::LocalMember;

/// Who this member is and what it proves it with; the same for calling and for answering. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Who it is.
    pub member: Arc<LocalMember>,
    /// What it proves it with.
    pub credentials: Credentials,
}
