//! All that knows the world `inquisitor:instrument/instrument-plugin@1.0.0`. Another world goes into a module of its own
//! beside this one, with the same few entry points: [`link`], [`provides`], [`missing_exports`] and [`Pre`].

mod convert;
mod imports;
mod substrate;

use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker, ResourceAny};

use crate::contract;
use crate::description::{Calibration, Description};
use crate::guest::Guest;
use crate::inspect::{Inspection, serves};
use crate::outcome::Failure;
use inquisitor_findings::reading::Observation;

#[allow(missing_docs, unreachable_pub)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/1.0.0",
        world: "instrument-plugin",
        imports: {
            "inquisitor:instrument/substrate.columns": async | trappable,
            "inquisitor:instrument/substrate.[static]rows.open": async | trappable,
            "inquisitor:instrument/substrate.[method]rows.next": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        require_store_data_send: true,
        with: {
            "inquisitor:instrument/substrate.rows": crate::world_v1::substrate::Reader,
        },
    });
}

use bindings::exports::inquisitor::instrument::instrument::Step;
use bindings::inquisitor::instrument as own;

/// Our own interfaces, as a component imports them.
const IMPORTS: [&str; 4] = [
    "inquisitor:instrument/context",
    "inquisitor:instrument/state",
    "inquisitor:instrument/substrate",
    "inquisitor:instrument/types",
];
/// What an instrument exports.
const EXPORTS: [&str; 2] = ["inquisitor:instrument/instrument", "inquisitor:instrument/metadata"];
/// The version that this module serves: every 1.x that adds nothing a component needs.
const VERSION: (u64, u64) = (1, 0);

/// Names of our own interfaces.
pub(crate) fn interfaces() -> impl Iterator<Item = String> {
    IMPORTS.iter().map(|interface| format!("{interface}@1.0.0"))
}

/// Whether an import is one of ours.
pub(crate) fn provides(import: &str) -> bool {
    IMPORTS.iter().any(|interface| serves(import, interface, VERSION))
}

/// The exports of an instrument that are not among these.
pub(crate) fn missing_exports(exports: &[String]) -> Vec<String> {
    EXPORTS
        .iter()
        .filter(|interface| !exports.iter().any(|export| serves(export, interface, VERSION)))
        .map(|interface| format!("`{interface}@1.0.0`"))
        .collect()
}

/// Link our own interfaces.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    fn ours(guest: &mut Guest) -> &mut Guest {
        guest
    }
    own::types::add_to_linker::<Guest, HasSelf<Guest>>(linker, ours)?;
    own::context::add_to_linker::<Guest, HasSelf<Guest>>(linker, ours)?;
    own::state::add_to_linker::<Guest, HasSelf<Guest>>(linker, ours)?;
    own::substrate::add_to_linker::<Guest, HasSelf<Guest>>(linker, ours)
}

/// A component whose imports are linked and whose exports are found.
pub(crate) struct Pre(bindings::InstrumentPluginPre<Guest>);

/// An instance.
pub(crate) struct Instance(bindings::InstrumentPlugin);

/// What a guest's function returned, if it did not trap: a value, or the guest's own error.
type Answer<T> = wasmtime::Result<Result<T, Failure>>;

impl Pre {
    /// # Errors
    /// When an export is missing or has another type.
    pub(crate) fn new(pre: InstancePre<Guest>) -> wasmtime::Result<Self> {
        Ok(Self(bindings::InstrumentPluginPre::new(pre)?))
    }

    pub(crate) async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Instance> {
        Ok(Instance(self.0.instantiate_async(store).await?))
    }
}

impl Instance {
    /// The instrument's description of itself, checked. The inner error says what is wrong with it.
    pub(crate) async fn describe(
        &self,
        store: &mut Store<Guest>,
        found: &Inspection,
    ) -> wasmtime::Result<Result<Description, String>> {
        let described = self.0.inquisitor_instrument_metadata().call_describe(store).await?;
        Ok(convert::description(described, found))
    }

    pub(crate) async fn open(&self, store: &mut Store<Guest>, parameters: &String) -> Answer<ResourceAny> {
        let session = self.0.inquisitor_instrument_instrument().session();
        Ok(session.call_open(store, parameters).await?.map_err(convert::error))
    }

    pub(crate) async fn calibrate(
        &self,
        store: &mut Store<Guest>,
        session: ResourceAny,
    ) -> Answer<Calibration> {
        let calls = self.0.inquisitor_instrument_instrument().session();
        Ok(match calls.call_calibrate(store, session).await? {
            Ok(calibration) => convert::attributes(calibration.attributes, || "calibration".to_owned())
                .map(|attributes| Calibration { valid_until: calibration.valid_until, attributes }),
            Err(error) => Err(convert::error(error)),
        })
    }

    pub(crate) async fn observe(
        &self,
        store: &mut Store<Guest>,
        session: ResourceAny,
        name: &str,
        parameters: String,
        description: &Description,
    ) -> Answer<Observation> {
        let calls = self.0.inquisitor_instrument_instrument().session();
        let step = Step { name: name.to_owned(), parameters };
        let observed = calls.call_observe(&mut *store, session, &step).await?;
        let readings = store.data().limits.readings;
        Ok(match observed {
            Ok(observation) => convert::observation(observation, readings).and_then(|observation| {
                contract::check_observation(&observation, description)?;
                Ok(observation)
            }),
            Err(error) => Err(convert::error(error)),
        })
    }

    pub(crate) async fn checkpoint(&self, store: &mut Store<Guest>, session: ResourceAny) -> Answer<Vec<u8>> {
        let calls = self.0.inquisitor_instrument_instrument().session();
        Ok(calls.call_checkpoint(store, session).await?.map_err(convert::error))
    }

    pub(crate) async fn restore(
        &self,
        store: &mut Store<Guest>,
        session: ResourceAny,
        checkpoint: &[u8],
    ) -> Answer<()> {
        let calls = self.0.inquisitor_instrument_instrument().session();
        Ok(calls.call_restore(store, session, checkpoint).await?.map_err(convert::error))
    }
}
