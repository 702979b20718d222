//! Integration tests, one binary: each module one subject.

#[cfg(test)]
mod conf;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod corpus_engine;
#[cfg(test)]
mod loopback;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod smuggle;
