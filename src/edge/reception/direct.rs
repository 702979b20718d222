//! Calls of campaigns whose buyers Twilio calls itself: a call of ours as every other, but what it says and hears are documents
//! and callbacks.
//!
//! ```text
//!  voice ────────> Begin ──────┐                     ┌──> <Dial> the buyer, action=dial-action?u=UUID&a=ATTEMPT
//!  dial-action ──> Left, Over ─┼─> the call's shard ─┼──> <Hangup>, <Reject>
//!  status ───────> Answered ───┘   (`edge::abroad`)  └──> nothing yet: <Redirect>, and Twilio asks again
//! ```
//!
//! Which buyer was named by which attempt is written down before Twilio hears of it, and so is what Twilio tells before the shard
//! does. After a restart the call is taken up by that (`left`). Where there is nothing to take up, because it was given up meanwhile,
//! what is left of its decision is tried by a call of another UUID.

use tracing::{error, info};

use crate::call::errand::{Beginning, Closing, Leg, Said, Step};
use crate::call::output::Refusal;
use crate::call::record::Side;
use crate::edge::reception::guest_call::{Direct, GuestCall, RESUMED};
use crate::edge::reception::voice::{Asked, Turned};
use crate::edge::reception::{REMEMBERED, Reception, Shut};
use crate::twilio::callback::{Callback, News};
use crate::twilio::dial::{Next, Outcome};
use crate::twilio::front_door::Service;
use crate::twilio::progress::Stage;
use crate::twilio::sid::CallSid;
use crate::twilio::twiml::{Dial, Rejection, Response, hangup, redirect, reject};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// What a webhook is answered.
pub(in crate::edge) enum Made {
    /// This.
    Document(Response),
    /// What its call comes to.
    Errand(Box<Errand>),
}

/// What is to be told of a call, and what of it is asked for.
pub(in crate::edge) struct Errand {
    /// The leg on which the caller came to Twilio.
    leg: CallSid,
    call: CallUuid,
    /// `None`: nothing, it is only asked for.
    said: Option<Said>,
    /// The attempt after which something is asked for.
    after: u32,
    /// What the last attempt came to, if there was one.
    next: Option<Next>,
    /// What the caller hears before.
    pub(super) before: Response,
}

impl Made {
    /// With the verbs of another document before its own.
    pub(super) fn after(self, before: Response) -> Self {
        match self {
            Self::Document(response) => Self::Document(before.and(response)),
            Self::Errand(mut errand) => {
                errand.before = before;
                Self::Errand(errand)
            }
        }
    }
}

impl Reception {
    /// A call of a direct campaign, as it was taken in, is to begin.
    pub(super) fn begin(
        &self,
        leg: CallSid,
        call: &GuestCall,
        asked: &Asked<'_>,
        tried: &[String],
    ) -> Result<Made, Turned> {
        let beginning = Beginning {
            ticket: asked.ticket(leg, call)?,
            tried: tried.iter().map(|id| id.as_str().into()).collect(),
            limit: asked.twilio.edge.time_limit,
        };
        Ok(Made::Errand(Box::new(Errand {
            leg,
            call: CallUuid::from_bytes(call.uuid().to_be_bytes()),
            said: Some(Said::Begin(Box::new(beginning))),
            after: 0,
            next: None,
            before: Response::default(),
        })))
    }

    /// A call that has begun is asked for again.
    pub(super) fn ask_again(
        &self,
        now: Moment,
        leg: CallSid,
        call: GuestCall,
        asked: &Asked<'_>,
    ) -> Result<Made, Turned> {
        let uuid = CallUuid::from_bytes(call.uuid().to_be_bytes());
        let Some(direct) = &call.direct else {
            return Err(Turned::NumberUnknown);
        };
        if let Some(how) = &direct.over {
            return Ok(Made::Document(ending(how, direct.attempt)));
        }
        if let Some(how) = self.ended(uuid) {
            self.note_end(now, (leg, uuid), &how);
            return Ok(Made::Document(ending(&how, direct.attempt)));
        }
        if !self.abroad.knows(uuid) {
            // Whoever was named last has not been called, or this would not be asked.
            let mut tried = direct.tried.clone();
            tried.pop();
            return self.resume(now, leg, call, asked, tried);
        }
        Ok(wait(leg, uuid, 0))
    }

    /// What follows the leg to a buyer.
    pub(super) fn follow(
        &self,
        now: Moment,
        (leg, call): (CallSid, GuestCall),
        asked: &Asked<'_>,
    ) -> Result<Made, Turned> {
        let outcome = Outcome::read(asked.form);
        let next = outcome.next();
        let uuid = CallUuid::from_bytes(call.uuid().to_be_bytes());
        let Some(direct) = &call.direct else {
            return Err(Turned::NumberUnknown);
        };
        if let Some(how) = &direct.over {
            return Ok(Made::Document(ending(how, direct.attempt)));
        }
        if let Some(how) = self.ended(uuid) {
            let how = match next {
                Next::Finish | Next::Stop | Next::Gone => next.label(),
                Next::Another(_) => &how,
            };
            self.note_end(now, (leg, uuid), how);
            return Ok(Made::Document(ending(how, direct.attempt)));
        }
        let query = |name: &str| asked.query.one(name).ok().flatten().unwrap_or_default();
        let attempt = query("a").parse().unwrap_or(direct.attempt);
        let is_current = query("u") == call.uuid;
        if !is_current || query("w") == "1" || attempt < direct.attempt {
            // It is told again, or there was nothing to say yet.
            let after = if is_current { attempt } else { 0 };
            return match self.abroad.knows(uuid) {
                true => Ok(wait(leg, uuid, after)),
                false => {
                    let tried = direct.tried.clone();
                    self.resume(now, leg, call, asked, tried)
                }
            };
        }
        let child = outcome.leg.map(|leg| leg.to_string()).unwrap_or_default();
        let what = format!("dial:{attempt}:{child}");
        let tried = direct.tried.clone();
        let said = match next {
            Next::Finish => {
                let by = match outcome.has_caller_gone {
                    true => Side::Caller,
                    false => Side::Buyer,
                };
                Said::Over(attempt, outcome.talked, by)
            }
            Next::Another(why) => Said::Left(attempt, why, outcome.sip_code),
            Next::Stop | Next::Gone => Said::Gone,
        };
        self.change(now, (leg, uuid), |call| {
            if !call.has_told(&what) {
                call.note(now, what, next.label(), None);
            }
            if let Some(direct) = &mut call.direct {
                direct.hear(now, &said);
            }
        });
        if !self.abroad.knows(uuid) {
            return match next {
                Next::Another(_) => self.resume(now, leg, call, asked, tried),
                Next::Finish | Next::Stop | Next::Gone => {
                    self.note_end(now, (leg, uuid), next.label());
                    Ok(Made::Document(ending(next.label(), attempt)))
                }
            };
        }
        Ok(Made::Errand(Box::new(Errand {
            leg,
            call: uuid,
            said: Some(said),
            after: attempt,
            next: Some(next),
            before: Response::default(),
        })))
    }

    /// How a call has ended that this process has not heard of: the last one has written its record, and did not live to say so.
    /// `None`: it has heard of it, or the call has not ended but for us.
    fn ended(&self, uuid: CallUuid) -> Option<String> {
        if self.abroad.knows(uuid) {
            return None;
        }
        let line = self.notebook.shelf()?.record(uuid).ok()??;
        let record: serde_json::Value = serde_json::from_str(&line).ok()?;
        let outcome = record.get("outcome")?.as_str()?;
        (outcome != "edge_restarted").then(|| outcome.to_owned())
    }

    /// What is left of a call that this process has not heard of goes on as another one.
    fn resume(
        &self,
        now: Moment,
        leg: CallSid,
        mut call: GuestCall,
        asked: &Asked<'_>,
        tried: Vec<String>,
    ) -> Result<Made, Turned> {
        let mut book = self.book();
        let uuid = CallUuid::new(&mut book.entropy);
        info!(before = %call.uuid, call = %uuid, "a call goes on that was cut off by a restart");
        let before = std::mem::replace(&mut call.uuid, uuid.to_string());
        call.direct = Some(Direct {
            tried: tried.clone(),
            ..Direct::default()
        });
        call.note(
            now,
            format!("{RESUMED}{uuid}"),
            "sent_to_buyers",
            Some(before),
        );
        let until = now.after(REMEMBERED);
        self.keep_call(until, leg, &call, &[])?;
        let made = self.begin(leg, &call, asked, &tried)?;
        book.calls.insert(until, leg, call);
        Ok(made)
    }

    /// Tells what is to be told, and answers what comes of it.
    ///
    /// # Errors
    ///
    /// When it cannot be written down, or the call is not taken.
    pub(in crate::edge) async fn pursue(
        &self,
        asked: &Asked<'_>,
        errand: Errand,
        clock: fn() -> Moment,
    ) -> Result<Response, Turned> {
        let Errand {
            leg,
            call,
            said,
            after,
            next,
            before,
        } = errand;
        if let Some(said) = said {
            let told = self.abroad.tell(call, said).await;
            told.map_err(|_| Turned::Shut(Shut::NotKept))?;
        }
        let response = match self.abroad.step(call, after).await {
            Some(Step::Call(step)) => self.name_buyer(clock(), asked, (leg, call), &step)?,
            Some(Step::End(why, status)) => self.end(clock(), (leg, call), (&why, status), next),
            Some(Step::Refused(Refusal::Draining)) => return Err(Turned::Shut(Shut::Leaving)),
            Some(Step::Refused(_)) => return Err(Turned::Shut(Shut::Full)),
            Some(Step::Unknown) => Response::of(hangup([])),
            None => {
                let after = after.to_string();
                let more = [("u", &*call.to_string()), ("a", &after), ("w", "1")];
                let base = &asked.twilio.base;
                let url = Service::DialAction.url(base, &asked.org.id, &more);
                Response::of(redirect(&url))
            }
        };
        Ok(before.and(response))
    }

    /// The document that has Twilio call a buyer.
    fn name_buyer(
        &self,
        now: Moment,
        asked: &Asked<'_>,
        (leg, uuid): (CallSid, CallUuid),
        step: &Leg,
    ) -> Result<Response, Turned> {
        let (uuid, attempt) = (uuid.to_string(), step.attempt.to_string());
        let more = [("u", &*uuid), ("a", &*attempt)];
        let base = &asked.twilio.base;
        let dial = Dial {
            target: &step.target,
            caller_id: None,
            timeout: step.ringing,
            time_limit: asked.twilio.edge.time_limit,
            action: &Service::DialAction.url(base, &asked.org.id, &more),
            status: Some(&Service::Status.url(base, &asked.org.id, &more)),
        };
        let document = Response::of(dial.verb()?);
        let mut book = self.book();
        let known = book.calls.get(now, &leg).cloned();
        if let Some(mut call) = known.filter(|call| call.uuid == uuid) {
            let direct = call.direct.get_or_insert_default();
            if direct.attempt < step.attempt {
                direct.name(now, step);
                let buyer = Some(step.buyer.to_string());
                call.note(now, format!("call:{attempt}"), "sent_to_buyer", buyer);
                let until = now.after(REMEMBERED);
                self.keep_call(until, leg, &call, &[])?;
                book.calls.insert(until, leg, call);
            }
        }
        Ok(document)
    }

    /// The document for a call that is over.
    fn end(
        &self,
        now: Moment,
        (leg, uuid): (CallSid, CallUuid),
        (why, status): (&str, u16),
        next: Option<Next>,
    ) -> Response {
        let known = self.book().calls.get(now, &leg).cloned();
        let attempt = known.and_then(|call| call.direct);
        let attempt = attempt.map_or(0, |direct| direct.attempt);
        let how = match next {
            Some(next @ (Next::Finish | Next::Stop | Next::Gone)) => next.label(),
            Some(Next::Another(_)) | None => why,
        };
        self.note_end(now, (leg, uuid), how);
        match (attempt, status) {
            // Nothing has been dialled, so it can still be refused.
            (0, 486) => Response::of(reject(Rejection::Busy, Some(how))),
            (0, _) => Response::of(reject(Rejection::Rejected, Some(how))),
            (_, _) => ending(how, attempt),
        }
    }

    /// Takes down that a call is over.
    fn note_end(&self, now: Moment, which: (CallSid, CallUuid), how: &str) {
        self.change(now, which, |call| {
            let direct = call.direct.get_or_insert_default();
            if direct.over.is_none() {
                direct.over = Some(how.to_owned());
                call.note(now, "over".to_owned(), how, None);
            }
        });
    }

    /// Changes what is known of a call; what happens to the caller does not hang on whether that can be written down.
    fn change(
        &self,
        now: Moment,
        (leg, uuid): (CallSid, CallUuid),
        change: impl FnOnce(&mut GuestCall),
    ) {
        let mut book = self.book();
        let known = book.calls.get(now, &leg).cloned();
        let Some(mut call) = known.filter(|call| call.uuid == uuid.to_string()) else {
            return;
        };
        change(&mut call);
        let until = now.after(REMEMBERED);
        match self.keep_call(until, leg, &call, &[]) {
            Ok(()) => book.calls.insert(until, leg, call),
            Err(_) => error!(%leg, "how a call went on could not be written down"),
        }
    }
}

/// What a callback says of a call that goes on, for its shard; `None`: nothing.
pub(super) fn news_of(leg: CallSid, call: &GuestCall, callback: &Callback) -> Option<Said> {
    let direct = call.direct.as_ref()?;
    let News::Status { stage, seconds, .. } = &callback.news else {
        return None;
    };
    if direct.over.is_some() {
        return None;
    }
    let attempt = direct.attempt;
    if attempt == 0 {
        // Nobody was called yet, and for a caller who has left nobody will be.
        let has_left = callback.leg == Some(leg) && stage.is_end();
        return has_left.then_some(Said::Gone);
    }
    if callback.leg == Some(leg) {
        // The caller's own leg: whoever was called goes with it.
        return stage.is_end().then_some(Said::Closing(
            attempt,
            Closing {
                talked: None,
                by: Some(Side::Caller),
            },
        ));
    }
    match stage {
        Stage::InProgress => Some(Said::Answered(attempt)),
        Stage::Completed => {
            let talked = seconds.map(|seconds| std::time::Duration::from_secs(seconds.into()));
            Some(Said::Closing(attempt, Closing { talked, by: None }))
        }
        // What follows is asked for at `dial-action`.
        Stage::Queued
        | Stage::Initiated
        | Stage::Ringing
        | Stage::Busy
        | Stage::Failed
        | Stage::NoAnswer
        | Stage::Canceled => None,
    }
}

fn wait(leg: CallSid, call: CallUuid, after: u32) -> Made {
    Made::Errand(Box::new(Errand {
        leg,
        call,
        said: None,
        after,
        next: None,
        before: Response::default(),
    }))
}

/// The document for a call that is over, and has been dialled.
fn ending(how: &str, attempt: u32) -> Response {
    match how {
        "caller_gone" => Response::default(),
        _ if attempt == 0 => Response::of(reject(Rejection::Rejected, Some(how))),
        _ => Response::of(hangup([("disposition", how)])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_who_leaves_before_anybody_is_called_is_gone() {
        let leg = CallSid::from_bits(1);
        let heard = |attempt, over: Option<&str>, leg_of: CallSid, stage| {
            let mut call: GuestCall = serde_json::from_str(CALL).unwrap();
            call.direct = Some(Direct {
                attempt,
                over: over.map(ToOwned::to_owned),
                ..Direct::default()
            });
            let callback = Callback {
                leg: Some(leg_of),
                news: News::Status {
                    stage,
                    parent: None,
                    sequence: None,
                    seconds: None,
                    sip_code: None,
                },
            };
            news_of(leg, &call, &callback)
        };

        let (other, end) = (CallSid::from_bits(2), Stage::Completed);
        assert!(matches!(heard(0, None, leg, end), Some(Said::Gone)));
        assert!(heard(0, None, leg, Stage::InProgress).is_none());
        assert!(heard(0, None, other, end).is_none());
        assert!(heard(0, Some("no_match"), leg, end).is_none());
        assert!(matches!(
            heard(1, None, leg, end),
            Some(Said::Closing(1, Closing { talked: None, .. }))
        ));
    }

    const CALL: &str = r#"{"uuid": "00000000-0000-0000-0000-000000000001", "org": "acme", "company": 1,
        "number": "+15555550100", "caller": null, "tags": [], "expires": 0, "legs": {}, "told": []}"#;
}
