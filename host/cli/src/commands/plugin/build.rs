//! `inquisitor plugin build`: an instrument's crate to a component.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::json;

use crate::args::Global;
use crate::args::plugin::PluginBuild;
use crate::print;

/// Cargo profile of components, which the template sets up for size.
const PROFILE: &str = "release";

pub(crate) fn run(global: &Global, args: &PluginBuild) -> anyhow::Result<ExitCode> {
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => std::path::absolute(folder).context("CARGO_TARGET_DIR")?,
        None => args.dir.join("target"),
    };
    let out = match &args.out {
        Some(out) => out.clone(),
        None => target.join(format!("{}.wasm", package_name(&args.dir)?)),
    };
    let components = target.join("components");
    let bytes =
        inquisitor_component_build::build_to_file(&args.dir, &components, PROFILE, &out, &mut |line| {
            print::note(line);
        })?;
    let path = shown(&out);
    let digest = inquisitor_manifest::digest(&bytes);
    let document = json!({ "path": path.display().to_string(), "size": bytes.len(), "digest": digest });
    print::result(global.output, &document, || {
        Ok(format!("{} ({}, sha256:{digest})", path.display(), print::bytes(bytes.len() as u64)))
    })?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Deserialize)]
struct CargoToml {
    package: Option<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

fn package_name(dir: &Path) -> anyhow::Result<String> {
    let file = dir.join("Cargo.toml");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let manifest: CargoToml =
        toml::from_str(&text).with_context(|| format!("{} is not valid", file.display()))?;
    let package =
        manifest.package.with_context(|| format!("{} is of a workspace, not of a crate", file.display()))?;
    Ok(package.name)
}

/// The path without a leading `./`, which the default folder brings.
fn shown(path: &Path) -> PathBuf {
    path.strip_prefix(".").unwrap_or(path).to_owned()
}
