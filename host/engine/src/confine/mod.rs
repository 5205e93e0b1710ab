//! Which files of this host an inquiry may read and write.
//!
//! The command line's own inquiries read and write where their manifests say: they are the user's. Of all others,
//!
//! - a file substrate lies below the inquiry's folder (its `base_dir`), symbolic links followed. Without such a folder it is
//!   refused. A tenant's policy may narrow it to some folders and files; that is checked at the submission alone, because
//!   policies change and do not travel with inquiries.
//! - where the host has an artifact root, a file destination lies below `<root>/<tenant>`. A relative path is relative to
//!   that. An absolute path below `<root>/<tenant>` is taken as it is, and one below `<root>` as what it means to a tenant
//!   that has the root to itself: `<root>/reports` of the tenant `default` is `<root>/default/reports`. So manifests that
//!   were written for one tenant go on working, and no tenant writes into the folder of another.
//!
//! The same rules are asked twice: by [`Engine::check_files`] when an inquiry is submitted, so that its author is told
//! before anything runs, and at each use, when what lies in the folders may have changed. The path that was checked is the
//! path that is opened.

mod below;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use inquisitor_manifest::plan::Plan;
use inquisitor_manifest::secret;
use inquisitor_manifest::spec::{Destination, Substrate};

use crate::Engine;
use crate::gating::Origin;

use self::below::below;

/// A file of a manifest that the inquiry may not use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FileProblem {
    /// Where the manifest names it, as `substrate.source.path` or `reporting.destinations[0].path`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Engine {
    /// Everything that is wrong with the files that a plan names, before it is submitted by `origin` for `tenant`. `allowed`
    /// are the folders and files that the tenant's policy names, relative to `base_dir`; none for no narrower bound than the
    /// folder itself.
    ///
    /// Looks paths up in the file system; what does not exist yet is no problem. A path that holds a secret is judged when the
    /// secret is known, at its use.
    pub fn check_files(
        &self,
        plan: &Plan,
        origin: &Origin,
        tenant: &str,
        base_dir: Option<&Path>,
        allowed: Option<&BTreeSet<String>>,
    ) -> Vec<FileProblem> {
        let mut problems = Vec::new();
        if let Some(Substrate::File { path, .. }) = &plan.substrate {
            let base_dir = self.substrate_folder(origin, base_dir);
            if let Some(message) = substrate_problem(path, origin, base_dir, allowed) {
                problems.push(FileProblem { field: "substrate.source.path".to_owned(), message });
            }
        }
        for (index, destination) in plan.reporting.destinations.iter().enumerate() {
            let Destination::File { path, .. } = destination;
            let (Some(root), Some(path)) = (&self.config.artifact_root, literal(path)) else { continue };
            if let Err(message) = confined_destination(root, tenant, &path) {
                let field = format!("reporting.destinations[{index}].path");
                problems.push(FileProblem { field, message });
            }
        }
        problems
    }

    /// The folder that the files of an inquiry lie in. What was recorded with an inquiry is the folder of the member that
    /// accepted it; this host's own folder takes its place where it has one.
    pub(crate) fn substrate_folder<'a>(
        &'a self,
        origin: &Origin,
        base_dir: Option<&'a Path>,
    ) -> Option<&'a Path> {
        match origin {
            Origin::Local | Origin::Declared { .. } => base_dir,
            Origin::Key { .. } => self.config.substrate_root.as_deref().or(base_dir),
        }
    }

    /// The folder that a destination means. `path` has its secrets resolved.
    ///
    /// # Errors
    /// A sentence that says why it may not be written to. It names the path as given.
    pub(crate) fn destination_folder(
        &self,
        path: &str,
        tenant: &str,
        base_dir: Option<&Path>,
    ) -> Result<PathBuf, String> {
        match (&self.config.artifact_root, base_dir) {
            (Some(root), _) => confined_destination(root, tenant, path),
            (None, Some(base)) => Ok(base.join(path)),
            (None, None) => Ok(PathBuf::from(path)),
        }
    }
}

fn substrate_problem(
    path: &str,
    origin: &Origin,
    base_dir: Option<&Path>,
    allowed: Option<&BTreeSet<String>>,
) -> Option<String> {
    if *origin == Origin::Local {
        return None;
    }
    let everything = allowed.is_none_or(|allowed| allowed.contains("."));
    let Some(path) = literal(path) else {
        let message = "a path that holds a secret cannot be compared with the files that the tenant's policy allows; write it out";
        return (!everything).then(|| message.to_owned());
    };
    let resolved = match confined_substrate(&path, base_dir) {
        Ok(resolved) => resolved,
        Err(message) => return Some(message),
    };
    let is_allowed = |allowed: &String| {
        base_dir.is_some_and(|base| {
            below(base, Path::new(allowed)).is_ok_and(|allowed| resolved.starts_with(allowed))
        })
    };
    if everything || allowed.into_iter().flatten().any(is_allowed) {
        return None;
    }
    Some(format!(
        "the tenant's policy does not allow reading `{path}`; an administrator adds it to `substrate_files`"
    ))
}

/// The file that a substrate of an inquiry means which is confined to its folder.
///
/// # Errors
/// A sentence that says why it may not be read. It names the path as given.
pub(crate) fn confined_substrate(path: &str, base_dir: Option<&Path>) -> Result<PathBuf, String> {
    let Some(base_dir) = base_dir else {
        return Err(format!(
            "the file `{path}` cannot be read: this host gives submitted inquiries no folder to read from; use a synthetic substrate, or ask the operator for a substrate folder"
        ));
    };
    below(base_dir, Path::new(path))
}

fn confined_destination(root: &Path, tenant: &str, path: &str) -> Result<PathBuf, String> {
    // A tenant's name is a plain word; this does not rely on it.
    let mut components = Path::new(tenant).components();
    if !matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) {
        return Err(format!("the tenant's name `{tenant}` is no name of a folder"));
    }
    let folder = below(root, Path::new(tenant))?;
    let given = Path::new(path);
    if !given.is_absolute() || given.starts_with(root.join(tenant)) || given.starts_with(&folder) {
        // As written first: `<root>/<tenant>` may be a symbolic link of the operator's within the root.
        let relative = given.strip_prefix(root.join(tenant)).unwrap_or(given);
        return below(&folder, relative);
    }
    match given.strip_prefix(root) {
        Ok(relative) => below(&folder, relative),
        Err(_) => Err(format!(
            "`{path}` lies outside of {}, which reports are confined to; a relative path lies in the tenant's folder there",
            root.display()
        )),
    }
}

/// The text, where it holds no secret.
fn literal(text: &str) -> Option<String> {
    secret::resolve_text(text, &mut |_| None).ok().map(|resolved| resolved.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Origin {
        Origin::Key { key: "k".into() }
    }

    #[test]
    fn destinations_stay_in_the_folder_of_their_tenant() {
        let folder = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(folder.path()).unwrap();
        let confined = |tenant: &str, path: &str| confined_destination(&root, tenant, path);
        let within = |path: &str| root.join(path).display().to_string();
        assert_eq!(confined("acme", "reports"), Ok(root.join("acme/reports")));
        assert_eq!(confined("acme", &within("acme/reports")), Ok(root.join("acme/reports")));
        assert_eq!(confined("default", &within("reports")), Ok(root.join("default/reports")));
        assert_eq!(confined("acme", &within("other/reports")), Ok(root.join("acme/other/reports")));
        for path in ["../other", "a/../../other", "/etc", &within("acme/../other"), &within("../x")] {
            assert!(confined("acme", path).is_err(), "{path}");
        }
        for tenant in ["..", "", ".", "a/b", "/"] {
            assert!(confined(tenant, "reports").is_err(), "{tenant:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_into_the_folder_of_another_tenant_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(folder.path()).unwrap();
        std::fs::create_dir_all(root.join("acme")).unwrap();
        std::fs::create_dir_all(root.join("other")).unwrap();
        std::os::unix::fs::symlink("../other", root.join("acme/link")).unwrap();
        assert!(confined_destination(&root, "acme", "link/reports").unwrap_err().contains("link/reports"));
    }

    #[test]
    fn a_policy_narrows_the_files_of_a_substrate() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("open")).unwrap();
        std::fs::write(folder.path().join("open/data.csv"), "").unwrap();
        std::fs::write(folder.path().join("closed.csv"), "").unwrap();
        let problem = |path: &str, allowed: &[&str]| {
            let allowed: BTreeSet<String> = allowed.iter().map(|path| (*path).to_owned()).collect();
            substrate_problem(path, &key(), Some(folder.path()), Some(&allowed))
        };
        assert_eq!(problem("open/data.csv", &["open"]), None);
        assert_eq!(problem("open/data.csv", &["open/data.csv"]), None);
        assert_eq!(problem("closed.csv", &["."]), None);
        assert!(problem("closed.csv", &["open"]).unwrap().contains("substrate_files"));
        assert!(problem("open/../closed.csv", &["open"]).is_some());
        assert!(problem("closed.csv", &[]).is_some());
        assert!(problem("open/${NAME}", &["open"]).unwrap().contains("secret"));
        assert_eq!(problem("open/${NAME}", &["."]), None, "judged at its use");
    }

    #[test]
    fn only_the_command_line_reads_files_without_a_folder() {
        assert!(substrate_problem("data.csv", &key(), None, None).unwrap().contains("no folder"));
        assert_eq!(substrate_problem("/data.csv", &Origin::Local, None, None), None);
    }
}
