//! `wasi:http`: requests to granted authorities, with bounds on time and size, and a digest of each answer for the record.

use std::sync::Arc;
use std::time::Duration;

use ::http::uri::Scheme;
use ::http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use sha2::{Digest, Sha256};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtxView, WasiHttpHooks, WasiHttpView, default_send_request,
};

use super::gate::Gate;
use crate::guest::Guest;
use crate::recorder::{NetworkAnswers, push_answer};

/// The longest that each part of a request may wait: to connect, for the first byte, between two bytes. The call's own
/// wall time ends it earlier.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Bytes of one answer's body. It is streamed: what the guest has not read yet is not in the host's memory.
const MAX_BODY: usize = 64 << 20;

/// Bytes of a request's body that are taken from the guest at once.
const CHUNK: usize = 64 << 10;

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.wasi.http_gate, table: &mut self.table, ctx: &mut self.wasi.http }
    }
}

/// The gate as wasmtime's HTTP asks it.
pub(super) struct HttpGate {
    gate: Arc<Gate>,
    answers: NetworkAnswers,
}

impl HttpGate {
    pub(super) fn new(gate: Arc<Gate>, answers: NetworkAnswers) -> Self {
        Self { gate, answers }
    }
}

/// What a request becomes: the answer, and what goes on beside it.
type Sent = Box<
    dyn Future<
            Output = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>,
        > + Send,
>;

impl WasiHttpHooks for HttpGate {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sent {
        let uri = request.uri();
        let default = if uri.scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
        let Some(authority) = uri.authority() else {
            return Box::new(async { Err(Error::HttpRequestUriInvalid) });
        };
        let port = authority.port_u16().unwrap_or(default);
        if !self.gate.allows_http(authority.host(), port, default) {
            self.gate.deny(&format!("http {}:{port}", authority.host()));
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        // The record has digests of answers, which tell whether two runs saw the same, but not the answers.
        self.gate.reach_out();
        let options = options.unwrap_or_default();
        let bounded = |wait: Option<Duration>| Some(wait.unwrap_or(MAX_WAIT).min(MAX_WAIT));
        let options = RequestOptions {
            connect_timeout: bounded(options.connect_timeout),
            first_byte_timeout: bounded(options.first_byte_timeout),
            between_bytes_timeout: bounded(options.between_bytes_timeout),
        };
        let answers = Arc::clone(&self.answers);
        Box::new(async move {
            let (response, rest) = default_send_request(request, Some(options)).await?;
            let response = bound_and_digest(response.map(BodyExt::boxed_unsync), answers);
            Ok((response, Box::new(rest) as Box<dyn Future<Output = Result<(), Error>> + Send>))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }
}

fn bound_and_digest(response: Response<WasiBody>, answers: NetworkAnswers) -> Response<WasiBody> {
    let mut digest = Answer { hash: Sha256::new(), answers };
    digest.hash.update(response.status().as_u16().to_le_bytes());
    response.map(|body| {
        let bounded = Limited::new(body, MAX_BODY).map_err(|error| match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(_) => Error::HttpResponseBodySize(Some(MAX_BODY as u64)),
        });
        let digested = bounded.map_frame(move |frame| {
            if let Some(data) = frame.data_ref() {
                digest.hash.update(data);
            }
            frame
        });
        digested.boxed_unsync()
    })
}

/// The digest of an answer's status and of as much of its body as the guest read; kept when the guest is done with it.
/// Headers are left out: the date is another in every answer.
struct Answer {
    hash: Sha256,
    answers: NetworkAnswers,
}

impl Drop for Answer {
    fn drop(&mut self) {
        push_answer(&self.answers, hex::encode(std::mem::take(&mut self.hash).finalize()));
    }
}
