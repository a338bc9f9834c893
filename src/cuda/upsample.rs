//! Resizing of rows and columns in one pass, by tables that list the input pixels and weights of
//! each output.

use super::runtime::launch::{Argument, together};
use super::{Gpu, Slice, SliceMut, Source};
use crate::Result;
use crate::cpu::upsample::Table;

static SOURCE: Source = Source::new("upsample", include_str!("../../kernels/upsample.cu"));

/// `struct Table` of kernels/README.md, the addresses of three arrays in one block: where each
/// row's entries begin, their elements, their weights.
struct OnDevice {
    words: [u64; 3],
}

impl Argument for OnDevice {
    fn push(self, words: &mut Vec<u64>) {
        words.extend(self.words);
    }
}

/// y `[n, oh, ow, c]` of x `[n, h, w, c]`, `size` being n, h, w, c.
pub(crate) fn apply(
    x: Slice,
    [n, h, w, c]: [usize; 4],
    tables: &[Table; 2],
    y: &mut SliceMut,
) -> Result<()> {
    let (v, [oh, ow]) = (
        together(c, &[x, y.as_slice()]),
        tables.each_ref().map(Table::len),
    );
    let [rows, columns] = [on_device(x.gpu, &tables[0])?, on_device(x.gpu, &tables[1])?];
    let pieces = n * oh * ow * c / v;
    let bytes = x.bytes() + y.as_slice().bytes();
    let launch = x
        .gpu
        .kernel(&SOURCE, "upsample", x.dtype)?
        .arg(x)
        .arg(y)
        .arg(rows)
        .arg(columns);
    launch
        .sizes([n, h, w, oh, ow, c, v])?
        .each(pieces)
        .moves(bytes)
        .launch()
}

fn on_device(gpu: &'static Gpu, table: &Table) -> Result<OnDevice> {
    let (mut first, mut elements, mut weights) = (vec![0u32], Vec::new(), Vec::new());
    for row in table.rows() {
        elements.extend(row.iter().map(|&(element, _)| element as u32));
        weights.extend(row.iter().map(|&(_, weight)| (weight as f32).to_bits()));
        first.push(elements.len() as u32);
    }
    let bytes: Vec<u8> = [&first, &elements, &weights]
        .into_iter()
        .flatten()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let start = gpu.constant(&bytes)?;
    let address = |at: usize| start + 4 * at as u64;
    Ok(OnDevice {
        words: [
            address(0),
            address(first.len()),
            address(first.len() + elements.len()),
        ],
    })
}
