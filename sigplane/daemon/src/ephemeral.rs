//! Ports for connections that we open: the kernel takes them from its ephemeral range, where none of the media ports
//! may be taken.

use std::ops::RangeInclusive;

use tandem_config::Config;

/// The kernel's range.
const FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// With fewer left, a busy appliance may run out of them.
const FEW: usize = 1_000;

/// Says so if the media ports leave few of them, or none.
pub(crate) fn check(config: &Config) {
    if config.sip.listen.is_empty() {
        return;
    }
    let range = std::fs::read_to_string(FILE).ok();
    let Some(range) = range.as_deref().and_then(read) else {
        return;
    };
    let media = config.realms.iter().map(|realm| realm.media_ports.clone());
    let left = left(&range, &media.collect::<Vec<_>>());
    if left < FEW {
        tracing::warn!(
            "`realm.media_ports`: they leave {left} of the kernel's ephemeral ports ({} to {}) for connections that \
             the appliance opens, by TCP and TLS; narrow them, or widen net.ipv4.ip_local_port_range",
            range.start(),
            range.end()
        );
    }
}

/// Two numbers and white space.
fn read(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse);
    let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(first..=last)
}

fn left(range: &RangeInclusive<u16>, media: &[RangeInclusive<u16>]) -> usize {
    let is_free = |port: &u16| !media.iter().any(|taken| taken.contains(port));
    range.clone().filter(is_free).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_media_ports_leave_is_counted() {
        let range = read("32768\t60999\n").unwrap();
        assert_eq!(range, 32_768..=60_999);
        assert_eq!(left(&range, &[30_000..=32_767]), range.len());
        assert_eq!(left(&range, &[20_000..=40_000, 50_000..=65_535]), 9_999);
        assert_eq!(left(&range, &[1_024..=65_535]), 0);
        assert_eq!((read("1"), read("a b"), read("")), (None, None, None));
    }
}
