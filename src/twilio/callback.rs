//! What Twilio tells while a call goes on: read into types, each with a key by which a second telling is known.
//!
//! Callbacks are facts for a call's record, and tags of a call. What belongs to a card is not read at all.

use std::fmt::Write as _;

use crate::twilio::form::Form;
use crate::twilio::front_door::Service;
use crate::twilio::progress::Stage;
use crate::twilio::sid::{CallSid, RecordingSid, TranscriptionSid};

/// A callback of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The leg that it is about; `None`: it is about a message.
    pub leg: Option<CallSid>,
    /// What it says.
    pub news: News,
}

/// What a callback says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// How the leg gets on.
    Status {
        /// How far it is.
        stage: Stage,
        /// The leg of the caller, where this is the leg of a callee.
        parent: Option<CallSid>,
        /// Its number among the callbacks of the leg.
        sequence: Option<u32>,
        /// For how long it lasted, in seconds.
        seconds: Option<u32>,
        /// The SIP status that it ended with.
        sip_code: Option<u16>,
    },
    /// How a recording gets on.
    Recording {
        /// The recording.
        recording: RecordingSid,
        /// `in-progress`, `completed`, `absent` or `failed`.
        status: Box<str>,
        /// Its length, in seconds.
        seconds: Option<u32>,
        /// Where it is kept.
        url: Option<Box<str>>,
    },
    /// How a transcription gets on.
    Transcription {
        /// The transcription.
        transcription: TranscriptionSid,
        /// `completed`, `failed`, or the event of one that is made while they talk.
        status: Box<str>,
        /// Its place among the events of one that is made while they talk.
        sequence: Option<u32>,
        /// What was said.
        text: Option<Box<str>>,
    },
    /// How a payment gets on. Of the card nothing is read, not even what is masked.
    Payment {
        /// The result, or what is asked for at the moment.
        result: Box<str>,
        /// The number of what went wrong.
        error: Option<Box<str>>,
        /// What the payment provider calls it.
        confirmation: Option<Box<str>>,
        /// How often it was tried.
        attempt: Option<u32>,
    },
    /// A message.
    Message {
        /// Twilio's name of it.
        message: Box<str>,
    },
}

impl Callback {
    /// Reads what a service tells; `None`: it tells nothing that we could write down, because it is a service that asks, or
    /// because it does not say what it is about.
    #[must_use]
    pub fn read(service: Service, form: &Form) -> Option<Self> {
        let first = |name: &str| form.first(name).filter(|value| !value.is_empty());
        let number = |name: &str| first(name).and_then(|value| value.parse().ok());
        let text = |name: &str| first(name).map(|text| kept(text, MOST_TEXT));
        let word = |name: &str| first(name).map(|word| kept(word, MOST_WORD));
        let news = match service {
            Service::Status => News::Status {
                stage: first("CallStatus").and_then(Stage::parse)?,
                parent: first("ParentCallSid").and_then(CallSid::parse),
                sequence: number("SequenceNumber"),
                seconds: number("CallDuration").or_else(|| number("Duration")),
                sip_code: first("SipResponseCode").and_then(|value| value.parse().ok()),
            },
            Service::RecordingStatus => News::Recording {
                recording: first("RecordingSid").and_then(RecordingSid::parse)?,
                status: word("RecordingStatus")?,
                seconds: number("RecordingDuration"),
                url: text("RecordingUrl"),
            },
            Service::TranscriptionStatus => News::Transcription {
                transcription: first("TranscriptionSid").and_then(TranscriptionSid::parse)?,
                status: word("TranscriptionStatus").or_else(|| word("TranscriptionEvent"))?,
                sequence: number("SequenceId"),
                text: text("TranscriptionText").or_else(|| text("TranscriptionData")),
            },
            Service::IvrPaymentStatus => News::Payment {
                result: word("Result").or_else(|| word("For"))?,
                error: word("PayErrorCode").or_else(|| word("ErrorType")),
                confirmation: word("PaymentConfirmationCode"),
                attempt: number("Attempt"),
            },
            Service::Sms => {
                let message = word("MessageSid").or_else(|| word("SmsSid"))?;
                let news = News::Message { message };
                return Some(Self { leg: None, news });
            }
            Service::Voice
            | Service::DialAction
            | Service::IvrMenu
            | Service::IvrMenuInput
            | Service::IvrInput
            | Service::IvrContinue
            | Service::IvrRecording
            | Service::IvrQueueMusic
            | Service::IvrAiOutbound
            | Service::IvrAiTransfer
            | Service::AiVoice => return None,
        };
        let leg = first("CallSid").and_then(CallSid::parse)?;
        let leg = Some(leg);
        Some(Self { leg, news })
    }

    /// What a second telling of the same has in common with the first, and nothing else has.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = String::new();
        let leg = self.leg.map(|leg| leg.to_string()).unwrap_or_default();
        // Writing to a `String` does not fail.
        let _ = match &self.news {
            News::Status {
                stage, sequence, ..
            } => write!(key, "status:{leg}:{stage}:{sequence:?}"),
            News::Recording {
                recording, status, ..
            } => write!(key, "recording:{recording}:{status}"),
            News::Transcription {
                transcription,
                status,
                sequence,
                ..
            } => write!(key, "transcription:{transcription}:{status}:{sequence:?}"),
            News::Payment {
                result, attempt, ..
            } => write!(key, "payment:{leg}:{result}:{attempt:?}"),
            News::Message { message } => write!(key, "message:{message}"),
        };
        key
    }
}

/// A text with an end, without what a terminal would obey. One that goes on behind its end says so.
fn kept(text: &str, most: usize) -> Box<str> {
    let mut letters = text.chars().filter(|letter| !letter.is_control());
    let mut kept: String = letters.by_ref().take(most).collect();
    if letters.next().is_some() {
        kept.push_str(CUT);
    }
    kept.into()
}

/// Characters of one text that are kept: a call has up to 64 of them.
const MOST_TEXT: usize = 512;
/// Characters of a word that are kept: it is in a key, and there are many of those.
const MOST_WORD: usize = 64;
/// What stands behind a text of which there was more.
const CUT: &str = " [cut]";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::twilio::tests::shared;

    const LEG: &str = "CA00000000000000000000000000000003";

    #[test]
    fn a_status_says_how_far_a_leg_is() {
        let callback = read(
            Service::Status,
            &[
                ("CallSid", LEG),
                ("ParentCallSid", "CA00000000000000000000000000000001"),
                ("CallStatus", "completed"),
                ("SequenceNumber", "3"),
                ("CallDuration", "61"),
                ("SipResponseCode", "200"),
            ],
        );

        let callback = callback.expect("a callback");
        assert_eq!(
            callback.news,
            News::Status {
                stage: Stage::Completed,
                parent: Some(CallSid::from_bits(1)),
                sequence: Some(3),
                seconds: Some(61),
                sip_code: Some(200),
            }
        );
        assert_eq!(callback.key(), format!("status:{LEG}:completed:Some(3)"));
    }

    #[test]
    fn nothing_of_a_card_is_read() {
        let callback = read(
            Service::IvrPaymentStatus,
            &[
                ("CallSid", LEG),
                ("Result", "success"),
                ("PaymentToken", "canary-token"),
                ("PaymentCardNumber", "canary-1111"),
                ("ExpirationDate", "canary-1226"),
                ("SecurityCode", "canary-xxx"),
                ("PaymentCardPostalCode", "canary-zip"),
                ("BankAccountNumber", "canary-bank"),
                ("PaymentConfirmationCode", "ch_1"),
            ],
        );

        let callback = callback.expect("a callback");
        assert!(!format!("{callback:?}{}", callback.key()).contains("canary"));
        assert!(
            matches!(callback.news, News::Payment { confirmation: Some(code), .. } if &*code == "ch_1")
        );
    }

    #[test]
    fn what_says_nothing_is_not_written_down() {
        for (service, fields) in [
            (Service::Status, &[("CallSid", LEG)][..]),
            (Service::Status, &[("CallStatus", "ringing")]),
            (
                Service::Status,
                &[("CallStatus", "ringing"), ("CallSid", "CA1")],
            ),
            (
                Service::RecordingStatus,
                &[("CallSid", LEG), ("RecordingStatus", "completed")],
            ),
            (Service::TranscriptionStatus, &[("CallSid", LEG)]),
            (Service::IvrPaymentStatus, &[("CallSid", LEG)]),
            (Service::Sms, &[("Body", "hello")]),
            (
                Service::Voice,
                &[("CallSid", LEG), ("CallStatus", "ringing")],
            ),
        ] {
            assert_eq!(read(service, fields), None, "{service:?} {fields:?}");
        }
    }

    #[test]
    fn texts_have_an_end_and_no_control_characters() {
        let long = "\u{1b}[2Jx\r\n".repeat(MOST_TEXT);
        let fields = [
            ("CallSid", LEG),
            ("TranscriptionSid", "TR00000000000000000000000000000001"),
            ("TranscriptionStatus", "completed"),
            ("TranscriptionText", &long),
        ];

        let callback = read(Service::TranscriptionStatus, &fields).expect("a callback");

        let News::Transcription {
            text: Some(text), ..
        } = callback.news
        else {
            panic!("{callback:?}");
        };
        assert_eq!(text.len(), MOST_TEXT + CUT.len());
        assert!(text.ends_with(CUT) && !text.chars().any(char::is_control));
    }

    #[test]
    fn words_have_an_end_too_because_they_are_in_keys() {
        for (name, length, is_cut) in [
            ("TranscriptionStatus", MOST_WORD, false),
            ("TranscriptionStatus", MOST_WORD + 1, true),
            ("TranscriptionEvent", 60_000, true),
        ] {
            let long = "\u{1f600}".repeat(length);
            let fields = [
                ("CallSid", LEG),
                ("TranscriptionSid", "TR00000000000000000000000000000001"),
                (name, &long),
            ];

            let callback = read(Service::TranscriptionStatus, &fields).expect("a callback");

            let key = callback.key();
            assert!(key.len() < 400, "{key}");
            assert_eq!(key.contains(CUT), is_cut, "{key}");
        }
        let long = "x".repeat(10_000);
        let message = read(Service::Sms, &[("MessageSid", &long)]).expect("a callback");
        assert!(message.key().len() < 100, "{}", message.key());
        let fields = [
            ("CallSid", LEG),
            ("Result", &*long),
            ("PaymentConfirmationCode", &long),
        ];
        let paid = read(Service::IvrPaymentStatus, &fields).expect("a callback");
        assert!(format!("{paid:?}").len() < 400, "{paid:?}");
    }

    #[test]
    fn the_webhooks_of_the_vectors_are_read() {
        let Some(vectors) = shared() else {
            return;
        };
        let mut keys = Vec::new();
        for vector in vectors["signatures"].as_array().unwrap() {
            let url = vector["request_url"].as_str().unwrap();
            let path = url.split_once(".com").map_or("", |(_, path)| path);
            let path = path.split('?').next().unwrap();
            let Some((_, service)) = crate::twilio::front_door::find(path) else {
                continue;
            };
            let form = Form::parse(vector["body"].as_str().unwrap().as_bytes()).unwrap();
            keys.extend(Callback::read(service, &form).map(|callback| callback.key()));
        }
        assert_eq!(
            keys,
            [
                format!("status:{LEG}:ringing:Some(1)"),
                format!("status:{LEG}:in-progress:Some(2)"),
                "transcription:TR00000000000000000000000000000001:completed:None".to_owned(),
                "payment:CA00000000000000000000000000000001:success:None".to_owned(),
            ]
        );
    }

    proptest! {
        #[test]
        fn no_callback_is_too_odd(value in "(?s).{0,40}", service in 0_usize..16) {
            let form: Form = NAMES.iter().map(|name| (*name, &*value)).collect();
            let _ = Callback::read(Service::ALL[service], &form);
        }
    }

    /// What is read of callbacks.
    const NAMES: [&str; 9] = [
        "CallSid",
        "CallStatus",
        "SequenceNumber",
        "CallDuration",
        "RecordingStatus",
        "TranscriptionText",
        "Result",
        "Attempt",
        "MessageSid",
    ];

    fn read(service: Service, fields: &[(&str, &str)]) -> Option<Callback> {
        Callback::read(service, &fields.iter().copied().collect())
    }
}
