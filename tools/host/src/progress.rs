//! Progress: bars where there is a terminal, a line for each row where there is none.

use std::io::IsTerminal;
use std::time::Duration;

use gupsync_bench::Spec;
use gupsync_bench::spec::MmName;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::boot::Word;
use crate::say;

/// The progress of all boots of a comparison.
pub struct Progress {
    bars: Option<MultiProgress>,
}

impl Progress {
    /// On standard error: bars if `may_draw` there and it is a terminal.
    pub fn new(may_draw: bool) -> Self {
        Progress { bars: (may_draw && std::io::stderr().is_terminal()).then(MultiProgress::new) }
    }

    /// The progress of one boot.
    pub fn boot(&self, spec: &Spec) -> BootProgress {
        let label = format!("invlpgb={}", spec.invlpgb);
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template("{prefix:11} {msg:35} [{bar:10}] {pos}/{len}");
            let bar = bars.add(ProgressBar::new(spec.ops));
            bar.set_style(style.expect("the template is right").progress_chars("=> "));
            bar.set_prefix(label.clone());
            bar.set_message("booting");
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        BootProgress { label, bar }
    }
}

/// The progress of one boot.
pub struct BootProgress {
    label: String,
    bar: Option<ProgressBar>,
}

impl BootProgress {
    /// What tells this boot from the others.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Shows what the kernel says.
    pub fn hear(&self, word: Word<'_>) {
        match (&self.bar, word) {
            (Some(bar), Word::Begin(spec, policy)) => {
                bar.set_message(format!("{} {policy}", spec.workload));
                bar.set_length(spec.ops);
                bar.set_position(0);
            }
            (Some(bar), Word::Progress(done)) => bar.set_position(done),
            (None, Word::Row(row)) if row.mm == MmName::Total => {
                let (workload, policy, status) = (row.workload, row.policy, row.status);
                say::err(format_args!("{}: {workload} {policy} done, {status}", self.label));
            }
            _ => {}
        }
    }
}

impl Drop for BootProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
