use std::time::Instant;

use serde_json::{Value, json};

/// What all nodes sent together.
#[derive(Clone, Copy, Default)]
pub struct Traffic {
    pub packets: u64,
    pub bytes: u64,
}

/// Counts from its construction on: CPU of the whole process, and what the nodes sent.
pub struct Meter {
    began: Instant,
    cpu: f64,
    traffic: Traffic,
}

pub struct Metered {
    pub seconds: f64,
    pub cpu: f64,
    pub packets: u64,
    pub bytes: u64,
}

impl Meter {
    pub fn new(traffic: Traffic) -> Self {
        Self {
            began: Instant::now(),
            cpu: cpu_seconds(),
            traffic,
        }
    }

    pub fn stop(&self, now: Traffic) -> Metered {
        Metered {
            seconds: self.began.elapsed().as_secs_f64(),
            cpu: cpu_seconds() - self.cpu,
            packets: now.packets - self.traffic.packets,
            bytes: now.bytes - self.traffic.bytes,
        }
    }
}

fn cpu_seconds() -> f64 {
    // SAFETY: rusage is plain numbers, for which zeros are a value, and getrusage only writes into it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

pub fn rss_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text
        .split_whitespace()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(0.0);
    // SAFETY: sysconf has no preconditions.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as f64
}

/// What is left once the allocator has given back what is free.
pub fn clean_rss_bytes() -> f64 {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
    rss_bytes()
}

pub fn megabytes(bytes: f64) -> f64 {
    round(bytes / f64::from(1 << 20))
}

/// Three digits after the point.
pub fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Percentiles that were measured, not made up between two.
pub fn spread_of(values: &[f64]) -> Value {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(0.0, |value| round(*value))
    };
    json!({ "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}
