//! One request over one connection, and its answer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, Uri};
use tokio::time;
use url::Url;

use crate::net::http_client::Failure;
use crate::net::http_client::dial::Sender;

/// What is sent to one host; a redirect makes another of it.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether the body of the answer is of any use.
    pub(super) wants_answer: bool,
    /// Bytes that the body of the answer may have.
    pub(super) most: usize,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is none.
pub(super) enum Lost {
    /// The connection was closed before anything went into it; another one will do.
    Unsent,
    /// Something may have arrived.
    Sent(Failure),
}

impl Message {
    /// Sends it and reads the answer; gives the connection back if it can be used again.
    pub(super) async fn send(&self, sender: Sender) -> Result<(Answer, Option<Sender>), Lost> {
        match sender {
            Sender::Http1(mut sender) => {
                sender.ready().await.map_err(|_| Lost::Unsent)?;
                let request = self.request(false).map_err(Lost::Sent)?;
                let response = sender.try_send_request(request).await;
                let (answer, is_whole) = self.read(response.map_err(lost)?).await?;
                Ok((answer, is_whole.then_some(Sender::Http1(sender))))
            }
            Sender::Http2(mut sender) => {
                sender.ready().await.map_err(|_| Lost::Unsent)?;
                let request = self.request(true).map_err(Lost::Sent)?;
                let response = sender.try_send_request(request).await;
                let (answer, _) = self.read(response.map_err(lost)?).await?;
                Ok((answer, Some(Sender::Http2(sender))))
            }
        }
    }

    /// Reads an answer, and says whether to its end. Where nobody wants its body, its status is enough: the rest is read for the
    /// sake of the connection, for a moment.
    async fn read(&self, response: Response<Incoming>) -> Result<(Answer, bool), Lost> {
        let (head, incoming) = response.into_parts();
        let (body, is_whole) = if self.wants_answer {
            (whole(incoming, self.most).await.map_err(Lost::Sent)?, true)
        } else {
            let rest = time::timeout(MOMENT, whole(incoming, self.most)).await;
            (Bytes::new(), matches!(rest, Ok(Ok(_))))
        };
        let answer = Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        };
        Ok((answer, is_whole))
    }

    fn request(&self, is_http2: bool) -> Result<Request<Full<Bytes>>, Failure> {
        let url = &self.url;
        let mut target = url.path().to_owned();
        if let Some(query) = url.query() {
            target.push('?');
            target.push_str(query);
        }
        let authority = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => return Err(Failure::BadUrl),
        };
        let uri: Result<Uri, _> = if is_http2 {
            let absolute = Uri::builder().scheme(url.scheme());
            absolute
                .authority(authority.as_str())
                .path_and_query(target)
                .build()
        } else {
            Uri::builder().path_and_query(target).build()
        };
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.map_err(|_| Failure::BadUrl)?;
        *request.headers_mut() = self.headers.clone();
        if !is_http2 {
            let host = HeaderValue::try_from(authority).map_err(|_| Failure::BadUrl)?;
            request.headers_mut().insert(HOST, host);
        }
        Ok(request)
    }
}

fn lost(mut error: TrySendError<Request<Full<Bytes>>>) -> Lost {
    if error.take_message().is_some() {
        return Lost::Unsent;
    }
    Lost::Sent(Failure::Broken)
}

/// Reads a body to its end, if it has one soon enough.
async fn whole(mut incoming: Incoming, most: usize) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| Failure::Broken)?;
        if let Ok(data) = frame.into_data() {
            if body.len() + data.len() > most {
                return Err(Failure::TooLong);
            }
            body.extend_from_slice(&data);
        }
    }
    Ok(body.freeze())
}

/// The headers of a request, as they are written.
pub(super) fn headers<'h>(
    written: impl Iterator<Item = (&'h str, &'h str)>,
) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in written {
        let name = HeaderName::try_from(name).map_err(|_| Failure::BadHeader)?;
        let value = HeaderValue::try_from(value).map_err(|_| Failure::BadHeader)?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// How long is waited for a body that nobody wants.
const MOMENT: Duration = Duration::from_millis(200);
