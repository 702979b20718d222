//! A small flow of prompts before a call is routed: what is said, what may be pressed or spoken, and where that leads. What
//! callers enter becomes tags of the call, and reaches the decision.
//!
//! ```text
//!  ivr-menu ------> step ---+-- says and goes on ------------------------------------------> step
//!                           +-- menu    <Gather> one key ---- ivr-menu-input --- choice ---> step, connect, hang up
//!                           +-- input   <Gather> digits, words --- ivr-input --- tag ------> step ...
//!                           +-- record  <Record> ---------- ivr-recording ------------------> step ...
//! ```
//!
//! A flow is checked before it is used: no step leads nowhere, and none leads in a circle without asking anybody. Where a
//! caller is stands in the address that Twilio asks next; it is signed with it.

mod flow;

use std::time::Duration;

pub use self::flow::{
    Act, Choice, Flow, FlowFault, InputKind, MOST_STEPS, Patience, Prompt, Step, Way,
};
use crate::twilio::form::Form;
use crate::twilio::front_door::Service;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::twiml::{Response, hangup, seconds};
use crate::twilio::xml::Element;
use crate::types::tag::MOST_VALUE;

/// Where a caller is in a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The step.
    pub step: Box<str>,
    /// How often it was asked before.
    pub asked: u8,
}

/// What a caller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The document, but for what [`End`] adds.
    pub response: Response,
    /// What the document ends with.
    pub end: End,
    /// Tags that the call gets: keys and values.
    pub tags: Vec<(Box<str>, Box<str>)>,
}

/// How a document ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a question, whose answer comes by another request.
    Asks,
    /// With the call's routing, which whoever asked adds.
    Connects,
    /// With the end of the call.
    HangsUp,
}

/// How addresses of a flow begin and whose they are.
#[derive(Clone, Copy)]
pub struct Urls<'u> {
    /// Where the world reaches us.
    pub base: &'u PublicUrl,
    /// Whose.
    pub org: &'u str,
}

impl Flow {
    /// Where callers come in.
    #[must_use]
    pub fn start(&self) -> Place {
        let step = self.first().map(|step| step.id.clone());
        Place {
            step: step.unwrap_or_default(),
            asked: 0,
        }
    }

    /// What a caller gets who is at a place. One that is not there, as after a reload, is the start.
    #[must_use]
    pub fn enter(&self, place: &Place, urls: Urls<'_>) -> Turn {
        let way = match self.step(&place.step) {
            Some(_) => Way::Step(place.step.clone()),
            None => Way::Step(self.start().step),
        };
        self.follow(&way, place.asked, urls)
    }

    /// What a caller gets who was asked at a place and answered this, or nothing.
    #[must_use]
    pub fn hear(&self, place: &Place, form: &Form, urls: Urls<'_>) -> Turn {
        let Some(step) = self.step(&place.step) else {
            return self.enter(&self.start(), urls);
        };
        match step.answer(form) {
            Heard::Well(next, tag) => {
                let mut turn = self.follow(next, 0, urls);
                turn.tags.extend(tag);
                turn
            }
            Heard::Nothing(patience) => {
                let asked = place.asked.saturating_add(1);
                if asked < patience.tries {
                    self.follow(&Way::Step(step.id.clone()), asked, urls)
                } else {
                    self.follow(&patience.otherwise, 0, urls)
                }
            }
        }
    }

    /// Writes steps into one document until one of them asks, or the flow is at its end.
    fn follow(&self, way: &Way, asked: u8, urls: Urls<'_>) -> Turn {
        let mut response = Response::default();
        let mut way = way;
        // No flow is longer, and no circle was let in.
        for _ in 0..=MOST_STEPS {
            let end = match way {
                Way::Connect => End::Connects,
                Way::HangUp => {
                    response = response.then(hangup([]));
                    End::HangsUp
                }
                Way::Step(id) => {
                    let Some(step) = self.step(id) else {
                        break;
                    };
                    let prompt = step.prompt.as_ref().map(Prompt::verb);
                    if let Act::Go(next) = &step.act {
                        response = prompt.into_iter().fold(response, Response::then);
                        way = next;
                        continue;
                    }
                    let verbs = step.question(prompt, asked, urls);
                    response = verbs.into_iter().fold(response, Response::then);
                    End::Asks
                }
            };
            return Turn {
                response,
                end,
                tags: Vec::new(),
            };
        }
        Turn {
            response: response.then(hangup([])),
            end: End::HangsUp,
            tags: Vec::new(),
        }
    }
}

/// What a caller said.
enum Heard<'s> {
    /// Something that leads on.
    Well(&'s Way, Option<(Box<str>, Box<str>)>),
    /// Nothing, or something that leads nowhere.
    Nothing(&'s Patience),
}

impl Step {
    fn answer(&self, form: &Form) -> Heard<'_> {
        let first = |name: &str| form.first(name).unwrap_or_default();
        match &self.act {
            Act::Go(next) | Act::Record { next, .. } => Heard::Well(next, None),
            Act::Menu { choices, patience } => {
                let mut digits = first("Digits").chars();
                let key = digits.next().filter(|_| digits.next().is_none());
                match key.and_then(|key| choices.get(&key)) {
                    Some(choice) => Heard::Well(&choice.next, choice.tag.clone()),
                    None => Heard::Nothing(patience),
                }
            }
            Act::Input {
                tag,
                kind,
                next,
                patience,
            } => {
                let value = match kind {
                    InputKind::Digits(most) => {
                        let digits = first("Digits");
                        let is_digits = digits.bytes().all(|digit| digit.is_ascii_digit());
                        let fits = digits.len() <= usize::from(*most);
                        if is_digits && fits { digits } else { "" }.to_owned()
                    }
                    InputKind::Speech => spoken(first("SpeechResult")),
                };
                if value.is_empty() {
                    return Heard::Nothing(patience);
                }
                Heard::Well(next, Some((tag.clone(), value.into())))
            }
        }
    }

    /// The verbs that ask.
    fn question(&self, prompt: Option<Element>, asked: u8, urls: Urls<'_>) -> Vec<Element> {
        let action = |service: Service| {
            let asked = asked.to_string();
            let place = [("step", &*self.id), ("asked", &*asked)];
            service.url(urls.base, urls.org, &place)
        };
        let gather = |service: Service, patience: &Patience| {
            Element::new("Gather")
                .with("action", action(service))
                .with("method", "POST")
                .with("timeout", seconds(patience.timeout, MOST_WAITING))
                .with("actionOnEmptyResult", "true")
        };
        match &self.act {
            Act::Go(_) => prompt.into_iter().collect(),
            Act::Menu { patience, .. } => {
                let gather = gather(Service::IvrMenuInput, patience)
                    .with("input", "dtmf")
                    .with("numDigits", "1")
                    // Every key counts, so none ends the input.
                    .with("finishOnKey", "");
                vec![gather.children(prompt)]
            }
            Act::Input { kind, patience, .. } => {
                let gather = gather(Service::IvrInput, patience);
                let gather = match kind {
                    InputKind::Digits(most) => gather
                        .with("input", "dtmf")
                        .with("numDigits", most.to_string())
                        .with("finishOnKey", "#"),
                    InputKind::Speech => {
                        gather.with("input", "speech").with("speechTimeout", "auto")
                    }
                };
                vec![gather.children(prompt)]
            }
            Act::Record { most, .. } => {
                let record = Element::new("Record")
                    .with("action", action(Service::IvrRecording))
                    .with("method", "POST")
                    .with("maxLength", seconds(*most, MOST_RECORDED))
                    .with("playBeep", "true")
                    .with(
                        "recordingStatusCallback",
                        Service::RecordingStatus.url(urls.base, urls.org, &[]),
                    );
                prompt.into_iter().chain([record]).collect()
            }
        }
    }
}

impl Prompt {
    fn verb(&self) -> Element {
        match self {
            Self::Say {
                text,
                voice,
                language,
            } => Element::new("Say")
                .with_some("voice", voice.as_deref())
                .with_some("language", language.as_deref())
                .text(&**text),
            Self::Play(url) => Element::new("Play").text(&**url),
        }
    }
}

impl Place {
    /// Reads it from the query of the address that Twilio asked; what is not there is the start.
    #[must_use]
    pub fn read(query: &Form) -> Option<Self> {
        let step = query.first("step")?;
        let asked = query.first("asked").and_then(|asked| asked.parse().ok());
        Some(Self {
            step: step.into(),
            asked: asked.unwrap_or_default(),
        })
    }
}

/// What callers hear who wait in a queue: this again and again, until somebody takes them. After so many seconds in it they
/// leave it.
#[must_use]
pub fn queue_music(form: &Form, prompt: &Prompt, longest: Duration) -> Response {
    let waited = form.first("QueueTime").and_then(|time| time.parse().ok());
    if Duration::from_secs(waited.unwrap_or_default()) >= longest {
        return Response::of(Element::new("Leave"));
    }
    Response::of(prompt.verb())
}

/// What was said, as the value of a tag: in lower case, without the full stop that speech recognition adds.
fn spoken(text: &str) -> String {
    let text = text.trim().trim_end_matches(['.', '!', '?']);
    let mut value = String::new();
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        for letter in letter.to_lowercase() {
            if value.len() + letter.len_utf8() > MOST_VALUE {
                return value;
            }
            value.push(letter);
        }
    }
    value
}

const MOST_WAITING: Duration = Duration::from_secs(60);
const MOST_RECORDED: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
