//! How a stream must have sounded, from its loss and jitter alone.
//!
//! The E-model (ITU-T G.107) adds up what spoils a call to a rating `R` of 0 to 100. Here it is cut down to what a relay
//! can see, with the fits for G.711 of R. Cole and J. Rosenbluth, "Voice over IP Performance Monitoring", ACM SIGCOMM
//! CCR 31(2), 2001: impairment by loss `30 ln(1 + 15 e)`, by delay `0.024 d + 0.11 (d - 177.3) H(d - 177.3)`. Of the delay
//! only the receiver's buffer is known, taken as a packet of 20 ms and twice the jitter; the network's own is not, nor
//! the codec. So it compares calls with one another, and says nothing about echo or level.

use std::time::Duration;

/// Mean opinion score in hundredths, 100 to 450, of a stream of which the share `loss` (0 to 1) never came.
#[must_use]
pub fn mos(loss: f64, jitter: Duration) -> u16 {
    let delay = 20.0 + 2.0 * jitter.as_secs_f64() * 1000.0;
    let late = (delay - 177.3).max(0.0);
    let by_delay = 0.024 * delay + 0.11 * late;
    let by_loss = 30.0 * libm::log(1.0 + 15.0 * loss.clamp(0.0, 1.0));
    let rating = (BEST - by_delay - by_loss).clamp(0.0, 100.0);
    // ITU-T G.107 Annex B.
    let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7.0e-6;
    (score.clamp(1.0, 4.5) * 100.0 + 0.5) as u16
}

/// The rating of a call that nothing spoils: all defaults of ITU-T G.107.
const BEST: f64 = 93.2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_formula() {
        let ms = Duration::from_millis;
        // R: 92.7, 88.5, 84.8, 51.1, 56.4 (420 ms of buffer), 9.5.
        let cases = [
            (0.0, ms(0), 440),
            (0.01, ms(0), 430),
            (0.02, ms(0), 418),
            (0.2, ms(0), 263),
            (0.0, ms(200), 291),
            (1.0, ms(0), 103),
        ];
        for (loss, jitter, expected) in cases {
            let score = mos(loss, jitter);

            assert!(score.abs_diff(expected) <= 3, "{loss} {jitter:?}: {score}");
        }
    }

    #[test]
    fn it_only_falls() {
        let mut last = 500;
        for loss in 0..=100 {
            let score = mos(f64::from(loss) / 100.0, Duration::ZERO);
            assert!((100..=450).contains(&score) && score <= last);
            last = score;
        }
        assert_eq!(mos(1.0, Duration::MAX), 100);
    }
}
