//! What becomes of bytes that somebody uploads as a plugin.

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

mod support;

use std::fmt::Write as _;
use std::time::Duration;

use inquisitor_runtime::{LoadError, Runtime, Severity};
use support::{assert_well, config, guest, plain, runtime};

async fn refused(bytes: &[u8]) -> LoadError {
    let error = runtime().load(bytes).await.expect_err("this must not load");
    assert_well().await;
    error
}

async fn refused_wat(text: &str) -> LoadError {
    refused(&wat::parse_str(text).unwrap()).await
}

/// A component that has both exports by name and nothing in them, with something else beside it.
fn empty_instrument(beside: &str) -> String {
    format!(
        r#"(component
            {beside}
            (instance $nothing)
            (export "inquisitor:instrument/metadata@1.0.0" (instance $nothing))
            (export "inquisitor:instrument/instrument@1.0.0" (instance $nothing)))"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_is_told_what_it_is() {
    assert_eq!(refused(b"").await, LoadError::NotWasm);
    assert_eq!(refused(b"#!/bin/sh\necho hello\n").await, LoadError::NotWasm);
    let error = refused_wat("(module)").await;
    assert_eq!(error, LoadError::CoreModule);
    let text = error.to_string();
    for hint in ["wasm-tools component new", "wasm32-wasip2", "inquisitor plugin build"] {
        assert!(text.contains(hint), "{text}");
    }
    let noise: Vec<u8> =
        b"\0asm\x0d\0\x01\0".iter().copied().chain((0..1000_u32).map(|n| (n * 37 % 251) as u8)).collect();
    assert!(matches!(refused(&noise).await, LoadError::Malformed { .. }));
    let large = vec![0; (64 << 20) + 1];
    assert_eq!(refused(&large).await, LoadError::TooLarge { bytes: (64 << 20) + 1, allowed: 64 << 20 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_component_is_malformed() {
    let good = guest("plain");
    for end in [9, 100, good.len() / 2, good.len() - 1] {
        assert!(matches!(
            refused(&good[..end]).await,
            LoadError::Malformed { .. } | LoadError::MissingExport { .. }
        ));
    }
    // Valid on the outside, broken in a function: found by the compiler.
    let broken = empty_instrument("(core module (func (result i32) (drop (i32.const 1)) (i32.const 1)))");
    let mut bytes = wat::parse_str(&broken).unwrap();
    let constant = bytes.windows(3).position(|window| window == [0x41, 0x01, 0x1a]).unwrap();
    bytes[constant + 2] = 0x01; // The drop becomes a nop, and the stack has one value too many.
    let error = refused(&bytes).await;
    assert!(matches!(&error, LoadError::Malformed { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_another_kind_is_refused_by_name() {
    let error = refused_wat("(component)").await;
    let LoadError::MissingExport { names } = &error else { panic!("{error:?}") };
    assert_eq!(names.len(), 2);
    assert!(names[0].contains("inquisitor:instrument/instrument@1.0.0"));

    let error = refused_wat(&empty_instrument("")).await;
    assert!(matches!(&error, LoadError::WrongType { what } if what.contains("describe")), "{error:?}");

    let error = refused_wat(&empty_instrument(r#"(import "acme:bus/can@0.1.0" (instance))"#)).await;
    assert!(error.to_string().contains("`acme:bus/can@0.1.0`"), "{error}");

    let error =
        refused_wat(&empty_instrument(r#"(import "wasi:clocks/monotonic-clock@0.3.0" (instance))"#)).await;
    assert_eq!(error, LoadError::Wasi03 { import: "wasi:clocks/monotonic-clock@0.3.0".to_owned() });
    assert!(error.to_string().contains("wasm32-wasip2"));

    // Ours by name, but not by type.
    let wrong = r#"(import "inquisitor:instrument/context@1.0.0" (instance (export "cancelled" (func (result string)))))"#;
    let error = refused_wat(&empty_instrument(wrong)).await;
    assert!(matches!(&error, LoadError::WrongType { what } if what.contains("cancelled")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_tables_are_checked_before_compiling() {
    let error = refused_wat(&empty_instrument("(core module (memory 65536))")).await;
    assert_eq!(error, LoadError::MemoryTooLarge { needed: 4 << 30, allowed: 1 << 30 });
    let error = refused_wat(&empty_instrument("(core module (table 4000000000 funcref))")).await;
    assert_eq!(error, LoadError::TableTooLarge { needed: 4_000_000_000, allowed: 1_000_000 });
}

#[tokio::test(flavor = "multi_thread")]
async fn features_that_are_not_needed_are_off() {
    for module in [
        "(core module (memory 1 1 shared))",
        "(core module (memory i64 1))",
        "(core module (memory 1) (memory 1))",
        "(core module (func $f return_call $f))",
    ] {
        let error = refused_wat(&empty_instrument(module)).await;
        assert!(
            matches!(&error, LoadError::Malformed { .. } | LoadError::CompileFailed { .. }),
            "{module}: {error:?}"
        );
    }
}

/// A function that costs the compiler much: so many locals, each used in so many blocks.
fn bomb(functions: usize, blocks: usize) -> Vec<u8> {
    let mut body = String::new();
    for block in 0..blocks {
        let local = block % 200;
        write!(body, "(block (br_if 0 (local.get {local})) (local.set {local} (i32.add (local.get {}) (i32.const {block}))))", (block + 7) % 200).unwrap();
    }
    let mut module = String::from("(core module");
    for _ in 0..functions {
        write!(module, "(func (param {}) {body})", "i32 ".repeat(200)).unwrap();
    }
    module.push(')');
    wat::parse_str(empty_instrument(&module)).unwrap()
}

fn limited(folder: &std::path::Path, change: impl FnOnce(&mut inquisitor_runtime::CompileLimits)) -> Runtime {
    let mut config = config(folder);
    change(&mut config.compile_limits);
    Runtime::new(config).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_for_the_compiler_ends_at_its_limits() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = bomb(4, 60_000);
    let runtime = limited(folder.path(), |limits| limits.cpu_seconds = 1);
    assert_eq!(
        runtime.load(&bytes).await.err(),
        Some(LoadError::CompileTime { limit: "1 s of CPU time".to_owned() })
    );
    let runtime = limited(folder.path(), |limits| limits.wall = Duration::from_millis(300));
    assert!(matches!(runtime.load(&bytes).await, Err(LoadError::CompileTime { .. })));
    let limit = 160 << 20;
    let runtime = limited(folder.path(), |limits| limits.memory_bytes = limit);
    assert_eq!(runtime.load(&bytes).await.err(), Some(LoadError::CompileMemory { limit }));
    // Nothing is left behind, and the same runtime still compiles what is right.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the key alone");
    assert_eq!(runtime.status().disk_files, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nesting_is_no_way_to_overflow_the_compiler() {
    let depth = 20_000;
    let module = format!("(core module (func {} {}))", "block ".repeat(depth), "end ".repeat(depth));
    let error = refused_wat(&empty_instrument(&module)).await;
    assert!(
        matches!(
            &error,
            LoadError::WrongType { .. } | LoadError::CompileFailed { .. } | LoadError::Malformed { .. }
        ),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn code_is_compiled_once_and_loaded_from_disk_after() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = guest("plain");
    let first = Runtime::new(config(folder.path())).unwrap();
    first.load(&bytes).await.unwrap();
    assert_eq!(first.status().disk_files, 1);

    // A second runtime whose compiler cannot work has only the disk.
    let mut broken = config(folder.path());
    broken.compiler.program = Some("/nowhere/compiler".into());
    let second = Runtime::new(broken.clone()).unwrap();
    second.load(&bytes).await.unwrap();
    assert!(matches!(second.load(&guest("hostile")).await, Err(LoadError::Io { .. })));

    // A damaged file is compiled again, and without a compiler that is an error and not a crash.
    let file = std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|end| end == "cwasm")).unwrap();
    let mut code = std::fs::read(&file).unwrap();
    let middle = code.len() / 2;
    code[middle] ^= 0xff;
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, code).unwrap();
    let third = Runtime::new(broken).unwrap();
    assert!(matches!(third.load(&bytes).await, Err(LoadError::Io { .. })));
    Runtime::new(config(folder.path())).unwrap().load(&bytes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_load_the_same_compile_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new(config(folder.path())).unwrap();
    let bytes = guest("plain");
    let loads = (0..8).map(|_| {
        let (runtime, bytes) = (runtime.clone(), bytes.clone());
        tokio::spawn(async move { runtime.load(&bytes).await.unwrap() })
    });
    let mut digests = Vec::new();
    for load in loads.collect::<Vec<_>>() {
        digests.push(load.await.unwrap().digest().to_owned());
    }
    digests.dedup();
    assert_eq!(digests, [plain().await.digest()]);
    assert_eq!((runtime.status().disk_files, runtime.status().loaded), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_in_memory_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.loaded_plugins = 1;
    let runtime = Runtime::new(config).unwrap();
    let plain = runtime.load(&guest("plain")).await.unwrap();
    runtime.load(&guest("hostile")).await.unwrap();
    assert_eq!(runtime.status().loaded, 1);
    assert_eq!(plain.description().name, "plain", "who holds one keeps it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_reports_and_never_fails() {
    let good = runtime().check(&guest("plain")).await;
    assert!(good.is_ok(), "{:?}", good.findings);
    assert_eq!(good.description.unwrap().name, "plain");
    assert!(good.imports.len() > 2 && good.exports.len() >= 2);

    let hostile = runtime().check(&guest("hostile")).await;
    assert!(hostile.is_ok());
    assert!(hostile.findings.iter().any(|finding| finding.name == "open-parameters"));

    let module = runtime().check(&wat::parse_str("(module)").unwrap()).await;
    assert!(!module.is_ok());
    assert_eq!(module.findings[0].name, "core-module");
    assert_eq!(module.findings[0].severity, Severity::Error);
    assert!(module.findings[0].help.as_ref().unwrap().contains("wasm-tools component new"));

    let both = r#"(import "acme:bus/can@0.1.0" (instance)) (core module (memory 65536))"#;
    let report = runtime().check(&wat::parse_str(empty_instrument(both)).unwrap()).await;
    let names: Vec<_> = report.findings.iter().map(|finding| finding.name.as_str()).collect();
    assert_eq!(names, ["unknown-import", "memory-too-large"], "all at once");
}
