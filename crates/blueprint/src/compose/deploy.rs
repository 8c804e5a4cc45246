//! How many instances there are, and how large.

use model::InstanceType;

use crate::code::Code;

use super::node::View;
use super::reader::Reader;
use super::scalars::{thousandths, written};

/// What an instance without limits may use: more than any machine has, which the kernel takes as
/// no limit.
const NO_LIMIT_CPU_MILLIS: u32 = 256_000;
const NO_LIMIT_MEMORY_BYTES: u64 = 1 << 40;
/// Smallest limit of memory that is passed on; a process does not start with less.
const MEMORY_FLOOR_BYTES: u64 = 4 << 20;

impl Reader<'_> {
    /// `scale` or `deploy.replicas`.
    pub(crate) fn instances(&mut self, service: &View<'_>) -> u32 {
        let replicas = || service.get("deploy")?.get("replicas");
        let Some(view) = service.get("scale").or_else(replicas) else { return 1 };
        let number = self.number(&view, 0..=1000).unwrap_or(1);
        u32::try_from(number).unwrap_or(1)
    }

    /// What each instance may use.
    pub(crate) fn instance_type(&mut self, service: &View<'_>) -> InstanceType {
        let (cpu_millis, memory_bytes) = self.limits(service);
        let name = match (cpu_millis, memory_bytes) {
            (None, None) => "no limit".to_owned(),
            (Some(cpu), None) => cores(cpu),
            (None, Some(memory)) => size(memory),
            (Some(cpu), Some(memory)) => format!("{}-{}", cores(cpu), size(memory)),
        };
        InstanceType {
            name,
            cpu_millis: cpu_millis.unwrap_or(NO_LIMIT_CPU_MILLIS),
            memory_bytes: memory_bytes.unwrap_or(NO_LIMIT_MEMORY_BYTES),
        }
    }

    /// Thousandths of a core and bytes, where a file limits them.
    pub(crate) fn limits(&mut self, service: &View<'_>) -> (Option<u32>, Option<u64>) {
        let limits = service.get("deploy").and_then(|view| view.get("resources")?.get("limits"));
        let of = |key| limits.as_ref().and_then(|view| view.get(key));
        let cpus = of("cpus").or_else(|| service.get("cpus")).or_else(|| service.get("cpu_count"));
        let memory = of("memory").or_else(|| service.get("mem_limit"));
        let cpu_millis = cpus.and_then(|view| self.cpus(&view)).filter(|millis| *millis > 0);
        let memory_bytes = memory.and_then(|view| {
            let bytes = self.bytes(&view).filter(|bytes| *bytes > 0)?;
            if bytes < MEMORY_FLOOR_BYTES {
                let message = format!(
                    "`{}` of memory is too little to start anything; read as 4 MB",
                    written(&view)
                );
                self.add(Code::OutOfRange, &view.node.at, &view.path, message)
                    .hint("write a unit behind the number: `512m`");
            }
            Some(bytes.max(MEMORY_FLOOR_BYTES))
        });
        (cpu_millis, memory_bytes)
    }

    fn cpus(&mut self, view: &View<'_>) -> Option<u32> {
        let text = self.text(view)?;
        let millis = thousandths(text.trim()).and_then(|millis| u32::try_from(millis).ok());
        match millis.filter(|millis| *millis <= NO_LIMIT_CPU_MILLIS) {
            Some(millis) => Some(millis),
            None => {
                self.bad(
                    view,
                    format!("`{}` is no number of cores", written(view)),
                    "write `0.5` or `2`",
                );
                None
            }
        }
    }
}

fn cores(millis: u32) -> String {
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    format!("{}c", text.trim_end_matches('0').trim_end_matches('.'))
}

fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 30) {
        format!("{}g", bytes >> 30)
    } else if bytes >= 1 << 20 {
        format!("{}mb", bytes >> 20)
    } else {
        format!("{}k", bytes >> 10)
    }
}
