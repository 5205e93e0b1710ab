//! Reports to the folders that the manifest names, beside the journal's own copies.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use inquisitor_manifest::spec::Destination;

use crate::Engine;
use crate::conclude::Artifact;
use crate::error::EngineError;
use crate::journal::Inquiry;

impl Engine {
    /// Write the reports to every destination.
    ///
    /// # Errors
    /// The first folder that cannot be written to, by the name that the manifest gives it: what that stands for may hold a
    /// secret.
    pub(crate) async fn deliver(
        &self,
        inquiry: &Inquiry,
        artifacts: &Arc<Vec<Artifact>>,
    ) -> Result<(), EngineError> {
        for Destination::File { path, .. } in &inquiry.plan.reporting.destinations {
            let mut resolver = self.resolver(inquiry);
            let written = match resolver.text(path) {
                Ok(resolved) => self.write(inquiry, resolved, artifacts.clone()).await,
                Err(message) => Err(message),
            };
            written.map_err(|mut message| {
                crate::secrets::strike_text(&mut message, &resolver.used);
                EngineError::Destination { path: path.clone(), message }
            })?;
        }
        Ok(())
    }

    async fn write(
        &self,
        inquiry: &Inquiry,
        path: String,
        artifacts: Arc<Vec<Artifact>>,
    ) -> Result<(), String> {
        let base = inquiry.base_dir.as_ref().map(Path::new);
        let folder = self.destination_folder(&path, &inquiry.bounds.tenant, base)?;
        let made = folder.clone();
        tokio::task::spawn_blocking(move || std::fs::create_dir_all(made))
            .await
            .map_err(|error| error.to_string())?
            .map_err(|error| format!("cannot make the folder: {error}"))?;
        // Now that it is there, a symbolic link on the way would show.
        if self.destination_folder(&path, &inquiry.bounds.tenant, base)? != folder {
            return Err("the folder was replaced while it was made; nothing was written".to_owned());
        }
        let inquiry = inquiry.id.clone();
        tokio::task::spawn_blocking(move || {
            for (name, bytes) in artifacts.iter() {
                replace(&folder, name, &inquiry, bytes)
                    .map_err(|error| format!("cannot write {name}: {error}"))?;
            }
            Ok(())
        })
        .await
        .map_err(|error| error.to_string())?
    }
}

/// Put a file in the place of the one by this name, if there is one. Whoever reads sees the old one or the new one, whole; a
/// symbolic link by the name is replaced and not followed.
fn replace(folder: &Path, name: &str, inquiry: &str, bytes: &[u8]) -> std::io::Result<()> {
    let partial = folder.join(format!(".{name}.{inquiry}.partial"));
    // Left by a host that was killed while it wrote.
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = std::fs::File::create_new(&partial)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| std::fs::rename(&partial, folder.join(name)));
    if written.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".report.md.id.partial"), "half").unwrap();
        for text in ["first", "second"] {
            replace(folder.path(), "report.md", "id", text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(folder.path().join("report.md")).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_by_the_name_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, "theirs").unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("report.md")).unwrap();
        replace(folder.path(), "report.md", "id", b"ours").unwrap();
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "theirs");
        assert_eq!(std::fs::read_to_string(folder.path().join("report.md")).unwrap(), "ours");
    }
}
