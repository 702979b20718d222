//! How orgs connect their account at Twilio, and try it out. What is saved is never shown again but for its names.

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use serde_json::{Value, json};

use crate::edge::accounts::{Unkept, Unsaved};
use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::member::{Member, can_have};
use crate::edge::http::table::Asked;
use crate::edge::storeroom::moment;
use crate::twilio::integration::{Integration, Operation, TYPE};
use crate::twilio::rest::{Api, ApiFault, NUMBERS, Page, Request, is_account};

/// Saves a connection, if Twilio says that the credentials are the account's: whoever saves one gets its calls.
pub(super) async fn save(office: &Office, member: &Member, asked: &Asked) -> Answer {
    let (org, accounts) = (&member.org, &office.switchboard.accounts);
    let may = |account| can_have(&member.twilio, org, account);
    let claimed = match accounts.claim(&org.id, &asked.body, may) {
        Ok(claimed) => claimed,
        Err(why) => return unsaved(why),
    };
    let api = Api {
        account: claimed.account,
    };
    match office.ask(member, &claimed, &api.account()).await {
        Ok(answer) if is_account(api, &answer) => {}
        Ok(_) => return api_fault(ApiFault::Odd),
        Err(fault) => return api_fault(fault),
    }
    match accounts.connect(moment(), &org.id, &asked.body, may) {
        Ok(saved) => {
            if let Some(left) = saved.left {
                office.switchboard.dismiss(&left.to_string());
            }
            answer::json(StatusCode::OK, &saved.integration.shown())
        }
        Err(why) => unsaved(why),
    }
}

fn unsaved(why: Unsaved) -> Answer {
    match why {
        Unsaved::Fault(fault) => {
            answer::fault(StatusCode::BAD_REQUEST, fault.label(), &fault.to_string())
        }
        Unsaved::Taken => answer::fault(
            StatusCode::CONFLICT,
            "account_taken",
            "an org has one account, and an account one org: this one is another's",
        ),
        Unsaved::Unkept(unkept) => unkept_answer(unkept),
    }
}

/// Shows how an org is connected.
pub(super) fn show(office: &Office, member: &Member, _: &Asked) -> Answer {
    let connection = office.connection_of(member);
    let shown: Vec<Value> = connection
        .iter()
        .map(|integration| integration.shown())
        .collect();
    answer::json(StatusCode::OK, &json!({ "items": shown }))
}

/// Tries a connection out.
pub(super) async fn test(office: &Office, member: &Member, asked: &Asked) -> Answer {
    let operation = Operation::parse(asked.name(1)).filter(|_| asked.name(0) == TYPE);
    let Some(operation) = operation else {
        let what = "there is TwilioProvider, and its operation listPhoneNumbers";
        return answer::fault(StatusCode::NOT_FOUND, "no_operation", what);
    };
    let Some(integration) = office.connection_of(member) else {
        return not_connected();
    };
    let account = integration.account;
    let request = operation.request(account);
    let answer = office.ask(member, &integration, &request).await;
    let page = answer.and_then(|answer| Page::read(Api { account }, NUMBERS, &answer));
    match page {
        Ok(page) => {
            let numbers = page.items.iter().map(number);
            answer::json(StatusCode::OK, &numbers.collect::<Vec<_>>())
        }
        Err(fault) => api_fault(fault),
    }
}

/// What is told of a number of Twilio's.
fn number(item: &Value) -> Value {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    json!({
        "sid": text("sid"),
        "phone_number": text("phone_number"),
        "friendly_name": text("friendly_name"),
    })
}

impl Office {
    /// Asks Twilio's API for an org.
    pub(super) async fn ask(
        &self,
        member: &Member,
        integration: &Integration,
        request: &Request,
    ) -> Result<Value, ApiFault> {
        let host = &member.twilio.accounts.api;
        self.vendor.ask(host, integration, request).await
    }
}

/// The org has saved no connection.
pub(super) fn not_connected() -> Answer {
    let what = "this org is not connected: POST /upstream/save-integration first";
    answer::fault(StatusCode::CONFLICT, "not_connected", what)
}

/// Twilio's API has said no, or nothing.
pub(super) fn api_fault(fault: ApiFault) -> Answer {
    let (status, what) = match fault {
        ApiFault::Credentials => (
            StatusCode::CONFLICT,
            "the vendor refuses the credentials".to_owned(),
        ),
        ApiFault::NotFound => (
            StatusCode::NOT_FOUND,
            "the vendor does not have it".to_owned(),
        ),
        ApiFault::Refused(code) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the vendor refuses it: its error {code}"),
        ),
        ApiFault::TooMany => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the vendor has too many requests of this account".to_owned(),
        ),
        ApiFault::NotReached | ApiFault::NoAnswer | ApiFault::Broken(_) | ApiFault::Odd => (
            StatusCode::BAD_GATEWAY,
            "the vendor gives no answer".to_owned(),
        ),
    };
    let mut answer = answer::fault(status, fault.label(), &what);
    if fault == ApiFault::TooMany {
        answer::set(&mut answer, RETRY_AFTER, "5");
    }
    answer
}

/// It cannot be kept.
pub(super) fn unkept_answer(unkept: Unkept) -> Answer {
    let status = match unkept {
        Unkept::NoStore | Unkept::NoKey => StatusCode::SERVICE_UNAVAILABLE,
        Unkept::Disk | Unkept::Full => StatusCode::INSUFFICIENT_STORAGE,
    };
    answer::fault(status, unkept.label(), &unkept.to_string())
}
