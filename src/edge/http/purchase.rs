//! Numbers that are bought. From the first byte to the vendor on, somebody may have to pay: so the purchase is written down
//! before it, runs to its end whoever hangs up, and is shown until it is known what came of it.

use axum::http::StatusCode;
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::edge::accounts::{Came, NoPurchase, Owned, PurchaseId, is_doubtful};
use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::fields::{Fields, Wrong};
use crate::edge::http::member::Member;
use crate::edge::http::phone::{Order, e164, line, shown};
use crate::edge::http::table::Asked;
use crate::edge::http::upstream::{api_fault, not_connected, unkept_answer};
use crate::edge::storeroom::moment;
use crate::twilio::numbers::set_up;
use crate::twilio::rest::{Api, Wish};

/// Buys a number, and sets it up.
pub(super) async fn buy(office: &Office, member: &Member, asked: &Asked) -> Answer {
    let known = ["phoneNumber", "areaCode", "mode", "users", "friendlyName"];
    let fields = match Fields::read(&asked.body, &known) {
        Ok(fields) => fields,
        Err(wrong) => return wrong.answer(),
    };
    let order = match Order::read(&fields) {
        Ok(order) => order,
        Err(wrong) => return wrong.answer(),
    };
    let wish = match wish(&fields) {
        Ok(wish) => wish,
        Err(wrong) => return wrong.answer(),
    };
    let Some(integration) = office.connection_of(member) else {
        return not_connected();
    };
    let mut form = set_up(&member.twilio.base, &member.org.id, order.mode);
    match fields.text("friendlyName", "a text") {
        Ok(Some(name)) => form.push("FriendlyName", name),
        Ok(None) => {}
        Err(wrong) => return wrong.answer(),
    }
    let api = Api {
        account: integration.account,
    };
    let request = api.buy_number(wish, form);
    let (accounts, org) = (&office.switchboard.accounts, &*member.org.id);
    let wished = match wish {
        Wish::Number(number) => number.to_string(),
        Wish::AreaCode(code) => code.to_owned(),
    };
    let id = match accounts.begin_purchase(moment(), org, &wished) {
        Ok(id) => id,
        Err(why) => return not_begun(why),
    };
    let told = office.ask(member, &integration, &request).await;
    let bought = told.map(|told| line(&told, order.mode));
    let (came, answer) = match bought {
        Ok(Some(line)) => {
            let owned = Owned::set_up(moment(), line, order.users.unwrap_or_default());
            (Came::Bought(owned), None)
        }
        Ok(None) => (Came::Doubtful("odd"), None),
        Err(fault) if is_doubtful(&request, fault) => (Came::Doubtful(fault.label()), None),
        Err(fault) => (Came::Nothing, Some(api_fault(fault))),
    };
    let label = match &came {
        Came::Bought(_) => "bought",
        Came::Nothing => "nothing",
        Came::Doubtful(why) => why,
    };
    info!(org, purchase = %id, came = label, "a purchase is over");
    match accounts.end_purchase(moment(), (org, id), came) {
        Ok(Some(owned)) => answer::json(StatusCode::CREATED, &shown(&owned)),
        Ok(None) => answer.unwrap_or_else(|| doubtful(id)),
        Err(unkept) => {
            warn!(org, purchase = %id, why = unkept.label(), "what came of a purchase is not written down");
            unkept_answer(unkept)
        }
    }
}

/// The purchases of an org whose end is not known.
pub(super) fn open(office: &Office, member: &Member) -> Value {
    let open = office.switchboard.accounts.purchases(&member.org.id);
    let open = open.iter().map(|(id, purchase)| {
        json!({
            "id": id.to_string(),
            "wish": purchase.wish,
            "began": purchase.began,
            "state": if purchase.doubt.is_some() { "doubtful" } else { "under_way" },
            "why": purchase.doubt,
        })
    });
    open.collect()
}

fn wish(fields: &Fields) -> Result<Wish<'_>, Wrong> {
    let right = "an E.164 number like \"+18005551234\", or `areaCode` with three digits";
    let wrong = Wrong::Member("phoneNumber", right);
    match (
        fields.text("phoneNumber", right)?,
        fields.text("areaCode", right)?,
    ) {
        (Some(number), None) => e164(number).map(Wish::Number).ok_or(wrong),
        (None, Some(code)) => {
            let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
            is_code.then_some(Wish::AreaCode(code)).ok_or(wrong)
        }
        (Some(_), Some(_)) | (None, None) => Err(wrong),
    }
}

fn not_begun(why: NoPurchase) -> Answer {
    match why {
        NoPurchase::UnderWay(id) => {
            let what = format!("this number is being bought, as purchase {id}");
            answer::fault(StatusCode::CONFLICT, "under_way", &what)
        }
        NoPurchase::Unkept(unkept) => unkept_answer(unkept),
    }
}

fn doubtful(id: PurchaseId) -> Answer {
    let what = format!(
        "the vendor gave no answer: it may be bought, as purchase {id}; POST /phone/verify tells"
    );
    answer::fault(StatusCode::BAD_GATEWAY, "doubtful", &what)
}
