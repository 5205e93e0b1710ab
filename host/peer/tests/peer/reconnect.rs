//! Peers that go, come back, move, or fall silent.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use inquisitor_peer::*;

use crate::common::*;

/// Knows where one member lives, and how often it was asked.
#[derive(Default)]
struct Book {
    address: Mutex<Option<SocketAddr>>,
    asked: AtomicUsize,
}

impl Book {
    fn set(&self, address: SocketAddr) {
        *self.address.lock().unwrap() = Some(address);
    }
}

impl Resolver for Book {
    fn resolve<'a>(&'a self, address: &'a Address) -> Resolving<'a> {
        assert_eq!(address.to_string(), "b.example:4321");
        self.asked.fetch_add(1, Ordering::Relaxed);
        let known = *self.address.lock().unwrap();
        Box::pin(
            async move { known.map(|known| vec![known]).ok_or_else(|| io::Error::other("no such host")) },
        )
    }
}

fn by_name(book: &Arc<Book>, options: ClientOptions) -> Channel {
    let resolver: Arc<dyn Resolver> = Arc::<Book>::clone(book);
    let peers = Peers::with_resolver(&endpoint("a", SECRET), options, resolver);
    peers.channel(&"b.example:4321".parse().unwrap(), Some(&name("b")))
}

#[tokio::test]
async fn a_peer_that_restarts_or_moves_is_found_again() {
    let b = endpoint("b", SECRET);
    let server = Server::start(&b, ServerOptions::default()).await;
    let book = Arc::new(Book::default());
    book.set(server.address);
    let channel = by_name(&book, client());
    echo(&channel, Class::Consensus).await.unwrap();

    let address = server.stop().await;
    let error = soon(channel.call(Class::Consensus, call("/echo"))).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unreachable(_)), "{error}");
    assert!(error.certainly_not_processed());
    let server = Server::start_at(address, &b, ServerOptions::default()).await;
    soon(channel.call(Class::Consensus, call("/echo").urgent())).await.unwrap();
    server.stop().await;

    let moved = Server::start(&b, ServerOptions::default()).await;
    book.set(moved.address);
    soon(channel.call(Class::Consensus, call("/echo").urgent())).await.unwrap();
    assert_eq!(channel.peer().unwrap().address, moved.address);
}

#[tokio::test]
async fn attempts_are_paced_unless_a_request_is_urgent() {
    let book = Arc::new(Book::default());
    let long = Duration::from_secs(600);
    let channel = by_name(&book, ClientOptions { backoff: long, backoff_max: long, ..client() });
    let error = soon(channel.call(Class::Request, call("/echo"))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unresolved("no such host".into()));
    let start = Instant::now();
    for _ in 0..10 {
        let again = soon(channel.call(Class::Request, call("/echo"))).await.unwrap_err();
        assert_eq!(again, error);
    }
    assert!(start.elapsed() < Duration::from_secs(10), "nobody waits for an attempt that comes too late");
    assert_eq!(book.asked.load(Ordering::Relaxed), 1);
    soon(channel.call(Class::Request, call("/echo").urgent())).await.unwrap_err();
    assert_eq!(book.asked.load(Ordering::Relaxed), 2);

    // Where the time allows, a request waits for the next attempt.
    let short = Duration::from_millis(100);
    let channel = by_name(&book, ClientOptions { backoff: short, backoff_max: short, ..client() });
    soon(channel.call(Class::Request, call("/echo"))).await.unwrap_err();
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    book.set(server.address);
    echo(&channel, Class::Request).await.unwrap();
}

/// Panics when it is asked for the first time.
#[derive(Default)]
struct Broken(Book);

impl Resolver for Broken {
    fn resolve<'a>(&'a self, address: &'a Address) -> Resolving<'a> {
        assert!(self.0.asked.load(Ordering::Relaxed) > 0 || self.0.asked.fetch_add(1, Ordering::Relaxed) > 0);
        self.0.resolve(address)
    }
}

#[tokio::test]
async fn an_attempt_that_is_broken_off_is_not_the_last() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let broken = Broken::default();
    broken.0.set(server.address);
    let peers = Peers::with_resolver(&endpoint("a", SECRET), client(), Arc::new(broken));
    let channel = peers.channel(&"b.example:4321".parse().unwrap(), None);
    let error = echo(&channel, Class::Request).await.unwrap_err();
    assert!(error.certainly_not_processed() && error.to_string().contains("broken off"), "{error}");
    echo(&channel, Class::Request).await.unwrap();
}

#[tokio::test]
async fn many_requests_make_one_connection_for_each_class() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let book = Arc::new(Book::default());
    book.set(server.address);
    let channel = by_name(&book, client());
    for (class, connections) in [(Class::Consensus, 1), (Class::Request, 2), (Class::Bulk, 3)] {
        let results = join_all((0..600).map(|_| echo(&channel, class))).await;
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(book.asked.load(Ordering::Relaxed), connections);
        assert_eq!(server.subject.sources.lock().unwrap().len(), connections);
    }
}

#[tokio::test]
async fn who_is_asked_for_by_the_same_address_shares_the_connection_until_it_is_forgotten() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let peers = Peers::new(&endpoint("a", SECRET), client());
    let address = Address::from(server.address);
    for _ in 0..3 {
        echo(&peers.channel(&address, None), Class::Request).await.unwrap();
    }
    assert_eq!(server.subject.sources.lock().unwrap().len(), 1);
    peers.forget(&address);
    echo(&peers.channel(&address, None), Class::Request).await.unwrap();
    assert_eq!(server.subject.sources.lock().unwrap().len(), 2);
    // Many others push out only what nobody holds.
    let held = peers.channel(&address, None);
    for port in 1..=2 * MAX_UNHELD as u16 {
        peers.channel(&format!("other.example:{port}").parse().unwrap(), None);
    }
    echo(&peers.channel(&address, None), Class::Request).await.unwrap();
    echo(&held, Class::Request).await.unwrap();
    assert_eq!(server.subject.sources.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_noticed_within_seconds() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let network = Network::to(server.address).await;
    let channel = channel(&endpoint("a", SECRET), "b", network.address);
    let asking = channel.clone();
    let waiting = tokio::spawn(async move {
        asking.call(Class::Consensus, call("/wait").deadline(Duration::from_secs(60))).await
    });
    soon(server.subject.begun.acquire()).await.unwrap().forget();
    let start = Instant::now();
    network.cut();
    let error = soon(waiting).await.unwrap().unwrap_err();
    println!("noticed after {:?}", start.elapsed());
    assert!(matches!(error.kind(), ErrorKind::Lost { .. }), "{error}");
    assert!(!error.certainly_not_processed(), "it was, as far as we know");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(channel.peer().is_none());
}

#[tokio::test]
async fn a_server_notices_that_a_peer_has_fallen_silent() {
    let options = ServerOptions {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(800),
        ..ServerOptions::default()
    };
    let server = Server::start(&endpoint("b", SECRET), options).await;
    let network = Network::to(server.address).await;
    let channel = channel(&endpoint("a", SECRET), "b", network.address);
    tokio::spawn(async move { channel.call(Class::Request, call("/wait")).await });
    soon(server.subject.begun.acquire()).await.unwrap().forget();
    network.cut();
    soon(server.subject.dropped.acquire()).await.unwrap().forget();
}

#[tokio::test]
async fn a_connection_grows_old_and_nobody_notices() {
    let options = ServerOptions { max_age: Duration::from_millis(100), ..ServerOptions::default() };
    let server = Server::start(&endpoint("b", SECRET), options).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    soon(async {
        while server.subject.sources.lock().unwrap().len() < 6 {
            let results = join_all((0..8).map(|_| echo(&channel, Class::Request))).await;
            for result in results {
                result.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn shutting_down_lets_requests_finish_and_takes_no_more() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    let asking = channel.clone();
    let waiting = tokio::spawn(async move { asking.call(Class::Request, call("/wait")).await });
    let subject = Arc::clone(&server.subject);
    soon(subject.begun.acquire()).await.unwrap().forget();
    let stopping = tokio::spawn(server.stop());
    // Until the goodbye has come this may still be answered on the old connection.
    let error = soon(async {
        loop {
            if let Err(error) = channel.call(Class::Request, call("/echo").urgent()).await {
                return error;
            }
        }
    })
    .await;
    assert!(error.certainly_not_processed(), "{error}");
    assert!(!stopping.is_finished());
    subject.release.add_permits(1);
    assert_eq!(soon(waiting).await.unwrap().unwrap(), "released");
    soon(stopping).await.unwrap();
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_ever() {
    let options = ServerOptions { drain_timeout: Duration::from_millis(100), ..ServerOptions::default() };
    let server = Server::start(&endpoint("b", SECRET), options).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    let waiting = tokio::spawn(async move { channel.call(Class::Request, call("/wait")).await });
    let subject = Arc::clone(&server.subject);
    soon(subject.begun.acquire()).await.unwrap().forget();
    server.stop().await;
    let error = soon(waiting).await.unwrap().unwrap_err();
    assert!(!error.certainly_not_processed(), "{error}");
    soon(subject.dropped.acquire()).await.unwrap().forget();
}
