//! A new configuration for a running edge: all of it is read and checked first, and on any fault the
//! old one stays.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::call::policy::{Listener, Media};
use crate::config;
use crate::config::http::HttpListener;
use crate::config::{Dns, Faults, HttpClient, Settings, Source, Storage, Telemetry};
use crate::edge::Edge;
use crate::edge::http::Given;
use crate::edge::inbox::Order;
use crate::edge::postroom::StreamSettings;
use crate::media::ng;
use crate::media::plan::Patience;
use crate::sip::flow::Transport;
use crate::types::secret::Secret;

/// What was opened or started from the settings and cannot be changed while it runs.
pub(super) struct Fixed {
    name: String,
    shards: usize,
    gather: Duration,
    listeners: Vec<(Transport, SocketAddr, Box<str>)>,
    http: (Option<SocketAddr>, Vec<HttpListener>),
    telemetry: Telemetry,
    dns: Dns,
    http_client: HttpClient,
    storage: Option<Storage>,
    media: Media,
    has_rtpengine: bool,
    seal_keys: Vec<(Box<str>, Secret)>,
}

impl Fixed {
    pub(super) fn of(settings: &Settings) -> Self {
        let facts = |listener: &Listener| {
            let Listener {
                transport,
                bind,
                advertise,
            } = listener;
            (*transport, *bind, advertise.clone())
        };
        Self {
            name: settings.node.name.clone(),
            shards: settings.node.shards,
            gather: settings.node.gather,
            listeners: settings.listeners.iter().map(facts).collect(),
            http: (settings.http.bind, settings.http.listeners.clone()),
            telemetry: settings.telemetry.clone(),
            dns: settings.dns.clone(),
            http_client: settings.http_client.clone(),
            storage: settings.storage.clone(),
            media: Media {
                patience: Patience::default(),
                rtpengine: ng::ask::Terms::default(),
                ..settings.policy.media.clone()
            },
            has_rtpengine: settings.policy.media.rtpengine.is_any(),
            seal_keys: settings
                .twilio
                .as_ref()
                .map(|twilio| twilio.accounts.seal_keys.clone())
                .unwrap_or_default(),
        }
    }

    /// Where this node keeps what it is given.
    pub(super) fn data_dir(&self) -> Option<&Path> {
        self.storage.as_ref().map(|storage| &*storage.data_dir)
    }

    /// Whether `other` has the same keys, in the same order.
    fn seals_like(&self, other: &Self) -> bool {
        let pairs = self.seal_keys.iter().zip(&other.seal_keys);
        let mut same =
            pairs.map(|((id, key), (other, of))| id == other && key.is_equal(of.expose()));
        self.seal_keys.len() == other.seal_keys.len() && same.all(|same| same)
    }

    /// The sections in which `other` differs.
    fn differences(&self, other: &Self) -> Vec<&'static str> {
        [
            ("node.name", self.name == other.name),
            ("node.shards", self.shards == other.shards),
            ("node.gather", self.gather == other.gather),
            ("listen", self.listeners == other.listeners),
            ("http", self.http == other.http),
            ("telemetry", self.telemetry == other.telemetry),
            ("dns", self.dns == other.dns),
            ("http_client", self.http_client == other.http_client),
            ("store", self.storage == other.storage),
            ("media", self.media == other.media),
            ("twilio.seal_key", self.seals_like(other)),
            // Whoever asks them is started at the start.
            (
                "media.rtpengine",
                self.has_rtpengine || !other.has_rtpengine,
            ),
        ]
        .into_iter()
        .filter_map(|(section, is_same)| (!is_same).then_some(section))
        .collect()
    }
}

impl Edge {
    /// Reads the configuration anew, and goes by it if all of it is right. Either way it says so in
    /// the log and in the metrics.
    ///
    /// # Errors
    ///
    /// Every fault of the new configuration; the old one stays in force.
    pub fn reload(&mut self, path: &Path, source: &dyn Source) -> Result<(), Faults> {
        let generation = self.generation + 1;
        match config::load(path, source, generation) {
            Ok(settings) => {
                for section in self.apply(settings) {
                    warn!(section, "changed: needs a restart, and is not applied");
                }
                self.panel.metrics.add_reload_applied();
                info!(generation, "configuration loaded");
                Ok(())
            }
            Err(faults) => {
                for fault in faults.iter() {
                    error!(%fault, "configuration is wrong");
                }
                self.panel.metrics.add_reload_refused();
                error!(
                    generation = self.generation,
                    "configuration not loaded: the old one stays"
                );
                Err(faults)
            }
        }
    }

    /// Goes by `settings` as far as a running edge can, and names the sections that it cannot apply.
    /// Calls under way keep the policy they began with.
    pub fn apply(&mut self, settings: Settings) -> Vec<&'static str> {
        let differences = self.fixed.differences(&Fixed::of(&settings));
        let Settings {
            node,
            mut policy,
            tls,
            peers,
            connections,
            http,
            twilio,
            objects,
            ..
        } = settings;
        policy.listeners.clone_from(&self.listeners);
        policy.media = Media {
            patience: policy.media.patience,
            rtpengine: policy.media.rtpengine,
            ..self.fixed.media.clone()
        };
        self.node.drain_limit = node.drain_limit;
        self.generation = policy.generation;
        self.panel.metrics.set_generation(policy.generation);
        self.office.set_terms(Given {
            http,
            tls: tls.as_ref(),
            twilio,
            objects,
        });
        if let Some(streams) = &self.streams {
            let settings = StreamSettings {
                connections,
                tls,
                peers,
            };
            match settings.terms(&policy) {
                Ok(terms) => streams.set_terms(terms),
                Err(error) => error!(%error, "connections keep their old settings"),
            }
        }
        self.planes.set_terms(&policy.media.rtpengine);
        let buyers = policy.directory.buyers.keys();
        self.panel.metrics.show_buyers(buyers.map(|id| &**id));
        let policy = Arc::new(policy);
        self.panel.set_policy(&policy);
        self.look_names_up(&policy);
        self.order_all(|| Order::Policy(Arc::clone(&policy)));
        differences
    }

    /// Has the file of call records opened anew, for whoever has moved it away.
    pub fn reopen_records(&self) {
        self.keeping.reopen();
    }
}
