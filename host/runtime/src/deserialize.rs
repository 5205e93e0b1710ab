//! The one place that turns bytes on disk into machine code. Nothing else in the crate is `unsafe`.

#![allow(unsafe_code)]

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

/// A file that [`crate::aot::Cache`] has found to be written by this host: its keyed digest was right. Only that module
/// can make one.
pub(crate) struct Verified<'a>(&'a Path);

impl<'a> Verified<'a> {
    /// To be called by the cache alone, after it has checked the file's keyed digest.
    pub(crate) fn by_cache(path: &'a Path) -> Self {
        Self(path)
    }
}

/// Map compiled code from a verified file.
///
/// # Errors
/// When wasmtime finds that the file was made by another version or with other settings, or cannot map it.
pub(crate) fn map(engine: &Engine, file: &Verified<'_>) -> wasmtime::Result<Component> {
    // SAFETY: wasmtime asks that the file be the unmodified output of its own compiler and stay so while it is mapped.
    // The type says that the file carries a digest made with a key that only this host's user can read, over exactly
    // these bytes; the folder is writable by that user alone (checked at start); and files in it are only ever replaced
    // by renaming or removed, never written in place, so that a mapping keeps the old bytes.
    unsafe { Component::deserialize_file(engine, file.0) }
}
