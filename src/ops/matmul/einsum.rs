//! Sums of products by an equation of letters.

use super::matmul_with;
use crate::{Error, Result, Shape, Var};

/// The sum of products of two operands that an equation of letters describes: each letter is a
/// dimension, and what the result does not have is summed over.
///
/// `"ij,jk->ik"` is the product of two matrices, `"bij,bjk->bik"` one for each b, `"i,j->ij"` the
/// outer product, `"ij,ij->"` the sum of all products. Without `->`, the result has the letters that
/// occur once, in alphabetical order. Spaces do not count.
///
/// It is composed of other ops: sums of what one operand has alone, a permutation of each operand
/// where its letters stand in another order, one (batched) matrix product, and a permutation of the
/// result.
///
/// **Shapes**: as the equation says; letters have one length in both operands.
/// **Backward**: that of its ops. **Saves**: what [`matmul_with`] saves, permuted.
/// **Errors**: an equation without one comma, with anything but letters, with a letter twice in one
/// operand or in the result, or with a letter of the result that no operand has; shapes that do not
/// fit the letters; dtypes that differ.
/// **Source**: `torch.einsum`, here without `...` and diagonals.
///
/// ```
/// use wavemix::{Tensor, Var, ops::einsum};
/// let a = Var::from(Tensor::from_vec(vec![1.0, 2.0, 3.0, 4.0], [2, 2])?);
/// let b = Var::from(Tensor::from_vec(vec![1.0, 10.0], [2])?);
/// assert_eq!(einsum("ij,j->i", &a, &b)?.to_vec::<f64>()?, [21.0, 43.0]);
/// assert_eq!(einsum("ij,i->j", &a, &b)?.to_vec::<f64>()?, [31.0, 42.0]);
/// # Ok::<(), wavemix::Error>(())
/// ```
#[track_caller]
pub fn einsum(equation: &str, a: &Var, b: &Var) -> Result<Var> {
    crate::ops::same_float("einsum", ("a", a.value()), ("b", b.value()))?;
    let [own_a, own_b, out] = parse(equation)?;
    check_rank("a", &own_a, a.shape())?;
    check_rank("b", &own_b, b.shape())?;
    check_lengths((&own_a, a.shape()), (&own_b, b.shape()))?;
    let (a, own_a) = without_others(a, own_a, &[&own_b, &out])?;
    let (b, own_b) = without_others(b, own_b, &[&own_a, &out])?;
    let (both, left): (Vec<char>, Vec<char>) = out
        .iter()
        .filter(|letter| own_a.contains(letter))
        .partition(|letter| own_b.contains(letter));
    let right: Vec<char> = out.iter().filter(|c| !own_a.contains(c)).copied().collect();
    let summed: Vec<char> = own_a.iter().filter(|c| !out.contains(c)).copied().collect();
    // [batch, left, summed] x [batch, summed, right] -> [batch, left, right]
    let (a, transposed_a) = matrices(&a, &own_a, [&both, &left, &summed])?;
    let (b, transposed_b) = matrices(&b, &own_b, [&both, &summed, &right])?;
    let y = matmul_with(&a.0, &b.0, transposed_a, transposed_b)?;
    let lengths = [a.1, b.1].concat();
    let made: Vec<char> = [both, left, right].concat();
    let length = |letter: &char| {
        lengths
            .iter()
            .find(|(own, _)| own == letter)
            .map_or(1, |l| l.1)
    };
    let dims: Vec<usize> = made.iter().map(length).collect();
    permuted(&y.reshape(Shape::new(&dims)?)?, &made, &out)
}

/// The letters of both operands and of the result.
#[track_caller]
fn parse(equation: &str) -> Result<[Vec<char>; 3]> {
    let text: String = equation.split_whitespace().collect();
    let (operands, result) = match text.split_once("->") {
        Some((operands, result)) => (operands, Some(result)),
        None => (&text[..], None),
    };
    let parts: Vec<&str> = operands.split(',').collect();
    let &[a, b] = &parts[..] else {
        return Err(fault(
            "two operands with a comma between, as in ij,jk->ik",
            equation,
        ));
    };
    let implied: String;
    let result = match result {
        Some(result) => result,
        None => {
            implied = once_each(a, b);
            &implied
        }
    };
    for part in [a, b, result] {
        if let Some(other) = part.chars().find(|c| !c.is_ascii_alphabetic()) {
            return Err(fault("letters", format!("{other:?} in {equation}")));
        }
        if let Some(twice) = part.chars().find(|&c| part.matches(c).count() > 1) {
            return Err(fault(
                "each letter once in a shape",
                format!("{twice} twice in {part}"),
            ));
        }
    }
    if let Some(new) = result.chars().find(|&c| !a.contains(c) && !b.contains(c)) {
        let expected = "a result of the operands' letters";
        return Err(fault(expected, format!("{new} in {equation}")));
    }
    Ok([a, b, result].map(|part| part.chars().collect()))
}

#[track_caller]
fn fault(expected: &str, got: impl std::fmt::Display) -> Error {
    Error::operand("einsum", "equation", expected, got)
}

/// The letters that only one of two parts has, in alphabetical order.
fn once_each(a: &str, b: &str) -> String {
    let mut letters: Vec<char> = a.chars().chain(b.chars()).collect();
    letters.sort_unstable();
    let all = letters.clone();
    letters.retain(|letter| all.iter().filter(|other| *other == letter).count() == 1);
    letters.into_iter().collect()
}

#[track_caller]
fn check_rank(name: &'static str, letters: &[char], shape: &Shape) -> Result<()> {
    if letters.len() == shape.len() {
        return Ok(());
    }
    let letters: String = letters.iter().collect();
    let expected = format!("a dimension for each letter of \"{letters}\"");
    Err(Error::operand("einsum", name, expected, shape))
}

/// Checks that letters of both operands have one length.
#[track_caller]
fn check_lengths(a: (&[char], &Shape), b: (&[char], &Shape)) -> Result<()> {
    for (letter, &length) in a.0.iter().zip(a.1.iter()) {
        let other = b.0.iter().position(|own| own == letter);
        if other.is_some_and(|other| b.1[other] != length) {
            let expected = format!("length {length} for {letter}, as in a");
            return Err(Error::operand("einsum", "b", expected, b.1));
        }
    }
    Ok(())
}

/// x summed over the letters that none of the others have, and the letters that stay.
#[track_caller]
fn without_others(x: &Var, own: Vec<char>, others: &[&[char]; 2]) -> Result<(Var, Vec<char>)> {
    let stays = |letter: &char| others.iter().any(|other| other.contains(letter));
    let axes: Vec<usize> = (0..own.len()).filter(|&axis| !stays(&own[axis])).collect();
    if axes.is_empty() {
        return Ok((x.clone(), own));
    }
    Ok((x.sum(&axes)?, own.into_iter().filter(stays).collect()))
}

/// x as matrices of three groups of letters, each as one dimension, with the lengths of all letters;
/// and whether the matrices are transposed, as which they may lie in memory already.
#[track_caller]
fn matrices(
    x: &Var,
    own: &[char],
    groups: [&Vec<char>; 3],
) -> Result<((Var, Vec<(char, usize)>), bool)> {
    let lengths: Vec<(char, usize)> = own.iter().copied().zip(x.shape().iter().copied()).collect();
    let [batch, rows, columns] = groups;
    let turned = [&batch[..], columns, rows].concat();
    let transposed = *own == turned[..];
    let order = if transposed {
        turned
    } else {
        [&batch[..], rows, columns].concat()
    };
    let x = permuted(x, own, &order)?;
    let size = |group: &[char]| -> usize {
        let own = lengths.iter().filter(|(letter, _)| group.contains(letter));
        own.map(|(_, length)| length).product()
    };
    let sizes = match transposed {
        true => [size(batch), size(columns), size(rows)],
        false => [size(batch), size(rows), size(columns)],
    };
    // Without a batch, matrices: their rows may be those of a whole batch in the backward pass.
    let sizes = if batch.is_empty() {
        &sizes[1..]
    } else {
        &sizes
    };
    Ok(((x.reshape(Shape::new(sizes)?)?, lengths), transposed))
}

/// x, whose dimensions have the letters `own`, in the order of `letters`.
#[track_caller]
fn permuted(x: &Var, own: &[char], letters: &[char]) -> Result<Var> {
    if own == letters {
        return Ok(x.clone());
    }
    let at = |letter: &char| {
        own.iter()
            .position(|own| own == letter)
            .unwrap_or(own.len())
    };
    x.permute(&letters.iter().map(at).collect::<Vec<_>>())
}
