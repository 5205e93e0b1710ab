//! One run of cargo for all crates.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::toolchain::Toolchain;
use crate::{Error, Request};

/// Bytes of stack that a component has. The tools' own defaults lie between 64 KiB and 1 MiB, and every instance
/// pays for it in memory that is cleared when the instance ends; parsing JSON as deep as the parser allows takes half.
const STACK_BYTES: u32 = 128 << 10;

/// The modules or components that cargo makes of the crates, in their order.
pub(crate) fn run(toolchain: &Toolchain, request: &Request<'_>) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
    let Some(first) = request.crates.first() else { return Ok(Vec::new()) };
    let workspace = Workspace::read(toolchain, first)?;

    let mut cargo = toolchain.cargo();
    cargo.current_dir(first).args(["build", "--lib", "--message-format=json-render-diagnostics"]);
    cargo.args(["--profile", request.profile, "--target", toolchain.target()]);
    cargo.arg("--target-dir").arg(request.target_dir.join(toolchain.folder()));
    cargo.args(toolchain.build_arguments());
    for crate_dir in request.crates {
        cargo.args(["--package", workspace.package(crate_dir)?]);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rustflags(&workspace, toolchain));
    cargo.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child =
        cargo.spawn().map_err(|source| Error::Run { program: "cargo build".to_owned(), source })?;

    let mut artifacts = BTreeMap::new();
    let stdout = child.stdout.take();
    for line in stdout.map(|stdout| BufReader::new(stdout).lines()).into_iter().flatten() {
        let line = line.map_err(|source| Error::Run { program: "cargo build".to_owned(), source })?;
        if let Some((crate_dir, file)) = serde_json::from_str(&line).ok().as_ref().and_then(artifact) {
            artifacts.insert(crate_dir, file);
        }
    }
    let status = child.wait().map_err(|source| Error::Run { program: "cargo build".to_owned(), source })?;
    if !status.success() {
        return Err(Error::CargoFailed);
    }
    request
        .crates
        .iter()
        .map(|crate_dir| match artifacts.remove(&canonical(crate_dir)) {
            Some(file) => Ok((crate_dir.clone(), file)),
            None => Err(Error::NoCdylib { crate_dir: crate_dir.clone() }),
        })
        .collect()
}

/// The folder of the crate and the file, where the message tells of a library compiled to WebAssembly.
fn artifact(message: &Value) -> Option<(PathBuf, PathBuf)> {
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let is_cdylib = message["target"]["crate_types"].as_array()?.iter().any(|kind| kind == "cdylib");
    let file = message["filenames"]
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .find(|name| is_cdylib && name.ends_with(".wasm"))?;
    let crate_dir = Path::new(message["manifest_path"].as_str()?).parent()?;
    Some((canonical(crate_dir), PathBuf::from(file)))
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

/// Flags for the compiler, in cargo's encoding. They replace what the user's environment and configuration hold, because
/// the bytes of a component must not depend on them.
fn rustflags(workspace: &Workspace, toolchain: &Toolchain) -> OsString {
    let mut flags: Vec<OsString> = vec!["-C".into(), format!("link-arg=-zstack-size={STACK_BYTES}").into()];
    let mut remap = |from: &Path, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push(format!("={to}"));
        flags.push(flag);
    };
    // The last prefix that fits wins, so the workspace, which may hold all else, comes first.
    remap(&workspace.root, ".");
    for path in &workspace.outside {
        if let Some(name) = path.file_name() {
            remap(path, &format!("../{}", name.to_string_lossy()));
        }
    }
    if let Some(cargo_home) = cargo_home() {
        remap(&cargo_home, "cargo");
    }
    if let Some(sources) = toolchain.std_sources() {
        remap(&sources, "rust");
        remap(&canonical(&sources), "rust");
    }
    flags.join(OsString::from("\x1f").as_os_str())
}

fn cargo_home() -> Option<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Some(PathBuf::from(home));
    }
    std::env::home_dir().map(|home| home.join(".cargo"))
}

/// What of `cargo metadata` is needed here.
struct Workspace {
    root: PathBuf,
    /// Canonical folder of each member and its package identifier.
    members: BTreeMap<PathBuf, String>,
    /// Folders outside of the workspace on which members depend by path.
    outside: Vec<PathBuf>,
}

impl Workspace {
    fn read(toolchain: &Toolchain, crate_dir: &Path) -> Result<Self, Error> {
        let problem = |message: String| Error::Metadata { crate_dir: crate_dir.to_path_buf(), message };
        if !crate_dir.join("Cargo.toml").is_file() {
            return Err(problem("there is no Cargo.toml".to_owned()));
        }
        let output = toolchain
            .cargo()
            .current_dir(crate_dir)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stdin(Stdio::null())
            .output()
            .map_err(|source| Error::Run { program: "cargo metadata".to_owned(), source })?;
        if !output.status.success() {
            return Err(problem(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let metadata = serde_json::from_slice(&output.stdout).map_err(|error| problem(error.to_string()))?;
        Self::from_metadata(&metadata).ok_or_else(|| problem("its metadata are not as expected".to_owned()))
    }

    fn from_metadata(metadata: &Value) -> Option<Self> {
        let root = PathBuf::from(metadata["workspace_root"].as_str()?);
        let mut members = BTreeMap::new();
        let mut outside = Vec::new();
        for package in metadata["packages"].as_array()? {
            let crate_dir = Path::new(package["manifest_path"].as_str()?).parent()?;
            members.insert(canonical(crate_dir), package["id"].as_str()?.to_owned());
            for path in package["dependencies"]
                .as_array()?
                .iter()
                .filter_map(|dependency| dependency["path"].as_str())
            {
                let path = PathBuf::from(path);
                if !path.starts_with(&root) && !outside.contains(&path) {
                    outside.push(path);
                }
            }
        }
        Some(Self { root, members, outside })
    }

    fn package(&self, crate_dir: &Path) -> Result<&str, Error> {
        self.members.get(&canonical(crate_dir)).map(String::as_str).ok_or_else(|| Error::NotInWorkspace {
            crate_dir: crate_dir.to_path_buf(),
            workspace: self.root.clone(),
        })
    }
}

impl Toolchain {
    /// A command for this toolchain's cargo, free of what an outer cargo has set.
    fn cargo(&self) -> Command {
        let mut command = Command::new(self.cargo_program());
        for name in ["RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_BUILD_RUSTFLAGS"] {
            command.env_remove(name);
        }
        command.envs(self.environment());
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_webassembly_cdylib_is_an_artifact() {
        let message = |kind: &str, file: &str| {
            serde_json::json!({
                "reason": "compiler-artifact",
                "manifest_path": "/somewhere/echo/Cargo.toml",
                "target": { "crate_types": [kind] },
                "filenames": ["/target/libecho.rlib", file],
            })
        };
        let found = artifact(&message("cdylib", "/target/echo.wasm"));
        assert_eq!(found, Some((PathBuf::from("/somewhere/echo"), PathBuf::from("/target/echo.wasm"))));
        assert_eq!(artifact(&message("lib", "/target/echo.wasm")), None);
        assert_eq!(artifact(&message("cdylib", "/target/libecho.so")), None);
        assert_eq!(artifact(&serde_json::json!({ "reason": "build-finished" })), None);
    }

    #[test]
    fn path_dependencies_outside_of_the_workspace_are_found_once() {
        let metadata = serde_json::json!({
            "workspace_root": "/w",
            "packages": [{
                "manifest_path": "/w/a/Cargo.toml", "id": "path+file:///w/a#1.0.0",
                "dependencies": [{ "path": "/w/b" }, { "path": "/sdk/rust" }, { "path": "/sdk/rust" }, { "name": "serde" }],
            }],
        });
        let workspace = Workspace::from_metadata(&metadata).unwrap();
        assert_eq!(workspace.outside, [PathBuf::from("/sdk/rust")]);
        assert_eq!(workspace.package(Path::new("/w/a")).unwrap(), "path+file:///w/a#1.0.0");
        assert!(matches!(workspace.package(Path::new("/w/c")), Err(Error::NotInWorkspace { .. })));
    }
}
