//! Round trips of 1 KiB between two members, beside bare HTTP/2 without TLS and without proof.

use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use inquisitor_peer::{
    Channel, Class, ClientOptions, Credentials, Endpoint, Handler, LocalMember, PeerIdentity, Peers,
    Protocol, Request, Response, ServerOptions, serve,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use uuid::Uuid;

const BODY: [u8; 1024] = [7; 1024];
const CONCURRENCY: [u64; 3] = [1, 16, 128];

struct Echo;

impl Handler for Echo {
    fn max_body_bytes(&self, _path: &str) -> Option<u64> {
        Some(1024 * 1024)
    }

    async fn handle(&self, _peer: &PeerIdentity, request: Request) -> Response {
        match request.body.bytes().await {
            Ok(bytes) => Response::ok(bytes),
            Err(error) => error.into(),
        }
    }
}

async fn members() -> Channel {
    let credentials =
        Credentials::from_secret(b"a secret of the benchmark").expect("the secret is long enough");
    let endpoint = |name: &str| {
        let name = name.parse().expect("a name");
        let member = Arc::new(LocalMember::new(name, 1, Uuid::nil(), Protocol::new(1, 1)));
        Endpoint { member, credentials: credentials.clone() }
    };
    let (a, b) = (endpoint("a"), endpoint("b"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        serve(listener, &b, Arc::new(Echo), ServerOptions::default(), std::future::pending()).await;
    });
    Peers::new(&a, ClientOptions::default()).channel(&address.into(), None)
}

async fn bare() -> SendRequest<Full<Bytes>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let echo = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            Ok::<_, Infallible>(http::Response::new(Full::new(body)))
        });
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), echo)
            .await
    });
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("TCP_NODELAY");
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

/// The time of `count` round trips, `concurrency` of them at a time.
fn time<F: Future<Output = usize> + Send + 'static>(
    runtime: &Runtime,
    count: u64,
    concurrency: u64,
    trip: impl Fn() -> F + Clone + Send + 'static,
) -> Duration {
    runtime.block_on(async {
        let start = Instant::now();
        let each = count.div_ceil(concurrency);
        let workers = (0..concurrency).map(|_| {
            let trip = trip.clone();
            tokio::spawn(async move {
                for _ in 0..each {
                    black_box(trip().await);
                }
            })
        });
        join_all(workers).await;
        start.elapsed().mul_f64(count as f64 / (each * concurrency) as f64)
    })
}

fn rpc(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let channel = runtime.block_on(members());
    let sender = runtime.block_on(bare());
    let mut group = criterion.benchmark_group("rpc");
    group.throughput(Throughput::Elements(1));
    for concurrency in CONCURRENCY {
        let channel = channel.clone();
        let trip = move || {
            let channel = channel.clone();
            async move {
                let call = inquisitor_peer::Call::new("/echo").body(Bytes::from_static(&BODY));
                channel.call(Class::Request, call).await.expect("an answer").len()
            }
        };
        group.bench_function(format!("members/{concurrency}"), |bencher| {
            bencher.iter_custom(|count| time(&runtime, count, concurrency, trip.clone()));
        });
        let sender = sender.clone();
        let trip = move || {
            let mut sender = sender.clone();
            async move {
                let body = Full::new(Bytes::from_static(&BODY));
                let request = http::Request::post("http://peer/echo").body(body).expect("a request");
                let response = sender.send_request(request).await.expect("an answer");
                response.into_body().collect().await.expect("a body").to_bytes().len()
            }
        };
        group.bench_function(format!("bare/{concurrency}"), |bencher| {
            bencher.iter_custom(|count| time(&runtime, count, concurrency, trip.clone()));
        });
    }
    group.finish();
}

criterion_group!(benches, rpc);
criterion_main!(benches);
