//! The profile as a table: what took longest.

use std::collections::BTreeMap;
use std::fmt;

use super::span::{Kind, Profile, Span};

/// Rows that a table has at most; what is left is one more.
const ROWS: usize = 12;

/// All spans of one name.
#[derive(Clone, Copy, Default)]
struct Sum {
    count: usize,
    ns: u64,
    bytes: u64,
    flops: u64,
}

impl Sum {
    fn add(&mut self, span: &Span) {
        self.count += 1;
        self.ns += span.duration();
        self.bytes += span.bytes;
        self.flops += span.flops;
    }
}

impl Profile {
    fn of(&self, kind: Kind) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(move |span| span.kind == kind)
    }

    /// Time of the training thread in steps and between them, in nanoseconds.
    fn total(&self) -> u64 {
        let outer = self.of(Kind::Step).chain(self.of(Kind::Between));
        outer.map(Span::duration).sum()
    }

    /// The training thread's time by op, by phase where no op runs, and by what lies between steps.
    fn by_name(&self) -> BTreeMap<String, Sum> {
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for span in self.of(Kind::Op).chain(self.of(Kind::Between)) {
            sums.entry(span.name.clone()).or_default().add(span);
        }
        let ops: Vec<&Span> = self.of(Kind::Op).collect();
        let time_of_ops = |from: &Span| -> u64 {
            let first = ops.partition_point(|op| op.begin < from.begin);
            let within = ops[first..].iter().take_while(|op| op.end <= from.end);
            within.map(|op| op.duration()).sum()
        };
        for phase in self.of(Kind::Phase) {
            let ops = time_of_ops(phase);
            let name = match ops {
                0 => phase.name.clone(),
                _ => format!("{}, after the last op", phase.name),
            };
            let sum = sums.entry(name).or_default();
            (sum.count, sum.ns) = (sum.count + 1, sum.ns + phase.duration() - ops);
        }
        let known: u64 = sums.values().map(|sum| sum.ns).sum();
        let rest = Sum {
            count: self.steps,
            ns: self.total().saturating_sub(known),
            ..Sum::default()
        };
        sums.insert("the rest of a step".into(), rest);
        sums
    }

    /// A table of these sums, the longest first.
    fn table(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        sums: BTreeMap<String, Sum>,
        total: u64,
    ) -> fmt::Result {
        let mut rows: Vec<(String, Sum)> = sums.into_iter().collect();
        rows.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.ns));
        if rows.len() > ROWS + 1 {
            let mut others = Sum::default();
            for (_, sum) in rows.drain(ROWS..) {
                others.count += sum.count;
                others.ns += sum.ns;
                others.bytes += sum.bytes;
                others.flops += sum.flops;
            }
            rows.push(("all others".into(), others));
        }
        let width = rows.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or(0).max(what.len());
        let columns = ["runs", "ms a step", "share", "GFLOP/s", "GB/s"];
        let [runs, ms, share, gflops, gbytes] = columns;
        writeln!(
            f,
            "{what:width$} {runs:>7} {ms:>10} {share:>7} {gflops:>8} {gbytes:>7}"
        )?;
        let steps = self.steps.max(1) as f64;
        for (name, sum) in rows {
            let rate = |count: u64| match count {
                0 => "-".to_owned(),
                _ => format!("{:.1}", count as f64 / sum.ns.max(1) as f64),
            };
            let (ms, share) = (
                sum.ns as f64 / 1e6 / steps,
                sum.ns as f64 / total.max(1) as f64,
            );
            let runs = sum.count as f64 / steps;
            writeln!(
                f,
                "{name:width$} {runs:>7.1} {ms:>10.3} {:>5.1} % {:>8} {:>7}",
                100.0 * share,
                rate(sum.flops),
                rate(sum.bytes)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Profile {
    /// A table of the ops and phases that took longest, and on a GPU one of its kernels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (steps, total) = (self.steps, self.total());
        let ms = total as f64 / 1e6 / steps.max(1) as f64;
        writeln!(
            f,
            "{steps} steps, each {ms:.3} ms with what lies between them\n"
        )?;
        self.table(f, "op or part", self.by_name(), total)?;
        let mut kernels: BTreeMap<String, Sum> = BTreeMap::new();
        for kernel in self.of(Kind::Kernel) {
            kernels.entry(kernel.name.clone()).or_default().add(kernel);
        }
        if !kernels.is_empty() {
            let total = kernels.values().map(|sum| sum.ns).sum();
            writeln!(
                f,
                "\nabove, an op's time is what its launches take; on the GPU:\n"
            )?;
            self.table(f, "kernel", kernels, total)?;
        }
        Ok(())
    }
}
