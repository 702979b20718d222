//! Integration tests, one binary: each module one subject.

#[cfg(test)]
mod conf;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod loopback;
#[cfg(test)]
mod replay;
