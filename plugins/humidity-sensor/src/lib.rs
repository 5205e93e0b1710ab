//! humidity-sensor
