//! What one tenant sees of the catalogue, as the plan compiler asks for it.

use std::sync::Arc;

use inquisitor_manifest::spec::{Destination, Manifest};
use inquisitor_manifest::{
    ParameterOwner, ParameterProblem, PluginInfo, PluginReference, ResolveError, Selector, resolve_among,
};

use super::plugins::Plugins;
use super::{Installed, Source};

/// The plugins that somebody may name in a manifest, as they were when it was asked for. Cheap to clone.
///
/// Of two components that have the same name and version, the nearer one hides the other: the tenant's own upload, then
/// one that everybody has, then a file of the host. Whoever uploads means to use it. The hidden one stays reachable by its
/// digest. Nearness never outweighs a version: where a manifest names none, the newest wins, wherever it lies.
#[derive(Clone)]
pub struct View {
    plugins: Arc<Plugins>,
    viewer: Viewer,
}

/// Who looks.
#[derive(Clone)]
enum Viewer {
    /// Sees the uploads of every tenant.
    Everybody,
    /// Sees its own uploads and those that everybody has.
    Tenant(String),
}

impl View {
    pub(super) fn of_tenant(plugins: Arc<Plugins>, tenant: &str) -> Self {
        Self { plugins, viewer: Viewer::Tenant(tenant.to_owned()) }
    }

    pub(super) fn of_everything(plugins: Arc<Plugins>) -> Self {
        Self { plugins, viewer: Viewer::Everybody }
    }

    /// The plugins in it, files first, uploads by digest.
    pub fn installed(&self) -> impl Iterator<Item = &Installed> {
        self.plugins.all().filter(|installed| self.sees(&installed.source))
    }

    fn sees(&self, source: &Source) -> bool {
        match (source, &self.viewer) {
            (Source::File(_) | Source::Uploaded { tenant: None, .. }, _) | (_, Viewer::Everybody) => true,
            (Source::Uploaded { tenant: Some(owner), .. }, Viewer::Tenant(tenant)) => owner == tenant,
        }
    }

    /// Those that go by a name or an alias.
    fn candidates(&self, reference: &PluginReference) -> Vec<Arc<PluginInfo>> {
        let found: Vec<&Installed> =
            self.plugins.called(&reference.name).filter(|installed| self.sees(&installed.source)).collect();
        // Whoever names a digest means that component and no other.
        let by_digest = matches!(reference.selector, Selector::Digest(_));
        let is_hidden = |one: &Installed| {
            found.iter().any(|other| {
                other.info.name == one.info.name
                    && other.info.version == one.info.version
                    && other.source.nearness() > one.source.nearness()
            })
        };
        found.iter().filter(|one| by_digest || !is_hidden(one)).map(|one| one.info.clone()).collect()
    }
}

impl inquisitor_manifest::Catalogue for View {
    fn resolve(&self, reference: &PluginReference) -> Result<Arc<PluginInfo>, ResolveError> {
        let mut candidates = self.candidates(reference);
        if candidates.is_empty() {
            // For the names that are nearest to what was asked for.
            candidates = self.installed().map(|installed| installed.info.clone()).collect();
        }
        resolve_among(&candidates, reference)
    }

    fn check_unit(&self, code: &str) -> Result<(), String> {
        inquisitor_findings::check_unit(code)
    }

    fn check_expression(&self, text: &str) -> Result<(), String> {
        inquisitor_findings::check_expression(text)
    }

    fn check_parameters(&self, manifest: &Manifest) -> Vec<(ParameterOwner, ParameterProblem)> {
        let substrate = manifest.substrate.iter().flat_map(|substrate| {
            let problems = inquisitor_substrate::check_parameters(substrate);
            problems.into_iter().map(|problem| (ParameterOwner::Substrate, problem))
        });
        let tests = manifest.analysis.statistical.iter().enumerate().flat_map(|(index, test)| {
            let problems = inquisitor_findings::analysis::check_parameters(test);
            problems.into_iter().map(move |problem| (ParameterOwner::Test(index), problem))
        });
        let charts = manifest.analysis.visualizations.iter().enumerate().flat_map(|(index, chart)| {
            let problems = inquisitor_report::check_chart(chart);
            problems
                .into_iter()
                .map(move |problem| (ParameterOwner::Visualization(index), in_parameters(problem)))
        });
        let artifacts = manifest.reporting.artifacts.iter().enumerate().flat_map(|(index, artifact)| {
            let problems = inquisitor_report::check_artifact(artifact);
            problems.into_iter().map(move |problem| (ParameterOwner::Artifact(index), in_parameters(problem)))
        });
        let destinations =
            manifest.reporting.destinations.iter().enumerate().flat_map(|(index, destination)| {
                let Destination::File { parameters, .. } = destination;
                parameters.keys().map(move |name| {
                    let pointer = format!("/parameters/{}", name.replace('~', "~0").replace('/', "~1"));
                    let message =
                        format!("a destination of the type file has no parameter `{name}`; it takes none");
                    (ParameterOwner::Destination(index), ParameterProblem { pointer, message })
                })
            });
        substrate.chain(tests).chain(charts).chain(artifacts).chain(destinations).collect()
    }
}

/// Reports speak of their parameters, manifests of the object that holds them.
fn in_parameters(problem: ParameterProblem) -> ParameterProblem {
    ParameterProblem { pointer: format!("/parameters{}", problem.pointer), ..problem }
}
