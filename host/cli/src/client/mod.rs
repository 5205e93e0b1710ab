//! Asking a host: one connection, one key, one way to say what went wrong.
//!
//! Answers come as they are ([`Answer`]): `--output json` prints what the host said, member for member, and text is made from
//! the types that the server's crate declares.

mod error;
mod events;
mod patience;
mod target;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use error::ClientError;
pub(crate) use events::{Following, HostEvent};
pub(crate) use target::address;

use crate::args::remote::Remote;
use crate::print;
use crate::settings::Settings;

/// Bytes of an answer that is read whole. Pages of readings are the largest.
const MAX_ANSWER: usize = 64 << 20;
/// Bytes of an answer that is no host's which are shown.
const MAX_STRANGE: usize = 200;
/// Items of a page.
const PAGE: u64 = 500;
/// Items of a list that is read to its end; whoever wants more names a limit.
const MAX_ITEMS: usize = 250_000;
/// Pages in a row without an item that are read: pages with filters may be empty.
const MAX_EMPTY: u32 = 10_000;
/// How long connecting may take, name resolution and TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// A host to ask.
pub(crate) struct Client {
    http: reqwest::Client,
    server: Url,
    /// The server as it is shown.
    shown: String,
    timeout: Duration,
    retry_for: Duration,
}

/// A request that can be made again.
pub(crate) struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
    /// Whether asking twice does no more than asking once.
    again: bool,
}

impl Request {
    /// With a header.
    ///
    /// # Errors
    /// When the value cannot be one.
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> anyhow::Result<Self> {
        let value =
            HeaderValue::from_str(value).with_context(|| format!("`{value}` cannot go into {name}"))?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// With a body of this content type.
    pub(crate) fn body(mut self, content_type: &'static str, body: Vec<u8>) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self.body = body;
        self
    }

    /// Say that asking twice does no more than asking once.
    pub(crate) fn safe_to_repeat(mut self) -> Self {
        self.again = true;
        self
    }
}

/// What a host answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The document; null where there is none.
    pub(crate) value: Value,
    url: Url,
}

impl Answer {
    /// The document in its type.
    ///
    /// # Errors
    /// When it has another form, because the host is of another version.
    pub(crate) fn typed<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        T::deserialize(&self.value).map_err(|error| ClientError::NotUnderstood {
            url: self.url.to_string(),
            reason: error.to_string(),
        })
    }

    /// A header, where it is there and text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Client {
    /// A client for the host that options, environment and contexts name. Connects when it is asked something.
    ///
    /// # Errors
    /// When no host can be made out, or a file cannot be read.
    pub(crate) fn new(remote: &Remote, settings: &Settings) -> anyhow::Result<Self> {
        let target = target::resolve(remote, settings)?;
        let mut headers = HeaderMap::new();
        if let Some(key) = &target.key {
            if target::is_exposed(&target.server) {
                print::note("warning: the key goes over the network unencrypted; use https");
            }
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose()))
                .context("the key holds characters that no key has")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("inquisitor/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(CONNECT)
            // The key is for the host that was named, and for nobody that it points to.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(file) = &target.ca_file {
            let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            let certificates = Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("{} holds no certificates (PEM)", file.display()))?;
            if certificates.is_empty() {
                anyhow::bail!("{} holds no certificates (PEM)", file.display());
            }
            builder = builder.tls_certs_only(certificates);
        } else if target.server.scheme() == "http" {
            // Nothing to verify: a machine without certificates of its own can still ask.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().context("cannot set up TLS; --ca-file names the authorities to trust")?;
        Ok(Self {
            http,
            shown: target.server.as_str().trim_end_matches('/').to_owned(),
            server: target.server,
            timeout: remote.timeout.0,
            retry_for: remote.retry_for.0,
        })
    }

    /// The host's address, for people.
    pub(crate) fn server(&self) -> &str {
        &self.shown
    }

    /// A request. `path` has one element for each segment; nothing in it can lead to another path.
    ///
    /// # Errors
    /// When a segment cannot be one.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Request, ClientError> {
        let again = matches!(method, Method::GET | Method::PUT | Method::DELETE);
        Ok(Request {
            url: self.url(path, query)?,
            method,
            headers: HeaderMap::new(),
            body: Vec::new(),
            again,
        })
    }

    pub(crate) fn url(&self, path: &[&str], query: &[(&str, String)]) -> Result<Url, ClientError> {
        let mut url = self.server.clone();
        if let Some(segment) = path.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
            return Err(ClientError::BadName((*segment).to_owned()));
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Ask for a document.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Answer, ClientError> {
        self.answer(&self.request(Method::GET, path, query)?).await
    }

    /// Send a document.
    ///
    /// # Errors
    /// What became of it.
    pub(crate) async fn send<T: Serialize>(
        &self,
        method: Method,
        path: &[&str],
        document: &T,
    ) -> anyhow::Result<Answer> {
        let body = serde_json::to_vec(document).context("encoding the request")?;
        Ok(self.answer(&self.request(method, path, &[])?.body("application/json", body)).await?)
    }

    /// Every item of a list, page by page, or the first `limit` of them.
    ///
    /// # Errors
    /// Why there is no page.
    pub(crate) async fn items(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        limit: Option<u64>,
    ) -> Result<Items, ClientError> {
        let mut items: Vec<Value> = Vec::new();
        let mut cursor: Option<String> = None;
        let mut empty = 0;
        loop {
            let missing = limit.map_or(PAGE, |limit| limit - items.len() as u64);
            let mut query = query.to_vec();
            query.push(("limit", missing.min(PAGE).to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let answer = self.get(path, &query).await?;
            let page: inquisitor_server::api::page::Page<Value> = answer.typed()?;
            empty = if page.items.is_empty() { empty + 1 } else { 0 };
            items.extend(page.items);
            if empty > MAX_EMPTY || (limit.is_none() && items.len() > MAX_ITEMS) {
                let reason = format!(
                    "it names page after page, and {} items came; --limit takes the first of a list",
                    items.len()
                );
                return Err(ClientError::NotUnderstood { url: answer.url.to_string(), reason });
            }
            match page.next {
                Some(next) if limit.is_none_or(|limit| (items.len() as u64) < limit) => cursor = Some(next),
                next => return Ok(Items { items, more: next.is_some(), url: answer.url }),
            }
        }
    }

    /// Make a request and read its answer whole.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn answer(&self, request: &Request) -> Result<Answer, ClientError> {
        let response = self.open(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.whole(response).await?;
        let url = request.url.clone();
        let value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).map_err(|_| strange(&url, status, &body))?
        };
        Ok(Answer { status, headers, value, url })
    }

    /// Make a request, again where that is safe and may help, and hand over the answer before its body is read.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn open(&self, request: &Request) -> Result<Response, ClientError> {
        let began = Instant::now();
        let mut failures = 0;
        loop {
            let error = match self.once(request).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            failures += 1;
            let Some(wait) = (request.again && is_passing(&error.error))
                .then(|| patience::wait(failures, began.elapsed(), self.retry_for, error.retry_after))
                .flatten()
            else {
                return Err(error.error);
            };
            if failures == 1 {
                print::note(&format!("note: {}", error.error));
                print::note(&format!(
                    "note: trying again for up to {}",
                    crate::quantity::Period(self.retry_for)
                ));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Make a request once, to which an answer may begin as late as that.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn open_within(
        &self,
        request: &Request,
        patience: Duration,
    ) -> Result<Response, ClientError> {
        self.once_within(request, patience).await.map_err(|failed| failed.error)
    }

    async fn once(&self, request: &Request) -> Result<Response, Failed> {
        self.once_within(request, self.timeout).await
    }

    async fn once_within(&self, request: &Request, patience: Duration) -> Result<Response, Failed> {
        let sent = self
            .http
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone())
            .send();
        let response = match tokio::time::timeout(patience, sent).await {
            Err(_) => {
                return Err(ClientError::TimedOut { server: self.shown.clone(), after: patience }.into());
            }
            Ok(Err(error)) => return Err(ClientError::of_transport(&self.shown, &error).into()),
            Ok(Ok(response)) => response,
        };
        self.checked(response).await
    }

    /// The response if it is a success; else what is wrong.
    async fn checked(&self, response: Response) -> Result<Response, Failed> {
        let (status, url) = (response.status(), response.url().clone());
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let body = self.whole(response).await?;
        let error = match serde_json::from_slice(&body) {
            Ok(problem) => ClientError::Problem(Box::new(problem)),
            Err(_) => strange(&url, status, &body),
        };
        Err(Failed { error, retry_after })
    }

    /// Send what is not kept in memory, once.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn upload(
        &self,
        request: Request,
        body: reqwest::Body,
        patience: Duration,
    ) -> Result<Answer, ClientError> {
        let url = request.url.clone();
        let sent = self.http.request(request.method, request.url).headers(request.headers).body(body).send();
        let response = match tokio::time::timeout(patience, sent).await {
            Err(_) => return Err(ClientError::TimedOut { server: self.shown.clone(), after: patience }),
            Ok(Err(error)) => return Err(ClientError::of_transport(&self.shown, &error)),
            Ok(Ok(response)) => self.checked(response).await.map_err(|failed| failed.error)?,
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.whole(response).await?;
        let value = serde_json::from_slice(&body).map_err(|_| strange(&url, status, &body))?;
        Ok(Answer { status, headers, value, url })
    }

    /// The next piece of a body; none at its end.
    ///
    /// # Errors
    /// When it breaks, or nothing comes for as long as an answer may take.
    pub(crate) async fn chunk(&self, response: &mut Response) -> Result<Option<bytes::Bytes>, ClientError> {
        match tokio::time::timeout(self.timeout, response.chunk()).await {
            Err(_) => Err(ClientError::TimedOut { server: self.shown.clone(), after: self.timeout }),
            Ok(Err(error)) => Err(ClientError::of_transport(&self.shown, &error)),
            Ok(Ok(chunk)) => Ok(chunk),
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// When it breaks, or is larger than any answer.
    pub(crate) async fn whole(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(ClientError::NotUnderstood {
                    url: response.url().to_string(),
                    reason: format!("it is larger than {}", print::bytes(MAX_ANSWER as u64)),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// Items of a list.
pub(crate) struct Items {
    /// As the host gave them.
    pub(crate) items: Vec<Value>,
    /// Whether the list goes on.
    pub(crate) more: bool,
    url: Url,
}

impl Items {
    /// The items in their type.
    ///
    /// # Errors
    /// When one has another form, because the host is of another version.
    pub(crate) fn typed<T: DeserializeOwned>(&self) -> Result<Vec<T>, ClientError> {
        let items = self.items.iter().map(T::deserialize).collect::<Result<_, _>>();
        items.map_err(|error| ClientError::NotUnderstood {
            url: self.url.to_string(),
            reason: error.to_string(),
        })
    }
}

/// A failed request, with when the host wants to be asked again.
struct Failed {
    error: ClientError,
    retry_after: Option<Duration>,
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        Self { error, retry_after: None }
    }
}

/// Whether the failure may be gone in a moment.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Problem(problem) => {
            // A bound that is reached stays reached unless the host says when it will not be.
            problem.status == 503 || (problem.status == 429 && problem.retry_after.is_some())
        }
        ClientError::NotAHost { status, .. } => matches!(status, 502..=504),
        ClientError::Unreachable { reason, .. } => !reason.contains("certificate"),
        ClientError::Broken { .. } => true,
        ClientError::TimedOut { .. } | ClientError::BadName(_) | ClientError::NotUnderstood { .. } => false,
    }
}

fn strange(url: &Url, status: StatusCode, body: &[u8]) -> ClientError {
    let text = String::from_utf8_lossy(body);
    let body = text.trim().chars().take(MAX_STRANGE).collect();
    ClientError::NotAHost { url: url.to_string(), status: status.as_u16(), body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str) -> Client {
        // Building a TLS client needs a provider; the process has one after the first test that gets here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let remote = Remote { server: Some(server.to_owned()), ..Remote::default() };
        Client::new(&remote, &Settings::default()).unwrap()
    }

    #[test]
    fn no_name_leads_to_another_path() {
        let client = client("http://127.0.0.1:8000/behind/");
        let url = |segment| client.url(&["v1", "plugins", segment], &[]).map(|url| url.path().to_owned());
        assert_eq!(url("a/../b?c#d").unwrap(), "/behind/v1/plugins/a%2F..%2Fb%3Fc%23d");
        assert_eq!(url("echo@1.0.0").unwrap(), "/behind/v1/plugins/echo@1.0.0");
        for bad in ["", ".", ".."] {
            assert!(matches!(url(bad), Err(ClientError::BadName(_))), "{bad}");
        }
    }

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        let problem = |status, retry_after| {
            let value = serde_json::json!({
                "type": "t", "title": "t", "status": status, "detail": "", "retry_after": retry_after,
            });
            ClientError::Problem(Box::new(serde_json::from_value(value).unwrap()))
        };
        assert!(is_passing(&problem(503, None)));
        assert!(is_passing(&problem(429, Some(1))));
        assert!(!is_passing(&problem(429, None)));
        assert!(!is_passing(&problem(404, None)));
    }

    #[tokio::test]
    async fn nobody_there_says_what_to_try() {
        // Bound and closed again: nothing listens there.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = client(&format!("http://{free}"));
        let error = client.get(&["health"], &[]).await.err().unwrap().to_string();
        assert!(error.starts_with(&format!("cannot reach http://{free}: Connection refused")), "{error}");
        assert!(error.contains("INQUISITOR_SERVER"), "{error}");
    }
}
