//! `inquisitor schema`: the JSON Schema of manifests.

use std::process::ExitCode;

use crate::print;

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    print::json(&inquisitor_manifest::schema())?;
    Ok(ExitCode::SUCCESS)
}
