//! Asks Twilio at the start how the numbers of our accounts are set up, and says what is wrong with that. On a thread of its
//! own, which nobody waits for: it keeps no call from being taken.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::time;
use tracing::{info, warn};

use crate::config::Twilio;
use crate::config::twilio::Org;
use crate::edge::accounts::{Switchboard, Vendor};
use crate::edge::admin::Panel;
use crate::edge::http::Office;
use crate::twilio::integration::Integration;
use crate::twilio::numbers::Remote;
use crate::twilio::self_check::look;

/// How long it may take for one organisation.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it takes.
pub(super) struct SelfCheck {
    twilio: Arc<Twilio>,
    switchboard: Arc<Switchboard>,
    vendor: Vendor,
    panel: Arc<Panel>,
}

impl SelfCheck {
    /// Begins, if it is wanted, and returns at once.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub(super) fn start(office: &Office) -> io::Result<()> {
        match office.twilio() {
            Some(twilio) if twilio.accounts.is_checked => Self {
                twilio,
                switchboard: Arc::clone(&office.switchboard),
                vendor: office.vendor.apart(),
                panel: Arc::clone(&office.panel),
            }
            .spawn(),
            Some(_) | None => Ok(()),
        }
    }

    fn spawn(self) -> io::Result<()> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = thread::Builder::new().name("self-check".to_owned());
        let work = move || runtime.block_on(self.run());
        thread.spawn(work).map(drop)
    }

    async fn run(self) {
        for org in &self.twilio.orgs {
            let Some(integration) = self.account(org) else {
                continue;
            };
            let checked = self.check(org, &integration);
            if time::timeout(PATIENCE, checked).await.is_err() {
                self.fail(org, "timeout");
            }
        }
    }

    /// The account that an organisation has; `None`: none whose credentials we know.
    fn account(&self, org: &Org) -> Option<Arc<Integration>> {
        let Some(account) = &org.account else {
            return self.switchboard.accounts.connection(&org.id);
        };
        Some(Arc::new(Integration {
            name: Box::from(&*org.id),
            account: account.sid,
            auth_token: account.keys.auth_token.clone()?,
            application: None,
            key: None,
        }))
    }

    async fn check(&self, org: &Org, integration: &Integration) {
        let host = &self.twilio.accounts.api;
        let numbers = match self.vendor.numbers(host, integration).await {
            Ok(numbers) => numbers,
            Err(fault) => {
                self.fail(org, fault.label());
                return;
            }
        };
        let policy = self.panel.policy();
        let mut wrong = 0;
        for number in numbers.iter().filter_map(Remote::read) {
            let is_ours = policy.directory.numbers.contains_key(&number.number);
            for (field, finding) in look(&self.twilio.base, &number, is_ours) {
                self.vendor.add_finding(finding.label());
                if finding.is_wrong() {
                    wrong += 1;
                    warn!(
                        org = %org.id,
                        number = %number.number,
                        field,
                        finding = finding.label(),
                        public_url = %self.twilio.base,
                        "Twilio does not ask us about this number, or not so that we could believe it"
                    );
                }
            }
        }
        info!(org = %org.id, numbers = numbers.len(), wrong, "the set-up at Twilio is looked at");
    }

    fn fail(&self, org: &Org, why: &'static str) {
        self.vendor.add_finding("failed");
        warn!(org = %org.id, why, "the set-up at Twilio cannot be looked at");
    }
}
