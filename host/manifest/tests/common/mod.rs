//! A catalogue for tests.
#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;

use inquisitor_manifest::{
    Catalogue, PluginInfo, PluginReference, Quantity, ResolveError, WantedCapability, resolve_among,
};
use serde_json::{Value, json};

/// Installed plugins; knows a few units, and takes an expression for wrong where it has a `@`.
pub struct Installed(pub Vec<Arc<PluginInfo>>);

pub fn plugin(name: &str, version: &str, digest: char) -> PluginInfo {
    PluginInfo {
        name: name.into(),
        version: version.into(),
        digest: digest.to_string().repeat(64),
        aliases: Vec::new(),
        parameters_schema: json!({ "type": "object" }).into(),
        step_parameters_schema: json!({ "type": "object" }).into(),
        quantities: Vec::new(),
        capabilities: Vec::new(),
        minimum_memory: 1 << 20,
    }
}

pub fn thermal_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["channel"],
        "properties": {
            "channel": { "type": "integer", "minimum": 0, "description": "Input of the logger, from 0." },
            "offset": { "type": "number" },
            "mode": { "enum": ["fast", "slow"] },
            "token": { "type": "string", "minLength": 20 },
            "points": { "type": "array", "items": { "type": "object", "properties": { "x": { "type": "number" } } } }
        }
    })
}

impl Installed {
    pub fn new() -> Self {
        let mut echo = plugin("echo", "1.2.0", 'a');
        echo.aliases = vec!["basic_probe".into()];
        echo.quantities = vec![Quantity { name: "echo".into(), unit: "1".into() }];
        let old_echo = plugin("echo", "1.0.0", 'b');
        let mut thermal = plugin("thermal", "2.1.0", 'c');
        thermal.parameters_schema = thermal_schema().into();
        thermal.quantities = vec![Quantity { name: "temperature".into(), unit: "Cel".into() }];
        thermal.minimum_memory = 8 << 20;
        thermal.aliases = vec!["probe".into()];
        let mut modbus = plugin("modbus", "0.3.0", 'd');
        modbus.capabilities =
            vec![WantedCapability::Tcp("*".into()), WantedCapability::ReadFiles("/data/maps".into())];
        modbus.aliases = vec!["probe".into()];
        let mut broken = plugin("broken", "1.0.0", 'e');
        broken.parameters_schema = json!({ "$ref": "#" }).into();
        Self([echo, old_echo, thermal, modbus, broken, plugin("rfid", "1.0.0", 'f')].map(Arc::new).into())
    }
}

impl Catalogue for Installed {
    fn resolve(&self, reference: &PluginReference) -> Result<Arc<PluginInfo>, ResolveError> {
        resolve_among(&self.0, reference)
    }

    fn check_unit(&self, code: &str) -> Result<(), String> {
        if ["Cel", "K", "%", "1"].contains(&code) { Ok(()) } else { Err("no such unit".into()) }
    }

    fn check_expression(&self, text: &str) -> Result<(), String> {
        if text.contains('@') { Err("unexpected `@`".into()) } else { Ok(()) }
    }
}
