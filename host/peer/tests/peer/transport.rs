//! Bodies that flow, stop and are withdrawn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, stream};
use inquisitor_peer::*;

use crate::common::*;
use crate::hostile::latencies;

fn pieces(count: usize) -> Payload {
    let piece = Bytes::from(vec![3; PIECE]);
    Payload::stream(stream::iter((0..count).map(move |_| Ok(piece.clone()))))
}

#[tokio::test]
async fn bodies_are_streamed_both_ways() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    let counted = soon(channel.call(Class::Bulk, call("/count").body(pieces(100)))).await.unwrap();
    assert_eq!(counted, (100 * PIECE as u64).to_be_bytes().as_slice());

    let call = call("/produce").body(vec![0; 100]).max_reply_bytes(100 * PIECE as u64);
    let mut reply = soon(channel.open(Class::Bulk, call)).await.unwrap();
    assert_eq!(reply.peer.name, name("b"));
    let mut count = 0;
    while let Some(chunk) = soon(reply.body.chunk()).await.unwrap() {
        assert!(chunk.iter().all(|byte| *byte == 7));
        count += chunk.len();
    }
    assert_eq!(count, 100 * PIECE);
}

#[tokio::test]
async fn who_does_not_read_stops_who_writes() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let endless = Payload::stream(stream::repeat_with(move || {
        counter.fetch_add(PIECE, Ordering::Relaxed);
        Ok(Bytes::from_static(&[0; PIECE]))
    }));
    let asking = channel.clone();
    let holding = tokio::spawn(async move { asking.call(Class::Bulk, call("/hold").body(endless)).await });
    soon(server.subject.begun.acquire()).await.unwrap().forget();
    // Other requests on the connection go on, and by the time they are done the writer has had all the time it wants.
    for _ in 0..200 {
        echo(&channel, Class::Bulk).await.unwrap();
    }
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent <= 4 * 1024 * 1024, "{sent} bytes were sent to nobody");
    server.subject.release.add_permits(1);
    // The answer comes although the body never ends.
    assert_eq!(soon(holding).await.unwrap().unwrap(), "released");
}

#[tokio::test]
async fn dropping_a_request_stops_the_peer() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    let bodies: [fn() -> Payload; 2] = [Payload::default, || Payload::stream(stream::pending().boxed())];
    for (path, body) in [("/wait", bodies[0]), ("/hold", bodies[1])] {
        let asking = channel.clone();
        let waiting = tokio::spawn(async move { asking.call(Class::Request, call(path).body(body())).await });
        soon(server.subject.begun.acquire()).await.unwrap().forget();
        waiting.abort();
        soon(server.subject.dropped.acquire()).await.unwrap().forget();
    }
    echo(&channel, Class::Request).await.unwrap();
}

#[tokio::test]
async fn dropping_a_reply_stops_the_writer() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    for _ in 0..20 {
        let call = call("/produce").body(vec![0; 1000]).max_reply_bytes(u64::MAX);
        let mut reply = soon(channel.open(Class::Request, call)).await.unwrap();
        assert!(soon(reply.body.chunk()).await.unwrap().is_some());
    }
    // 80 MiB that nobody read take no room on the connection.
    let whole = call("/produce").body(vec![0; 100]).max_reply_bytes(100 * PIECE as u64);
    assert_eq!(soon(channel.call(Class::Request, whole)).await.unwrap().len(), 100 * PIECE);
}

#[tokio::test]
async fn a_request_ends_by_its_deadline_and_says_whether_it_was_sent() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    echo(&channel, Class::Request).await.unwrap();
    let after = Duration::from_millis(50);
    let error = soon(channel.call(Class::Request, call("/wait").deadline(after))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Deadline { after, sent: true });
    assert!(!error.certainly_not_processed());

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let channel = crate::common::channel(&endpoint("a", SECRET), "b", silent.local_addr().unwrap());
    let error = soon(channel.call(Class::Request, call("/wait").deadline(after))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Deadline { after, sent: false });
    assert!(error.certainly_not_processed());
}

#[tokio::test]
async fn a_handler_that_panics_fails_its_own_request_only() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    let asking = channel.clone();
    let waiting = tokio::spawn(async move { asking.call(Class::Request, call("/wait")).await });
    soon(server.subject.begun.acquire()).await.unwrap().forget();
    let error = soon(channel.call(Class::Request, call("/panic"))).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Lost { processed: true, .. }), "{error}");
    server.subject.release.add_permits(1);
    assert_eq!(soon(waiting).await.unwrap().unwrap(), "released");
    assert_eq!(server.subject.sources.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_deadline_may_be_for_ever() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    soon(channel.call(Class::Request, Call::new("/echo").deadline(Duration::MAX))).await.unwrap();
}

#[tokio::test]
async fn a_body_that_stops_coming_ends_the_wait_for_it() {
    let options = ServerOptions { body_timeout: Duration::from_millis(50), ..ServerOptions::default() };
    let server = Server::start(&endpoint("b", SECRET), options).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    let stuck = Payload::stream(stream::iter([Ok(Bytes::from_static(b"then"))]).chain(stream::pending()));
    let error = soon(channel.call(Class::Request, call("/echo").body(stuck))).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Remote { refusal: Refusal::Failed, message } if message.contains("stopped coming")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_requests_do_not_wait_for_large_bodies() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    let idle = latencies(&channel, Class::Consensus, 200).await;
    let asking = channel.clone();
    let start = Instant::now();
    let bulk = tokio::spawn(async move {
        asking
            .call(Class::Bulk, call("/count").body(pieces(1024)))
            .await
            .map(|count| (count, start.elapsed()))
    });
    let mut beside = Vec::new();
    while !bulk.is_finished() || beside.is_empty() {
        beside.extend(latencies(&channel, Class::Consensus, 1).await);
    }
    let (count, took) = soon(bulk).await.unwrap().unwrap();
    assert_eq!(count, (64_u64 * 1024 * 1024).to_be_bytes().as_slice());
    beside.sort();
    let (idle, median, worst) = (idle[idle.len() / 2], beside[beside.len() / 2], beside[beside.len() - 1]);
    println!(
        "64 MiB in {took:?}; {} small requests beside: median {median:?}, {:.1} times the {idle:?} of idle; worst {worst:?}",
        beside.len(),
        median.as_secs_f64() / idle.as_secs_f64()
    );
}
