//! Requests that are not what an endpoint takes.

use reqwest::Method;
use serde_json::json;

use super::support::{API_KEY, Answer, Setup};

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let host = Setup::new().start().await;
    for path in ["/", "/v1", "/v1/nothing", "/v2/me", "/v1/me/", "//v1/me", "/health/x"] {
        let answer = host.get(path).await;
        assert_eq!((answer.status, answer.kind()), (404, "not-found"), "{path}");
    }
    let answer = host.delete("/v1/me").await;
    assert_eq!(
        (answer.status, answer.kind(), answer.header("allow")),
        (405, "method-not-allowed", "GET,HEAD")
    );
    let odd = Answer::of(host.admin(Method::from_bytes(b"BREW").unwrap(), "/health")).await;
    assert_eq!((odd.status, odd.header("allow")), (405, "GET,HEAD"));
    let head = Answer::of(host.admin(Method::HEAD, "/v1/me")).await;
    assert_eq!((head.status, head.body.is_null()), (200, true));
    let head = Answer::of(host.request(Method::HEAD, "/v1/me")).await;
    assert_eq!((head.status, head.body.is_null()), (401, true));
}

#[tokio::test]
async fn unknown_parameters_are_named() {
    let host = Setup::new().start().await;
    for (path, told) in [
        ("/v1/me?verbose=1", "`verbose`"),
        ("/v1/tenants?limti=3", "`limti`"),
        ("/v1/tenants?limit=0", "`limit` is 0"),
        ("/v1/tenants?limit=501", "within 1 and 500"),
        ("/v1/tenants?limit=many", "invalid digit"),
        ("/v1/keys?limit=1&limit=2", "`limit`"),
    ] {
        let answer = host.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(answer.detail().contains(told), "{path}: {}", answer.detail());
    }
}

#[tokio::test]
async fn tricks_with_paths_find_nothing() {
    let host = Setup::new().start().await;
    let long = "x".repeat(5000);
    for name in [
        "..",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        "a%00b",
        "%ff",
        "a%2fb",
        "%0d%0aset-cookie:x",
        "é",
        long.as_str(),
    ] {
        for list in ["tenants", "keys"] {
            let answer = host.get(&format!("/v1/{list}/{name}")).await;
            assert_eq!(answer.status, 404, "{list} {name}: {answer:?}");
            assert!(answer.detail().len() < 700, "{list}: {}", answer.detail());
        }
    }
}

#[tokio::test]
async fn bodies_that_are_not_what_is_taken() {
    let host = Setup::new().configure(|config| config.max_body_bytes = 1000).start().await;
    let post = |kind: &str, body: Vec<u8>| {
        Answer::of(host.admin(Method::POST, "/v1/tenants").header("content-type", kind).body(body))
    };
    let json = "application/json";
    assert_eq!(post("text/plain", b"{}".to_vec()).await.status, 415);
    assert_eq!(post(json, b"".to_vec()).await.status, 400);
    assert_eq!(post(json, b"{\"name\": \"\xff\"}".to_vec()).await.status, 400);
    assert_eq!(post(json, "[".repeat(900).into_bytes()).await.status, 400);
    assert_eq!(post(json, b"{\"name\":\"a\"} trailing".to_vec()).await.status, 400);
    let large = post(json, vec![b' '; 1001]).await;
    assert_eq!((large.status, large.kind()), (413, "too-large"));
    assert!(large.detail().contains("1000 bytes"), "{large:?}");
    assert_eq!(post("application/json; charset=utf-8", b"{\"name\":\"fine\"}".to_vec()).await.status, 201);

    // Too large although it does not say how large it is.
    let parts = futures::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100])));
    let chunked = host
        .admin(Method::POST, "/v1/tenants")
        .header("content-type", json)
        .body(reqwest::Body::wrap_stream(parts));
    assert_eq!(Answer::of(chunked).await.status, 413);
}

#[tokio::test]
async fn the_id_of_a_request_is_the_clients_or_drawn() {
    let host = Setup::new().start().await;
    let own = Answer::of(host.request(Method::GET, "/v1/me").header("x-request-id", "order-7")).await;
    assert_eq!((own.header("x-request-id"), &own.body["request"]), ("order-7", &json!("order-7")));
    let bad = Answer::of(host.request(Method::GET, "/health").header("x-request-id", "two words")).await;
    assert_eq!(bad.header("x-request-id").len(), 36);
}

#[tokio::test]
async fn thousands_of_requests_are_answered() {
    let host = Setup::new().configure(|config| config.max_requests = 8).start().await;
    let one = || async {
        let request = host.client.get(format!("{}/v1/me", host.url)).bearer_auth(API_KEY);
        request.send().await.unwrap().status().as_u16()
    };
    let statuses: Vec<u16> = {
        use futures::StreamExt as _;
        futures::stream::iter(0..3000).map(|_| one()).buffer_unordered(64).collect().await
    };
    let answered = statuses.iter().filter(|status| **status == 200).count();
    let turned_away = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(answered + turned_away, 3000);
    assert!(answered >= 100, "{answered}");
    // None of the places is lost.
    assert_eq!(one().await, 200);
}
