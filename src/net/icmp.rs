//! What ICMP says of a datagram of ours.

/// Whether ICMP says that the destination cannot be had (RFC 3261 §18.4): destination unreachable
/// and parameter problem are; time exceeded and "fragmentation needed" are not.
pub(super) fn is_unreachable(error: &libc::sock_extended_err) -> bool {
    const FRAGMENTATION_NEEDED: u8 = 4;
    match (error.ee_origin, error.ee_type) {
        (libc::SO_EE_ORIGIN_ICMP, 3) => error.ee_code != FRAGMENTATION_NEEDED,
        (libc::SO_EE_ORIGIN_ICMP, 12) | (libc::SO_EE_ORIGIN_ICMP6, 1 | 4) => true,
        _ => false,
    }
}
