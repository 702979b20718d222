//! Twilio Application Connect: a call that another application hands over with a signed payload.

use std::time::Duration;

use strowger::twilio::connect::{
    Claim, Companies, CompanyKey, HandOff, Limits, Refusal, Seen, Standing, Use, is_hand_off,
};
use strowger::twilio::form::Form;
use strowger::twilio::mac::Rotating;
use strowger::twilio::sid::CallSid;
use strowger::twilio::twiml::{Rejection, Response, reject};
use strowger::types::moment::Moment;
use strowger::types::number::Number;
use strowger::types::secret::Secret;

#[test]
fn a_signed_payload_says_to_which_campaign_and_company_the_call_goes() {
    let hand_off = verify(&payload()).expect("a hand-off");

    assert_eq!(hand_off.number.to_string(), "+18005551234");
    assert_eq!(hand_off.company, CompanyKey(1234));
}

#[test]
fn the_call_is_routed_as_if_it_had_dialled_the_number_directly() {
    let dialled = Number::from_e164(b"+18005551234");

    assert_eq!(
        verify(&payload()).map(|hand_off| hand_off.number).ok(),
        dialled
    );
}

#[test]
fn original_to_is_the_number_dialled_in_the_application() {
    let hand_off = verify(&payload()).expect("a hand-off");

    assert_eq!(&*hand_off.original_to, "+14155550123");
}

#[test]
fn original_call_sid_is_the_leg_on_which_the_caller_came() {
    let hand_off = verify(&payload()).expect("a hand-off");

    assert_eq!(
        hand_off.original_call.to_string(),
        "CA1234567890abcdef1234567890abcdef"
    );
}

#[test]
fn the_signature_is_over_all_the_other_fields() {
    for (name, value) in [
        ("OriginalTo", "+14155550124"),
        ("OriginalCallSid", "CA1234567890abcdef1234567890abcdee"),
        ("RetreaverPhoneNumber", "+18005551235"),
        ("RetreaverCompanyId", "12345"),
    ] {
        assert!(verify(&with(name, value)).is_err(), "{name}");
    }
}

#[test]
fn the_signature_is_hmac_sha256_in_hex_of_the_fields_between_colons() {
    let hand_off = verify(&payload()).expect("a hand-off");

    assert_eq!(
        hand_off.canonical(),
        "+14155550123:CA1234567890abcdef1234567890abcdef:+18005551234:1234"
    );
    // What the samples in Python, Node.js, Ruby and PHP print.
    assert_eq!(
        hand_off.sign(&Secret::new(SECRET)),
        "2c711addb741bced1e8439b264d75ab999fe0d351b89b5cfd8f53eea322f15d3"
    );
}

#[test]
fn only_if_the_signature_matches_is_the_call_routed() {
    assert_eq!(
        verify(&with("RetreaverSignature", &"0".repeat(64))),
        Err(Refusal::Forged)
    );
    assert_eq!(
        verify(&with("RetreaverSignature", "hmac_sha256_hex_here")).map_err(Refusal::told),
        Err("malformed_parameter")
    );
}

#[test]
fn every_parameter_of_the_payload_is_needed() {
    for name in NAMES {
        let form: Form = payload()
            .iter()
            .filter(|(own, _)| !own.ends_with(name))
            .collect();
        let refusal = verify(&form).expect_err("a refusal");
        assert_eq!(refusal.field().map(|field| field.name()), Some(name));
        assert_eq!(refusal.told(), "missing_parameter");
    }
}

#[test]
fn parameters_arrive_as_twilio_hands_them_on() {
    let bare: Form = payload()
        .iter()
        .map(|(name, value)| (&name["Param_".len()..], value))
        .collect();

    assert!(is_hand_off(&payload()) && is_hand_off(&bare));
    assert_eq!(verify(&bare), verify(&payload()));
}

#[test]
fn the_feature_must_be_enabled_for_the_company() {
    assert_eq!(verify(&signed_by_company(77)), Err(Refusal::Disabled));
}

#[test]
fn the_number_must_be_one_of_the_companys() {
    assert_eq!(
        verify(&signed_by_company(1235)),
        Err(Refusal::ForeignNumber)
    );
}

#[test]
fn a_payload_that_was_overheard_is_not_good_for_ever() {
    let start = Moment::from_millis(0);
    let leg = CallSid::from_bits;
    let seen = Seen {
        first: start,
        legs: vec![leg(1)],
    };
    let later = start.after(Duration::from_secs(24 * 3600));
    let admit = |now, own, seen| HandOff::admit(now, leg(own), seen, Limits::default());

    assert_eq!(admit(start, 1, None), Ok(Use::New));
    assert_eq!(admit(start, 1, Some(&seen)), Ok(Use::Same));
    assert_eq!(admit(start, 2, Some(&seen)), Ok(Use::New));
    assert_eq!(admit(later, 2, Some(&seen)), Err(Refusal::TooLate));
}

#[test]
fn the_sender_reads_why_a_call_was_refused() {
    let refusal = verify(&with("OriginalTo", "+14155550124")).expect_err("a refusal");

    let document = Response::of(reject(Rejection::Rejected, Some(refusal.told()))).write();

    assert_eq!(
        document.as_deref(),
        Ok(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Reject reason=\"rejected\">\
            <Parameter name=\"error\" value=\"bad_signature\"/></Reject></Response>"
        )
    );
}

#[test]
fn the_secret_is_never_shown() {
    let refusal = verify(&with("OriginalTo", "x")).expect_err("a refusal");

    let shown = format!(
        "{refusal:?} {refusal} {} {}",
        refusal.label(),
        refusal.told()
    );

    assert!(!shown.contains(str::from_utf8(SECRET).unwrap()));
}

const SECRET: &[u8] = b"YOUR_RETREAVER_TWILIO_APP_CONNECT_SECRET";

const NAMES: [&str; 5] = [
    "OriginalTo",
    "OriginalCallSid",
    "RetreaverPhoneNumber",
    "RetreaverCompanyId",
    "RetreaverSignature",
];

/// Companies 1234 and 1235 sign, 77 may not; the number is 1234's.
struct Directory(Rotating);

impl Companies for Directory {
    fn secret(&self, company: CompanyKey) -> Standing<'_> {
        match company.0 {
            1234 | 1235 => Standing::Enabled(&self.0),
            77 => Standing::Disabled,
            _ => Standing::Unknown,
        }
    }

    fn owns(&self, company: CompanyKey, number: Number) -> bool {
        (company.0, number.to_string().as_str()) == (1234, "+18005551234")
    }
}

fn verify(form: &Form) -> Result<HandOff, Refusal> {
    Claim::read(form)?.verify(&Directory(Rotating::new(Secret::new(SECRET))))
}

fn payload() -> Form {
    [
        ("Param_OriginalTo", "+14155550123"),
        (
            "Param_OriginalCallSid",
            "CA1234567890abcdef1234567890abcdef",
        ),
        ("Param_RetreaverPhoneNumber", "+18005551234"),
        ("Param_RetreaverCompanyId", "1234"),
        (
            "Param_RetreaverSignature",
            "2c711addb741bced1e8439b264d75ab999fe0d351b89b5cfd8f53eea322f15d3",
        ),
    ]
    .into_iter()
    .collect()
}

fn with(name: &str, value: &str) -> Form {
    let own = |field: &str| field.strip_prefix("Param_") == Some(name);
    payload()
        .iter()
        .map(|(field, old)| (field, if own(field) { value } else { old }))
        .collect()
}

/// The payload of another company, rightly signed.
fn signed_by_company(company: u64) -> Form {
    let hand_off = verify(&payload()).expect("a hand-off");
    let hand_off = HandOff {
        company: CompanyKey(company),
        ..hand_off
    };
    let signature = hand_off.sign(&Secret::new(SECRET));
    let company = company.to_string();
    let value = |name: &str, old: &str| match name {
        "Param_RetreaverCompanyId" => company.clone(),
        "Param_RetreaverSignature" => signature.clone(),
        _ => old.to_owned(),
    };
    let fields: Vec<_> = payload()
        .iter()
        .map(|(name, old)| (name.to_owned(), value(name, old)))
        .collect();
    fields
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect()
}
