//! How good, how fast, how large: the figures of an evaluation.

use std::time::Duration;

use crate::tensor::shape::checked_product;
use crate::{Device, Error, Result, Tensor};

/// Counts of (true class, predicted class): what top-1, per-class accuracy and intersection over
/// union are made of.
///
/// ```
/// use wavemix::metrics::Confusion;
/// let mut confusion = Confusion::new(3);
/// for (label, predicted) in [(0, 0), (0, 1), (1, 1), (1, 1)] {
///     confusion.add(label, predicted)?;
/// }
/// assert_eq!(confusion.top1(), 0.75);
/// assert_eq!(confusion.class_accuracy(), [Some(0.5), Some(1.0), None]);
/// // Class 0: 1 of 2; class 1: 2 of 3; class 2 does not occur.
/// assert_eq!(confusion.mean_iou(), (1.0 / 2.0 + 2.0 / 3.0) / 2.0);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// `[true, predicted]`, row-major.
    counts: Vec<u64>,
    ignore: Option<usize>,
}

impl Confusion {
    /// No counts yet of `classes` classes.
    ///
    /// # Panics
    /// Where there is no memory for `classes` squared counts.
    #[track_caller]
    pub fn new(classes: usize) -> Confusion {
        let counts = checked_product(&[classes, classes])
            .unwrap_or_else(|| panic!("{classes} classes do not fit in memory"));
        Confusion {
            classes,
            counts: vec![0; counts],
            ignore: None,
        }
    }

    /// The same, but passing over this label; segmentation uses 255 for pixels without a class. A
    /// class of this number may still be predicted, which is wrong.
    pub fn ignoring(self, label: usize) -> Confusion {
        Confusion {
            ignore: Some(label),
            ..self
        }
    }

    /// Counts one image or pixel.
    ///
    /// # Errors
    /// Where the label or the prediction is not a class.
    pub fn add(&mut self, label: usize, predicted: usize) -> Result<()> {
        if Some(label) == self.ignore {
            return Ok(());
        }
        let classes = self.classes;
        for (what, class) in [("label", label), ("prediction", predicted)] {
            if class >= classes {
                return Err(Error::Argument(format!(
                    "confusion: a {what} of {class} is not below {classes}, the number of classes"
                )));
            }
        }
        self.counts[label * classes + predicted] += 1;
        Ok(())
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How often class `label` was taken for class `predicted`.
    ///
    /// # Panics
    /// Where one of them is not a class.
    pub fn count(&self, label: usize, predicted: usize) -> u64 {
        assert!(
            predicted < self.classes,
            "class {predicted} of {}",
            self.classes
        );
        self.counts[label * self.classes + predicted]
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The fraction that was right; 0 where nothing was counted.
    pub fn top1(&self) -> f64 {
        let right: u64 = (0..self.classes)
            .map(|class| self.count(class, class))
            .sum();
        right as f64 / self.total().max(1) as f64
    }

    /// For each class the fraction of its members that was right; `None` where it has no member.
    pub fn class_accuracy(&self) -> Vec<Option<f64>> {
        let accuracy = |class| ratio(self.count(class, class), self.of_label(class));
        (0..self.classes).map(accuracy).collect()
    }

    /// For each class intersection over union: right ones / (members + those taken for members -
    /// right ones); `None` where it neither occurs nor was predicted, and of the class that is
    /// ignored.
    pub fn iou(&self) -> Vec<Option<f64>> {
        let iou = |class| {
            let (right, predicted) = (
                self.count(class, class),
                (0..self.classes)
                    .map(|label| self.count(label, class))
                    .sum::<u64>(),
            );
            let known = self.ignore != Some(class);
            ratio(right, self.of_label(class) + predicted - right).filter(|_| known)
        };
        (0..self.classes).map(iou).collect()
    }

    /// The mean of [`Confusion::iou`] over the classes that have one; 0 where none has.
    pub fn mean_iou(&self) -> f64 {
        let known: Vec<f64> = self.iou().into_iter().flatten().collect();
        known.iter().sum::<f64>() / known.len().max(1) as f64
    }

    fn of_label(&self, label: usize) -> u64 {
        self.counts[label * self.classes..][..self.classes]
            .iter()
            .sum()
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// What the scripts of WaveMix-Lite's authors report of an image where the paper says mIoU: a ratio
/// of bits of class numbers, which is another measure than intersection over union.
///
/// ```text
/// r = sum over pixels of (label AND predicted) / sum of (label OR predicted)
/// papers_iou = ceil(clamp(20 (r - 0.5), 0, 10)) / 10
/// ```
///
/// The numbers are the authors': 0 for a pixel without a class and 1 more than ours for the others;
/// where `ignored` is one of the `classes` numbers itself, as
/// [`VoidClass`](crate::data::VoidClass) has it, they are so already.
///
/// Source: the authors' scripts for Cityscapes, of May 2022 and later.
///
/// ```
/// use wavemix::metrics::papers_iou;
/// // 1 AND 1, 2 AND 3 over 1 OR 1, 2 OR 3: 3 of 4; a half is 0, all is 1, in steps of a tenth.
/// assert_eq!(papers_iou(&[0, 1], &[0, 2], Some(255), 3), 0.5);
/// ```
pub fn papers_iou(labels: &[i64], predicted: &[i64], ignored: Option<i64>, classes: usize) -> f64 {
    let own_class = ignored.is_some_and(|label| (0..classes as i64).contains(&label));
    let number = |class: i64| match own_class {
        true => class,
        false if Some(class) == ignored => 0,
        false => class + 1,
    };
    let (mut both, mut either) = (0i64, 0i64);
    for (&label, &predicted) in labels.iter().zip(predicted) {
        let (label, predicted) = (number(label), number(predicted));
        both += label & predicted;
        either += label | predicted;
    }
    // Nothing but void, and taken for that.
    if either == 0 {
        return 1.0;
    }
    let ratio = both as f64 / either as f64;
    (20.0 * (ratio - 0.5)).clamp(0.0, 10.0).ceil() / 10.0
}

/// Number of rows of `logits`, `[n, classes]`, whose label is among the `k` largest entries. Of
/// equal entries the first counts as larger.
///
/// # Errors
/// Where `logits` is not an f32 or f64 matrix with one row a label, or holds NaN, or a label is not
/// a class.
#[track_caller]
pub fn top_k(logits: &Tensor, labels: &[i64], k: usize) -> Result<usize> {
    let [n, classes] = logits.shape()[..] else {
        return Err(Error::operand(
            "top_k",
            "logits",
            "shape [n, classes]",
            logits.shape(),
        ));
    };
    if n != labels.len() {
        return Err(Error::operand(
            "top_k",
            "labels",
            format!("{n} labels, one a row of logits"),
            labels.len(),
        ));
    }
    if let Some(&label) = labels
        .iter()
        .find(|label| !(0..classes as i64).contains(label))
    {
        return Err(Error::operand(
            "top_k",
            "labels",
            format!("labels in 0..{classes}"),
            label,
        ));
    }
    let logits = logits.to_device(Device::Cpu)?;
    dispatch_dtype!("top_k", logits.dtype(), T in [f32, f64] => {
        let logits = logits.data::<T>();
        if let Some(i) = logits.iter().position(|x| x.is_nan()) {
            return Err(Error::operand("top_k", "logits", "numbers", format!("NaN in row {}", i / classes)));
        }
        let rows = logits.chunks_exact(classes.max(1)).zip(labels);
        Ok(rows.filter(|&(row, &label)| rank(row, label as usize) < k).count())
    })
}

/// How many entries of a row are larger than that of `label`. None of them is NaN.
fn rank<T: PartialOrd>(row: &[T], label: usize) -> usize {
    let own = &row[label];
    row[..label].iter().filter(|x| *x >= own).count()
        + row[label + 1..].iter().filter(|x| *x > own).count()
}

/// Images per second of the work alone, whatever lies between.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Throughput {
    images: u64,
    busy: Duration,
}

impl Throughput {
    /// Counts `images` that took `time`.
    pub fn add(&mut self, images: usize, time: Duration) {
        self.images += images as u64;
        self.busy += time;
    }

    /// Images counted.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// Images per second; 0 before any.
    pub fn rate(&self) -> f64 {
        if self.busy.is_zero() {
            0.0
        } else {
            self.images as f64 / self.busy.as_secs_f64()
        }
    }
}

/// The most memory this process has held at once, in bytes: the resident set's peak, as Linux
/// counts it; elsewhere the peak of tensor memory alone.
pub fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    resident_peak(&status).unwrap_or_else(|| crate::tensor::pool::pool_stats().peak_bytes)
}

/// From the line `VmHWM:   12345 kB`.
fn resident_peak(status: &str) -> Option<usize> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<usize>()
        .ok()?
        .checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn ignored_labels_are_passed_over_and_others_must_be_classes() {
        let mut confusion = Confusion::new(2).ignoring(255);
        confusion.add(255, 7).unwrap();
        confusion.add(1, 0).unwrap();
        assert_eq!(
            (confusion.total(), confusion.count(1, 0), confusion.top1()),
            (1, 1, 0.0)
        );
        assert_eq!(confusion.iou(), [Some(0.0), Some(0.0)]);
        let message = confusion.add(2, 0).unwrap_err().to_string();
        assert_eq!(
            message,
            "confusion: a label of 2 is not below 2, the number of classes"
        );
        let message = confusion.add(0, 3).unwrap_err().to_string();
        assert_eq!(
            message,
            "confusion: a prediction of 3 is not below 2, the number of classes"
        );
        let empty = Confusion::new(4);
        assert_eq!(
            (empty.top1(), empty.mean_iou(), empty.classes()),
            (0.0, 0.0, 4)
        );
    }

    /// 2^32 classes squared are 2^64 counts, which wrap to none.
    #[test]
    #[should_panic(expected = "4294967296 classes do not fit in memory")]
    fn more_classes_than_memory_can_hold_are_a_panic() {
        Confusion::new(1 << 32);
    }

    #[test]
    fn top_k_by_a_plain_sort() {
        let (n, classes) = (200, 11);
        let logits = Tensor::uniform([n, classes], 0.0, 6.0, DType::F32, &crate::Rng::new(4));
        // Whole numbers, so that many are equal.
        let values: Vec<f32> = logits
            .to_vec::<f32>()
            .unwrap()
            .into_iter()
            .map(f32::floor)
            .collect();
        let labels: Vec<i64> = (0..n).map(|i| (i % classes) as i64).collect();
        let logits = Tensor::from_slice(&values, [n, classes]).unwrap();
        for k in [0, 1, 5, 11] {
            let slow = (0..n).filter(|&i| {
                let mut order: Vec<usize> = (0..classes).collect();
                order.sort_by(|&a, &b| values[i * classes + b].total_cmp(&values[i * classes + a]));
                order[..k].contains(&(labels[i] as usize))
            });
            assert_eq!(top_k(&logits, &labels, k).unwrap(), slow.count(), "k = {k}");
        }
        let infinite =
            Tensor::from_vec(vec![f64::NEG_INFINITY, 1.0, 2.0, f64::INFINITY], [2, 2]).unwrap();
        assert_eq!(
            [
                top_k(&infinite, &[1, 0], 1).unwrap(),
                top_k(&infinite, &[0, 0], 2).unwrap()
            ],
            [1, 2]
        );
    }

    #[test]
    fn mistakes_in_top_k_are_named() {
        let message = |shape: &[usize], labels: &[i64]| {
            let logits = Tensor::zeros(crate::Shape::new(shape).unwrap(), DType::F32);
            top_k(&logits, labels, 5).unwrap_err().to_string()
        };
        assert!(
            message(&[4], &[]).starts_with("top_k: logits expects shape [n, classes], got [4] ")
        );
        assert!(
            message(&[2, 3], &[0])
                .starts_with("top_k: labels expects 2 labels, one a row of logits, got 1 ")
        );
        assert!(
            message(&[2, 3], &[0, 3]).starts_with("top_k: labels expects labels in 0..3, got 3 ")
        );
        // Whichever entry it is, and however many places count: no accuracy can be read off such a
        // row.
        for place in 2..4 {
            let mut values = [0.5f32; 4];
            values[place] = f32::NAN;
            let message = top_k(&Tensor::from_slice(&values, [2, 2]).unwrap(), &[0, 1], 2)
                .unwrap_err()
                .to_string();
            assert!(
                message.starts_with("top_k: logits expects numbers, got NaN in row 1 "),
                "{message}"
            );
        }
        let bytes = Tensor::zeros([1, 2], DType::U8);
        assert!(
            top_k(&bytes, &[0], 1)
                .unwrap_err()
                .to_string()
                .starts_with("top_k: operand expects f32 or f64, got u8 ")
        );
    }

    #[test]
    fn speed_and_memory() {
        let mut throughput = Throughput::default();
        assert_eq!(throughput.rate(), 0.0);
        throughput.add(64, Duration::from_millis(250));
        throughput.add(64, Duration::from_millis(750));
        assert_eq!((throughput.images(), throughput.rate()), (128, 128.0));
        assert_eq!(
            resident_peak("VmPeak:\t  9 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 5 kB"),
            Some(1234 * 1024)
        );
        assert_eq!(resident_peak("VmHWM:\t lots"), None);
        let before = peak_bytes();
        let large = Tensor::ones([64 << 20], DType::U8);
        assert!(peak_bytes() >= before && peak_bytes() >= large.bytes());
    }
}
