//! What comes by HTTP from Twilio, or from somebody who says so.

use std::time::Duration;

use strowger::twilio::callback::Callback;
use strowger::twilio::connect::{Claim, Companies, CompanyKey, Refusal, Standing};
use strowger::twilio::dial::{Outcome, after_edge};
use strowger::twilio::form::{Form, MOST_FIELDS};
use strowger::twilio::front_door::Service;
use strowger::twilio::ivr::Place;
use strowger::twilio::mac::Rotating;
use strowger::twilio::notification::{IdentityGrammar, Notification};
use strowger::twilio::public_url::PublicUrl;
use strowger::twilio::signature::{Algorithm, Content, Keys, Webhook, sign};
use strowger::twilio::ticket::Ticket;
use strowger::twilio::twiml::{Dial, Response, Target, hangup};
use strowger::twilio::{jwt, numbers, rest};
use strowger::types::moment::Moment;
use strowger::types::number::Number;
use strowger::types::secret::Secret;

/// What is read is written the same; nothing that nobody signed is believed; what is signed is, in any order; every answer
/// is a document whose shape is ours.
pub fn webhook(data: &[u8]) {
    let Ok(form) = Form::parse(data) else {
        return;
    };
    assert!(form.len() <= MOST_FIELDS);
    if form.encoded().len() <= strowger::twilio::form::MOST_BYTES {
        assert_eq!(Form::parse(form.encoded().as_bytes()).as_ref(), Ok(&form));
    }
    check_signature(data, &form);
    check_hand_off(&form);
    check_answers(&form);
}

/// What is read of a notification is in it; a body that is refused is refused for both grammars, or for its colons.
pub fn notification(data: &[u8]) {
    let strict = Notification::read(data, IdentityGrammar::TwoParts);
    let Ok(notification) = Notification::read(data, IdentityGrammar::AfterFirstColon) else {
        assert!(strict.is_err());
        return;
    };
    assert_eq!(notification.body, data);
    assert!(!notification.identity.is_empty());
    assert_eq!(strict.is_ok(), !notification.identity.contains(':'));
    assert_eq!(
        notification.answer(Moment::default(), &[], false).status,
        404
    );
}

/// Neither a ticket nor a token can be guessed, and an answer of Twilio's API leads nowhere but to its own account.
pub fn ticket(data: &[u8]) {
    assert!(Ticket::check(Moment::default(), data, &secrets()).is_err());
    let text = String::from_utf8_lossy(data);
    assert!(jwt::verify(Moment::default(), &text, &secrets().current).is_err());
    let Some(account) =
        strowger::twilio::sid::AccountSid::parse("AC00000000000000000000000000000001")
    else {
        return;
    };
    let api = rest::Api { account };
    if let Some(request) = api.next_page(&text) {
        assert!(
            request
                .target
                .starts_with("/2010-04-01/Accounts/AC00000000000000000000000000000001/")
        );
        assert!(request.target.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    if let Ok(answer) = rest::read(200, data) {
        let _ = rest::Page::read(api, rest::NUMBERS, &answer);
        let _ = numbers::Remote::read(&answer);
    }
}

fn check_signature(data: &[u8], form: &Form) {
    let Ok(base) = PublicUrl::parse("https://e.example.com") else {
        return;
    };
    let keys = Keys {
        auth_token: Some(secrets()),
        shared: Vec::new(),
    };
    let url = "https://e.example.com/v?a=1";
    let signature = sign(url, Some(form), &secrets().current, Algorithm::Sha1);
    let webhook = Webhook {
        base: &base,
        target: "/v?a=1",
        signature: Some(data),
        settings: None,
        content: Content::Form(form),
    };
    assert!(webhook.verify(Some(&keys)).is_err());
    let mut fields: Vec<_> = form.iter().collect();
    fields.reverse();
    let turned: Form = fields.into_iter().collect();
    let signed = Webhook {
        signature: Some(signature.as_bytes()),
        content: Content::Form(&turned),
        ..webhook
    };
    assert_eq!(signed.verify(Some(&keys)), Ok(()));
    let unknown = Webhook {
        settings: Some(data),
        ..signed
    };
    assert!(unknown.verify(Some(&keys)).is_err());
}

fn check_hand_off(form: &Form) {
    let Ok(claim) = Claim::read(form) else {
        return;
    };
    assert_eq!(claim.verify(&Everybody(secrets())), Err(Refusal::Forged));
}

fn check_answers(form: &Form) {
    for service in Service::ALL {
        if let Some(callback) = Callback::read(service, form) {
            assert!(!callback.key().chars().any(char::is_control));
        }
    }
    let _ = Place::read(form);
    let document = Response::of(hangup(form.iter()))
        .write()
        .unwrap_or_default();
    assert_eq!(
        document.matches("<Parameter ").count(),
        if document.is_empty() { 0 } else { form.len() }
    );
    assert!(
        !document
            .chars()
            .any(|letter| matches!(letter, '\0'..='\u{1f}'))
    );
    let Some(number) = Number::from_e164(b"+18885550100") else {
        return;
    };
    let target = Target::Number {
        number,
        send_digits: form.first("Digits").map(Into::into),
    };
    let dial = Dial {
        target: &target,
        caller_id: form.first("From"),
        timeout: Duration::from_secs(20),
        time_limit: Duration::from_secs(60),
        action: form.first("To").unwrap_or_default(),
        status: None,
    };
    assert!(dial.verb().is_ok());
    assert!(after_edge(&Outcome::read(form)).write().is_ok());
}

/// Every company signs with one secret, and owns every number.
struct Everybody(Rotating);

impl Companies for Everybody {
    fn secret(&self, _: CompanyKey) -> Standing<'_> {
        Standing::Enabled(&self.0)
    }

    fn owns(&self, _: CompanyKey, _: Number) -> bool {
        true
    }
}

fn secrets() -> Rotating {
    Rotating::new(Secret::new(*b"nobody guesses this"))
}
