//! How a host starts, and how it stops.
//!
//! Start: listen, so that the address is known and `/health` answers; load the plugins of the host's folders, which may have to
//! be compiled, and the uploaded ones; drive what had not ended; follow the declared manifests; be ready. Stop, within [`ServerConfig::shutdown_timeout`]: be ready no more, take nothing new,
//! end the streams of events, let requests and steps finish, close the stores.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use inquisitor_conductor::{Conductor, MIN_SWEEP_AGE};
use inquisitor_engine::catalogue::Catalogue;
use inquisitor_engine::dispatch::{DispatchConfig, Dispatcher};
use inquisitor_engine::events::{Event, Observer};
use inquisitor_engine::gating::PluginRecord;
use inquisitor_engine::placement::Worker;
use inquisitor_engine::{Engine, EngineConfig};
use inquisitor_runtime::Runtime;
use sd_notify::NotifyState;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::config::ServerConfig;
use crate::error::ServerError;
use crate::gate::{self, Gate};
use crate::hub::Hub;
use crate::listen::{self, Tls};
use crate::metrics::Metrics;
use crate::places::Places;
use crate::ready::Readiness;
use crate::worker::Leased;
use crate::{api, declared, leadership};

/// How often blobs that nothing names are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// How old such a blob must be.
const SWEEP_AGE: Duration = Duration::from_secs(3600);
/// After how long an uploaded plugin that could not be loaded is tried again. Doubles each time, up to
/// [`RETRY_PLUGINS_AT_LEAST`].
const RETRY_PLUGINS: Duration = Duration::from_secs(1);
/// How often it is tried again in any case.
const RETRY_PLUGINS_AT_LEAST: Duration = Duration::from_secs(300);
/// Of the time to stop, what is left for the ledger and the stores when the rest is over.
const CLOSING: Duration = Duration::from_secs(2);

/// What a host is made of. The server takes it over: it drives the inquiries, and closes the conductor when it stops.
pub struct Parts {
    /// The opened conductor.
    pub conductor: Arc<Conductor>,
    /// The sandbox.
    pub runtime: Runtime,
    /// The plugins that come with the host. They are loaded while it listens already; uploaded ones are added.
    pub plugins: PluginFiles,
    /// Settings of the engine. The folders for reports and substrates are set from [`ServerConfig`].
    pub engine: EngineConfig,
    /// The data directory that the conductor was opened on. Uploads are written below it while they come in, and reports that
    /// manifests want in files, where [`ServerConfig::artifact_dir`] names no other place.
    pub data_dir: PathBuf,
    /// Called with the address once the host listens: with port 0 it is the one that was drawn.
    pub on_listening: Option<Box<dyn FnOnce(SocketAddr) + Send>>,
}

/// Where the plugins that come with a host lie.
#[derive(Debug, Clone, Default)]
pub struct PluginFiles {
    /// Components that must be good: the host stops where one is not. They go before those of the folders.
    pub files: Vec<PathBuf>,
    /// Folders of components. What is no good plugin there is left out, and the log says so.
    pub folders: Vec<PathBuf>,
}

/// Serve until `shutdown` is done, then stop in good order and close the conductor.
///
/// # Errors
/// When the configuration cannot be used, the address not be listened on or a plugin of [`PluginFiles::files`] not be loaded.
/// Once the host is ready, nothing but `shutdown` ends it.
pub async fn serve(
    config: ServerConfig,
    parts: Parts,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    let conductor = parts.conductor.clone();
    let served = run(config, parts, shutdown).await;
    conductor.shutdown().await;
    served
}

async fn run(
    config: ServerConfig,
    mut parts: Parts,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    if config.api_key.is_none() && !config.http_listen.ip().is_loopback() {
        return Err(ServerError::OpenToStrangers { address: config.http_listen });
    }
    let tls = match &config.tls {
        Some(files) => Some(Arc::new(Tls::load(files.clone()).await?)),
        None => None,
    };
    let listening = listen::bind(&config, tls.clone()).await?;
    let address = listening.address()?;
    let on_listening = parts.on_listening.take();
    let plugins = std::mem::take(&mut parts.plugins);
    let app = build(config, parts)?;

    let (stop, stopping) = watch::channel(false);
    let server = tokio::spawn(listen::run(listening, api::service(app.clone()), stopping));
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!(%address, "listening on {scheme}://{address}");
    if let Some(tell) = on_listening {
        tell(address);
    }

    let host = Host { app, server, stop, ended: CancellationToken::new(), tasks: TaskTracker::new() };
    host.follow(tls);
    let mut shutdown = std::pin::pin!(shutdown);
    let begun = tokio::select! {
        begun = host.begin(&plugins) => begun,
        () = &mut shutdown => {
            host.finish().await;
            return Ok(());
        }
    };
    if begun.is_ok() {
        shutdown.await;
    }
    host.finish().await;
    begun
}

fn build(config: ServerConfig, parts: Parts) -> Result<Arc<App>, ServerError> {
    let Parts { conductor, runtime, plugins: _, mut engine, data_dir, on_listening: _ } = parts;
    let catalogue = Arc::new(Catalogue::default());
    let incoming = data_dir.join("incoming");
    api::install::prepare(&incoming).map_err(|error| folder(&incoming, &error))?;
    // Without a root, manifests would write wherever this process may.
    let artifacts = config.artifact_dir.clone().unwrap_or_else(|| data_dir.join("artifacts"));
    std::fs::create_dir_all(&artifacts).map_err(|error| folder(&artifacts, &error))?;
    engine.artifact_root = Some(artifacts);
    engine.substrate_root = config.base_dir().map(Path::to_owned);

    let metrics = Metrics::new().map_err(|error| ServerError::Metrics(error.to_string()))?;
    let hub = Hub::new(config.max_event_streams);
    let engine = Arc::new(Engine::new(conductor.clone(), runtime.clone(), catalogue.clone(), engine));
    let observer = Arc::new(Observers { metrics: metrics.clone(), hub: hub.clone() });
    let leased = Leased::new(engine.clone(), metrics.clone());
    let worker: Arc<dyn Worker> = leased.clone();
    conductor.run_steps_with(&worker);
    let dispatch = DispatchConfig { max_running: config.max_running, ..DispatchConfig::default() };
    Ok(Arc::new(App {
        dispatcher: Dispatcher::new(engine.clone(), observer, dispatch),
        leased,
        gate: Gate::new(config.api_key.as_deref()),
        requests: Places::new(config.max_requests),
        readiness: Readiness::default(),
        started: Instant::now(),
        declared: Arc::default(),
        uploads: api::uploads::Uploads::default(),
        ended: api::inquiries::EndedAnswers::default(),
        large: api::large::LargeAnswers::default(),
        backups: Arc::new(Semaphore::new(1)),
        config,
        conductor,
        runtime,
        catalogue,
        engine,
        hub,
        metrics,
        incoming,
    }))
}

fn folder(path: &Path, error: &std::io::Error) -> ServerError {
    ServerError::Folder { path: path.to_owned(), message: error.to_string() }
}

/// Those who hear of what inquiries do.
struct Observers {
    metrics: Arc<Metrics>,
    hub: Arc<Hub>,
}

impl Observer for Observers {
    fn event(&self, inquiry: &str, event: Event) {
        self.metrics.event(inquiry, event.clone());
        self.hub.event(inquiry, event);
    }
}

/// A host that listens.
struct Host {
    app: Arc<App>,
    server: tokio::task::JoinHandle<()>,
    /// True: the server takes nothing new.
    stop: watch::Sender<bool>,
    /// Cancelled: what runs beside the server ends.
    ended: CancellationToken,
    tasks: TaskTracker,
}

impl Host {
    /// What runs beside the server from the beginning.
    fn follow(&self, tls: Option<Arc<Tls>>) {
        let app = &self.app;
        self.spawn(app.hub.clone().follow(app.conductor.clone()));
        self.spawn(every(gate::WINDOW, app.clone(), async |app| app.gate.flush(app).await));
        self.spawn(every(SWEEP_EVERY, app.clone(), async |app| sweep(&app.conductor).await));
        if let Some(tls) = tls {
            let metrics = app.metrics.clone();
            self.spawn(async move { tls.follow(&metrics).await });
        }
        if let Some(limit) = sd_notify::watchdog_enabled() {
            self.spawn(async move {
                loop {
                    notify(&[NotifyState::Watchdog]);
                    tokio::time::sleep(limit / 2).await;
                }
            });
        }
    }

    /// Load the plugins, drive what had not ended, and be ready.
    async fn begin(&self, plugins: &PluginFiles) -> Result<(), ServerError> {
        let app = &self.app;
        let mut changes = app.hub.registry_changes();
        load_plugins(app, plugins).await?;
        let mut broken = sync_plugins(app, &[]).await;
        let following = app.clone();
        self.spawn(async move {
            let mut pause = RETRY_PLUGINS;
            loop {
                let changed = changes.changed();
                if broken.is_empty() {
                    pause = RETRY_PLUGINS;
                    if changed.await.is_err() {
                        return;
                    }
                } else {
                    // The component may lie on a member that could not be reached yet.
                    match tokio::time::timeout(pause, changed).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return,
                        Err(_) => pause = (2 * pause).min(RETRY_PLUGINS_AT_LEAST),
                    }
                }
                broken = sync_plugins(&following, &broken).await;
            }
        });
        app.leased.open();
        self.spawn(leadership::follow(app.clone()));
        if let Some(task) = declared::start(app, self.ended.clone()) {
            self.tasks.spawn(task);
        }
        app.readiness.serving();
        notify(&[NotifyState::Ready]);
        tracing::info!("ready");
        Ok(())
    }

    async fn finish(self) {
        let Self { app, server, stop, ended, tasks } = self;
        let timeout = app.config.shutdown_timeout;
        tracing::info!(timeout_s = timeout.as_secs_f64(), "stopping");
        notify(&[NotifyState::Stopping]);
        app.readiness.stopping();
        let patience = timeout.saturating_sub(CLOSING);
        app.hub.close();
        stop.send_replace(true);
        let abort = server.abort_handle();
        let (served, (), ()) = tokio::join!(
            tokio::time::timeout(patience, server),
            app.dispatcher.stop(patience),
            app.leased.stop(patience)
        );
        if served.is_err() {
            // Dropping the loop ends its connections.
            abort.abort();
            tracing::warn!("requests were under way for longer than the time to stop, and were cut off");
        }
        ended.cancel();
        tasks.close();
        if tokio::time::timeout(CLOSING, tasks.wait()).await.is_err() {
            tracing::warn!("something that runs beside the server did not end in time");
        }
        if tokio::time::timeout(CLOSING, app.gate.flush(&app)).await.is_err() {
            tracing::warn!("the last refusals could not be recorded");
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = task => {}
                () = ended.cancelled() => {}
            }
        });
    }
}

/// Do something again and again, the first time after one `period`.
async fn every(period: Duration, app: Arc<App>, work: impl AsyncFn(&App)) {
    loop {
        tokio::time::sleep(period).await;
        work(&app).await;
    }
}

/// Load the plugins that come with the host.
async fn load_plugins(app: &App, plugins: &PluginFiles) -> Result<(), ServerError> {
    let uploaded = app.conductor.registry().plugins().count();
    let tell = |loaded, of| app.readiness.loaded(loaded, of + uploaded);
    app.catalogue.load_files(&app.runtime, &plugins.files, &plugins.folders, tell).await;
    for broken in app.catalogue.broken() {
        // What was asked for by name must not be replaced in silence by another.
        if let Some(path) = plugins.files.iter().find(|path| broken.source.path() == Some(path.as_path())) {
            return Err(ServerError::Plugin { path: path.clone(), message: broken.message });
        }
        tracing::warn!(plugin = broken.name, "a plugin is left out: {}", broken.message);
    }
    Ok(())
}

/// Make the uploaded plugins those of the registry: on this member and whichever accepted them. Returns what is wrong with those that
/// cannot be loaded; what was known before is not logged again.
async fn sync_plugins(app: &App, known: &[String]) -> Vec<String> {
    let records: Vec<PluginRecord> = app.conductor.registry().plugins().cloned().collect();
    let mut problems = Vec::new();
    for broken in app.catalogue.sync(&app.runtime, &*app.conductor, &records).await {
        let problem = format!("{}: {}", broken.name, broken.message);
        if !known.contains(&problem) {
            tracing::error!(
                plugin = broken.name,
                error = broken.message,
                "an uploaded plugin cannot be loaded; it is tried again"
            );
        }
        problems.push(problem);
    }
    problems
}

async fn sweep(conductor: &Conductor) {
    match conductor.sweep_blobs(SWEEP_AGE.max(MIN_SWEEP_AGE)).await {
        Ok(swept) if swept.deleted > 0 => {
            tracing::info!(
                blobs = swept.deleted,
                bytes = swept.bytes,
                "blobs that nothing names were deleted"
            );
        }
        Ok(_) => {}
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "blobs that nothing names could not be looked for");
        }
    }
}

/// Tell the service manager, if there is one.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}
