//! `inquisitor plugin new`: an instrument's crate from the template.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::json;

use crate::args::Global;
use crate::args::plugin::PluginNew;
use crate::print;

/// The template's files: where they go and what they hold. The endings keep the template's own tools from building it.
const TEMPLATE: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../../../../sdk/rust/template/Cargo.toml.template")),
    ("src/lib.rs", include_str!("../../../../../sdk/rust/template/src/lib.rs.template")),
    ("README.md", include_str!("../../../../../sdk/rust/template/README.md.template")),
    (".gitignore", include_str!("../../../../../sdk/rust/template/gitignore.template")),
];

/// Longest name of an instrument, as the contract has it.
const MAX_NAME: usize = 64;

pub(crate) fn run(global: &Global, args: &PluginNew) -> anyhow::Result<ExitCode> {
    check_name(&args.name)?;
    let parent = args.path.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder = parent.join(&args.name);
    if folder.exists() {
        bail!("{} exists already", folder.display());
    }
    let dependency = sdk_dependency(args.sdk.as_deref())?;
    for (name, template) in TEMPLATE {
        let text = template.replace("{{name}}", &args.name).replace("{{sdk}}", &dependency);
        let file = folder.join(name);
        let written =
            file.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&file, text));
        written.with_context(|| format!("cannot write {}", file.display()))?;
    }
    let path = folder.display().to_string();
    print::result(global.output, &json!({ "name": args.name, "path": path }), || {
        Ok(format!("made {path}\n\nNext:\n  cd {path}\n  cargo test\n  inquisitor plugin build"))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let starts_well = name.starts_with(|first: char| first.is_ascii_lowercase());
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !starts_well || !is_plain || name.ends_with('-') || name.len() > MAX_NAME {
        bail!(
            "`{name}` is not a name for an instrument: lower-case letters, digits and hyphens, a letter first, at most {MAX_NAME}"
        );
    }
    if RESERVED.contains(&name) {
        bail!("`{name}` cannot be the name of a crate; add a word, as `{name}-probe`");
    }
    Ok(())
}

/// Names that cargo or the compiler has a meaning of its own for, or that the template depends on.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "inquisitor-sdk",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// The line that names the SDK: the folder that was asked for, the one of the checkout that this binary was built in, or the
/// published crate.
fn sdk_dependency(asked: Option<&Path>) -> anyhow::Result<String> {
    if let Some(folder) = asked {
        let folder = std::path::absolute(folder).with_context(|| format!("{}", folder.display()))?;
        if !folder.join("Cargo.toml").is_file() {
            bail!("{} is not the folder of the SDK: it has no Cargo.toml", folder.display());
        }
        return Ok(by_path(&folder));
    }
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/rust");
    match checkout.canonicalize() {
        Ok(folder) => Ok(by_path(&folder)),
        Err(_) => Ok(format!("inquisitor-sdk = \"{}\"", env!("CARGO_PKG_VERSION"))),
    }
}

fn by_path(folder: &Path) -> String {
    // A TOML string in Rust's notation: the two agree on the escapes that a path can need.
    format!("inquisitor-sdk = {{ path = {:?} }}", folder.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_contract() {
        for good in ["ph-meter", "a", "probe2"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "2nd", "Probe", "a_b", "a-", "../x", "fn", "test", "inquisitor-sdk", &"x".repeat(65)]
        {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_that_is_not_the_sdk_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(sdk_dependency(Some(folder.path())).unwrap_err().to_string().contains("no Cargo.toml"));
    }
}
