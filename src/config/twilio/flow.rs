//! `[[twilio.org.step]]`: the flow of prompts before an organisation's calls are routed, and who talks to a caller else.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::desk::Desk;
use crate::config::keys;
use crate::config::raw::{Section, Spot};
use crate::twilio::assistant::Assistant;
use crate::twilio::ivr::{Act, Choice, Flow, InputKind, Patience, Prompt, Step, Way};

/// What callers hear before their call is routed, or instead.
#[derive(Debug, Clone)]
pub struct Voices {
    /// What callers are asked who come by `ivr-menu`; `None`: nothing, they are routed at once.
    pub flow: Option<Flow>,
    /// Who talks to callers that come by `ai-voice`, `ivr-ai-outbound` and `ivr-ai-transfer`.
    pub assistant: Assistant,
    /// What callers hear who wait in a queue; `None`: silence.
    pub hold: Option<Prompt>,
    /// For how long they wait there.
    pub hold_time: Duration,
}

impl Voices {
    pub(super) fn read(section: &Section<'_>, desk: &mut Desk<'_>) -> Self {
        let assistant = section.text("assistant", desk).map(|url| {
            let found = Assistant::parse(url.value);
            found.unwrap_or_else(|fault| {
                desk.fault(url.place, fault.to_string(), ASSISTANT);
                Assistant::Nobody
            })
        });
        let hold = section.text("hold", desk);
        let minute = Duration::from_secs(60);
        Self {
            flow: flow(section, desk),
            assistant: assistant.unwrap_or_default(),
            hold: hold.and_then(|url| play(url, desk)),
            hold_time: section.duration("hold_time", minute * 10, minute..=minute * 240, desk),
        }
    }
}

fn flow(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Flow> {
    let sections = section.sections("step", &keys::TWILIO_STEP, desk);
    if sections.is_empty() {
        return None;
    }
    let before = desk.count();
    let steps = sections.iter().map(|one| step(one, desk));
    let steps: Vec<Step> = steps.collect();
    if desk.count() > before {
        // What is not what it should be may lead nowhere for that.
        return None;
    }
    match Flow::new(steps) {
        Ok(flow) => Some(flow),
        Err(faults) => {
            for fault in faults {
                let place = section.place_of("step");
                desk.fault(
                    place,
                    fault.to_string(),
                    "each step leads to another, \"connect\" or \"hangup\"",
                );
            }
            None
        }
    }
}

fn step(section: &Section<'_>, desk: &mut Desk<'_>) -> Step {
    let id = section.need("id", "language", desk);
    Step {
        id: id.map_or("", |id| id.value).into(),
        prompt: prompt(section, desk),
        act: act(section, desk),
    }
}

fn prompt(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Prompt> {
    let said = section.text("say", desk);
    let played = section.text("play", desk);
    let voice = section.text("voice", desk).map(|voice| voice.value.into());
    let language = section.text("language", desk);
    let language = language.map(|language| language.value.into());
    match (said, played) {
        (Some(said), None) => Some(Prompt::Say {
            text: said.value.into(),
            voice,
            language,
        }),
        (None, Some(played)) => play(played, desk),
        (None, None) => None,
        (Some(_), Some(played)) => {
            desk.fault(
                played.place,
                "is one prompt too many",
                "either `say` or `play`",
            );
            None
        }
    }
}

fn play(url: Spot<&str>, desk: &mut Desk<'_>) -> Option<Prompt> {
    let is_plain = url.value.bytes().all(|byte| byte.is_ascii_graphic());
    if !url.value.starts_with("https://") || !is_plain {
        let right = "for example \"https://files.example.com/hold.mp3\"";
        desk.fault(url.place, "is no address of a recording", right);
        return None;
    }
    Some(Prompt::Play(url.value.into()))
}

fn act(section: &Section<'_>, desk: &mut Desk<'_>) -> Act {
    let choices = section.sections("choice", &keys::TWILIO_CHOICE, desk);
    let input = section.choice("input", INPUTS, desk);
    let most = section.count("digits", 1, 1..=32, desk);
    let tag = section.text("tag", desk).map(|tag| tag.value.into());
    let second = Duration::from_secs(1);
    let record = section.duration("record", second * 60, second..=second * 3600, desk);
    let next = way(section, "next", desk);
    let patience = Patience {
        timeout: section.duration("timeout", second * 5, second..=second * 60, desk),
        tries: u8::try_from(section.count("tries", 2, 1..=9, desk)).unwrap_or(1),
        otherwise: way(section, "otherwise", desk).unwrap_or(Way::Connect),
    };
    let asks = [!choices.is_empty(), input.is_some(), section.has("record")];
    if asks.iter().filter(|asks| **asks).count() > 1 {
        let right = "one of `choice`, `input` and `record`";
        desk.fault(section.place, "asks for several things at once", right);
    }
    if choices.is_empty() && next.is_none() && !section.has("next") {
        section.missing("next", "\"connect\", \"hangup\" or the id of a step", desk);
    }
    let next = next.unwrap_or(Way::Connect);
    if !choices.is_empty() {
        let choices = choices.iter().filter_map(|one| choice(one, desk));
        let choices = choices.collect::<BTreeMap<char, Choice>>();
        return Act::Menu { choices, patience };
    }
    match input {
        Some(input) => {
            if tag.is_none() && !section.has("tag") {
                section.missing("tag", "the tag that it becomes: tag = \"caller_zip\"", desk);
            }
            Act::Input {
                tag: tag.unwrap_or_default(),
                kind: match input.value {
                    Input::Digits => InputKind::Digits(u8::try_from(most).unwrap_or(1)),
                    Input::Speech => InputKind::Speech,
                },
                next,
                patience,
            }
        }
        None if section.has("record") => Act::Record { most: record, next },
        None => Act::Go(next),
    }
}

fn choice(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<(char, Choice)> {
    let key = section.need("key", "1", desk);
    let tag = section.text("tag", desk);
    let value = section.text("value", desk);
    if tag.is_some() != value.is_some() {
        let right = "`tag` and `value` belong together";
        desk.fault(section.place, "sets half a tag", right);
    }
    let next = way(section, "next", desk);
    let key = key?;
    let mut letters = key.value.chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else {
        desk.fault(key.place, "is no key", "one of 0 to 9, * and #");
        return None;
    };
    let tag = tag.zip(value);
    let choice = Choice {
        tag: tag.map(|(tag, value)| (tag.value.into(), value.value.into())),
        next: next.unwrap_or(Way::Connect),
    };
    Some((letter, choice))
}

/// Where a step leads; `None`: that is not said.
fn way(section: &Section<'_>, key: &'static str, desk: &mut Desk<'_>) -> Option<Way> {
    let text = section.text(key, desk)?;
    Some(match text.value {
        "connect" => Way::Connect,
        "hangup" => Way::HangUp,
        step => Way::Step(step.into()),
    })
}

#[derive(Clone, Copy)]
enum Input {
    Digits,
    Speech,
}

const INPUTS: &[(&str, Input)] = &[("digits", Input::Digits), ("speech", Input::Speech)];

const ASSISTANT: &str =
    "\"wss://assistant.example.com/stream\" or \"https://assistant.example.com/twiml\"";
