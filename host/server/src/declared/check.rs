//! From a file to what it wants, or to what is wrong with it.

use inquisitor_conductor::Registry;
use inquisitor_engine::catalogue::Catalogue;
use inquisitor_engine::gating::DEFAULT_TENANT;
use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::{Diagnostic, Diagnostics, Style, compile, parse_bytes, render};

use super::plan::Wanted;

/// Diagnostics that are kept of a file; the rest are counted.
const KEPT_DIAGNOSTICS: usize = 20;
/// Bytes of the rendered diagnostics that go to the log.
const MAX_RENDERED: usize = 16 << 10;

/// What was found in a file.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    /// SHA-256 of the text; none where it could not be read.
    pub(super) digest: Option<String>,
    /// The tenant, as far as it is known.
    pub(super) tenant: Option<String>,
    /// The manifest's id, as far as it is known.
    pub(super) manifest_id: Option<String>,
    /// Version of the registry that the file was checked against; none where that no longer counts.
    pub(super) registry: Option<u64>,
    /// What it wants, or why it cannot be used.
    pub(super) wanted: Result<Wanted, String>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) errors: usize,
    pub(super) warnings: usize,
    /// The diagnostics as a person reads them.
    pub(super) rendered: String,
}

impl Checked {
    /// A file that cannot even be read.
    pub(super) fn unreadable(message: String) -> Self {
        Self {
            digest: None,
            tenant: None,
            manifest_id: None,
            registry: None,
            wanted: Err(message),
            diagnostics: Vec::new(),
            errors: 0,
            warnings: 0,
            rendered: String::new(),
        }
    }
}

/// Parse and compile a file with the plugins of the tenant that it names. There is a plan where it can be run.
pub(super) fn check(
    name: &str,
    bytes: &[u8],
    registry: &Registry,
    catalogue: &Catalogue,
) -> (Checked, Option<Plan>) {
    let parsed = parse_bytes(name, bytes);
    let tenant = parsed
        .manifest
        .as_ref()
        .map(|manifest| manifest.tenant.clone().unwrap_or_else(|| DEFAULT_TENANT.to_owned()));
    let unknown = tenant.as_deref().filter(|tenant| registry.tenant(tenant).is_none());
    let view = catalogue.visible_to(tenant.as_deref().unwrap_or(DEFAULT_TENANT));
    let (plan, found) = compile(&parsed, &view);
    let diagnostics = parsed.diagnostics.clone().merged(found);
    let wanted = match (&plan, unknown) {
        (_, Some(unknown)) => Err(format!("there is no tenant `{unknown}`; create it, or name another one")),
        (None, None) => Err(format!("the manifest has mistakes: {}", diagnostics.summary())),
        (Some(plan), None) => Ok(Wanted {
            tenant: tenant.clone().unwrap_or_else(|| DEFAULT_TENANT.to_owned()),
            manifest_id: plan.manifest_id.clone(),
            digest: plan.manifest_digest.clone(),
            continuous: is_continuous(plan),
        }),
    };
    let plan = plan.filter(|_| wanted.is_ok());
    let manifest_id =
        parsed.manifest.as_ref().map(|manifest| manifest.id.clone()).filter(|id| !id.is_empty());
    let checked = Checked {
        digest: Some(parsed.digest.clone()),
        tenant,
        manifest_id,
        registry: Some(registry.version),
        wanted,
        errors: diagnostics.errors(),
        warnings: diagnostics.warnings(),
        rendered: rendered(&parsed, &diagnostics),
        diagnostics: diagnostics.iter().take(KEPT_DIAGNOSTICS).cloned().collect(),
    };
    (checked, plan)
}

/// Whether an inquiry of this plan goes on until somebody ends it.
fn is_continuous(plan: &Plan) -> bool {
    plan.instruments.values().any(|instrument| instrument.probe_interval.is_some())
}

fn rendered(parsed: &inquisitor_manifest::Parsed, diagnostics: &Diagnostics) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let mut text = render(parsed, diagnostics, Style::Plain);
    if text.len() > MAX_RENDERED {
        text.truncate(text.floor_char_boundary(MAX_RENDERED));
        text.push_str("\n…");
    }
    text
}
