//! Shapes and picking.

use wavemix::ops::{concat, embedding, stack};

use super::calls::indices;
use super::{Case, case};

pub const CASES: &[Case] = &[
    case(
        "concat",
        |v| concat(&[&v[0], &v[1]], 1),
        &[&[2, 0], &[2, 0]],
        (&[2, 0], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "stack",
        |v| stack(&[&v[0], &v[1]], 1),
        &[&[0, 3], &[0, 3]],
        (&[0, 2, 3], 0.0),
        &[0.0, 0.0],
    ),
    case(
        "tril, no columns",
        |v| v[0].tril(1),
        &[&[2, 3, 0]],
        (&[2, 3, 0], 0.0),
        &[0.0],
    ),
    case(
        "expand",
        |v| v[0].expand([0, 3]),
        &[&[1, 3]],
        (&[0, 3], 0.0),
        &[0.0],
    ),
    case(
        "slice",
        |v| v[0].slice(0, 1..1),
        &[&[2, 3]],
        (&[0, 3], 0.0),
        &[0.0],
    ),
    case(
        "pad",
        |v| v[0].pad(&[(1, 1), (0, 0)]),
        &[&[0, 3]],
        (&[2, 3], 0.0),
        &[0.0],
    ),
    case(
        "gather",
        |v| v[0].gather(1, &indices(v, [3, 0])),
        &[&[3, 4]],
        (&[3, 0], 0.0),
        &[0.0],
    ),
    case(
        "index_select",
        |v| v[0].index_select(1, &indices(v, [0])),
        &[&[3, 4]],
        (&[3, 0], 0.0),
        &[0.0],
    ),
    case(
        "embedding",
        |v| embedding(&v[0], &indices(v, [2, 0])),
        &[&[3, 4]],
        (&[2, 0, 4], 0.0),
        &[0.0],
    ),
];
