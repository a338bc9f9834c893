//! `einsum`, which is composed: against loops over all letters.

use proptest::prelude::*;
use wavemix::gradcheck::gradcheck;
use wavemix::ops::einsum;
use wavemix::{DType, Rng, Shape, Tensor, Var};

use crate::helpers::{assert_error, assert_errors};

/// Letters of operands and result, with what the equation leaves out where it has no arrow.
const EQUATIONS: &[(&str, [&str; 3])] = &[
    ("ij,jk->ik", ["ij", "jk", "ik"]),
    ("ij,jk", ["ij", "jk", "ik"]),
    (" ij , jk -> ki ", ["ij", "jk", "ki"]),
    ("ji,jk->ik", ["ji", "jk", "ik"]),
    ("ij,kj->ik", ["ij", "kj", "ik"]),
    ("bij,bjk->bik", ["bij", "bjk", "bik"]),
    ("bji,bkj->bik", ["bji", "bkj", "bik"]),
    ("ibj,jkb->bki", ["ibj", "jkb", "bki"]),
    ("bnhd,bmhd->bhnm", ["bnhd", "bmhd", "bhnm"]),
    ("abij,cij->abc", ["abij", "cij", "abc"]),
    ("abij,cji->cba", ["abij", "cji", "cba"]),
    ("i,j->ij", ["i", "j", "ij"]),
    ("i,i->", ["i", "i", ""]),
    ("i,i->i", ["i", "i", "i"]),
    ("ij,ij->i", ["ij", "ij", "i"]),
    ("ijk,jl->l", ["ijk", "jl", "l"]),
    ("ij,kl->", ["ij", "kl", ""]),
    (",i->i", ["", "i", "i"]),
    (",", ["", "", ""]),
    ("ba,Ab", ["ba", "Ab", "Aa"]),
];

/// The sum over all letters, one after the other.
fn by_loops(letters: [&str; 3], a: &Tensor, b: &Tensor) -> Vec<f64> {
    let mut all: Vec<(char, usize)> = Vec::new();
    for (letters, x) in [(letters[0], a), (letters[1], b)] {
        for (letter, &length) in letters.chars().zip(x.shape().iter()) {
            if !all.iter().any(|(own, _)| *own == letter) {
                all.push((letter, length));
            }
        }
    }
    let length = |letter| all.iter().find(|(own, _)| *own == letter).unwrap().1;
    let mut y = vec![0.0; letters[2].chars().map(length).product()];
    for mut index in 0..all.iter().map(|(_, length)| length).product() {
        let mut at = [0; 3];
        let digits: Vec<(char, usize)> = all
            .iter()
            .map(|&(letter, length)| {
                let digit = index % length;
                index /= length;
                (letter, digit)
            })
            .collect();
        for (at, letters) in at.iter_mut().zip(letters) {
            for letter in letters.chars() {
                let (_, digit) = digits.iter().find(|(own, _)| *own == letter).unwrap();
                *at = *at * length(letter) + digit;
            }
        }
        y[at[2]] += a.as_slice::<f64>().unwrap()[at[0]] * b.as_slice::<f64>().unwrap()[at[1]];
    }
    y
}

/// As `torch.einsum("bji,kj->ikb", a, b)` of PyTorch 2.15.
#[test]
fn as_in_pytorch() {
    let a = Tensor::arange(0.0, 1.0, 12, DType::F64).reshape([2, 2, 3]);
    let b = Tensor::from_slice(&[1.0, -1.0, 0.5, 2.0], [2, 2]).unwrap();
    let y = einsum("bji,kj->ikb", &a.unwrap().into(), &b.into()).unwrap();
    assert_eq!(y.shape()[..], [3, 2, 2]);
    let want = [
        -3.0, -3.0, 6.0, 21.0, -3.0, -3.0, 8.5, 23.5, -3.0, -3.0, 11.0, 26.0,
    ];
    assert_eq!(y.value().to_vec::<f64>().unwrap(), want);
}

#[test]
fn errors() {
    let of = |dims: &[usize]| Var::from(Tensor::zeros(dims, DType::F32));
    let (x, y) = (of(&[2, 3]), of(&[3, 4]));
    let cases = [
        (
            "ij->ij",
            "einsum: equation expects two operands with a comma between, as in ij,jk->ik, got ij->ij",
        ),
        (
            "ij,jk,kl->il",
            "einsum: equation expects two operands with a comma between, as in ij,jk->ik, got ij,jk,kl->il",
        ),
        (
            "...i,ij->j",
            "einsum: equation expects letters, got '.' in ...i,ij->j",
        ),
        (
            "ij,jk->i->k",
            "einsum: equation expects letters, got '-' in ij,jk->i->k",
        ),
        (
            "ii,ij->j",
            "einsum: equation expects each letter once in a shape, got i twice in ii",
        ),
        (
            "ij,jk->kk",
            "einsum: equation expects each letter once in a shape, got k twice in kk",
        ),
        (
            "ij,jk->iz",
            "einsum: equation expects a result of the operands' letters, got z in ij,jk->iz",
        ),
        (
            "ijl,jk->ik",
            "einsum: a expects a dimension for each letter of \"ijl\", got [2, 3]",
        ),
        (
            "ij,j->i",
            "einsum: b expects a dimension for each letter of \"j\", got [3, 4]",
        ),
        (
            "ij,kj->ik",
            "einsum: b expects length 3 for j, as in a, got [3, 4]",
        ),
    ];
    assert_errors(
        cases.map(|(equation, error)| (einsum(equation, &x, &y), error)),
        "einsum.rs",
    );
    let wide = Var::from(Tensor::zeros([3, 4], DType::F64));
    assert_error(
        einsum("ij,jk->ik", &x, &wide),
        "einsum: b expects the dtype of a, f32, got f64",
    );
    let (x, y) = (of(&[1; 6]), of(&[1; 6]));
    assert!(einsum("abcdef,ghijkl->abcdefg", &x, &y).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn as_by_loops(lengths in prop::array::uniform16(1usize..5), seed: u64) {
        for (equation, letters) in EQUATIONS {
            let shape = |letters: &str| {
                let dims: Vec<usize> = letters.bytes().map(|c| lengths[usize::from(c % 16)]).collect();
                Shape::new(&dims).unwrap()
            };
            let [a, b] = [0, 1].map(|i| Tensor::normal(shape(letters[i]), 0.0, 1.0, DType::F64, &Rng::new(seed).stream(i as u64)));
            let y = einsum(equation, &(&a).into(), &(&b).into())?;
            prop_assert_eq!(y.shape(), &shape(letters[2]), "{}", equation);
            for (got, want) in y.to_vec::<f64>()?.into_iter().zip(by_loops(*letters, &a, &b)) {
                prop_assert!((got - want).abs() < 1e-12, "{equation}: {got}, not {want}");
            }
            gradcheck(|v| einsum(equation, &v[0], &v[1]), &[a, b]).map_err(|e| TestCaseError::fail(format!("{equation}: {e}")))?;
        }
    }
}
