//! Strangers that want to be a burden, and bodies that are larger than they may be.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::stream;
use inquisitor_peer::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::*;
use crate::membership::stranger;

#[tokio::test]
async fn garbage_and_silence_end_within_the_handshakes_time() {
    let options = ServerOptions { handshake_timeout: Duration::from_millis(300), ..ServerOptions::default() };
    let server = Server::start(&endpoint("b", SECRET), options).await;
    // A proof that never comes, after TLS and before.
    let mut silent = stranger(server.address).await;
    let mut mute = TcpStream::connect(server.address).await.unwrap();
    // The beginning of a handshake, byte by byte: each byte comes in time, the whole does not.
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let slow = tokio::spawn(async move {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        for byte in [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3].into_iter().chain(std::iter::repeat(0)) {
            pause.tick().await;
            if slow.write_all(&[byte]).await.is_err() {
                return;
            }
        }
    });
    let mut garbage = TcpStream::connect(server.address).await.unwrap();
    garbage.write_all(&[0xff; 4096]).await.unwrap();

    let mut bytes = Vec::new();
    let _ = soon(silent.read_to_end(&mut bytes)).await;
    assert_eq!(bytes, b"");
    let _ = soon(mute.read_to_end(&mut bytes)).await;
    assert_eq!(bytes, b"");
    let _ = soon(garbage.read_to_end(&mut bytes)).await;
    assert!(bytes.len() <= 7, "at most an alert of TLS");
    soon(slow).await.unwrap();
    echo(&channel(&endpoint("a", SECRET), "b", server.address), Class::Request).await.unwrap();
}

#[tokio::test]
async fn an_address_where_nobody_speaks_ends_within_the_connect_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ClientOptions { connect_timeout: Duration::from_millis(200), ..client() };
    let peers = Peers::new(&endpoint("a", SECRET), options);
    let channel = peers.channel(&listener.local_addr().unwrap().into(), Some(&name("b")));
    let error = soon(channel.call(Class::Request, call("/echo"))).await.unwrap_err();
    let (after, stage) = (Duration::from_millis(200), "the handshake of TLS");
    assert_eq!(error.kind(), &ErrorKind::ConnectTimeout { after, stage });

    drop(listener);
    let error = soon(channel.call(Class::Request, call("/echo").urgent())).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unreachable(text) if text.contains("refused")), "{error}");
    assert!(error.certainly_not_processed());
}

/// The time of each of `count` small requests, in order of size.
pub(crate) async fn latencies(channel: &Channel, class: Class, count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        echo(channel, class).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_strangers_keep_no_member_waiting() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let known = channel(&endpoint("a", SECRET), "b", server.address);
    let idle = latencies(&known, Class::Consensus, 200).await;

    let done = Arc::new(AtomicBool::new(false));
    let (address, is_done) = (server.address, Arc::clone(&done));
    // From a thread of its own, so that the strangers' work is not done by the members' runtime.
    let crowd = std::thread::spawn(move || {
        let mut held = VecDeque::new();
        let mut count = 0;
        while count < 1000 || !is_done.load(Ordering::Relaxed) {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            if count % 2 == 0 {
                let _ = std::io::Write::write_all(&mut stream, &[0x16, 3, 1, 2, 0, 1]);
            }
            held.push_back(stream);
            if held.len() > 1000 {
                // Mostly closed by the server long ago.
                drop(held.pop_front());
            }
            count += 1;
            if count > 1000 {
                std::thread::yield_now();
            }
        }
        (count, held)
    });
    let crowded = latencies(&known, Class::Consensus, 200).await;
    // Members that come now are let in, too.
    let mut newcomers = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        echo(&channel(&endpoint("c", SECRET), "b", server.address), Class::Request).await.unwrap();
        newcomers.push(start.elapsed());
    }
    done.store(true, Ordering::Relaxed);
    let (count, held) = crowd.join().unwrap();
    println!(
        "among {count} strangers: median {:?} (idle {:?}), 99th of 100 {:?} (idle {:?}), newcomers {newcomers:?}",
        crowded[100], idle[100], crowded[198], idle[198]
    );
    assert!(crowded[198] < Duration::from_secs(1), "{:?}", crowded[198]);
    // Of those who came first nobody stands there any more.
    let mut first = held.into_iter().next().unwrap();
    first.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(matches!(first.read(&mut [0; 16]), Ok(0)) || first.take_error().is_ok());
}

#[tokio::test]
async fn a_body_may_be_as_large_as_its_path_allows() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    let tiny = |body: Payload| channel.call(Class::Request, call("/tiny").body(body));
    assert_eq!(soon(tiny(vec![1; 10].into())).await.unwrap().len(), 10);
    let announced = soon(tiny(vec![1; 11].into())).await.unwrap_err();
    let pieces = || stream::repeat_with(|| Ok(bytes::Bytes::from_static(&[0; PIECE])));
    let streamed = soon(tiny(Payload::stream(pieces()))).await.unwrap_err();
    for error in [announced, streamed] {
        assert!(
            matches!(error.kind(), ErrorKind::Remote { refusal: Refusal::TooLarge, message } if message.contains("10 bytes")),
            "{error}"
        );
    }
    let large = call("/echo").body(vec![1; 1024]);
    let error = soon(channel.call(Class::Request, large.max_reply_bytes(1023))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::TooLarge { limit: 1023 });
    let endless = call("/produce").body(vec![0; 1000]).max_reply_bytes(PIECE as u64 * 3);
    let error = soon(channel.call(Class::Request, endless)).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::TooLarge { limit: PIECE as u64 * 3 });
    // None of it harmed the connection.
    echo(&channel, Class::Request).await.unwrap();
    assert_eq!(server.subject.sources.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn refusals_say_why_and_whether_anything_was_done() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    let ask = |path: &'static str| soon(channel.call(Class::Request, call(path)));
    let error = ask("/busy").await.unwrap_err();
    assert!(error.certainly_not_processed());
    assert!(error.to_string().ends_with("it refused the request as busy: come back later"), "{error}");
    let error = ask("/nothing").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Remote { refusal: Refusal::UnknownPath, .. }), "{error}");
    let error = ask("no path").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Invalid(_)), "{error}");
    let error = ask("/broken").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Lost { processed: true, .. }), "{error}");
}

#[tokio::test]
async fn requests_withdrawn_in_crowds_do_not_break_the_connection() {
    let server = Server::start(&endpoint("b", SECRET), ServerOptions::default()).await;
    let channel = channel(&endpoint("a", SECRET), "b", server.address);
    echo(&channel, Class::Request).await.unwrap();
    for _ in 0..5 {
        let crowd =
            (0..200).map(|_| channel.call(Class::Request, call("/wait").deadline(Duration::from_millis(5))));
        let ended = join_all(crowd).await;
        assert!(
            ended
                .iter()
                .all(|result| matches!(result.as_ref().unwrap_err().kind(), ErrorKind::Deadline { .. }))
        );
    }
    echo(&channel, Class::Request).await.unwrap();
    assert_eq!(server.subject.sources.lock().unwrap().len(), 1, "it is the same connection");
}
