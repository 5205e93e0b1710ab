//! The same component, called by wasmtime and nothing else.

use std::path::PathBuf;

use wasmtime::component::{Component, HasSelf, Linker, Resource, ResourceAny, ResourceTable};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, WasmFeatures,
};

#[allow(missing_docs, unreachable_pub)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/1.0.0",
        world: "instrument-plugin",
        imports: { default: trappable },
        exports: { default: async },
        require_store_data_send: true,
        with: { "inquisitor:instrument/substrate.rows": super::Reader },
    });
}

use bindings::exports::inquisitor::instrument::instrument::Step;
use bindings::inquisitor::instrument::{context, state, substrate, types};

/// How wasmtime is set up.
#[derive(Clone, Copy)]
pub(crate) enum Settings {
    /// As the sandbox has it: fuel, epochs, its stack, its pool.
    Same,
    /// Pooling, and wasmtime's defaults for everything else.
    Pooling,
}

pub(crate) struct Bare {
    engine: Engine,
    pre: bindings::InstrumentPluginPre<Data>,
    fuel: bool,
}

pub(crate) struct Data {
    table: ResourceTable,
    rows: usize,
}

#[allow(unreachable_pub)] // The generated bindings re-export it.
pub struct Reader {
    left: usize,
}

pub(crate) struct Warm {
    store: Store<Data>,
    instance: bindings::InstrumentPlugin,
    session: ResourceAny,
}

fn same() -> Config {
    let mut config = Config::new();
    for feature in [
        WasmFeatures::THREADS,
        WasmFeatures::MEMORY64,
        WasmFeatures::TAIL_CALL,
        WasmFeatures::RELAXED_SIMD,
        WasmFeatures::MULTI_MEMORY,
    ] {
        config.wasm_features(feature, false);
    }
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.consume_fuel(true);
    config.cranelift_nan_canonicalization(true);
    config.max_wasm_stack(1 << 20);
    config.async_stack_size(2 << 20);
    let mut pool = PoolingAllocationConfig::new();
    pool.linear_memory_keep_resident(2 << 20);
    pool.table_keep_resident(64 << 10);
    pool.pagemap_scan(Enabled::Auto);
    pool.table_elements(1_000_000);
    pool.max_memory_size(1 << 30);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

impl Bare {
    pub(crate) fn new(settings: Settings, component: &[u8]) -> Self {
        let (config, fuel) = match settings {
            Settings::Same => (same(), true),
            Settings::Pooling => {
                let mut config = Config::new();
                config.allocation_strategy(InstanceAllocationStrategy::pooling());
                (config, false)
            }
        };
        let engine = Engine::new(&config).unwrap();
        // Mapped from a file, as the sandbox has it.
        let code = engine.precompile_component(component).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("code");
        std::fs::write(&path, code).unwrap();
        #[allow(unsafe_code)]
        // SAFETY: the line above wrote it, and nobody else knows the folder.
        let component = unsafe { Component::deserialize_file(&engine, &path) }.unwrap();
        let mut linker = Linker::new(&engine);
        fn own(data: &mut Data) -> &mut Data {
            data
        }
        types::add_to_linker::<Data, HasSelf<Data>>(&mut linker, own).unwrap();
        context::add_to_linker::<Data, HasSelf<Data>>(&mut linker, own).unwrap();
        state::add_to_linker::<Data, HasSelf<Data>>(&mut linker, own).unwrap();
        substrate::add_to_linker::<Data, HasSelf<Data>>(&mut linker, own).unwrap();
        // A toolchain's standard library imports WASI; this guest never calls it.
        linker.define_unknown_imports_as_traps(&component).unwrap();
        let pre = bindings::InstrumentPluginPre::new(linker.instantiate_pre(&component).unwrap()).unwrap();
        Self { engine, pre, fuel }
    }

    /// A fresh instance, opened, calibrated, observed once, closed.
    pub(crate) async fn fresh(&self, rows: usize) -> types::Observation {
        let mut warm = self.open(rows).await;
        let calls = warm.instance.inquisitor_instrument_instrument().session();
        calls.call_calibrate(&mut warm.store, warm.session).await.unwrap().unwrap();
        let observation = warm.observe().await;
        warm.session.resource_drop_async(&mut warm.store).await.unwrap();
        observation
    }

    pub(crate) async fn open(&self, rows: usize) -> Warm {
        let mut store = Store::new(&self.engine, Data { table: ResourceTable::new(), rows });
        if self.fuel {
            store.set_fuel(u64::MAX).unwrap();
            store.set_epoch_deadline(u64::MAX / 2);
        }
        let instance = self.pre.instantiate_async(&mut store).await.unwrap();
        let calls = instance.inquisitor_instrument_instrument().session();
        let session = calls.call_open(&mut store, &r#"{"gain":2.0}"#.to_owned()).await.unwrap().unwrap();
        Warm { store, instance, session }
    }
}

impl Warm {
    pub(crate) async fn observe(&mut self) -> types::Observation {
        self.observe_batches(8).await
    }

    pub(crate) async fn observe_batches(&mut self, rows: usize) -> types::Observation {
        let step = Step { name: "step".to_owned(), parameters: format!(r#"{{"rows":{rows}}}"#) };
        let calls = self.instance.inquisitor_instrument_instrument().session();
        calls.call_observe(&mut self.store, self.session, &step).await.unwrap().unwrap()
    }
}

impl types::Host for Data {}

impl context::Host for Data {
    fn current(&mut self) -> wasmtime::Result<context::Facts> {
        wasmtime::bail!("not asked for")
    }

    fn log(&mut self, _: context::Level, _: String, _: Vec<types::Attribute>) -> wasmtime::Result<()> {
        Ok(())
    }

    fn progress(&mut self, _: f64, _: String) -> wasmtime::Result<()> {
        Ok(())
    }

    fn cancelled(&mut self) -> wasmtime::Result<bool> {
        Ok(false)
    }
}

impl state::Host for Data {
    fn load(&mut self) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn store(&mut self, _: Vec<u8>) -> wasmtime::Result<Result<(), state::StateError>> {
        Ok(Ok(()))
    }
}

impl substrate::Host for Data {
    fn columns(&mut self) -> wasmtime::Result<Result<Vec<substrate::ColumnInfo>, substrate::SubstrateError>> {
        Ok(Ok(Vec::new()))
    }
}

impl substrate::HostRows for Data {
    fn open(
        &mut self,
        _: substrate::Selection,
    ) -> wasmtime::Result<Result<Resource<Reader>, substrate::SubstrateError>> {
        if self.rows == 0 {
            return Ok(Err(substrate::SubstrateError::None));
        }
        Ok(Ok(self.table.push(Reader { left: self.rows })?))
    }

    fn next(
        &mut self,
        reader: Resource<Reader>,
        max_rows: u32,
    ) -> wasmtime::Result<Result<Option<substrate::Batch>, substrate::SubstrateError>> {
        let reader = self.table.get_mut(&reader)?;
        let rows = reader.left.min(max_rows as usize);
        if rows == 0 {
            return Ok(Ok(None));
        }
        reader.left -= rows;
        let values = substrate::ColumnValues::Number(vec![1.5; rows]);
        let columns = vec![substrate::Column { values, present: None }];
        Ok(Ok(Some(substrate::Batch { first_row: 0, rows: rows as u32, columns })))
    }

    fn drop(&mut self, reader: Resource<Reader>) -> wasmtime::Result<()> {
        self.table.delete(reader)?;
        Ok(())
    }
}
