//! The front door, `/connect/webhook/{vendor}/{service}`: what signed webhooks are answered. A known service is never 404.

use std::sync::Arc;

use axum::http::StatusCode;
use tracing::{info, warn};

use crate::edge::http::Office;
use crate::edge::http::answer::{self, Answer};
use crate::edge::http::table::Asked;
use crate::edge::http::vendor::Signed;
use crate::edge::reception;
use crate::edge::reception::{Made, Turned};
use crate::edge::storeroom;
use crate::twilio::callback::Callback;
use crate::twilio::front_door::{self, DOCUMENT, Reply, Service};
use crate::twilio::sid::CallSid;
use crate::twilio::twiml::Response;

/// Answers a webhook.
pub(super) async fn answer(office: &Arc<Office>, asked: Asked) -> Answer {
    let found = front_door::find(asked.parts.uri.path());
    let (Some((_, service)), Some(signed)) = (found, &asked.signed) else {
        return answer::empty(StatusCode::NOT_FOUND);
    };
    let now = storeroom::moment();
    if let Some(callback) = Callback::read(service, &signed.form) {
        let whose = (&*signed.twilio, &*signed.org);
        if let Err(shut) = office.reception.hear(now, whose, &callback).await {
            return turned(office, signed, service, Turned::Shut(shut));
        }
    }
    let policy = office.panel.policy();
    let asked = reception::Asked {
        twilio: &signed.twilio,
        policy: &policy,
        org: &signed.org,
        form: &signed.form,
        query: &signed.query,
    };
    let made = match service {
        Service::Voice => office.reception.receive(now, &asked),
        Service::DialAction => office.reception.finish(now, &asked),
        Service::IvrMenu
        | Service::IvrMenuInput
        | Service::IvrInput
        | Service::IvrContinue
        | Service::IvrRecording => office.reception.lead(now, service, &asked),
        Service::IvrPaymentStatus if service.reply(&signed.form) == Reply::Document => {
            office.reception.lead(now, service, &asked)
        }
        Service::IvrQueueMusic => Ok(Made::Document(office.reception.hold(&asked))),
        Service::IvrAiOutbound | Service::IvrAiTransfer | Service::AiVoice => {
            let made = office.reception.assist(service, &asked);
            made.map(Made::Document)
        }
        Service::Status
        | Service::Sms
        | Service::RecordingStatus
        | Service::TranscriptionStatus
        | Service::IvrPaymentStatus => return plain(service.reply(&signed.form)),
    };
    let made = match made {
        Ok(Made::Document(response)) => Ok(response),
        Ok(Made::Errand(errand)) => {
            let clock = storeroom::moment;
            office.reception.pursue(&asked, *errand, clock).await
        }
        Err(why) => Err(why),
    };
    match made {
        Ok(response) => document(&response),
        Err(why) => turned(office, signed, service, why),
    }
}

/// Shows what is known of a call of Twilio's.
pub(super) fn show_call(office: &Office, asked: &Asked) -> Answer {
    let leg = CallSid::parse(asked.name(0));
    let call = leg.and_then(|leg| office.reception.call(storeroom::moment(), leg));
    match call {
        Some(call) => answer::json(StatusCode::OK, &call),
        None => answer::fault(
            StatusCode::NOT_FOUND,
            "no_call",
            "no such call is remembered",
        ),
    }
}

/// Refuses a call, in words that its sender can read where there are any.
fn turned(office: &Office, signed: &Signed, service: Service, why: Turned) -> Answer {
    let metrics = &office.panel.metrics;
    office.vendors.add_refused(metrics, why.label());
    info!(
        org = %signed.org.id,
        account = %signed.account,
        service = service.name(),
        why = why.label(),
        "webhook refused: {why}"
    );
    match why {
        Turned::Unreadable(_) => answer::empty(StatusCode::BAD_REQUEST),
        Turned::Shut(_) => answer::empty(StatusCode::SERVICE_UNAVAILABLE),
        Turned::HandOff(_) | Turned::NumberUnknown | Turned::OutOfService | Turned::NoEdge => {
            document(&why.document().unwrap_or_default())
        }
    }
}

fn plain(reply: Reply) -> Answer {
    match reply.plain() {
        (_, Some(kind), text) => answer::bytes(StatusCode::OK, kind, text.into()),
        (_, None, _) => answer::empty(StatusCode::NO_CONTENT),
    }
}

fn document(response: &Response) -> Answer {
    match response.write() {
        Ok(text) => answer::bytes(StatusCode::OK, DOCUMENT, text.into()),
        Err(fault) => {
            warn!(%fault, "a document is too long for Twilio");
            answer::empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}
