//! From cargo's artifact to a component.

use std::path::Path;

use wit_component::ComponentEncoder;

use crate::Error;

/// The eight bytes that a core module starts with: magic number, version 1, layer 0.
const MODULE_HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";
/// The eight bytes that a component starts with: magic number, version 13, layer 1.
const COMPONENT_HEADER: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// The component that cargo's artifact is, or that it describes.
pub(crate) fn component(crate_dir: &Path, artifact: &Path) -> Result<Vec<u8>, Error> {
    let bytes = std::fs::read(artifact).map_err(|source| Error::io("read", artifact, source))?;
    let problem = |message: String| Error::NotAComponent { crate_dir: crate_dir.to_path_buf(), message };
    if bytes.starts_with(&COMPONENT_HEADER) {
        return Ok(bytes);
    }
    if !bytes.starts_with(&MODULE_HEADER) {
        return Err(problem(format!("{} is not WebAssembly", artifact.display())));
    }
    let component = ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| problem(format!("{error:#}")))?;
    if component.starts_with(&COMPONENT_HEADER) {
        Ok(component)
    } else {
        Err(problem("the encoder gave something else".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_bytes(bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        component(Path::new("some/crate"), file.path())
    }

    #[test]
    fn a_component_is_kept_and_a_bare_module_becomes_one() {
        let mut empty = COMPONENT_HEADER.to_vec();
        assert_eq!(try_bytes(&empty).unwrap(), empty);
        empty = MODULE_HEADER.to_vec();
        assert!(try_bytes(&empty).unwrap().starts_with(&COMPONENT_HEADER));
    }

    #[test]
    fn what_is_not_webassembly_is_refused_by_name() {
        let error = try_bytes(b"\x7fELF").unwrap_err().to_string();
        assert!(error.contains("some/crate") && error.contains("is not WebAssembly"), "{error}");
    }
}
