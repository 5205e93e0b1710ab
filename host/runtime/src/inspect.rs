//! What a component says of itself before anything is compiled: is it one, what does it import and export, with how much
//! memory does it start. Reads the outer structure only; the compiler validates the rest, in its own process.

use wasmparser::{Encoding, Parser, Payload};

use crate::error::{LoadError, UnknownImport};
use crate::{wasi, world_v1};

/// Bytes of a component at most. Python components have 18 MB, JavaScript ones 12.
pub(crate) const MAX_COMPONENT_BYTES: usize = 64 << 20;

/// Imports, exports, memories and tables that are looked at; a component with more is refused as malformed. Real ones have
/// a few dozen.
const MAX_ITEMS: usize = 10_000;

/// The size of a page of linear memory.
const PAGE: u64 = 65_536;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Inspection {
    /// Names of the component's own imports.
    pub(crate) imports: Vec<String>,
    /// Names of the component's own exports.
    pub(crate) exports: Vec<String>,
    /// Bytes of all memories at the start.
    pub(crate) minimum_memory: u64,
    /// Elements of all tables at the start.
    pub(crate) minimum_table_elements: u64,
}

/// Look at the bytes.
///
/// # Errors
/// When they are too many, not WebAssembly, a core module, or cannot be read as a component.
pub(crate) fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    if bytes.len() > MAX_COMPONENT_BYTES {
        return Err(LoadError::TooLarge { bytes: bytes.len() as u64, allowed: MAX_COMPONENT_BYTES as u64 });
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm);
    }
    if Parser::is_core_wasm(bytes) {
        return Err(LoadError::CoreModule);
    }
    let mut found = Inspection::default();
    let mut items = 0;
    // How deep the parser is in nested components and modules; the component's own imports and exports are at depth 1.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding == Encoding::Module {
                    return Err(LoadError::CoreModule);
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    found.imports.push(import.map_err(malformed)?.name.name.to_owned());
                    count(&mut items)?;
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    found.exports.push(export.map_err(malformed)?.name.name.to_owned());
                    count(&mut items)?;
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let pages = memory.map_err(malformed)?.initial;
                    found.minimum_memory = found.minimum_memory.saturating_add(pages.saturating_mul(PAGE));
                    count(&mut items)?;
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let elements = table.map_err(malformed)?.ty.initial;
                    found.minimum_table_elements = found.minimum_table_elements.saturating_add(elements);
                    count(&mut items)?;
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

#[allow(clippy::needless_pass_by_value)] // For `map_err`.
fn malformed(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Malformed { message: format!("{} (at offset {:#x})", error.message(), error.offset()) }
}

fn count(items: &mut usize) -> Result<(), LoadError> {
    *items += 1;
    if *items > MAX_ITEMS {
        return Err(LoadError::Malformed {
            message: format!("more than {MAX_ITEMS} imports, exports, memories and tables"),
        });
    }
    Ok(())
}

impl Inspection {
    /// All that keeps the component from being loaded, the most telling first.
    pub(crate) fn problems(&self, max_memory: u64, max_table_elements: u64) -> Vec<LoadError> {
        let mut problems = Vec::new();
        if let Some(import) = self.imports.iter().find(|name| wasi::is_wasi_03(name)) {
            problems.push(LoadError::Wasi03 { import: import.clone() });
        }
        let unknown: Vec<_> = self
            .imports
            .iter()
            .filter(|name| !wasi::is_wasi_03(name) && !wasi::provides(name) && !world_v1::provides(name))
            .map(|name| UnknownImport { name: name.clone(), nearest: nearest(name) })
            .collect();
        if !unknown.is_empty() {
            problems.push(LoadError::UnknownImport { imports: unknown });
        }
        let missing = world_v1::missing_exports(&self.exports);
        if !missing.is_empty() {
            problems.push(LoadError::MissingExport { names: missing });
        }
        if self.minimum_memory > max_memory {
            problems.push(LoadError::MemoryTooLarge { needed: self.minimum_memory, allowed: max_memory });
        }
        if self.minimum_table_elements > max_table_elements {
            problems.push(LoadError::TableTooLarge {
                needed: self.minimum_table_elements,
                allowed: max_table_elements,
            });
        }
        problems
    }
}

/// The name that the host has and that is most like the one asked for.
fn nearest(name: &str) -> Option<String> {
    // Names much longer than any of ours are not typing errors, and comparing them costs the product of the lengths.
    if name.len() > 100 {
        return None;
    }
    wasi::interfaces()
        .chain(world_v1::interfaces())
        .map(|known| (strsim::damerau_levenshtein(&known, name), known))
        .filter(|(distance, _)| *distance <= 5)
        .min()
        .map(|(_, known)| known)
}

/// Whether `name` is the interface `package/interface` in a version that a host of `host` (major, minor) serves: the same
/// major version from 1.0 on, the same minor version before.
pub(crate) fn serves(name: &str, interface: &str, host: (u64, u64)) -> bool {
    let Some(version) = name.strip_prefix(interface).and_then(|rest| rest.strip_prefix('@')) else {
        return false;
    };
    match semver::Version::parse(version) {
        Ok(version) if !version.pre.is_empty() => false,
        Ok(version) => version.major == host.0 && (host.0 > 0 || version.minor == host.1),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_semver() {
        let interface = "inquisitor:instrument/context";
        assert!(serves("inquisitor:instrument/context@1.0.0", interface, (1, 0)));
        assert!(serves("inquisitor:instrument/context@1.7.2", interface, (1, 0)));
        assert!(!serves("inquisitor:instrument/context@2.0.0", interface, (1, 0)));
        assert!(!serves("inquisitor:instrument/context@1.1.0-rc.1", interface, (1, 0)));
        assert!(!serves("inquisitor:instrument/contexts@1.0.0", interface, (1, 0)));
        assert!(!serves("inquisitor:instrument/context", interface, (1, 0)));
        assert!(serves("wasi:io/poll@0.2.0", "wasi:io/poll", (0, 2)));
        assert!(serves("wasi:io/poll@0.2.12", "wasi:io/poll", (0, 2)));
        assert!(!serves("wasi:io/poll@0.3.0", "wasi:io/poll", (0, 2)));
    }

    #[test]
    fn what_is_no_component_is_named() {
        assert_eq!(inspect(b"hello"), Err(LoadError::NotWasm));
        assert_eq!(inspect(b""), Err(LoadError::NotWasm));
        assert_eq!(inspect(&wat::parse_str("(module)").unwrap()), Err(LoadError::CoreModule));
        let mut cut = wat::parse_str("(component (core module (memory 1)))").unwrap();
        cut.truncate(cut.len() - 3);
        assert!(matches!(inspect(&cut), Err(LoadError::Malformed { .. })));
    }

    #[test]
    fn memories_and_tables_of_nested_modules_count() {
        let bytes = wat::parse_str(
            "(component
                (core module (memory 3) (table 10 funcref))
                (component (core module (memory 1) (table 5 funcref))))",
        )
        .unwrap();
        let found = inspect(&bytes).unwrap();
        assert_eq!(found.minimum_memory, 4 * PAGE);
        assert_eq!(found.minimum_table_elements, 15);
    }

    #[test]
    fn problems_are_named_with_a_hint() {
        let bytes = wat::parse_str(
            r#"(component
                (import "inquisitor:instrument/contxt@1.0.0" (instance))
                (import "acme:bus/can@0.1.0" (instance))
                (import "wasi:cli/environment@0.3.0" (instance)))"#,
        )
        .unwrap();
        let problems = inspect(&bytes).unwrap().problems(1 << 30, 1000);
        assert_eq!(problems[0], LoadError::Wasi03 { import: "wasi:cli/environment@0.3.0".to_owned() });
        assert_eq!(
            problems[1],
            LoadError::UnknownImport {
                imports: vec![
                    UnknownImport {
                        name: "inquisitor:instrument/contxt@1.0.0".to_owned(),
                        nearest: Some("inquisitor:instrument/context@1.0.0".to_owned()),
                    },
                    UnknownImport { name: "acme:bus/can@0.1.0".to_owned(), nearest: None },
                ]
            }
        );
        assert!(matches!(&problems[2], LoadError::MissingExport { names } if names.len() == 2));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
            wasm.extend(bytes);
            drop(inspect(&wasm));
        }
    }
}
