//! The webhooks and conversion groups of campaigns, as configured.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::hooks::conversion::{Criterion, Group};
use crate::hooks::keys::PostKeys;
use crate::hooks::past::REPEAT_MEMORY;
use crate::hooks::reply::Output;
use crate::hooks::trigger::Trigger;
use crate::types::condition::Conditions;
use crate::types::secret::Secret;
use crate::types::tag::{Lookup, REPEAT};
use crate::types::template::Template;

/// What all campaigns have, by their places in the routing directory: the two floors do not know one another, so the number
/// of a campaign's place is what they have in common.
#[derive(Default)]
pub struct Hooks {
    campaigns: Vec<Arc<CampaignHooks>>,
    keys: PostKeys,
    is_posted_to: bool,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hooks").field(&self.campaigns).finish()
    }
}

impl Hooks {
    /// Those of each campaign in turn.
    #[must_use]
    pub fn new(campaigns: Vec<CampaignHooks>) -> Self {
        Self {
            campaigns: campaigns.into_iter().map(Arc::new).collect(),
            ..Self::default()
        }
    }

    /// The operator hands out these keys.
    pub fn set_keys(&mut self, keys: PostKeys) {
        self.keys = keys;
    }

    /// Others can say something of calls: there is a way in.
    pub fn open_to_posts(&mut self) {
        self.is_posted_to = true;
    }

    /// Whether others can say something of calls.
    #[must_use]
    pub fn is_posted_to(&self) -> bool {
        self.is_posted_to
    }

    /// The keys that the operator has handed out.
    #[must_use]
    pub fn keys(&self) -> &PostKeys {
        &self.keys
    }

    /// Those of the campaign at `place`; `None`: it has none at all, so its calls need not look.
    #[must_use]
    pub fn of(&self, place: u32) -> Option<&Arc<CampaignHooks>> {
        let found = usize::try_from(place)
            .ok()
            .and_then(|at| self.campaigns.get(at));
        found.filter(|hooks| !hooks.webhooks.is_empty() || !hooks.groups.is_empty())
    }

    /// All webhooks there are.
    pub fn webhooks(&self) -> impl Iterator<Item = &Arc<Webhook>> {
        let campaigns = self.campaigns.iter();
        campaigns.flat_map(|hooks| &hooks.webhooks)
    }
}

/// What one campaign has.
#[derive(Debug, Default)]
pub struct CampaignHooks {
    /// Its webhooks: by trigger, then by `fire_order`, then in the order of the configuration.
    webhooks: Vec<Arc<Webhook>>,
    /// Its conversion groups, in the order of the configuration.
    pub groups: Vec<Arc<Group>>,
    /// See [`memory`](Self::memory).
    memory: Duration,
}

impl CampaignHooks {
    /// Puts the webhooks, which are in the order of the configuration, into the order in which they fire.
    #[must_use]
    pub fn new(mut webhooks: Vec<Arc<Webhook>>, groups: Vec<Arc<Group>>) -> Self {
        webhooks.sort_by_key(|hook| (hook.trigger, hook.fire_order));
        let of_webhooks = webhooks.iter().map(|hook| hook.memory());
        let of_groups = groups.iter().map(|group| group.memory());
        Self {
            memory: of_webhooks.chain(of_groups).max().unwrap_or_default(),
            webhooks,
            groups,
        }
    }

    /// For how long they want earlier calls of a caller remembered; zero: they do not ask.
    #[must_use]
    pub fn memory(&self) -> Duration {
        self.memory
    }

    /// For how long after a call a postback is waited for at most.
    #[must_use]
    pub fn wait(&self) -> Duration {
        let waits = self.groups.iter().map(|group| match group.criterion {
            Criterion::Timer(_) => Duration::ZERO,
            Criterion::Postback { wait, .. } => wait,
        });
        waits.max().unwrap_or_default()
    }

    /// Those of one trigger, in the order in which they fire, whether they match or not.
    pub fn all_of(&self, trigger: Trigger) -> &[Arc<Webhook>] {
        let start = self.webhooks.partition_point(|hook| hook.trigger < trigger);
        let end = self
            .webhooks
            .partition_point(|hook| hook.trigger <= trigger);
        self.webhooks.get(start..end).unwrap_or_default()
    }

    /// Those of one trigger whose conditions are met by what `lookup` knows.
    pub fn matching(
        &self,
        trigger: Trigger,
        lookup: &dyn Lookup,
    ) -> impl Iterator<Item = &Arc<Webhook>> {
        let hooks = self.all_of(trigger).iter();
        hooks.filter(move |hook| hook.matches.matches(lookup).is_ok())
    }
}

/// One webhook.
pub struct Webhook {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// When it fires.
    pub trigger: Trigger,
    /// What must be true of a call for it to fire.
    pub matches: Conditions,
    /// How it asks.
    pub method: Method,
    /// Where it goes; its scheme and host have no token.
    pub url: Template,
    /// Headers of its own.
    pub headers: Vec<(Box<str>, Template)>,
    /// What it sends.
    pub body: Option<Body>,
    /// Lower goes first among those of its trigger.
    pub fire_order: i32,
    /// For how long after it has fired for a caller it does not for the same one.
    pub dedupe: Option<Duration>,
    /// Time from the answer on, of a timer.
    pub after: Duration,
    /// Whether the INVITE waits for the answer to it; only where a buyer was selected.
    pub holds_call: bool,
    /// How long it may take with everything; no longer than its window.
    pub timeout: Duration,
    /// Redirects that are followed at most.
    pub redirects: u8,
    /// What its answer becomes.
    pub output: Output,
    /// Whether it may be sent again though it may have arrived.
    pub is_idempotent: bool,
    /// What its body is signed with.
    pub secret: Option<Secret>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Webhook").field(&self.id).finish()
    }
}

impl Webhook {
    /// For how long it wants earlier calls of a caller remembered; zero: it does not ask.
    fn memory(&self) -> Duration {
        let tokens = self.templates().flat_map(|(_, template)| template.tokens());
        let mut names = self.matches.keys().chain(tokens);
        let repeat = if names.any(|name| name == REPEAT) {
            REPEAT_MEMORY
        } else {
            Duration::ZERO
        };
        self.dedupe.unwrap_or_default().max(repeat)
    }

    /// Every template that it has, with what it is for.
    pub fn templates(&self) -> impl Iterator<Item = (&'static str, &Template)> {
        let headers = self.headers.iter().map(|(_, value)| ("headers", value));
        let body = self.body.iter().map(|body| ("body", &body.text));
        std::iter::once(("url", &self.url))
            .chain(headers)
            .chain(body)
    }
}

/// How a webhook asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// HEAD: no answer is read.
    Head,
}

impl Method {
    /// As HTTP writes it (RFC 9110 §9.3).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Head => "HEAD",
        }
    }

    /// Whether it has a body.
    #[must_use]
    pub fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put)
    }
}

/// What a webhook sends.
#[derive(Debug, Clone)]
pub struct Body {
    /// The text.
    pub text: Template,
    /// What it is; tokens are written accordingly.
    pub content_type: Box<str>,
}

#[cfg(test)]
pub(in crate::hooks) mod tests;
