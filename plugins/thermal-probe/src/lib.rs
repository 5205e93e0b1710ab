//! thermal-probe
