//! component-build
