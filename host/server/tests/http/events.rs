//! Streams of events.

use std::time::Duration;

use futures::StreamExt as _;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::inquiries::{echoing, submit};
use super::support::{API_KEY, Answer, Host, PATIENCE, Setup};

#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: Option<u64>,
    kind: String,
    data: Value,
}

/// Reads events as they come.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn open(host: &Host, id: &str, last: Option<u64>) -> Self {
        let mut request = host.admin(Method::GET, &format!("/v1/inquiries/{id}/events"));
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; none at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let parsed = parse(event);
                self.text = rest.to_owned();
                if parsed.is_some() {
                    return parsed;
                }
                continue;
            }
            let part = tokio::time::timeout(PATIENCE, self.response.chunk())
                .await
                .expect("an event comes")
                .unwrap()?;
            self.text.push_str(std::str::from_utf8(&part).unwrap());
        }
    }

    async fn all(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// None for comments and for `retry`.
fn parse(text: &str) -> Option<Event> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let kind = field("event")?.to_owned();
    let data = serde_json::from_str(field("data")?).unwrap();
    Some(Event { id: field("id").map(|id| id.parse().unwrap()), kind, data })
}

fn durable(events: &[Event]) -> Vec<Event> {
    events.iter().filter(|event| event.id.is_some()).cloned().collect()
}

#[tokio::test]
async fn a_stream_is_the_ledger_of_its_inquiry_and_ends_with_it() {
    let host = Setup::new().start().await;
    let id = submit(&host, &echoing("followed", 3, 20)).await;
    let other = submit(&host, &echoing("other", 3, 0)).await;
    let live = Events::open(&host, &id, None).await.all().await;
    let last = live.last().unwrap();
    assert_eq!(
        (last.kind.as_str(), last.id, &last.data["status"]),
        ("end", None, &"concluded".into()),
        "{last:?}"
    );
    let expected: Vec<(u64, String)> = host
        .ledger()
        .await
        .iter()
        .filter(|entry| entry["inquiry"] == id.as_str())
        .map(|entry| (entry["index"].as_u64().unwrap(), entry["kind"].as_str().unwrap().to_owned()))
        .collect();
    let told: Vec<(u64, String)> =
        durable(&live).into_iter().map(|event| (event.id.unwrap(), event.kind)).collect();
    assert_eq!(told, expected);
    let recorded = live.iter().find(|event| event.kind == "step-recorded").unwrap();
    assert_eq!(
        (&recorded.data["step"], &recorded.data["instrument"]),
        (&"s0".into(), &"probe".into()),
        "{recorded:?}"
    );
    // What it was then is what it is now.
    assert_eq!(durable(&Events::open(&host, &id, None).await.all().await), durable(&live));
    assert_ne!(other, id);
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_cut_off() {
    let host = Setup::new().start().await;
    let id = submit(&host, &echoing("cut", 8, 20)).await;
    let mut seen = Vec::new();
    loop {
        let mut events = Events::open(&host, &id, seen.last().and_then(|event: &Event| event.id)).await;
        let mut has_ended = false;
        // Three at a time, then the connection is dropped.
        let mut taken = 0;
        while taken < 3 {
            let Some(event) = events.next().await else { break };
            has_ended |= event.kind == "end";
            if event.id.is_some() {
                seen.push(event);
                taken += 1;
            }
        }
        if has_ended {
            break;
        }
    }
    let whole = durable(&Events::open(&host, &id, None).await.all().await);
    assert_eq!(seen, whole);
    assert!(whole.len() > 16, "{}", whole.len());

    let after = whole[4].id.unwrap();
    let rest =
        host.admin(Method::GET, &format!("/v1/inquiries/{id}/events?after={after}")).send().await.unwrap();
    let rest: Vec<Event> = rest.text().await.unwrap().split("\n\n").filter_map(parse).collect();
    assert_eq!(durable(&rest), whole[5..]);
    let wrong = Answer::of(
        host.admin(Method::GET, &format!("/v1/inquiries/{id}/events")).header("last-event-id", "x"),
    )
    .await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn more_streams_than_may_be_are_told_to_come_again() {
    let host = Setup::new().configure(|config| config.max_event_streams = 2).start().await;
    let id = submit(&host, &echoing("popular", 1, 50_000)).await;
    let open = [Events::open(&host, &id, None).await, Events::open(&host, &id, None).await];
    let refused = host.get(&format!("/v1/inquiries/{id}/events")).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "5"), "{refused:?}");
    drop(open);
    let again = async {
        while host.admin(Method::GET, &format!("/v1/inquiries/{id}/events")).send().await.unwrap().status()
            != 200
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("a place becomes free");
}

#[tokio::test]
async fn thousands_follow_one_inquiry_and_all_see_the_same() {
    const CONNECTIONS: usize = 16;
    const EACH: usize = 64;
    let host = Setup::new().configure(|config| config.max_requests = 4096).start().await;
    let id = submit(&host, &echoing("crowd", 4, 700)).await;
    let url = format!("{}/v1/inquiries/{id}/events", host.url);
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = super::support::client_builder().http2_prior_knowledge().build().unwrap();
        for _ in 0..EACH {
            streams.push(client.get(&url).bearer_auth(API_KEY));
        }
    }
    let all = futures::stream::iter(streams).map(|request| async move {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let events: Vec<Event> = response.text().await.unwrap().split("\n\n").filter_map(parse).collect();
        assert_eq!(events.last().unwrap().kind, "end");
        durable(&events)
    });
    let all: Vec<Vec<Event>> =
        tokio::time::timeout(2 * PATIENCE, all.buffer_unordered(CONNECTIONS * EACH).collect())
            .await
            .expect("all end");
    assert_eq!(all.len(), CONNECTIONS * EACH);
    assert!(all[0].len() >= 10, "{}", all[0].len());
    assert!(all.iter().all(|events| *events == all[0]));
}

#[tokio::test]
async fn a_stream_ends_with_the_key_that_opened_it() {
    let host = Setup::new().start().await;
    let key =
        host.post("/v1/keys", &json!({"name": "k", "role": "submitter", "tenant": "default"})).await.body;
    let id = submit(&host, &echoing("revoked", 1, 50_000)).await;
    let request =
        host.with_key(key["secret"].as_str().unwrap(), Method::GET, &format!("/v1/inquiries/{id}/events"));
    let mut events = Events { response: request.send().await.unwrap(), text: String::new() };
    assert!(events.next().await.is_some());
    assert_eq!(host.delete(&format!("/v1/keys/{}", key["id"].as_str().unwrap())).await.status, 204);
    let rest = events.all().await;
    assert!(rest.iter().all(|event| event.kind != "end"), "{rest:?}");
}

#[tokio::test]
async fn a_stream_ends_when_its_key_expires() {
    let host = Setup::new().start().await;
    let id = submit(&host, &echoing("expiring", 1, 50_000)).await;
    let expires = (jiff::Timestamp::now() + Duration::from_secs(2)).to_string();
    let key = json!({"name": "k", "role": "submitter", "tenant": "default", "expires": expires});
    let key = host.post("/v1/keys", &key).await.body;
    let request =
        host.with_key(key["secret"].as_str().unwrap(), Method::GET, &format!("/v1/inquiries/{id}/events"));
    let mut events = Events { response: request.send().await.unwrap(), text: String::new() };
    assert!(events.next().await.is_some());
    let rest = events.all().await;
    assert!(rest.iter().all(|event| event.kind != "end"), "{rest:?}");
}

#[tokio::test]
async fn a_stream_from_beyond_the_ledger_still_sees_the_end() {
    let host = Setup::new().start().await;
    let id = submit(&host, &echoing("beyond", 3, 300)).await;
    let mut events = Events::open(&host, &id, Some(1_000_000)).await;
    let all = tokio::time::timeout(PATIENCE, events.all()).await.expect("it ends with the inquiry");
    assert!(durable(&all).is_empty(), "{all:?}");
    assert_eq!(all.last().unwrap().kind, "end", "{all:?}");
}

#[tokio::test]
async fn one_tenant_leaves_streams_to_the_others() {
    let host = Setup::new().configure(|config| config.max_event_streams = 4).start().await;
    let id = submit(&host, &echoing("watched", 1, 50_000)).await;
    host.tenant("other", json!({})).await;
    let (greedy, other) =
        (host.key("submitter", Some("default")).await, host.key("submitter", Some("other")).await);
    let path = format!("/v1/inquiries/{id}/events");
    let open = async |key: &str| host.with_key(key, Method::GET, &path).send().await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..3 {
        let stream = open(&greedy).await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let refused = Answer::of(host.with_key(&greedy, Method::GET, &path)).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "5"), "{refused:?}");
    assert!(refused.detail().starts_with("this tenant has 3 event streams"), "{refused:?}");
    // One of the other tenant's own is followed all the same.
    let submitted = host
        .with_key(&other, Method::POST, "/v1/inquiries")
        .header("content-type", "application/yaml")
        .body(echoing("own", 1, 50_000));
    let own = Answer::of(submitted).await.body["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/inquiries/{own}/events");
    assert_eq!(host.with_key(&other, Method::GET, &path).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_stopping_host_ends_its_streams() {
    let mut host = Setup::new().start().await;
    let id = submit(&host, &echoing("stopped", 1, 50_000)).await;
    let mut events = Events::open(&host, &id, None).await;
    assert_eq!(events.next().await.unwrap().kind, "access-decided");
    host.begin_to_stop();
    let rest = events.all().await;
    assert!(rest.iter().all(|event| event.kind != "end"), "{rest:?}");
    assert!(!rest.is_empty());
    host.stopped().await;
}
