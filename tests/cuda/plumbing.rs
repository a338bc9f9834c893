//! Moving tensors, memory, errors.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use wavemix::data::{Batch, HostToDevice};
use wavemix::ops::{Interpolation, avg_pool2d, conv_transpose2d, conv2d, max_pool2d};
use wavemix::{DType, Device, Error, Rng, Tensor, Var, Window, cuda};

use crate::harness::gpu;

#[test]
fn tensors_travel_unchanged() {
    let Some(gpu) = gpu() else { return };
    for dtype in [
        DType::F32,
        DType::F64,
        DType::BF16,
        DType::F16,
        DType::U8,
        DType::I64,
    ] {
        let x = Tensor::uniform([3, 5, 7], 0.0, 200.0, DType::F64, &Rng::new(1))
            .cast(dtype)
            .unwrap();
        let there = x.to_device(gpu).unwrap();
        assert_eq!(
            (there.device(), there.shape(), there.dtype()),
            (gpu, x.shape(), dtype)
        );
        let exact = |x: &Tensor| {
            x.to_device(Device::Cpu)
                .unwrap()
                .cast(DType::F64)
                .unwrap()
                .to_vec::<f64>()
                .unwrap()
        };
        assert_eq!(exact(&there), exact(&x), "{dtype}");
        // A view of the middle.
        assert_eq!(
            exact(&there.rows(1..2).unwrap()),
            exact(&x.rows(1..2).unwrap())
        );
        for value in [0.0, 3.0] {
            assert_eq!(
                exact(&Tensor::full_on(gpu, [11], value, dtype).unwrap()),
                [value; 11]
            );
        }
    }
    assert_eq!(
        Tensor::scalar(2.5f32)
            .to_device(gpu)
            .unwrap()
            .item()
            .unwrap(),
        2.5
    );
}

#[test]
fn nothing_is_moved_without_being_asked() {
    let Some(gpu) = gpu() else { return };
    let here = Var::from(Tensor::ones([2, 2], DType::F32));
    let there = Var::from(Tensor::full_on(gpu, [2, 2], 1.0, DType::F32).unwrap());
    let error = |result: wavemix::Result<Var>| result.err().unwrap().to_string();
    assert!(
        error(&here + &there)
            .starts_with("add: b expects the device of a, cpu: see to_device, got cuda:0")
    );
    assert!(
        error(there.matmul(&here))
            .starts_with("matmul: b expects the device of a, cuda:0: see to_device, got cpu")
    );
    let slice = there.value().as_slice::<f32>().unwrap_err().to_string();
    assert!(
        slice.starts_with(
            "as_slice: tensor expects elements on the cpu: see to_device(Device::Cpu), got cuda:0"
        ),
        "{slice}"
    );
    let wide = Var::from(Tensor::ones([2], DType::F64).to_device(gpu).unwrap());
    assert!(error(wide.exp()).starts_with("exp: x expects f32, bf16 or f16 on a GPU, got f64"));
}

#[test]
fn memory_is_used_again() {
    let Some(gpu) = gpu() else { return };
    // A size that no other test asks for.
    let make = || Tensor::full_on(gpu, [12_347], 1.0, DType::F32).unwrap();
    let _live = make();
    let before = cuda::pool_stats(0).unwrap().driver_allocations;
    drop(make());
    let after_one = cuda::pool_stats(0).unwrap();
    (0..10).for_each(|_| drop(make()));
    let after = cuda::pool_stats(0).unwrap();
    // Other tests may ask at the same time, but not ten times for this size.
    assert!(
        after_one.driver_allocations > before
            && after.cached_bytes > 0
            && after.peak_bytes >= after.live_bytes
    );
}

/// Getting ready to record a step returns free memory, and the most that was in use is still known.
#[test]
fn a_capture_leaves_the_peak() {
    let Some(gpu) = gpu() else { return };
    const BYTES: usize = 4 << 22;
    drop(Tensor::full_on(gpu, [BYTES / 4], 1.0, DType::F32).unwrap());
    let before = cuda::pool_stats(0).unwrap().peak_bytes;
    drop(cuda::Capture::new(0).unwrap());
    let after = cuda::pool_stats(0).unwrap();
    assert!(after.peak_bytes >= before && before >= BYTES, "{before}");
}

#[test]
fn a_full_memory_says_what_holds_it() {
    let Some(gpu) = gpu() else { return };
    let error = Tensor::full_on(gpu, [1 << 40], 0.0, DType::F32)
        .err()
        .unwrap();
    assert!(matches!(error, Error::OutOfMemory(_)));
    let message = error.to_string();
    assert!(
        message.starts_with("cuda:0: out of memory: asked for 4194304.0 MiB; of "),
        "{message}"
    );
    assert!(
        ["are in tensors", "held for reuse", "with others", "free"]
            .iter()
            .all(|part| message.contains(part)),
        "{message}"
    );
    // And goes on.
    assert_eq!(
        Tensor::full_on(gpu, [3], 2.0, DType::F32)
            .unwrap()
            .to_vec::<f32>()
            .unwrap(),
        [2.0; 3]
    );
}

/// Kernels count in 32 bits: a window with more in it is an error, and no other window.
#[test]
fn windows_beyond_32_bits_are_errors() {
    let Some(gpu) = gpu() else { return };
    let ones = |shape: [usize; 4]| Var::from(Tensor::full_on(gpu, shape, 1.0, DType::F32).unwrap());
    let (x, w) = (ones([1, 3, 3, 4]), ones([4, 1, 3, 4]));
    let far = Window {
        dilation: [1 << 32, 1],
        ..Window::default()
    };
    let expected = "cuda:0: a window with 4294967296 in it is beyond the kernels' 32-bit counters";
    for outcome in [
        conv2d(&x, &w, None, far),
        conv_transpose2d(&x, &w, None, far),
        max_pool2d(&x, [1, 2], far),
        avg_pool2d(&x, [1, 2], far),
    ] {
        let error = outcome.err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(expected));
    }
}

/// Recorded work finds memory though the rehearsal's results are kept; each replay draws other
/// random numbers.
#[test]
fn work_is_recorded_and_replayed() {
    let Some(gpu) = gpu() else { return };
    let Device::Cuda(ordinal) = gpu else {
        unreachable!()
    };
    let x = Tensor::normal([1000], 0.0, 1.0, DType::F32, &Rng::new(4));
    let there = Var::from(x.to_device(gpu).unwrap());
    let work = |on: &Var, rng: &Rng| {
        on.mul_scalar(2.0)
            .and_then(|y| y.dropout(0.5, &rng.child(7)))
            .map(Var::into_value)
    };
    let mut capture = cuda::Capture::new(ordinal).unwrap();
    let kept = capture.warm_up(|| work(&there, &Rng::new(1))).unwrap();
    let (mut recording, result) = capture.capture(|| work(&there, &Rng::new(2))).unwrap();
    for seed in [2, 3, 4] {
        recording.replay(&Rng::new(seed)).unwrap();
        let want = work(&Var::from(&x), &Rng::new(seed)).unwrap();
        assert_eq!(
            result.to_vec::<f32>().unwrap(),
            want.to_vec::<f32>().unwrap(),
            "seed {seed}"
        );
    }
    let first = work(&Var::from(&x), &Rng::new(1)).unwrap();
    assert_eq!(
        kept.to_vec::<f32>().unwrap(),
        first.to_vec::<f32>().unwrap(),
        "a replay touches nobody else's memory"
    );
    let reads = cuda::Capture::new(ordinal)
        .unwrap()
        .capture(|| there.value().to_vec::<f32>());
    let error = reads.err().unwrap().to_string();
    assert_eq!(
        error,
        "cuda:0: copying from the device: not while a step is recorded"
    );
}

/// While a step is recorded, a kernel that another thread loads, and products and tables that
/// others ask for, wait, and do not hold up what is recorded.
#[test]
fn others_wait_while_a_step_is_recorded() {
    let Some(gpu) = gpu() else { return };
    let Device::Cuda(ordinal) = gpu else {
        unreachable!()
    };
    let (finished, outcome) = mpsc::channel();
    thread::spawn(move || {
        let square = Var::from(Tensor::full_on(gpu, [8, 8], 1.0, DType::F32).unwrap());
        let words = Tensor::full_on(gpu, [4], 0.0, DType::I64).unwrap();
        let product = || square.matmul(&square).map(Var::into_value);
        let image = Var::from(Tensor::full_on(gpu, [1, 2, 2, 1], 1.0, DType::F32).unwrap());
        let larger = |size: usize| {
            image
                .upsample([size, size], Interpolation::Nearest)
                .map(Var::into_value)
        };
        let begun = Barrier::new(4);
        let recorded = thread::scope(|scope| {
            let kernel = scope.spawn(|| (begun.wait(), words.eq(&words)).1);
            let other = scope.spawn(|| (begun.wait(), product()).1);
            let table = scope.spawn(|| (begun.wait(), larger(5)).1);
            let mut capture = cuda::Capture::new(ordinal)?;
            capture.warm_up(|| Ok((product()?, larger(3)?)))?;
            // Free memory for the results of the others: they need not wait for the driver's.
            let bytes = Tensor::full_on(gpu, [4], 0.0, DType::U8)?;
            drop((
                product()?,
                bytes,
                Tensor::full_on(gpu, [25], 0.0, DType::F32)?,
            ));
            let recorded = capture.capture(|| {
                begun.wait();
                // Long enough for all to come as far as they get, the kernel's compiler included.
                thread::sleep(Duration::from_secs(3));
                Ok((product()?, larger(3)?))
            });
            assert_eq!(kernel.join().unwrap()?.to_vec::<u8>()?, [1; 4]);
            assert_eq!(other.join().unwrap()?.to_vec::<f32>()?, [8.0; 64]);
            assert_eq!(table.join().unwrap()?.to_vec::<f32>()?, [1.0; 25]);
            let (mut recording, (result, enlarged)) = recorded?;
            recording.replay(&Rng::new(0))?;
            assert_eq!(result.to_vec::<f32>()?, [8.0; 64]);
            assert_eq!(enlarged.to_vec::<f32>()?, [1.0; 9]);
            Ok::<(), wavemix::Error>(())
        });
        finished.send(recorded).unwrap();
    });
    outcome
        .recv_timeout(Duration::from_secs(120))
        .expect("no thread waits for ever")
        .unwrap();
}

fn images(n: usize, seed: u64) -> Batch {
    let pixels = Tensor::uniform([n, 5, 5, 3], 0.0, 256.0, DType::F32, &Rng::new(seed))
        .cast(DType::U8)
        .unwrap();
    Batch {
        inputs: pixels,
        targets: Tensor::from_vec((0..n as i64).map(|i| i + 10 * seed as i64).collect(), [n])
            .unwrap(),
    }
}

/// Each batch is read by work that is asked for before the next one is sent, and looked at when all
/// are there.
#[test]
fn batches_come_in_time() {
    let Some(gpu) = gpu() else { return };
    let mut feed = HostToDevice::new(gpu).unwrap();
    let number = |x: &Tensor| x.cast(DType::F32).unwrap();
    let (mut there, mut seen): (Option<Batch>, _) = (None, Vec::new());
    for (round, n) in [4, 4, 4, 4, 4, 7, 7, 7, 7, 2, 2, 2].into_iter().enumerate() {
        let batch = images(n, round as u64);
        let empty = |x: &Tensor| Tensor::full_on(gpu, *x.shape(), 0.0, x.dtype()).unwrap();
        let place = there.take().filter(|place| place.targets.elements() == n);
        let mut place = place.unwrap_or_else(|| Batch {
            inputs: empty(&batch.inputs),
            targets: empty(&batch.targets),
        });
        // A block as long as the feed may ask for, in use until the work that was asked for is
        // done.
        let bytes = (75 * n).next_multiple_of(16) + (8 * n).next_multiple_of(16);
        let other = Tensor::full_on(gpu, [bytes], 7.0, DType::U8).unwrap();
        let sevens = number(&other);
        drop(other);
        feed.send(&batch, &mut place).unwrap();
        seen.push((
            [number(&place.inputs), number(&place.targets), sevens],
            batch,
        ));
        there = Some(place);
    }
    for (
        round,
        (
            got,
            Batch {
                inputs: images,
                targets: labels,
            },
        ),
    ) in seen.into_iter().enumerate()
    {
        let want = [
            number(&images),
            number(&labels),
            Tensor::full(*got[2].shape(), 7.0, DType::F32),
        ];
        for (got, want) in got.iter().zip(&want) {
            let (got, want) = (got.to_vec::<f32>().unwrap(), want.to_vec::<f32>().unwrap());
            assert!(
                got == want,
                "batch {round}: begins with {:?}, should be {:?}",
                &got[..2],
                &want[..2]
            );
        }
    }
    let (mut there, sent) = (images(3, 1), images(4, 1));
    let said = |result: wavemix::Result<()>| result.unwrap_err().to_string();
    assert!(HostToDevice::new(Device::Cpu).is_err());
    let same = said(feed.send(&images(3, 2), &mut there));
    assert!(
        same.starts_with("feed: inputs expects one form, on the cpu and on a GPU: for u8 [3, 5, 5, 3] on cpu, got"),
        "{same}"
    );
    there.inputs = there.inputs.to_device(gpu).unwrap();
    assert!(said(feed.send(&sent, &mut there)).starts_with("feed: inputs expects one form"));
    let shared = there.inputs.clone();
    assert!(
        said(feed.send(&images(3, 2), &mut there))
            .starts_with("feed: inputs expects a place that no other tensor shares")
    );
    drop(shared);
}

#[test]
fn devices_that_are_not_there_are_named() {
    let message = cuda::usable(99).unwrap_err().to_string();
    assert!(message.starts_with("cuda:99 cannot be used: "), "{message}");
    assert!(
        message.ends_with("; --device cpu works everywhere"),
        "{message}"
    );
}

#[test]
fn a_profile_names_kernels_and_counts_what_they_do() {
    let Some(gpu) = gpu() else { return };
    let x = Var::from(Tensor::full_on(gpu, [1000, 8], 1.0, DType::F32).unwrap());
    let work = || {
        x.exp()?;
        x.exp()?;
        x.matmul(&Var::from(Tensor::full_on(gpu, [8, 5], 1.0, DType::F32)?))
            .map(drop)
    };
    let ((), times) = cuda::profile(0, work).unwrap();
    let of = |name: &str| {
        times
            .iter()
            .find(|time| time.name == name)
            .unwrap_or_else(|| panic!("{name} is not in {times:?}"))
    };
    // Other tests may start kernels meanwhile: never fewer than these.
    let exp = of("unary f32");
    assert!(
        exp.launches >= 2 && exp.bytes >= 2 * 2 * 32_000 && exp.flops == 0 && exp.seconds > 0.0,
        "{exp:?}"
    );
    let product = of("cuBLAS f32");
    assert!(
        product.launches >= 1 && product.flops >= 2 * 1000 * 8 * 5,
        "{product:?}"
    );
    assert!(
        times.is_sorted_by(|a, b| a.seconds >= b.seconds),
        "{times:?}"
    );
}

#[test]
fn rates_are_measured_beside_other_work() {
    let Some(gpu) = gpu() else { return };
    let x = Var::from(Tensor::full_on(gpu, [1 << 20], 1.0, DType::F32).unwrap());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // Longer kernels than those measured, all the while, started by another thread.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                x.exp().unwrap();
                cuda::synchronize(0).unwrap();
            }
        });
        let [copy, bf16, tf32] = [
            cuda::copy_rate(0),
            cuda::matrix_rate(0, DType::BF16, false),
            cuda::matrix_rate(0, DType::F32, true),
        ];
        done.store(true, Ordering::Relaxed);
        for rate in [copy.unwrap(), bf16.unwrap(), tf32.unwrap()] {
            assert!(rate.is_finite() && rate > 0.0, "{rate}");
        }
    });
}
