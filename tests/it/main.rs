//! Integration tests, one binary: each module one subject.

#[cfg(test)]
pub(crate) mod broken;
#[cfg(test)]
#[path = "../support/certificates.rs"]
mod certificates;
#[cfg(test)]
#[path = "../support/collection.rs"]
mod collection;
#[cfg(test)]
mod conf;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod corpus_engine;
#[cfg(test)]
mod demo;
#[cfg(test)]
#[path = "../support/dns.rs"]
mod dns;
#[cfg(test)]
mod http_client;
#[cfg(test)]
mod loopback;
#[cfg(test)]
mod nasty;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod run;
#[cfg(test)]
mod security;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod shards;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod smuggle;
#[cfg(test)]
mod store;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod streams;
#[cfg(test)]
#[path = "../support/twilio_api/mod.rs"]
mod twilio_api;
#[cfg(test)]
mod vectors;
