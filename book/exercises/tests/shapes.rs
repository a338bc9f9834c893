//! Tests of the exercises of chapter 1.

use exercises::shapes::*;

#[test]
fn exercise_1_strides_step_over_faster_axes() {
    assert_eq!(strides(&[2, 3], true), [3, 1]);
    assert_eq!(strides(&[2, 3], false), [1, 2]);
    assert_eq!(strides(&[8, 28, 30, 3], true), [2520, 90, 3, 1]);
    assert_eq!(strides(&[5], false), [1]);
    assert!(strides(&[], true).is_empty());
}

#[test]
fn exercise_2_shapes_broadcast_as_those_of_the_library() {
    assert_eq!(broadcast(&[2, 3], &[3]), Some(vec![2, 3]));
    assert_eq!(broadcast(&[4, 1], &[4]), Some(vec![4, 4]));
    assert_eq!(broadcast(&[2, 3], &[2]), None);
    // Lengths of 0 follow the same rule: 1 is repeated no times.
    assert_eq!(broadcast(&[0, 1], &[1, 5]), Some(vec![0, 5]));
    let shapes: [&[usize]; 7] = [&[], &[1], &[3], &[2, 1], &[2, 3], &[4, 1, 3], &[0]];
    for a in shapes {
        for b in shapes {
            let want = wavemix::Shape::from(a).broadcast(&b.into());
            assert_eq!(
                broadcast(a, b),
                want.map(|shape| shape.to_vec()),
                "{a:?}, {b:?}"
            );
        }
    }
}

#[test]
fn exercise_3_a_pixels_channels_come_together() {
    // Two images of 1 x 2 pixels with 3 channels; element 10 c + pixel, and 100 more in image 1.
    let first = [0.0, 1.0, 10.0, 11.0, 20.0, 21.0];
    let data: Vec<f32> = [0.0, 100.0]
        .iter()
        .flat_map(|i| first.map(|x| x + i))
        .collect();
    let want = [0.0, 10.0, 20.0, 1.0, 11.0, 21.0];
    let want: Vec<f32> = [0.0, 100.0]
        .iter()
        .flat_map(|i| want.map(|x| x + i))
        .collect();
    assert_eq!(to_channels_last(&data, [2, 3, 1, 2]), want);
    // By the library's permutation, for sizes that are all different.
    let x = wavemix::Tensor::normal(
        [2, 3, 5, 7],
        0.0,
        1.0,
        wavemix::DType::F32,
        &wavemix::Rng::new(0),
    );
    let want = wavemix::Var::from(&x).permute(&[0, 2, 3, 1]).unwrap();
    let got = to_channels_last(x.as_slice().unwrap(), [2, 3, 5, 7]);
    assert_eq!(got, want.to_vec::<f32>().unwrap());
}
