//! Rows of times, and how they are printed.

use serde_json::{Value, json};

use crate::parts::median;
use crate::peak::Peak;

/// One op in one direction.
pub struct Row {
    pub name: String,
    pub direction: &'static str,
    /// How often a step runs it; 1 where it is timed by itself.
    pub count: usize,
    /// All of them together.
    pub seconds: f64,
    /// Floating-point operations of matrix products; 0 for others.
    pub flops: f64,
    /// Bytes that must be read and written: operands once, results once.
    pub bytes: f64,
    /// The limits of the machine, measured beside it.
    pub peak: Peak,
}

impl Row {
    /// Share of the limit that binds it: multiply-adds or memory.
    fn share_of_limit(&self) -> f64 {
        self.peak.limit(self.flops, self.bytes) / self.seconds
    }

    fn json(&self, total: Option<f64>) -> Value {
        let peak = &self.peak;
        let bound = if self.flops / peak.flops > self.bytes / peak.bytes {
            "multiply-adds"
        } else {
            "memory"
        };
        json!({
            "op": self.name, "direction": self.direction, "count": self.count, "seconds": self.seconds,
            "gflops": self.flops / self.seconds / 1e9, "gbytes_per_s": self.bytes / self.seconds / 1e9, "bound": bound,
            "share_of_limit": self.share_of_limit(), "share_of_step": total.map(|total| self.seconds / total),
        })
    }
}

/// Rows and what they are held against.
pub struct Table {
    pub title: String,
    pub rows: Vec<Row>,
    /// The whole step's seconds, where the rows are parts of one.
    pub total: Option<f64>,
}

impl Table {
    /// The medians of the limits beside all rows.
    pub fn peak(&self) -> Peak {
        let of =
            |what: fn(&Peak) -> f64| median(self.rows.iter().map(|row| what(&row.peak)).collect());
        Peak {
            flops: of(|peak| peak.flops),
            bytes: of(|peak| peak.bytes),
        }
    }

    /// One line of JSON.
    pub fn json(&self, peaks: [(usize, Peak); 2]) -> Value {
        let limits = peaks.map(|(n, peak)| json!({"threads": n, "gflops": peak.flops / 1e9, "gbytes_per_s": peak.bytes / 1e9}));
        let rows: Vec<Value> = self.rows.iter().map(|row| row.json(self.total)).collect();
        json!({"title": self.title, "limits": limits, "seconds": self.total, "rows": rows})
    }

    /// A Markdown table. Of a step, the rows above 1 % of it; the rest as one sum.
    pub fn markdown(&self, peaks: [(usize, Peak); 2]) -> String {
        let mut text = format!("{}\n\n", self.title);
        for (n, peak) in peaks {
            let (gflops, gbytes) = (peak.flops / 1e9, peak.bytes / 1e9);
            text += &format!(
                "Limits of {n} thread(s): {gflops:.0} GFLOP/s in registers, {gbytes:.0} GB/s copying.  \n"
            );
        }
        text += "\n| op | direction | times | ms | share of step | GFLOP/s | GB/s | share of limit |\n|---|---|---|---|---|---|---|---|\n";
        let (mut shown, mut rest) = (0.0, 0);
        for row in &self.rows {
            let share = self.total.map(|total| row.seconds / total);
            if share.is_some_and(|share| share < 0.01) {
                rest += 1;
                continue;
            }
            shown += row.seconds;
            let part = share.map_or("-".into(), |share| format!("{:.1} %", 100.0 * share));
            let gflops = if row.flops > 0.0 {
                format!("{:.0}", row.flops / row.seconds / 1e9)
            } else {
                "-".into()
            };
            let (name, direction, count, ms) =
                (&row.name, row.direction, row.count, row.seconds * 1e3);
            let (gbytes, limit) = (row.bytes / row.seconds / 1e9, 100.0 * row.share_of_limit());
            let reached = if row.bytes > 0.0 {
                format!("{gbytes:.1} | {limit:.0} %")
            } else {
                "- | -".into()
            };
            text += &format!(
                "| {name} | {direction} | {count} | {ms:.3} | {part} | {gflops} | {reached} |\n"
            );
        }
        if let Some(total) = self.total {
            let (left, all) = (total - shown, total * 1e3);
            text += &format!(
                "| {rest} others and between ops | | | {:.3} | {:.1} % | | | |\n",
                left * 1e3,
                100.0 * left / total
            );
            text += &format!("| the whole step | | | {all:.3} | 100 % | | | |\n");
        }
        text
    }
}
