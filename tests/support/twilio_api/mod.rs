//! A server that stands in for Twilio's REST API: it keeps numbers, and refuses what its description does not allow.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};
use strowger::net::clock;
use strowger::twilio::form::Form;
use strowger::twilio::rest::authorization;
use strowger::types::secret::Secret;

/// The account that it serves, and the token of it.
pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const TOKEN: &str = "canary-auth-token-0123456789abcd";

/// The server; it works until the test is over.
pub(crate) struct TwilioApi {
    pub(crate) address: SocketAddr,
    desk: Arc<Mutex<Desk>>,
}

struct Desk {
    numbers: Vec<Map<String, Value>>,
    /// Numbers of a page at most, so that there are several.
    page: usize,
    /// How the next requests are answered instead, and whether they are carried out nevertheless.
    troubles: VecDeque<Trouble>,
    /// Method and target of each request.
    asked: Vec<String>,
    /// What the description does not allow.
    violations: Vec<String>,
    /// The accounts that there are; they share their numbers.
    accounts: Vec<String>,
    token: String,
    /// Whether those that are to wait do so still.
    is_held: bool,
    under_way: usize,
    most_under_way: usize,
    /// Whether requests take their time, before they are carried out and after.
    is_slow: bool,
    /// Targets of the changes that are under way.
    changing: Vec<String>,
    /// Numbers that were being changed twice at once.
    clashes: Vec<String>,
    /// Draws how long.
    dice: u64,
}

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// Too many at once: nothing is done.
    TooMany,
    /// An error of this status after it was carried out.
    After(u16),
    /// It is carried out, and the connection closed without an answer.
    Silence,
    /// It is carried out, and answered when the test says so.
    Held,
}

/// How long a test waits for something.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

struct Asked {
    method: String,
    target: String,
    authorization: String,
    kind: String,
    body: String,
}

impl TwilioApi {
    /// Serves on a free port of 127.0.0.1, pages of up to `page` numbers.
    pub(crate) fn start(page: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let desk = Arc::new(Mutex::new(Desk {
            numbers: Vec::new(),
            page,
            troubles: VecDeque::new(),
            asked: Vec::new(),
            violations: Vec::new(),
            accounts: vec![ACCOUNT.to_owned()],
            token: TOKEN.to_owned(),
            is_held: true,
            under_way: 0,
            most_under_way: 0,
            is_slow: false,
            changing: Vec::new(),
            clashes: Vec::new(),
            dice: 0x9e37_79b9_7f4a_7c15,
        }));
        let served = Arc::clone(&desk);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let desk = Arc::clone(&served);
                thread::spawn(move || serve(stream, &desk));
            }
        });
        Self { address, desk }
    }

    /// `http://127.0.0.1:1234`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has the account own a number that nobody has set up; its SID.
    pub(crate) fn own(&self, number: &str) -> String {
        let mut desk = self.desk();
        let sid = desk.next_sid();
        let added = new_number(&sid, number);
        desk.numbers.push(added);
        sid
    }

    /// Changes a number as somebody does in the console.
    pub(crate) fn edit(&self, sid: &str, field: &str, value: &str) {
        let mut desk = self.desk();
        let number = desk.numbers.iter_mut().find(|number| number["sid"] == sid);
        number
            .expect("a number")
            .insert(field.to_owned(), value.into());
    }

    /// What a field of a number is.
    pub(crate) fn field(&self, sid: &str, field: &str) -> Value {
        let desk = self.desk();
        let number = desk.numbers.iter().find(|number| number["sid"] == sid);
        number.expect("a number")[field].clone()
    }

    /// Takes a number from the account.
    pub(crate) fn release(&self, sid: &str) {
        self.desk().numbers.retain(|number| number["sid"] != sid);
    }

    /// How many numbers the account has.
    pub(crate) fn count(&self) -> usize {
        self.desk().numbers.len()
    }

    /// Has the next requests go wrong.
    pub(crate) fn trouble(&self, troubles: &[Trouble]) {
        self.desk().troubles.extend(troubles);
    }

    /// Has those that wait go on, now and later.
    pub(crate) fn let_go(&self) {
        self.desk().is_held = false;
    }

    /// Waits until something was asked that begins so.
    pub(crate) fn await_asked(&self, start: &str) {
        let deadline = clock::now() + PATIENCE;
        while !self.desk().asked.iter().any(|line| line.starts_with(start)) {
            assert!(clock::now() < deadline, "{start} was not asked");
            thread::sleep(PAUSE);
        }
    }

    /// Has another account go by the same token.
    pub(crate) fn add_account(&self, account: &str) {
        self.desk().accounts.push(account.to_owned());
    }

    /// Has the account go by another token.
    pub(crate) fn set_token(&self, token: &str) {
        self.desk().token = token.to_owned();
    }

    /// Method and target of each request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.desk().asked.clone()
    }

    /// Requests that were under way at once at most.
    pub(crate) fn most_under_way(&self) -> usize {
        self.desk().most_under_way
    }

    /// From now on requests take their time.
    pub(crate) fn be_slow(&self) {
        self.desk().is_slow = true;
    }

    /// Numbers that were being changed twice at once.
    pub(crate) fn clashes(&self) -> Vec<String> {
        self.desk().clashes.clone()
    }

    /// What was asked against the description so far. Whoever does not take it is told of it at the end, and fails.
    pub(crate) fn violations(&self) -> Vec<String> {
        mem::take(&mut self.desk().violations)
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        held(&self.desk)
    }
}

impl Drop for TwilioApi {
    /// Whatever a test is about: what it has us ask is what Twilio allows.
    fn drop(&mut self) {
        let violations = self.violations();
        if !thread::panicking() {
            assert!(violations.is_empty(), "{violations:#?}");
        }
    }
}

/// The description.
pub(crate) fn description() -> Value {
    serde_json::from_str(include_str!("description.json")).expect("it is JSON")
}

fn held(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, desk: &Mutex<Desk>) {
    let mut writer = stream.try_clone().expect("a second hand");
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read(&mut reader) {
        let trouble = {
            let mut desk = held(desk);
            desk.asked
                .push(format!("{} {}", asked.method, asked.target));
            desk.under_way += 1;
            desk.most_under_way = desk.most_under_way.max(desk.under_way);
            desk.begin(&asked);
            desk.troubles.pop_front()
        };
        dawdle(desk);
        // So that requests at once are at once.
        thread::yield_now();
        let (status, body) = match trouble {
            Some(Trouble::TooMany) => error(429, 20429, "Too Many Requests"),
            None => held(desk).answer(&asked),
            Some(Trouble::Held) => {
                let answer = held(desk).answer(&asked);
                let deadline = clock::now() + PATIENCE;
                while held(desk).is_held && clock::now() < deadline {
                    thread::sleep(PAUSE);
                }
                answer
            }
            Some(Trouble::After(status)) => {
                held(desk).answer(&asked);
                (status, json!({"status": status}))
            }
            Some(Trouble::Silence) => {
                let mut desk = held(desk);
                desk.answer(&asked);
                desk.end(&asked);
                return;
            }
        };
        dawdle(desk);
        held(desk).end(&asked);
        let text = if status == 204 {
            String::new()
        } else {
            body.to_string()
        };
        let more = if status == 429 {
            "Retry-After: 0\r\n"
        } else {
            ""
        };
        let answer = format!(
            "HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\nTwilio-Request-Id: RQ0123456789abcdef\r\n{more}Content-Length: {}\r\n\r\n{text}",
            text.len()
        );
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut parts = line.split(' ');
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let mut asked = Asked {
        method,
        target,
        authorization: String::new(),
        kind: String::new(),
        body: String::new(),
    };
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match &*name.to_ascii_lowercase() {
            "authorization" => asked.authorization = value.to_owned(),
            "content-type" => asked.kind = value.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8(body).ok()?;
    Some(asked)
}

/// Lets some time pass, if requests take their time.
fn dawdle(desk: &Mutex<Desk>) {
    let millis = {
        let mut desk = held(desk);
        desk.dice ^= desk.dice << 13;
        desk.dice ^= desk.dice >> 7;
        desk.dice ^= desk.dice << 17;
        desk.is_slow.then_some(1 + (desk.dice >> 32) % 9)
    };
    if let Some(millis) = millis {
        thread::sleep(Duration::from_millis(millis));
    }
}

impl Desk {
    fn begin(&mut self, asked: &Asked) {
        if asked.method == "POST" && asked.target.contains("/IncomingPhoneNumbers/") {
            if self.changing.contains(&asked.target) {
                self.clashes.push(asked.target.clone());
            }
            self.changing.push(asked.target.clone());
        }
    }

    fn end(&mut self, asked: &Asked) {
        self.under_way -= 1;
        let place = self.changing.iter().position(|one| *one == asked.target);
        if let (Some(place), "POST") = (place, &*asked.method) {
            self.changing.swap_remove(place);
        }
    }

    fn answer(&mut self, asked: &Asked) -> (u16, Value) {
        let token = Secret::new(self.token.as_bytes());
        let account = self.accounts.iter().find(|account| {
            let wanted = authorization(account, &token);
            wanted.is_equal(asked.authorization.as_bytes())
        });
        let Some(account) = account.cloned() else {
            return error(401, 20003, "Authenticate");
        };
        match check(&account, asked) {
            Ok((name, _, _)) if name == "account" => (
                200,
                json!({"sid": account, "status": "active", "type": "Full"}),
            ),
            Ok((name, sid, fields)) => self.carry_out(&name, sid.as_deref(), &fields),
            Err(violation) => {
                let told = format!("{} {}: {violation}", asked.method, asked.target);
                self.violations.push(told);
                error(400, 20001, &violation)
            }
        }
    }

    fn carry_out(&mut self, name: &str, sid: Option<&str>, fields: &Form) -> (u16, Value) {
        match name {
            "list" => return (200, self.list(fields)),
            "create" => {
                let sid = self.next_sid();
                let number = fields.first("PhoneNumber").map(str::to_owned);
                let number = number.unwrap_or_else(|| {
                    let code = fields.first("AreaCode").unwrap_or_default();
                    format!("+1{code}555{:04}", self.numbers.len())
                });
                let is_taken = self
                    .numbers
                    .iter()
                    .any(|own| own["phone_number"] == *number);
                if is_taken {
                    return error(400, 21422, "PhoneNumber is not available");
                }
                let mut number = new_number(&sid, &number);
                set(&mut number, fields);
                self.numbers.push(number.clone());
                return (201, number.into());
            }
            _ => {}
        }
        let place = self
            .numbers
            .iter()
            .position(|number| Some(&number["sid"]) == sid.map(Value::from).as_ref());
        let Some(place) = place else {
            return error(404, 20404, "The requested resource was not found");
        };
        match name {
            "update" => set(&mut self.numbers[place], fields),
            "remove" => {
                self.numbers.remove(place);
                return (204, Value::Null);
            }
            _ => {}
        }
        (200, self.numbers[place].clone().into())
    }

    fn list(&self, fields: &Form) -> Value {
        let wanted = fields.first("PhoneNumber");
        let found: Vec<_> = self
            .numbers
            .iter()
            .filter(|number| wanted.is_none_or(|wanted| number["phone_number"] == wanted))
            .cloned()
            .collect();
        let number = |name: &str| {
            fields
                .first(name)
                .and_then(|text| text.parse::<usize>().ok())
        };
        let size = number("PageSize").unwrap_or(50).min(self.page);
        let page = number("Page").unwrap_or(0);
        let items: Vec<_> = found.iter().skip(page * size).take(size).cloned().collect();
        let is_more = (page + 1) * size < found.len();
        let next = format!(
            "/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json?PageSize={size}&Page={}&PageToken=PA{}",
            page + 1,
            page + 1
        );
        json!({
            "incoming_phone_numbers": items,
            "page": page,
            "page_size": size,
            "next_page_uri": if is_more { next.into() } else { Value::Null },
        })
    }

    fn next_sid(&self) -> String {
        format!(
            "PN{:032x}",
            self.asked.len() * 1000 + self.numbers.len() + 1
        )
    }
}

/// Which operation it is, whose, and with which fields.
fn check(account: &str, asked: &Asked) -> Result<(String, Option<String>, Form), String> {
    let description = description();
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let base = description["base"].as_str().expect("a base");
    let base = base.replace("{AccountSid}", account);
    let below = path
        .strip_prefix(&base)
        .ok_or("another account or version")?;
    let operations = description["operations"].as_array().expect("operations");
    let fits = |operation: &&Value| {
        operation["method"] == *asked.method && sid_of(operation, below).is_some()
    };
    let operation = operations.iter().find(fits).ok_or("no such operation")?;
    let sid = sid_of(operation, below).flatten();
    if let Some(sid) = &sid {
        judge("PN", sid).then_some(()).ok_or("no SID of a number")?;
    }
    let (query, body) = (form(query)?, form(&asked.body)?);
    if !asked.body.is_empty() && asked.method != "POST" {
        return Err(format!("a {} with a body", asked.method));
    }
    if !asked.body.is_empty() && asked.kind != "application/x-www-form-urlencoded" {
        return Err(format!("a body of type {}", asked.kind));
    }
    for (fields, known) in [(&query, &operation["query"]), (&body, &operation["form"])] {
        for (name, value) in fields.iter() {
            let kind = known.get(name).and_then(Value::as_str);
            let kind = kind.ok_or(format!("the parameter {name} is unknown"))?;
            if !judge(kind, value) {
                return Err(format!("{name} is no {kind}: {value}"));
            }
            if fields.all(name).count() > 1 {
                return Err(format!("{name} stands twice"));
            }
        }
    }
    if let Some(names) = operation["one_of"].as_array() {
        let there = names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| body.first(name).is_some());
        if there.count() != 1 {
            return Err(format!("one of {names:?} is needed"));
        }
    }
    let name = operation["name"].as_str().expect("a name").to_owned();
    Ok((name, sid, if asked.method == "POST" { body } else { query }))
}

/// `None`: another path. `Some(None)`: the path has no SID.
fn sid_of(operation: &Value, below: &str) -> Option<Option<String>> {
    let path = operation["path"].as_str().expect("a path");
    let Some((head, tail)) = path.split_once("{Sid}") else {
        return (path == below).then_some(None);
    };
    let sid = below.strip_prefix(head)?.strip_suffix(tail)?;
    (!sid.contains('/')).then(|| Some(sid.to_owned()))
}

fn form(text: &str) -> Result<Form, String> {
    Form::parse(text.as_bytes()).map_err(|fault| fault.to_string())
}

fn judge(kind: &str, value: &str) -> bool {
    if let Some(kind) = kind.strip_suffix('?')
        && value.is_empty()
    {
        return !kind.is_empty();
    }
    match kind.trim_end_matches('?') {
        "text" => value.chars().count() <= 64,
        "boolean" => matches!(value, "true" | "false"),
        "integer" => value.parse::<u32>().is_ok(),
        "page_size" => value
            .parse::<u32>()
            .is_ok_and(|size| (1..=1000).contains(&size)),
        "method" => matches!(value, "GET" | "POST"),
        "url" => value.starts_with("https://") || value.starts_with("http://"),
        "area_code" => value.len() == 3 && value.parse::<u16>().is_ok(),
        "number" => value.strip_prefix('+').is_some_and(|digits| {
            (7..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
        }),
        sid => value.strip_prefix(sid).is_some_and(|digits| {
            digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
        }),
    }
}

fn new_number(sid: &str, number: &str) -> Map<String, Value> {
    let value = json!({
        "sid": sid, "account_sid": ACCOUNT, "phone_number": number, "friendly_name": number,
        "voice_url": null, "voice_method": "POST", "sms_url": "", "sms_method": "POST",
        "status_callback": "", "status_callback_method": "POST",
        "trunk_sid": null, "voice_application_sid": null, "sms_application_sid": "",
    });
    value.as_object().expect("an object").clone()
}

/// Goes by a form: `VoiceUrl` is `voice_url`, and nothing is null.
fn set(number: &mut Map<String, Value>, fields: &Form) {
    for (name, value) in fields.iter() {
        let mut field = String::new();
        for letter in name.chars() {
            if letter.is_uppercase() && !field.is_empty() {
                field.push('_');
            }
            field.extend(letter.to_lowercase());
        }
        let value = if value.is_empty() {
            Value::Null
        } else {
            value.into()
        };
        number.insert(field, value);
    }
}

fn error(status: u16, code: u32, message: &str) -> (u16, Value) {
    let value = json!({
        "code": code,
        "message": message,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status,
    });
    (status, value)
}
