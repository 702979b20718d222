//! Who sends a webhook: the account that it names, if it is signed as that account signs. Nothing else of it is read before.

use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use serde_json::Value;

use crate::config::Twilio;
use crate::config::twilio::{Account, Org};
use crate::edge::http::Office;
use crate::edge::http::answer::Refusal;
use crate::twilio::form::Form;
use crate::twilio::sid::AccountSid;
use crate::twilio::signature::{Content, Keys, Webhook};

/// A webhook that an account of ours has signed.
pub(super) struct Signed {
    /// What is known of Twilio, as it was believed.
    pub(super) twilio: Arc<Twilio>,
    /// Whose account it is.
    pub(super) org: Arc<Org>,
    /// The account.
    pub(super) account: AccountSid,
    /// What it says: the parameters of the body, or of the query where there is none. Empty for JSON.
    pub(super) form: Form,
    /// The parameters of its URL.
    pub(super) query: Form,
}

/// What a webhook carries, as it says.
enum Said {
    /// Nothing but its URL.
    Query(Form),
    Form(Form),
    Json,
}

impl Said {
    fn form(self) -> Form {
        match self {
            Self::Query(form) | Self::Form(form) => form,
            Self::Json => Form::default(),
        }
    }
}

impl Office {
    /// Whose account this is, and what it signs with; `None`: nobody's.
    fn account(&self, twilio: &Twilio, sid: AccountSid) -> Option<(Arc<Org>, Arc<Account>)> {
        if let Some(org) = twilio.org_of(sid) {
            return Some((Arc::clone(org), Arc::clone(org.account.as_ref()?)));
        }
        // An org may have saved its account instead of having it in the configuration.
        let (id, integration) = self.switchboard.accounts.org_of(sid)?;
        let org = twilio.org(&id).filter(|org| org.account.is_none())?;
        let auth_token = (!twilio.requires_sha256).then(|| integration.auth_token.clone());
        let keys = Keys {
            auth_token,
            shared: Vec::new(),
        };
        Some((Arc::clone(org), Arc::new(Account { sid, keys })))
    }

    /// Who has signed a webhook. `named` gets the account that it names, whether it is believed or not.
    ///
    /// # Errors
    ///
    /// 403 when it is not signed as an account of ours signs, or is for another organisation; 400 when it cannot be read.
    pub(super) fn verify(
        &self,
        parts: &Parts,
        body: &[u8],
        named: &mut Option<AccountSid>,
    ) -> Result<Signed, Refusal> {
        let twilio = self.twilio().ok_or(Refusal::Unsigned("no_vendor"))?;
        let query = parts.uri.query().unwrap_or_default();
        let query = Form::parse(query.as_bytes());
        let query = query.map_err(|fault| Refusal::Unreadable(fault.label()))?;
        let said = said(parts, body, &query)?;
        let sid = match &said {
            Said::Query(form) | Said::Form(form) => form.one("AccountSid").ok().flatten(),
            Said::Json => None,
        };
        let sid = match &said {
            // A text that names no account is nobody's, whoever has signed it.
            Said::Json => Some(account_of_json(body).ok_or(Refusal::Unreadable("no_account"))?),
            Said::Query(_) | Said::Form(_) => sid.and_then(AccountSid::parse),
        };
        *named = sid;
        let found = sid.and_then(|sid| Some((sid, self.account(&twilio, sid)?)));
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let webhook = Webhook {
            base: &twilio.base,
            target,
            signature: single(&parts.headers, "x-twilio-signature")?,
            settings: single(&parts.headers, "x-twilio-webhooks-signature-settings")?,
            content: match &said {
                Said::Query(_) => Content::Nothing,
                Said::Form(form) => Content::Form(form),
                Said::Json if twilio.takes_missing_body_hash => Content::JsonPerhapsUnsigned(body),
                Said::Json => Content::Json(body),
            },
        };
        let keys = found.as_ref().map(|(_, (_, account))| &account.keys);
        let verdict = webhook.verify(keys);
        verdict.map_err(|fault| Refusal::Unsigned(fault.label()))?;
        let (account, (org, _)) = found.ok_or(Refusal::Unsigned("signature_unknown_account"))?;
        match query.one("orgid") {
            Ok(Some(id)) if *id != *org.id => return Err(Refusal::Unsigned("foreign_org")),
            Err(_) => return Err(Refusal::Unsigned("foreign_org")),
            Ok(_) => {}
        }
        Ok(Signed {
            twilio,
            org,
            account,
            form: said.form(),
            query,
        })
    }
}

fn said(parts: &Parts, body: &[u8], query: &Form) -> Result<Said, Refusal> {
    if parts.method == Method::GET || parts.method == Method::HEAD {
        return Ok(Said::Query(query.clone()));
    }
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(Said::Json);
    }
    if !body.is_empty() && !kind.eq_ignore_ascii_case(FORM) {
        return Err(Refusal::Unreadable("content_type"));
    }
    let form = Form::parse(body).map_err(|fault| Refusal::Unreadable(fault.label()))?;
    Ok(Said::Form(form))
}

/// The account that a JSON body names.
fn account_of_json(body: &[u8]) -> Option<AccountSid> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let named = |name| value.get(name).and_then(Value::as_str);
    let sid = named("twi_account_sid").or_else(|| named("AccountSid"))?;
    AccountSid::parse(sid)
}

/// The header of this name, which may stand once.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h [u8]>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        Some(_) => Err(Refusal::Unsigned("signature_malformed")),
        None => Ok(first.map(|value| value.as_bytes())),
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
