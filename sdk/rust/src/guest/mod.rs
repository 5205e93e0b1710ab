//! The component's side: bindings of the contract, the host behind [`crate::Context`], and the exports.
//!
//! Hidden from the documentation: [`crate::export!`] is the only user outside of this crate.

// What `wit-bindgen` generates is the one place with unsafe code; nothing of it is written by hand.
#[allow(unsafe_code, missing_docs, clippy::all)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/1.0.0",
        world: "instrument-plugin",
        pub_export_macro: true,
        export_macro_name: "export_instrument",
        default_bindings_module: "inquisitor_sdk::guest::bindings",
    });
}

mod convert;
mod exports;
mod sandbox;

pub use exports::{Exports, Plugin};
