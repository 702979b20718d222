//! A caller on the way through a flow of prompts: where it is stands in the address that was asked, what it has entered is
//! remembered until its call is routed.

use crate::edge::reception::direct::Made;
use crate::edge::reception::voice::{Asked, Purpose, Turned};
use crate::edge::reception::{ENTERED, Entered, REMEMBERED, Reception, Shut};
use crate::store::Entry;
use crate::store::entry::Noted;
use crate::twilio::connect::is_hand_off;
use crate::twilio::front_door::Service;
use crate::twilio::ivr::{End, Flow, Place, Turn, Urls, queue_music};
use crate::twilio::sid::CallSid;
use crate::twilio::twiml::{Response, hangup, pause};
use crate::twilio::voice::IncomingFault;
use crate::types::moment::Moment;

impl Reception {
    /// The document for a caller in a flow. Without a flow, whoever comes in is routed at once, and all else is at its end.
    ///
    /// # Errors
    ///
    /// When it is no call, is refused where it would be routed, or what it has entered cannot be written down.
    pub(in crate::edge) fn lead(
        &self,
        now: Moment,
        service: Service,
        asked: &Asked<'_>,
    ) -> Result<Made, Turned> {
        let leg = leg(asked)?;
        let Some(flow) = &asked.org.voices.flow else {
            if service == Service::IvrMenu {
                return self.receive(now, asked);
            }
            return Ok(Made::Document(Response::of(hangup([]))));
        };
        if service == Service::IvrMenu && is_hand_off(asked.form) {
            // Its payload comes with this request only.
            self.take_in(now, asked, Purpose::Register)?;
        }
        let turn = turn(flow, service, asked);
        if !turn.tags.is_empty() {
            self.enter(now, leg, asked, turn.tags)?;
        }
        match turn.end {
            End::Asks | End::HangsUp => Ok(Made::Document(turn.response)),
            End::Connects => match self.receive(now, asked) {
                Ok(made) => Ok(made.after(turn.response)),
                // It has heard something, so it was answered: what is left is to end it.
                Err(why) if turn.response != Response::default() => match why.document() {
                    Some(_) => {
                        let end = hangup([("error", why.label())]);
                        Ok(Made::Document(turn.response.then(end)))
                    }
                    None => Err(why),
                },
                Err(why) => Err(why),
            },
        }
    }

    /// The document for a caller who is to talk to an assistant.
    ///
    /// # Errors
    ///
    /// When it is no call.
    pub(in crate::edge) fn assist(
        &self,
        service: Service,
        asked: &Asked<'_>,
    ) -> Result<Response, Turned> {
        let leg = leg(asked)?;
        let assistant = &asked.org.voices.assistant;
        Ok(assistant.document(service, leg, &asked.org.id))
    }

    /// The document for a caller who waits in a queue.
    pub(in crate::edge) fn hold(&self, asked: &Asked<'_>) -> Response {
        let voices = &asked.org.voices;
        match &voices.hold {
            Some(prompt) => queue_music(asked.form, prompt, voices.hold_time),
            None => Response::of(pause(voices.hold_time)),
        }
    }

    /// Remembers what a caller has entered, each value of a key once.
    fn enter(
        &self,
        now: Moment,
        leg: CallSid,
        asked: &Asked<'_>,
        tags: Entered,
    ) -> Result<(), Shut> {
        let mut book = self.book();
        book.entered.make_room(now, asked.twilio.calls, &leg);
        let mut entered = book.entered.get(now, &leg).cloned().unwrap_or_default();
        for tag in tags {
            if entered.len() < MOST && !entered.contains(&tag) {
                entered.push(tag);
            }
        }
        let value = serde_json::to_vec(&entered).map_err(|_| Shut::NotKept)?;
        let until = now.after(REMEMBERED);
        self.notebook.keep([Entry::Noted(Noted {
            realm: ENTERED,
            key: &leg.to_string(),
            until,
            value: &value,
        })])?;
        book.entered.insert(until, leg, entered);
        Ok(())
    }
}

fn turn(flow: &Flow, service: Service, asked: &Asked<'_>) -> Turn {
    let urls = Urls {
        base: &asked.twilio.base,
        org: &asked.org.id,
    };
    let place = Place::read(asked.query).unwrap_or_else(|| flow.start());
    if ANSWERS.contains(&service) {
        flow.hear(&place, asked.form, urls)
    } else {
        flow.enter(&place, urls)
    }
}

fn leg(asked: &Asked<'_>) -> Result<CallSid, Turned> {
    let leg = asked.form.one("CallSid").ok().flatten();
    let leg = leg.and_then(CallSid::parse);
    leg.ok_or(Turned::Unreadable(IncomingFault::Leg))
}

/// Services by which a caller answers.
const ANSWERS: [Service; 3] = [
    Service::IvrMenuInput,
    Service::IvrInput,
    Service::IvrRecording,
];

/// Values that are remembered of one caller.
const MOST: usize = 64;
