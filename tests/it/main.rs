//! Integration tests, one binary: each module one subject.

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod loopback;
