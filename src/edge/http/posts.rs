//! Postbacks and data writing (seed 004): what others have to say of a call or of a caller.
//!
//! ```text
//!   read ── key? 401 ── right? 404 ── may it? 403 ── too often? 429 ──> shards: a call that lasts?
//!                                                                        └─> clerk: one that is over, or a caller
//! ```
//!
//! Whoever has no right key learns nothing: nothing is looked up before the key is known to be right, and a wrong key and a call that
//! never was get the same answer.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::time;
use tracing::debug;

use crate::auth::nonce::Place;
use crate::call::late;
use crate::edge::clerk::{Answer as Late, Job};
use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer, Refusal};
use crate::edge::http::bearer::{LOCK, octets};
use crate::edge::http::rates::Shown;
use crate::edge::http::table::Asked;
use crate::edge::inbox::Letter;
use crate::edge::posts::PostLetter;
use crate::hooks::keys::Pass;
use crate::hooks::postback::{About, Fate, Post, Posting, PostingFault};
use crate::net::clock;
use crate::store::Shelf;
use crate::types::ids::CallUuid;
use crate::types::secret::Secret;
use crate::types::tag::{Origin, Tags};

/// Says something of the call that the path names.
pub(super) async fn of_call(office: &Office, asked: &Asked) -> Answer {
    let name = asked.name(0).to_owned();
    let result = take(office, asked, Way::Call(name)).await;
    finish(office, result)
}

/// Says something of the call or the caller that the parameters name.
pub(super) async fn of_anybody(office: &Office, asked: &Asked) -> Answer {
    let key = asked.names.first().map(|key| Secret::new(key.as_bytes()));
    let result = take(office, asked, Way::Data(key)).await;
    finish(office, result)
}

/// How it came.
enum Way {
    /// With a call in its path.
    Call(String),
    /// Perhaps with a key in its path.
    Data(Option<Secret>),
}

/// Why something that was said is not taken.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// It cannot be read, or there is no right key.
    Posting(PostingFault),
    /// Too many wrong keys came from there.
    Locked,
    /// The body is of another type.
    BodyType,
    /// It says neither of which call nor of which caller.
    Nobody,
    /// The key is not good for all that is said.
    Scope,
    /// The key is shown too often.
    Rate,
    /// The call has had too many, or too many tags wait for the caller, or for others.
    Full,
    /// There is nothing to keep it in.
    NoStore,
    /// It cannot be written down now.
    Unkept,
    /// There is too much to do, or the call is in between.
    Busy,
}

impl From<PostingFault> for Fault {
    fn from(fault: PostingFault) -> Self {
        Self::Posting(fault)
    }
}

/// What was taken.
struct Taken {
    fate: Fate,
    posting: Arc<Post>,
    call: Option<CallUuid>,
}

async fn take(office: &Office, asked: &Asked, way: Way) -> Result<Taken, Fault> {
    let now = clock::now();
    let mut posting = read(asked)?;
    let about = match way {
        Way::Call(name) => {
            posting.caller = None;
            posting.call = Some(name.to_ascii_lowercase().into());
            None
        }
        Way::Data(key) => {
            posting.key = posting.key.or(key);
            posting.caller.map(About::Caller)
        }
    };
    let uuid = posting.call.as_deref().and_then(CallUuid::parse);
    let entry = office.enter(now, asked.client, &posting, uuid)?;
    let about = match (posting.call.is_some(), uuid, about) {
        (true, Some(uuid), _) => About::Call(uuid),
        (true, None, _) => return Err(PostingFault::NotFound.into()),
        (false, _, Some(about)) => about,
        (false, _, None) => return Err(Fault::Nobody),
    };
    if !posting.is_within(entry.pass.grants) {
        return Err(Fault::Scope);
    }
    if matches!(about, About::Caller(_)) && matches!(entry.shown, Shown::Call(_)) {
        return Err(PostingFault::NotFound.into());
    }
    if !office.is_left(now, entry.shown.clone(), entry.rate) {
        return Err(Fault::Rate);
    }
    posting.key = None;
    let post = Arc::new(Post {
        about,
        pass: entry.pass,
        posting,
    });
    let fate = office.place(&post, entry.keep).await?;
    let call = match about {
        About::Call(uuid) => Some(uuid),
        About::Caller(_) => None,
    };
    Ok(Taken {
        fate,
        posting: post,
        call,
    })
}

/// Who is let in.
struct Entry {
    pass: Pass,
    shown: Shown,
    /// Requests a second.
    rate: u32,
    /// How long tags wait for a caller.
    keep: Duration,
}

impl Office {
    /// Whether the key that is shown is right: that of the call, or one that was handed out.
    fn enter(
        &self,
        now: Instant,
        client: IpAddr,
        posting: &Posting,
        call: Option<CallUuid>,
    ) -> Result<Entry, Fault> {
        let key = posting.key.as_ref().ok_or(PostingFault::NoKey)?;
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        let guesser = guesses.guesser(Place(0), "postback", &octets(client));
        if guesses.is_locked(now, guesser) {
            return Err(Fault::Locked);
        }
        let policy = self.panel.policy();
        // Both, whichever it is: what is no call at all takes as long as one.
        let handed_out = policy.hooks.keys().find(key.expose());
        let of_call = late::opened_by(&policy, call.unwrap_or(NO_CALL), key);
        let entry = match (handed_out, of_call, call) {
            (Some(key), _, _) => Entry {
                pass: key.pass.clone(),
                shown: Shown::Key(Arc::clone(&key.id)),
                rate: key.rate,
                keep: key.keep,
            },
            (None, Some(company), Some(call)) => Entry {
                pass: Pass::of_call(company),
                shown: Shown::Call(call),
                rate: CALL_RATE,
                keep: Duration::ZERO,
            },
            (None, _, _) => {
                guesses.note_failure(now, guesser);
                return Err(PostingFault::NotFound.into());
            }
        };
        // A right key excuses no wrong ones: whoever has that of one call may guess at the others'.
        Ok(entry)
    }

    fn is_left(&self, now: Instant, shown: Shown, rate: u32) -> bool {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.take(now, shown, rate)
    }

    /// Tells whoever it is about: the call while it lasts, and else who knows of those that are over.
    async fn place(&self, post: &Arc<Post>, keep: Duration) -> Result<Fate, Fault> {
        let until = clock::now() + BETWEEN;
        // What has happened up to now is in the tables a little later.
        let mark = self.clerk.as_ref().map(|clerk| clerk.shelf().mark());
        loop {
            if self.tell_shards(post).await? {
                return Ok(Fate::Live);
            }
            let Some(clerk) = &self.clerk else {
                return Err(match post.about {
                    About::Call(_) => PostingFault::NotFound.into(),
                    About::Caller(_) => Fault::NoStore,
                });
            };
            let (answer, answered) = oneshot::channel();
            let job = Job {
                post: Arc::clone(post),
                keep,
                answer,
            };
            if !clerk.post(job) {
                return Err(Fault::Busy);
            }
            match answered.await.unwrap_or(Late::Unkept) {
                Late::Taken => {
                    return Ok(match post.about {
                        About::Call(_) => Fate::Completed,
                        About::Caller(_) => {
                            wait_for_tables(clerk.shelf()).await;
                            Fate::Stored
                        }
                    });
                }
                Late::NotThere => {
                    let is_behind = mark.as_ref().is_some_and(|mark| !clerk.shelf().has(mark));
                    if !is_behind || clock::now() >= until {
                        return Err(PostingFault::NotFound.into());
                    }
                    time::sleep(PAUSE).await;
                }
                Late::Full => return Err(Fault::Full),
                Late::NotYet if clock::now() < until => time::sleep(PAUSE).await,
                Late::Unkept => return Err(Fault::Unkept),
                Late::NotYet => return Err(Fault::Busy),
            }
        }
    }

    /// `true`: a shard has the call, and has taken it.
    async fn tell_shards(&self, post: &Arc<Post>) -> Result<bool, Fault> {
        let mut answers = Vec::with_capacity(self.panel.mailboxes.len());
        let mut is_busy = false;
        for mailbox in &self.panel.mailboxes {
            let (answer, answered) = oneshot::channel();
            let post = Arc::clone(post);
            if mailbox.post(Letter::Posted(PostLetter { post, answer })) {
                answers.push(answered);
            } else {
                is_busy = true;
            }
        }
        let (mut is_taken, mut is_full, mut is_barred) = (false, false, false);
        let mut is_unkept = false;
        for answered in answers {
            match answered.await {
                Ok(heard) => {
                    is_taken |= !heard.taken.is_empty();
                    is_full |= heard.is_full;
                    is_barred |= heard.is_barred;
                    is_unkept |= heard.is_unkept;
                }
                Err(_) => is_busy = true,
            }
        }
        let is_one = matches!(post.about, About::Call(_));
        match (is_full, is_barred && is_one, is_busy) {
            _ if is_taken => Ok(true),
            (true, _, _) => Err(Fault::Full),
            (false, true, _) => Err(PostingFault::NotFound.into()),
            (false, false, _) if is_unkept => Err(Fault::Unkept),
            (false, false, true) => Err(Fault::Busy),
            (false, false, false) => Ok(false),
        }
    }
}

/// Waits until what is written is in the tables, so that a call that comes now finds it; not for long: it is kept in any case.
async fn wait_for_tables(shelf: &Shelf) {
    let mark = shelf.mark();
    let until = clock::now() + PATIENCE;
    while !shelf.has(&mark) && clock::now() < until {
        time::sleep(PAUSE / 2).await;
    }
}

/// Reads the query, the body and the headers.
fn read(asked: &Asked) -> Result<Posting, Fault> {
    let mut posting = Posting::default();
    posting.read_form(asked.parts.uri.query().unwrap_or_default().as_bytes())?;
    let headers = &asked.parts.headers;
    let kind = headers
        .get(CONTENT_TYPE)
        .map(|kind| kind.to_str().unwrap_or("?").to_ascii_lowercase());
    let kind = kind
        .as_deref()
        .map(|kind| kind.split(';').next().unwrap_or_default().trim());
    match kind {
        _ if asked.body.is_empty() => {}
        Some(FORM) => posting.read_form(&asked.body)?,
        Some(kind) if kind == JSON || kind.ends_with("+json") => posting.read_json(&asked.body)?,
        // Who says nothing of the type is understood all the same.
        None | Some("text/plain") => {
            if asked.body.trim_ascii_start().starts_with(b"{") {
                posting.read_json(&asked.body)?;
            } else {
                posting.read_form(&asked.body)?;
            }
        }
        Some(_) => return Err(Fault::BodyType),
    }
    if let Some(key) = bearer(headers) {
        posting.key = Some(key);
    }
    Ok(posting)
}

/// A key in the header `Authorization`, where no log shows it.
fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked(7)?;
    let key = key.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !key.is_empty()).then(|| Secret::new(key))
}

fn finish(office: &Office, result: Result<Taken, Fault>) -> Answer {
    let label = match &result {
        Ok(taken) => taken.fate.label(),
        Err(fault) => fault.label(),
    };
    office.panel.metrics.add_post(label);
    match result {
        Ok(taken) => {
            debug!(call = ?taken.call.map(|call| call.to_string()), result = label, "postback taken");
            answer::json(StatusCode::OK, &told(&taken))
        }
        Err(fault) => {
            debug!(result = label, "postback refused");
            fault.answer()
        }
    }
}

/// What was taken, and what was not.
fn told(taken: &Taken) -> Value {
    let posting = &taken.posting.posting;
    let mut tags = Tags::default();
    let origin = match taken.fate {
        Fate::Live | Fate::Completed => Origin::Postback,
        Fate::Stored => Origin::Stored,
    };
    let refused = posting.apply(origin, &mut tags);
    let mut told = posting.answer(taken.fate, &tags);
    if let Value::Object(told) = &mut told
        && !refused.is_empty()
    {
        let refused: Map<String, Value> = refused
            .into_iter()
            .map(|(key, fault)| (key.into(), Value::from(fault.label())))
            .collect();
        told.insert("refused".to_owned(), Value::Object(refused));
    }
    told
}

impl Fault {
    fn label(&self) -> &'static str {
        match self {
            Self::Posting(fault) => fault.label(),
            Self::Locked => "locked",
            Self::BodyType => "body_type",
            Self::Nobody => "nobody",
            Self::Scope => "key_scope",
            Self::Rate => "rate",
            Self::Full => "too_many",
            Self::NoStore => "no_store",
            Self::Unkept => "unkept",
            Self::Busy => "busy",
        }
    }

    fn answer(&self) -> Answer {
        let (status, what) = match self {
            Self::Posting(fault) => {
                let status = StatusCode::from_u16(fault.status());
                let status = status.unwrap_or(StatusCode::BAD_REQUEST);
                (status, fault.to_string())
            }
            Self::Locked => return Refusal::Locked(LOCK.as_secs()).answer(),
            Self::BodyType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("the body is neither {FORM} nor {JSON}"),
            ),
            Self::Nobody => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "say of whom: `caller_number` or `call_uuid`".to_owned(),
            ),
            Self::Scope => (
                StatusCode::FORBIDDEN,
                "the key is not good for all of this".to_owned(),
            ),
            Self::Rate => (
                StatusCode::TOO_MANY_REQUESTS,
                "the key is shown too often".to_owned(),
            ),
            Self::Full => (
                StatusCode::TOO_MANY_REQUESTS,
                "too much was said of this call or caller already, or waits for others: none of it is taken".to_owned(),
            ),
            Self::NoStore => (
                StatusCode::SERVICE_UNAVAILABLE,
                "nothing is kept here for later calls".to_owned(),
            ),
            Self::Unkept => (
                StatusCode::SERVICE_UNAVAILABLE,
                "it cannot be written down now, and does not count: say it again".to_owned(),
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "it cannot be taken now: say it again".to_owned(),
            ),
        };
        let mut answer = answer::fault(status, self.label(), &what);
        match self {
            Self::Posting(PostingFault::NoKey) => {
                answer::set(&mut answer, WWW_AUTHENTICATE, "Bearer realm=\"strowger\"");
            }
            Self::Rate | Self::Unkept | Self::Busy => answer::set(&mut answer, RETRY_AFTER, "1"),
            Self::Posting(_)
            | Self::Locked
            | Self::BodyType
            | Self::Nobody
            | Self::Scope
            | Self::Full
            | Self::NoStore => {}
        }
        answer
    }
}

/// What takes the place of a call that is none: nobody has its key.
const NO_CALL: CallUuid = CallUuid::from_bytes([0; 16]);
/// Requests a second with the key of one call.
const CALL_RATE: u32 = 10;
/// How long the record of a call that has just ended may be on its way.
const BETWEEN: Duration = Duration::from_secs(3);
/// How long the tables may be behind.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
