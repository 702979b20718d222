//! What each user agent of a run is going to do.

use std::time::Duration;

/// One thing that a user agent does by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Caller: sends its INVITE, with credentials if it was challenged.
    Dial,
    /// Caller: gives up; with BYE instead of CANCEL if `by_bye` and a dialog is there already.
    Cancel { by_bye: bool },
    /// Buyer: a provisional response; each `fork` has a To-tag of its own.
    Provisional { status: u16, fork: u8 },
    /// UPDATE before the answer, once there is a dialog.
    EarlyUpdate { has_offer: bool },
    /// Buyer: 200.
    Answer,
    /// Buyer: a failure.
    Refuse(u16),
    /// Within the call: re-INVITE, with an offer or without.
    Reinvite { has_offer: bool },
    /// Within the call: takes back the re-INVITE that is under way.
    Retract,
    /// Within the call: another request.
    Ask(&'static str),
    /// Within the call: UPDATE, with an offer or without.
    Update { has_offer: bool },
    /// Within the call: refreshes the session, as was agreed.
    Refresh,
    /// Within the call: the edge should have refreshed the session by now.
    Expire,
    /// Within the call: the end.
    Bye,
    /// Answers the request in place `server`.
    Reply { server: usize, status: u16 },
    /// From now on nothing is heard or said any more.
    Vanish,
}

/// What a user agent wants of session timers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionPlan {
    /// Session-Expires; `None`: the edge may choose.
    pub(crate) expires: Option<u32>,
    /// What it says of who refreshes.
    pub(crate) refresher: Option<&'static str>,
    /// Buyer: what is shorter gets 422.
    pub(crate) min: u32,
    /// Whether it refreshes when it should.
    pub(crate) keeps: bool,
}

/// What a buyer does when its INVITE is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnCancel {
    /// 487.
    #[default]
    Obey,
    /// Its 200 crosses the CANCEL.
    Cross,
    /// Goes on ringing.
    Ignore,
}

/// How a buyer challenges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// How many INVITEs are refused; more than one: the nonce is called stale.
    pub(crate) times: u32,
    pub(crate) realm: &'static str,
    pub(crate) algorithms: &'static [&'static str],
    /// 407 instead of 401.
    pub(crate) is_proxy: bool,
    /// Whether requests within the call are challenged, too.
    pub(crate) within: bool,
}

/// What one user agent is going to do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// From the first INVITE on, sent or received.
    pub(crate) before: Vec<(Duration, Step)>,
    /// From the moment on at which the call is up.
    pub(crate) within: Vec<(Duration, Step)>,
    /// Caller: the INVITE carries no offer.
    pub(crate) is_late_offer: bool,
    /// Writes short header names.
    pub(crate) compact: bool,
    /// Caller: headers that must not reach a buyer.
    pub(crate) smuggled: Vec<(&'static str, &'static str)>,
    /// Caller: the password, and how long it takes to answer a challenge.
    pub(crate) password: Option<(&'static str, Duration)>,
    pub(crate) session: Option<SessionPlan>,
    /// What Allow says of UPDATE; `None`: there is no Allow.
    pub(crate) takes_update: Option<bool>,
    /// Caller: names 100rel in this header. Buyer: sends provisional responses reliably if it may.
    pub(crate) reliable: Option<&'static str>,
    /// Caller: sends no PRACK, though it asked for reliable responses.
    pub(crate) never_pracks: bool,
    /// Caller: sends no ACK for a 2xx, and is gone.
    pub(crate) never_acks: bool,
    /// Buyer: sends 100.
    pub(crate) tries: bool,
    pub(crate) challenge: Option<Challenge>,
    /// Buyer: a second 200 from another branch, so much later.
    pub(crate) fork: Option<Duration>,
    pub(crate) on_cancel: OnCancel,
}

impl Plan {
    /// Whether its silence may cost the other side an answer.
    pub(crate) fn is_unreliable(&self) -> bool {
        let vanishes =
            |steps: &[(Duration, Step)]| steps.iter().any(|(_, step)| *step == Step::Vanish);
        self.never_acks
            || self.never_pracks
            || self.session.as_ref().is_some_and(|session| !session.keeps)
            || vanishes(&self.before)
            || vanishes(&self.within)
    }
}
