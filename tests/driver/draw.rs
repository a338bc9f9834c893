//! Operands from bytes: mostly small and fitting, some empty, some with lengths that nothing can
//! have.

use std::time::Instant;

use wavemix::{DType, Device, Rng, Shape, Tensor, Var, Window};

/// Elements that an operand has at most.
const LARGEST: usize = 1 << 11;

/// Lengths that a tensor may have beside one of 0, each too long for any memory by itself.
const LONG: [usize; 4] = [1 << 48, (1 << 50) + 1, 1 << 57, 1 << 60];

/// Numbers that are too large for any memory, and that overflow what they are added to or
/// multiplied by.
const HUGE: [usize; 8] = [
    1 << 50,
    1 << 60,
    (1 << 61) - 1,
    1 << 62,
    isize::MAX as usize,
    1 << 63,
    usize::MAX - 1,
    usize::MAX,
];

/// Reads bytes as choices; zeros, the simplest of them, when there are none left.
pub struct Draw<'a> {
    bytes: &'a [u8],
    text: String,
}

impl<'a> Draw<'a> {
    pub fn new(name: &str, bytes: &'a [u8]) -> Draw<'a> {
        Draw {
            bytes,
            text: name.to_owned(),
        }
    }

    /// The call so far, for the report of a failure.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Notes what the op is called with; the clock of the call starts.
    pub fn say(&mut self, what: impl std::fmt::Display) {
        self.text += &format!(" {what}");
        if std::env::var_os("DRIVER_TRACE").is_some() {
            eprintln!("{}", self.text);
        }
        *super::running() = Some((Instant::now(), self.text.clone()));
    }

    pub fn below(&mut self, n: usize) -> usize {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        usize::from(*first) % n
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Mostly small; sometimes up to 40, sometimes huge.
    pub fn number(&mut self) -> usize {
        match self.below(16) {
            14 => self.below(41),
            15 => self.pick(&HUGE),
            n => n % 4,
        }
    }

    /// As [`Draw::number`], but mostly 1 or more.
    pub fn positive(&mut self) -> usize {
        match self.below(16) {
            0..14 => 1 + self.below(3),
            _ => self.number(),
        }
    }

    /// A length of 0 to 33.
    pub fn length(&mut self) -> usize {
        match self.below(8) {
            0 => 0,
            7 => self.below(34),
            n => n,
        }
    }

    /// A scalar of an op.
    pub fn real(&mut self) -> f64 {
        self.pick(&[
            0.0,
            1.0,
            2.0,
            0.5,
            -1.0,
            3.7,
            f64::NAN,
            f64::INFINITY,
            1e300,
        ])
    }

    /// Any rank.
    pub fn any_shape(&mut self) -> Vec<usize> {
        let rank = self.below(7);
        self.shape(rank)
    }

    /// A shape that a tensor can have.
    pub fn shape(&mut self, rank: usize) -> Vec<usize> {
        let lengths = (0..rank).map(|_| self.length()).collect();
        self.possible(lengths)
    }

    /// The lengths, cut so that a tensor may have them; beside a 0 one becomes huge at times.
    pub fn possible(&mut self, mut lengths: Vec<usize>) -> Vec<usize> {
        while count(&lengths) > LARGEST {
            let longest = (0..lengths.len())
                .max_by_key(|&axis| lengths[axis])
                .unwrap_or(0);
            lengths[longest] /= 2;
        }
        if lengths.contains(&0) && self.once_in(3) {
            let (axis, long) = (self.below(lengths.len()), self.pick(&LONG));
            let others = count(&lengths) / lengths[axis].max(1);
            if lengths.iter().filter(|&&length| length == 0).count()
                > usize::from(lengths[axis] == 0)
            {
                lengths[axis] = long.min((1 << 60) / others - 1);
            }
        }
        lengths
    }

    /// Any lengths, most of which no tensor can have.
    pub fn target(&mut self) -> Shape {
        match self.below(4) {
            0 => Shape::from([]),
            1 => Shape::from([self.number()]),
            2 => Shape::from([self.number(), self.number()]),
            _ => Shape::from([self.number(), self.number(), self.number(), self.number()]),
        }
    }

    pub fn any_dtype(&mut self) -> DType {
        self.pick(&[
            DType::F32,
            DType::F64,
            DType::BF16,
            DType::F16,
            DType::U8,
            DType::I64,
        ])
    }

    /// Mostly one that the CPU computes with.
    pub fn dtype(&mut self) -> DType {
        if self.once_in(12) {
            self.any_dtype()
        } else {
            self.pick(&[DType::F32, DType::F64, DType::BF16])
        }
    }

    /// A tensor of numbers in -2..2; at times all of them not-a-number or infinite.
    pub fn tensor(&mut self, shape: &[usize], dtype: DType) -> Tensor {
        // Without a length of 0 beside it no length may be huge.
        let large = !shape.contains(&0) && count(shape) > 1 << 20;
        let shape: Vec<usize> = shape
            .iter()
            .map(|&length| if large { length.min(33) } else { length })
            .collect();
        let shape = Shape::new(&shape).unwrap();
        self.say(format!("{shape} {dtype}"));
        match self.below(16) {
            14 => Tensor::full_on(Device::Cpu, shape, f64::NAN, dtype).unwrap(),
            15 => Tensor::full_on(Device::Cpu, shape, f64::NEG_INFINITY, dtype).unwrap(),
            _ => Tensor::uniform(shape, -2.0, 2.0, dtype, &Rng::new(3)),
        }
    }

    /// The same as a variable, mostly one that wants a gradient.
    pub fn var(&mut self, shape: &[usize], dtype: DType) -> Var {
        let x = self.tensor(shape, dtype);
        if matches!(dtype, DType::U8 | DType::I64) || self.once_in(6) {
            Var::from(x)
        } else {
            Var::leaf(x)
        }
    }

    /// A variable of any shape.
    pub fn any_var(&mut self) -> Var {
        let (shape, dtype) = (self.any_shape(), self.dtype());
        self.var(&shape, dtype)
    }

    /// Indices, mostly within `0..length`.
    pub fn indices(&mut self, shape: &[usize], length: usize) -> Tensor {
        let large = !shape.contains(&0) && count(shape) > 1 << 20;
        let shape = if large {
            Shape::from([7])
        } else {
            Shape::new(shape).unwrap()
        };
        let length = length.min(1 << 20) + usize::from(self.once_in(12));
        let dtype = if self.once_in(12) {
            self.any_dtype()
        } else {
            DType::I64
        };
        self.say(format!("indices {shape} below {length} {dtype}"));
        Tensor::uniform(shape, 0.0, length as f64, dtype, &Rng::new(5))
    }

    /// An axis, mostly one that there is.
    pub fn axis(&mut self, rank: usize) -> usize {
        if self.once_in(12) {
            self.number()
        } else {
            self.below(rank.max(1))
        }
    }

    /// Some axes, mostly each once.
    pub fn axes(&mut self, rank: usize) -> Vec<usize> {
        if self.once_in(12) {
            return (0..self.below(8)).map(|_| self.number()).collect();
        }
        (0..rank).filter(|_| self.below(2) == 1).collect()
    }

    /// A shape that broadcasts with another one; or any.
    pub fn broadcasting(&mut self, with: &[usize]) -> Vec<usize> {
        if self.once_in(10) {
            return self.any_shape();
        }
        let dropped = self.below(with.len() + 1);
        with[dropped..]
            .iter()
            .map(|&length| if self.once_in(3) { 1 } else { length })
            .collect()
    }

    pub fn pair(&mut self) -> [usize; 2] {
        [self.number(), self.number()]
    }

    /// A window for images of this many channels.
    pub fn window(&mut self, channels: usize) -> Window {
        let stride = [self.positive(), self.positive()];
        let (padding, dilation) = (self.pair(), [self.positive(), self.positive()]);
        let output_padding = if self.once_in(4) { self.pair() } else { [0, 0] };
        let groups = match self.below(8) {
            0..5 => 1,
            5 => 2,
            6 => channels,
            _ => self.number(),
        };
        let window = Window {
            stride,
            padding,
            output_padding,
            dilation,
            groups,
        };
        self.say(format!("{window:?}"));
        window
    }
}

/// Elements of a shape, where a length of 0 counts as 1.
fn count(lengths: &[usize]) -> usize {
    lengths
        .iter()
        .fold(1, |n, &length| n.saturating_mul(length.max(1)))
}
