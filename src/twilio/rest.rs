//! What we ask of Twilio's REST API, and what its answers mean. Requests and answers are data; sending them is the shell's.
//!
//! What buys or calls is sent once: if nobody knows what became of it, it is not repeated. All else may be.

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use crate::twilio::form::{Form, encode_into};
use crate::twilio::sid::{AccountSid, ApplicationSid, CallSid, NumberSid};
use crate::types::base64;
use crate::types::number::Number;
use crate::types::secret::Secret;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Path and query, below [`HOST`].
    pub target: String,
    /// The body, for a POST.
    pub form: Form,
    /// Whether it may be sent twice.
    pub repeat: Repeat,
}

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes or changes.
    Post,
    /// Removes.
    Delete,
}

/// Whether a request may be sent twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// The second time changes nothing more.
    Harmless,
    /// The second time costs money, or calls somebody again.
    Never,
}

/// What a new number is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish<'w> {
    /// This one.
    Number(Number),
    /// Any of this area code.
    AreaCode(&'w str),
}

/// The API, as one account sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// The account.
    pub account: AccountSid,
}

impl Api {
    /// Reads the account itself: what has its credentials, may.
    #[must_use]
    pub fn account(self) -> Request {
        Request {
            method: Method::Get,
            target: format!("/2010-04-01/Accounts/{}.json", self.account),
            form: Form::default(),
            repeat: Repeat::Harmless,
        }
    }

    /// Lists the account's numbers, the first page of so many (up to 1000).
    #[must_use]
    pub fn numbers(self, page: u16) -> Request {
        let query = format!("?PageSize={}", page.clamp(1, 1000));
        self.get(&["IncomingPhoneNumbers.json", &query].concat())
    }

    /// Finds a number of the account's.
    #[must_use]
    pub fn find_number(self, number: Number) -> Request {
        let number = segment(&number.to_string());
        self.get(&format!("IncomingPhoneNumbers.json?PhoneNumber={number}"))
    }

    /// The next page of a list, as the page before says; `None`: that is no page of this account's.
    #[must_use]
    pub fn next_page(self, uri: &str) -> Option<Request> {
        let below = uri.strip_prefix(&self.path(""))?;
        let is_plain = uri.len() <= MOST_URI && uri.bytes().all(|byte| byte.is_ascii_graphic());
        let is_below = !below.contains("..") && !below.starts_with('/') && !below.contains('#');
        (is_plain && is_below).then(|| self.get(below))
    }

    /// Reads a number.
    #[must_use]
    pub fn number(self, number: NumberSid) -> Request {
        self.get(&format!("IncomingPhoneNumbers/{number}.json"))
    }

    /// Changes a number.
    #[must_use]
    pub fn set_number(self, number: NumberSid, changes: Form) -> Request {
        let path = format!("IncomingPhoneNumbers/{number}.json");
        self.post(&path, changes, Repeat::Harmless)
    }

    /// Buys a number, set up at once.
    #[must_use]
    pub fn buy_number(self, wish: Wish<'_>, mut set_up: Form) -> Request {
        match wish {
            Wish::Number(number) => set_up.push("PhoneNumber", &number.to_string()),
            Wish::AreaCode(code) => set_up.push("AreaCode", code),
        }
        self.post("IncomingPhoneNumbers.json", set_up, Repeat::Never)
    }

    /// Gives a number back.
    #[must_use]
    pub fn release_number(self, number: NumberSid) -> Request {
        let path = format!("IncomingPhoneNumbers/{number}.json");
        Request {
            method: Method::Delete,
            ..self.get(&path)
        }
    }

    /// Calls somebody.
    #[must_use]
    pub fn call(self, call: Form) -> Request {
        self.post("Calls.json", call, Repeat::Never)
    }

    /// Lets a call go on with another document.
    #[must_use]
    pub fn redirect_call(self, call: CallSid, url: &str) -> Request {
        let form = [("Url", url), ("Method", "POST")].into_iter().collect();
        self.post(&format!("Calls/{call}.json"), form, Repeat::Harmless)
    }

    /// Ends a call.
    #[must_use]
    pub fn end_call(self, call: CallSid) -> Request {
        let form = [("Status", "completed")].into_iter().collect();
        self.post(&format!("Calls/{call}.json"), form, Repeat::Harmless)
    }

    /// Reads an application.
    #[must_use]
    pub fn application(self, application: ApplicationSid) -> Request {
        self.get(&format!("Applications/{application}.json"))
    }

    /// Lets an application send its calls to `voice_url`, and lets other accounts send theirs to it.
    #[must_use]
    pub fn open_application(self, application: ApplicationSid, voice_url: &str) -> Request {
        let fields = [
            ("VoiceUrl", voice_url),
            ("VoiceMethod", "POST"),
            ("PublicApplicationConnectEnabled", "true"),
        ];
        let path = format!("Applications/{application}.json");
        self.post(&path, fields.into_iter().collect(), Repeat::Harmless)
    }

    fn get(self, below: &str) -> Request {
        Request {
            method: Method::Get,
            target: self.path(below),
            form: Form::default(),
            repeat: Repeat::Harmless,
        }
    }

    fn post(self, below: &str, form: Form, repeat: Repeat) -> Request {
        Request {
            method: Method::Post,
            target: self.path(below),
            form,
            repeat,
        }
    }

    fn path(self, below: &str) -> String {
        format!("/2010-04-01/Accounts/{}/{below}", self.account)
    }
}

/// The value of `Authorization` (RFC 7617): the account and its auth token, or an API key and its secret.
#[must_use]
pub fn authorization(user: &str, secret: &Secret) -> Secret {
    let mut text = user.as_bytes().to_vec();
    text.push(b':');
    text.extend(secret.expose());
    let value = ["Basic ", &base64::encode(&text)].concat();
    Secret::new(value.into_bytes())
}

/// What went wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ApiFault {
    /// Nobody could be reached: the request was not sent.
    #[error("not reached")]
    NotReached,
    /// It was sent, and nothing came back.
    #[error("no answer")]
    NoAnswer,
    /// The credentials are wrong.
    #[error("credentials are refused")]
    Credentials,
    /// There is no such thing.
    #[error("not found")]
    NotFound,
    /// Too many requests at once; this one was not looked at.
    #[error("too many requests")]
    TooMany,
    /// The request is refused, for the reason of this number.
    #[error("refused: {0}")]
    Refused(u32),
    /// Twilio's side is broken.
    #[error("broken: {0}")]
    Broken(u16),
    /// The answer is no answer.
    #[error("not an answer")]
    Odd,
}

impl ApiFault {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NotReached => "not_reached",
            Self::NoAnswer => "no_answer",
            Self::Credentials => "credentials",
            Self::NotFound => "not_found",
            Self::TooMany => "too_many",
            Self::Refused(_) => "refused",
            Self::Broken(_) => "broken",
            Self::Odd => "odd",
        }
    }

    /// Whether the request is known not to have been carried out.
    fn is_untouched(self) -> bool {
        match self {
            Self::NotReached | Self::TooMany => true,
            Self::NoAnswer
            | Self::Credentials
            | Self::NotFound
            | Self::Refused(_)
            | Self::Broken(_)
            | Self::Odd => false,
        }
    }

    /// Whether another time might go better.
    fn is_passing(self) -> bool {
        match self {
            Self::NotReached | Self::NoAnswer | Self::TooMany | Self::Broken(_) => true,
            Self::Credentials | Self::NotFound | Self::Refused(_) | Self::Odd => false,
        }
    }
}

/// Reads an answer: what was asked for, or what went wrong.
pub fn read(status: u16, body: &[u8]) -> Result<Value, ApiFault> {
    let value = if body.len() > MOST_BODY {
        None
    } else if body.is_empty() {
        Some(Value::Null)
    } else {
        serde_json::from_slice::<Value>(body).ok()
    };
    if matches!(status, 200..300) {
        return value.ok_or(ApiFault::Odd);
    }
    let code = value.as_ref().and_then(|value| value.get("code")?.as_u64());
    let code = code.and_then(|code| u32::try_from(code).ok());
    Err(match (status, code) {
        (_, Some(20_003)) | (401 | 403, _) => ApiFault::Credentials,
        (_, Some(20_429)) | (429, _) => ApiFault::TooMany,
        (_, Some(20_404)) | (404, _) => ApiFault::NotFound,
        (400..500, code) => ApiFault::Refused(code.unwrap_or(status.into())),
        (500..600, _) => ApiFault::Broken(status),
        _ => ApiFault::Odd,
    })
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What is on it.
    pub items: Vec<Value>,
    /// How to get the next one.
    pub next: Option<Request>,
}

impl Page {
    /// Reads the page of a list of this name; its next page must be the account's own.
    pub fn read(api: Api, list: &str, answer: &Value) -> Result<Self, ApiFault> {
        let items = answer.get(list).and_then(Value::as_array);
        let items = items.ok_or(ApiFault::Odd)?.clone();
        let next = match answer.get("next_page_uri") {
            None | Some(Value::Null) => None,
            Some(Value::String(uri)) if uri.is_empty() => None,
            Some(uri) => {
                let uri = uri.as_str().ok_or(ApiFault::Odd)?;
                Some(api.next_page(uri).ok_or(ApiFault::Odd)?)
            }
        };
        Ok(Self { items, next })
    }
}

/// A list whose pages come one after another. It has an end, whatever the pages say.
#[derive(Debug, Clone)]
pub struct Listing {
    api: Api,
    name: &'static str,
    pages: usize,
    items: Vec<Value>,
}

impl Listing {
    /// An empty list of this name.
    #[must_use]
    pub fn new(api: Api, name: &'static str) -> Self {
        Self {
            api,
            name,
            pages: 0,
            items: Vec::new(),
        }
    }

    /// Takes a page in; `Ok(Some)`: what is to be asked next.
    pub fn take(&mut self, answer: &Value) -> Result<Option<Request>, ApiFault> {
        let page = Page::read(self.api, self.name, answer)?;
        self.pages += 1;
        self.items.extend(page.items);
        if page.next.is_some() && (self.pages >= MOST_PAGES || self.items.len() >= MOST_ITEMS) {
            return Err(ApiFault::Odd);
        }
        Ok(page.next)
    }

    /// All that came.
    #[must_use]
    pub fn into_items(self) -> Vec<Value> {
        self.items
    }
}

/// Whether the answer to [`Api::account`] is this account: then its credentials are those that it was asked with.
#[must_use]
pub fn is_account(api: Api, answer: &Value) -> bool {
    let sid = answer.get("sid").and_then(Value::as_str);
    sid.and_then(AccountSid::parse) == Some(api.account)
}

/// What the connection test says of the answer to [`Api::numbers`]: a list, even an empty one, is good.
pub fn connection_test(api: Api, answer: Result<&Value, ApiFault>) -> Result<usize, ApiFault> {
    let page = Page::read(api, NUMBERS, answer?)?;
    Ok(page.items.len())
}

/// How long to wait before a request is sent again; `None`: it is not. `tries` is how often it was sent; `dice` are random
/// bits; `retry_after` is what the answer asked for. After the third repetition there is none.
#[must_use]
pub fn wait_before_repeat(
    request: &Request,
    fault: ApiFault,
    tries: u32,
    dice: u32,
    retry_after: Option<Duration>,
) -> Option<Duration> {
    let is_allowed = fault.is_untouched() || request.repeat == Repeat::Harmless;
    if !is_allowed || !fault.is_passing() || !(1..=MOST_REPEATS).contains(&tries) {
        return None;
    }
    let most = (100_u64 << tries).min(3000);
    let wait = (u64::from(dice) * most) >> 32;
    let wait = Duration::from_millis(wait);
    match retry_after {
        Some(asked) if asked > LONGEST_WAIT => None,
        Some(asked) => Some(wait.max(asked)),
        None => Some(wait),
    }
}

/// Percent-encodes a segment of a path.
#[must_use]
pub fn segment(text: &str) -> String {
    let mut out = String::new();
    encode_into(text, &mut out);
    out
}

/// Where the API is.
pub const HOST: &str = "https://api.twilio.com";
/// The name of the list of numbers.
pub const NUMBERS: &str = "incoming_phone_numbers";
/// Requests of one account that are under way at once.
pub const MOST_AT_ONCE: usize = 4;

const MOST_REPEATS: u32 = 3;
/// Who asks for more is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Bytes of the address of a next page.
const MOST_URI: usize = 2048;
/// Bytes of an answer: a page of 1000 numbers has about 1.5 MB.
const MOST_BODY: usize = 4 * 1024 * 1024;
/// Pages of a list.
const MOST_PAGES: usize = 1000;
/// Things in a list.
const MOST_ITEMS: usize = 100_000;

#[cfg(test)]
mod tests;
