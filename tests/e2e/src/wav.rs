//! Sound: test signals, WAV files, and whether what was heard is what was said.

use std::f64::consts::TAU;
use std::path::Path;

use crate::{Failure, Result};

/// Sound of one channel, 16 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// The samples.
    pub samples: Vec<i16>,
}

/// How well a recording agrees with what was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likeness {
    /// The sent sound's sample at which the recording begins (negative: it begins before).
    pub offset: i64,
    /// The median correlation of the recording's blocks with the sent sound, 0 to 1.
    pub correlation: f64,
    /// The share of blocks that correlate above 0.9.
    pub good_blocks: f64,
    /// The recording's level against the sent one: 1 is equal.
    pub level: f64,
}

impl Likeness {
    /// Whether it is the same sound: companding and a few repaired packets are forgiven, silence,
    /// noise and another sound are not.
    #[must_use]
    pub fn is_the_same(&self) -> bool {
        self.correlation > 0.97 && self.good_blocks > 0.9 && (0.8..1.25).contains(&self.level)
    }
}

impl Sound {
    /// Reads a WAV file of 16 bit PCM; the first channel.
    ///
    /// # Errors
    /// When it is not one.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).map_err(Failure::while_(format!("reading {}", path.display())))?;
        Self::parse(&bytes)
            .ok_or_else(|| Failure::new(format!("{} is not a 16 bit WAV file", path.display())))
    }

    /// Writes a WAV file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let size = u32::try_from(self.samples.len() * 2).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(self.samples.len() * 2 + 44);
        bytes.extend(b"RIFF");
        bytes.extend((size + 36).to_le_bytes());
        bytes.extend(b"WAVEfmt ");
        bytes.extend(16u32.to_le_bytes());
        for half in [1u16, 1] {
            bytes.extend(half.to_le_bytes());
        }
        bytes.extend(self.rate.to_le_bytes());
        bytes.extend((self.rate * 2).to_le_bytes());
        for half in [2u16, 16] {
            bytes.extend(half.to_le_bytes());
        }
        bytes.extend(b"data");
        bytes.extend(size.to_le_bytes());
        bytes.extend(self.samples.iter().flat_map(|s| s.to_le_bytes()));
        std::fs::write(path, bytes).map_err(Failure::while_(format!("writing {}", path.display())))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..4)? != b"RIFF" || bytes.get(8..12)? != b"WAVE" {
            return None;
        }
        let (mut at, mut format) = (12, None);
        loop {
            let kind = bytes.get(at..at + 4)?;
            let size = u32::from_le_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?);
            let size = usize::try_from(size).ok()?;
            let body = bytes.get(at + 8..)?;
            let body = body.get(..size).unwrap_or(body);
            match kind {
                b"fmt " => {
                    let half =
                        |i: usize| Some(u16::from_le_bytes(body.get(i..i + 2)?.try_into().ok()?));
                    let rate = u32::from_le_bytes(body.get(4..8)?.try_into().ok()?);
                    format = Some((half(0)?, half(2)?, rate, half(14)?));
                }
                b"data" => {
                    let (1, channels @ 1.., rate, 16) = format? else {
                        return None;
                    };
                    let frame = usize::from(channels) * 2;
                    let first = |f: &[u8]| Some(i16::from_le_bytes([*f.first()?, *f.get(1)?]));
                    let samples = body.chunks_exact(frame).filter_map(first).collect();
                    return Some(Self { rate, samples });
                }
                _ => {}
            }
            at += 8 + size + size % 2;
        }
    }
}

/// A sound that is at no two moments the same, so that it can be found again: a sum of two slow
/// sweeps between 300 and 3,000 Hz, in another way for each `seed`.
#[must_use]
pub fn sweep(rate: u32, seconds: u32, seed: u32) -> Sound {
    let (low, high) = (
        300.0 + 70.0 * f64::from(seed),
        3_000.0 - 90.0 * f64::from(seed),
    );
    let length = f64::from(seconds);
    let samples = (0..rate * seconds)
        .map(|i| {
            let t = f64::from(i) / f64::from(rate);
            let up = TAU * (low * t + (high - low) * t * t / (2.0 * length));
            let down = TAU * (high * t - (high - low) * 0.7 * t * t / (2.0 * length));
            to_sample(8_000.0 * up.sin() + 5_000.0 * down.sin())
        })
        .collect();
    Sound { rate, samples }
}

/// G.711 A-law (ITU-T G.711), as sipp plays it.
#[must_use]
pub fn to_alaw(sound: &Sound) -> Vec<u8> {
    sound.samples.iter().map(|s| alaw(*s)).collect()
}

fn alaw(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80u8 } else { 0 };
    let magnitude = (sample.unsigned_abs().min(0x7fff) >> 3) & 0x0fff;
    let exponent = (15 - (magnitude | 1).leading_zeros())
        .saturating_sub(4)
        .min(7);
    let shift = if exponent == 0 { 1 } else { exponent };
    let mantissa = (magnitude >> shift) & 0x0f;
    let code = u8::try_from((exponent << 4) | u32::from(mantissa)).unwrap_or(0x7f);
    (code | sign) ^ 0x55
}

/// Compares a recording with what was sent. The recording's first and last half second are left
/// out: a call begins and ends in silence.
#[must_use]
pub fn compare(sent: &Sound, heard: &Sound) -> Likeness {
    let nothing = Likeness {
        offset: 0,
        correlation: 0.0,
        good_blocks: 0.0,
        level: 0.0,
    };
    let rate = usize::try_from(heard.rate).unwrap_or(8_000);
    let Some(body) = heard
        .samples
        .get(rate / 2..heard.samples.len().saturating_sub(rate / 2))
    else {
        return nothing;
    };
    let block = rate / 5;
    if sent.rate != heard.rate || body.len() < 5 * block {
        return nothing;
    }
    // Where in what was sent is the middle of the recording?
    let middle = body.len() / 2;
    let Some(probe) = body.get(middle..middle + block) else {
        return nothing;
    };
    let (_, found) = best(&sent.samples, probe, 0, sent.samples.len());
    let offset = signed(found) - signed(middle);

    let mut correlations = Vec::new();
    let (mut heard_power, mut sent_power) = (0.0, 0.0);
    for (i, piece) in body.chunks_exact(block).enumerate() {
        // A jitter buffer may have inserted or left out some packets since.
        let around = signed(i * block) + offset;
        let slack = signed(rate / 10);
        let from = usize::try_from(around - slack).unwrap_or(0);
        let to = usize::try_from(around + slack).unwrap_or(0);
        let (correlation, at) = best(&sent.samples, piece, from, to);
        correlations.push(correlation);
        heard_power += power(piece);
        sent_power += power(sent.samples.get(at..at + block).unwrap_or_default());
    }
    correlations.sort_by(f64::total_cmp);
    let good = correlations.iter().filter(|c| **c > 0.9).count();
    Likeness {
        offset: offset - signed(rate / 2),
        correlation: correlations
            .get(correlations.len() / 2)
            .copied()
            .unwrap_or(0.0),
        good_blocks: ratio(good, correlations.len()),
        level: if sent_power > 0.0 {
            (heard_power / sent_power).sqrt()
        } else {
            0.0
        },
    }
}

/// The place in `sound` between `from` and `to` that `piece` correlates with best.
fn best(sound: &[i16], piece: &[i16], from: usize, to: usize) -> (f64, usize) {
    let own = power(piece);
    let mut best = (0.0, from);
    let last = sound.len().saturating_sub(piece.len()).min(to);
    for at in from..=last.max(from) {
        let Some(window) = sound.get(at..at + piece.len()) else {
            break;
        };
        let norm = (own * power(window)).sqrt();
        if norm > 0.0 {
            let product: f64 = piece
                .iter()
                .zip(window)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum();
            if product / norm > best.0 {
                best = (product / norm, at);
            }
        }
    }
    best
}

fn power(samples: &[i16]) -> f64 {
    samples.iter().map(|s| f64::from(*s) * f64::from(*s)).sum()
}

fn signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn ratio(part: usize, whole: usize) -> f64 {
    let number = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    if whole == 0 {
        0.0
    } else {
        number(part) / number(whole)
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "clamped to the range before"
)]
fn to_sample(value: f64) -> i16 {
    value.clamp(-32_768.0, 32_767.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(sound: &Sound, from: usize, len: usize) -> Vec<i16> {
        sound.samples[from..from + len].to_vec()
    }

    fn recording(samples: Vec<i16>) -> Sound {
        Sound {
            rate: 8_000,
            samples,
        }
    }

    #[test]
    fn the_same_sound_later_and_companded_is_the_same() {
        let sent = sweep(8_000, 10, 1);
        let heard: Vec<i16> = part(&sent, 12_345, 40_000)
            .iter()
            .map(|s| s & !0xff)
            .collect();
        let likeness = compare(&sent, &recording(heard));
        assert!(likeness.is_the_same(), "{likeness:?}");
        assert_eq!(likeness.offset, 12_345);
    }

    #[test]
    fn a_jump_of_the_jitter_buffer_is_forgiven() {
        let sent = sweep(8_000, 10, 1);
        let mut heard = part(&sent, 8_000, 20_000);
        heard.extend(part(&sent, 28_320, 20_000));
        assert!(compare(&sent, &recording(heard)).is_the_same());
    }

    #[test]
    fn silence_noise_and_another_sound_are_not_the_same() {
        let sent = sweep(8_000, 10, 1);
        let mut state = 1u32;
        let noise = (0..40_000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                i16::try_from(state % 20_000).unwrap() - 10_000
            })
            .collect();
        for (what, samples) in [
            ("silence", vec![0; 40_000]),
            ("noise", noise),
            ("another sound", part(&sweep(8_000, 10, 4), 8_000, 40_000)),
            (
                "half the level",
                part(&sent, 0, 40_000).iter().map(|s| s / 2).collect(),
            ),
            ("nothing", Vec::new()),
        ] {
            let likeness = compare(&sent, &recording(samples));
            assert!(!likeness.is_the_same(), "{what}: {likeness:?}");
        }
    }

    #[test]
    fn half_of_it_lost_is_not_the_same() {
        let sent = sweep(8_000, 10, 1);
        let mut heard = part(&sent, 0, 40_000);
        heard[10_000..25_000].fill(0);
        assert!(!compare(&sent, &recording(heard)).is_the_same());
    }

    #[test]
    fn a_file_comes_back_as_it_went() {
        let path = std::env::temp_dir().join(format!("tandem-wav-{}.wav", std::process::id()));
        let sound = sweep(8_000, 1, 2);
        sound.write(&path).unwrap();
        let read = Sound::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read, sound);
    }

    #[test]
    fn alaw_is_the_recommendation() {
        // The ends and the middle of table 1a, after the inversion of the even bits.
        for (sample, code) in [(0, 0xd5), (-1, 0x55), (32_767, 0xaa), (-32_768, 0x2a)] {
            assert_eq!(alaw(sample), code, "{sample}");
        }
    }
}
