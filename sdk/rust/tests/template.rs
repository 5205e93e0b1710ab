//! The template makes a crate that builds, passes its tests and has no lints, in a folder of its own.
//!
//! Slow, because the new crate has a target folder of its own: run with `cargo test -p inquisitor-sdk --test template --
//! --ignored`.

use std::path::Path;
use std::process::Command;

const FILES: [(&str, &str); 4] = [
    ("Cargo.toml", include_str!("../template/Cargo.toml.template")),
    ("src/lib.rs", include_str!("../template/src/lib.rs.template")),
    ("README.md", include_str!("../template/README.md.template")),
    (".gitignore", include_str!("../template/gitignore.template")),
];

const TUTORIAL: &str = include_str!("../tutorial/freezer_door.rs");

fn instantiate(folder: &Path, name: &str) {
    let sdk = format!("inquisitor-sdk = {{ path = {:?} }}", env!("CARGO_MANIFEST_DIR"));
    for (file, template) in FILES {
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, template.replace("{{name}}", name).replace("{{sdk}}", &sdk)).unwrap();
    }
}

fn cargo(folder: &Path, arguments: &[&str]) {
    let output = Command::new("cargo")
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUSTFLAGS")
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo {arguments:?}:\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "builds a crate of its own; slow"]
fn a_new_instrument_passes_its_tests_and_has_no_lints() {
    let folder = tempfile::tempdir().unwrap();
    let crate_dir = folder.path().join("ph-meter");
    instantiate(&crate_dir, "ph-meter");
    // The versions that this repository has tried, so that nothing is fetched that is not there already.
    std::fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock"),
        crate_dir.join("Cargo.lock"),
    )
    .unwrap();
    // The instrument of the tutorial takes the place of the template's.
    for source in [FILES[1].1.replace("{{name}}", "ph-meter"), TUTORIAL.to_owned()] {
        std::fs::write(crate_dir.join("src/lib.rs"), source).unwrap();
        cargo(&crate_dir, &["test", "--quiet"]);
        cargo(&crate_dir, &["clippy", "--quiet", "--all-targets", "--", "-D", "warnings"]);
        cargo(&crate_dir, &["fmt", "--check"]);
    }
}

#[test]
fn the_template_leaves_no_placeholder() {
    let folder = tempfile::tempdir().unwrap();
    instantiate(folder.path(), "ph-meter");
    for (file, _) in FILES {
        let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(
            !text.contains("{{")
                || file.ends_with(".rs") && !text.contains("{{name") && !text.contains("{{sdk"),
            "{file}"
        );
    }
}
