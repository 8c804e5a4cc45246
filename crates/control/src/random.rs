//! Randomness for secrets.

/// 256 bits from the kernel.
///
/// # Panics
/// When the kernel has none to give: nothing secret could be made then.
pub(crate) fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes after it has started");
    bytes
}
