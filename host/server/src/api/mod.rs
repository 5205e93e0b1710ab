//! The API: one file for each resource, with its types, its handlers and their description.
//!
//! Each file has a function `routes` that [`router`] puts together; `openapi.json` is made from the same declarations, so
//! that no route is served and not described.

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use crate::app::App;

/// Every route with its description.
pub(crate) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
}
