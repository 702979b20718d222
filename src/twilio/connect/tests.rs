//! The shared vectors, every refusal, and that nobody can sign for another.

use proptest::prelude::*;

use super::*;
use crate::twilio::tests::shared;

const SECRET: &[u8] = b"YOUR_RETREAVER_TWILIO_APP_CONNECT_SECRET";
const SIGNATURE: &str = "2c711addb741bced1e8439b264d75ab999fe0d351b89b5cfd8f53eea322f15d3";

#[test]
fn a_payload_that_its_company_signed_is_a_hand_off() {
    let hand_off = try_form(&payload()).expect("a hand-off");

    assert_eq!(&*hand_off.original_to, "+14155550123");
    assert_eq!(
        hand_off.original_call.to_string(),
        "CA1234567890abcdef1234567890abcdef"
    );
    assert_eq!(hand_off.number.to_string(), "+18005551234");
    assert_eq!(hand_off.company, CompanyKey(1234));
    assert_eq!(hand_off.sign(&Secret::new(SECRET)), SIGNATURE);
}

#[test]
fn fields_come_with_the_prefix_or_without_and_never_with_two_values() {
    let bare: Form = payload()
        .iter()
        .map(|(n, v)| (n.trim_start_matches("Param_"), v))
        .collect();
    assert_eq!(try_form(&bare), try_form(&payload()));

    for field in Field::ALL {
        let name = format!("Param_{}", field.name());
        let value = payload().first(&name).unwrap().to_owned();
        let mut same = payload();
        same.push(field.name(), &value);
        assert_eq!(try_form(&same), try_form(&payload()));
        for other in [field.name(), &name] {
            let mut two = payload();
            two.push(other, "+18005551235");
            assert_eq!(try_form(&two), Err(Refusal::Twice(field)));
        }
        assert_eq!(try_form(&without(field)), Err(Refusal::Missing(field)));
        assert_eq!(try_form(&with(field, "")), Err(Refusal::Malformed(field)));
    }
    assert!(is_hand_off(&payload()) && is_hand_off(&bare));
    let none: Form = [("To", "+18005551234"), ("Param_OriginalTo", "x")]
        .into_iter()
        .collect();
    assert!(!is_hand_off(&none));
}

#[test]
fn a_field_of_another_grammar_is_refused_before_anything_is_computed() {
    for (field, bad) in [
        (Field::OriginalTo, "a\nb"),
        (Field::OriginalTo, "a\u{85}b"),
        (Field::OriginalTo, &"x".repeat(257)),
        (Field::OriginalCallSid, "CA1234567890ABCDEF1234567890abcdef"),
        (Field::OriginalCallSid, "CA1234567890abcdef1234567890abcde"),
        (Field::OriginalCallSid, "AC1234567890abcdef1234567890abcdef"),
        (Field::OriginalCallSid, "+18005551234"),
        (Field::RetreaverPhoneNumber, "18005551234"),
        (Field::RetreaverPhoneNumber, "+08005551234"),
        (Field::RetreaverPhoneNumber, "+123456"),
        (Field::RetreaverPhoneNumber, "+1234567890123456"),
        (Field::RetreaverPhoneNumber, "++8005551234"),
        (Field::RetreaverPhoneNumber, "+1800555:234"),
        (Field::RetreaverPhoneNumber, " +18005551234"),
        (Field::RetreaverCompanyId, "01234"),
        (Field::RetreaverCompanyId, "+1234"),
        (Field::RetreaverCompanyId, "1234:"),
        (Field::RetreaverCompanyId, "12345678901234567890"),
        (Field::RetreaverCompanyId, "acme"),
        (Field::RetreaverSignature, &SIGNATURE[1..]),
        (Field::RetreaverSignature, &SIGNATURE.to_uppercase()),
        (Field::RetreaverSignature, &format!("{SIGNATURE}0")),
    ] {
        assert_eq!(
            try_form(&with(field, bad)),
            Err(Refusal::Malformed(field)),
            "{bad}"
        );
    }
}

#[test]
fn what_is_signed_cannot_be_said_of_something_else() {
    for (field, other) in [
        (Field::OriginalTo, "+14155550124"),
        (Field::OriginalCallSid, "CA1234567890abcdef1234567890abcdee"),
        (Field::RetreaverPhoneNumber, "+18005551235"),
        (Field::RetreaverCompanyId, "1235"),
        (Field::RetreaverSignature, &SIGNATURE.replace('3', "4")),
    ] {
        let refusal = try_form(&with(field, other)).unwrap_err();
        let told = refusal.told();
        assert_eq!(told, "bad_signature", "{refusal:?}");
        assert_eq!(refusal.field(), None);
    }
}

#[test]
fn who_may_not_hand_over_learns_no_more_than_a_forger() {
    let unknown = with(Field::RetreaverCompanyId, "99");
    let disabled = with(Field::RetreaverCompanyId, "77");

    assert_eq!(try_form(&unknown), Err(Refusal::UnknownCompany));
    assert_eq!(try_form(&disabled), Err(Refusal::Disabled));
    assert_eq!(Refusal::UnknownCompany.told(), Refusal::Forged.told());
    assert_eq!(Refusal::Disabled.told(), Refusal::Forged.told());
    assert_ne!(Refusal::Disabled.label(), Refusal::Forged.label());
}

#[test]
fn a_number_is_routed_only_for_the_company_that_owns_it() {
    let claim = |number: &[u8]| {
        let hand_off = HandOff {
            number: Number::from_e164(number).unwrap(),
            ..try_form(&payload()).unwrap()
        };
        let signed = with(
            Field::RetreaverSignature,
            &hand_off.sign(&Secret::new(SECRET)),
        );
        let number = hand_off.number.to_string();
        let form: Form = signed
            .iter()
            .map(|(n, v)| {
                (
                    n,
                    if n == "Param_RetreaverPhoneNumber" {
                        &*number
                    } else {
                        v
                    },
                )
            })
            .collect();
        try_form(&form)
    };

    assert!(claim(b"+18005551234").is_ok());
    assert_eq!(claim(b"+18005559999"), Err(Refusal::ForeignNumber));
}

#[test]
fn both_secrets_hold_while_one_replaces_the_other() {
    let secrets = Rotating {
        current: Secret::new(*b"new"),
        previous: Some(Secret::new(SECRET)),
    };
    let companies = Directory(secrets);

    assert!(Claim::read(&payload()).unwrap().verify(&companies).is_ok());
    let companies = Directory(Rotating::new(Secret::new(*b"new")));
    assert_eq!(
        Claim::read(&payload()).unwrap().verify(&companies),
        Err(Refusal::Forged)
    );
}

#[test]
fn one_call_is_handed_over_a_few_times_and_not_for_ever() {
    let start = Moment::from_millis(1_000_000);
    let limits = Limits::default();
    let leg = CallSid::from_bits;
    let seen = Seen {
        first: start,
        legs: (1..=4).map(leg).collect(),
    };
    let at = |hours: u64| start.after(Duration::from_secs(hours * 3600));

    assert_eq!(HandOff::admit(start, leg(1), None, limits), Ok(Use::New));
    assert_eq!(
        HandOff::admit(at(1), leg(4), Some(&seen), limits),
        Ok(Use::Same)
    );
    assert_eq!(
        HandOff::admit(at(4), leg(5), Some(&seen), limits),
        Ok(Use::New)
    );
    assert_eq!(
        HandOff::admit(at(5), leg(5), Some(&seen), limits),
        Err(Refusal::TooLate)
    );
    assert_eq!(
        HandOff::admit(at(99), leg(4), Some(&seen), limits),
        Ok(Use::Same)
    );

    let full = Seen {
        legs: (1..=5).map(leg).collect(),
        ..seen
    };
    assert_eq!(
        HandOff::admit(at(1), leg(6), Some(&full), limits),
        Err(Refusal::UsedUp)
    );
    assert_eq!(
        HandOff::admit(at(1), leg(5), Some(&full), limits),
        Ok(Use::Same)
    );
    // A clock that was set back makes nothing younger than it is.
    assert_eq!(
        HandOff::admit(
            start.before(Duration::from_secs(60)),
            leg(6),
            Some(&full),
            limits
        ),
        Err(Refusal::UsedUp)
    );
}

#[test]
fn shared_vectors_hold() {
    let Some(vectors) = shared() else {
        return;
    };
    let vectors = vectors["application_connect"].as_array().unwrap();
    for vector in vectors {
        let fields: Vec<_> = vector["params"].as_object().unwrap().iter().collect();
        let form: Form = fields
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str().unwrap()))
            .collect();
        let secret = Secret::new(vector["secret"].as_str().unwrap().as_bytes());
        let companies = Directory(Rotating::new(secret.clone()));

        let verdict = Claim::read(&form).and_then(|claim| claim.verify(&companies));

        assert_eq!(
            verdict.is_ok(),
            vector["valid"].as_bool().unwrap(),
            "{}: {verdict:?}",
            vector["id"]
        );
        if let Ok(hand_off) = verdict {
            assert_eq!(hand_off.canonical(), vector["canonical"].as_str().unwrap());
            assert_eq!(
                hand_off.sign(&secret),
                vector["signature"].as_str().unwrap()
            );
        }
    }
    assert!(vectors.len() >= 7);
}

proptest! {
    /// Cutting the signed text elsewhere gives no payload that is believed.
    #[test]
    fn what_is_signed_can_be_read_in_one_way(to in "[:CA0-9+a-f]{1,10}") {
        let hand_off = HandOff { original_to: to.into(), ..try_form(&payload()).unwrap() };
        let text = hand_off.canonical();
        let signature = hand_off.sign(&Secret::new(SECRET));
        let parts: Vec<&str> = text.split(':').collect();
        let mut read = 0;
        for one in 1..parts.len() {
            for two in one + 1..parts.len() {
                for three in two + 1..parts.len() {
                    let join = |from: usize, to: usize| parts[from..to].join(":");
                    let fields = [join(0, one), join(one, two), join(two, three), join(three, parts.len()), signature.clone()];
                    let form: Form = Field::ALL.iter().map(|f| f.name()).zip(fields.iter().map(|f| &**f)).collect();
                    if let Ok(other) = try_form(&form) {
                        prop_assert_eq!(&other, &hand_off);
                        read += 1;
                    }
                }
            }
        }
        prop_assert_eq!(read, 1);
    }

    #[test]
    fn no_payload_is_too_odd(values in proptest::collection::vec(".{0,70}", 5)) {
        let form: Form = Field::ALL.iter().map(|field| field.name()).zip(values.iter().map(|v| &**v)).collect();
        prop_assert!(try_form(&form).is_err());
    }
}

/// Company 1234 owns +18005551234, company 77 may hand nothing over.
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
        company.0 == 1234 && number.to_string() == "+18005551234"
    }
}

fn try_form(form: &Form) -> Result<HandOff, Refusal> {
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
        ("Param_RetreaverSignature", SIGNATURE),
    ]
    .into_iter()
    .collect()
}

fn with(field: Field, value: &str) -> Form {
    let name = format!("Param_{}", field.name());
    payload()
        .iter()
        .map(|(n, v)| (n, if n == name { value } else { v }))
        .collect()
}

fn without(field: Field) -> Form {
    payload()
        .iter()
        .filter(|(n, _)| !n.ends_with(field.name()))
        .collect()
}
