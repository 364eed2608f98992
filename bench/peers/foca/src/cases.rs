use std::{
    io,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    meter::{Meter, clean_rss_bytes, megabytes, round, rss_bytes, spread_of},
    options::Options,
    storm_handler::PAYLOAD_BYTES,
    swarm::Swarm,
};

/// How long a cluster is left alone after the last join.
const SETTLE: Duration = Duration::from_secs(3);
const DETECT_LIMIT: Duration = Duration::from_secs(180);
const BROADCASTS_PER_SECOND: f64 = 1000.0;
const TICK: Duration = Duration::from_millis(10);
/// How much longer than it lasted is waited for what the storm left in the queues.
const DRAIN_SHARE: u32 = 2;

/// From the first join until every node knows all.
pub fn cluster(o: &Options) -> io::Result<Value> {
    let mut s = Swarm::new(o.nodes, o.seed)?;
    let opened = s.open(o.nodes as usize)?;
    let joining = Meter::new(s.traffic());
    if !gather(&mut s, &opened[1..], o)? {
        return Ok(unconverged(&s, o));
    }
    let took = joining.stop(s.traffic());
    let rss = rss_bytes();
    let staying = Meter::new(s.traffic());
    s.pass(o.time())?;
    let stay = staying.stop(s.traffic());
    let per_node = |count: u64| (count as f64 / f64::from(o.nodes)).round();
    Ok(json!({
        "nodes": o.nodes,
        "convergeMs": (1000.0 * took.seconds).round(),
        "cpuSeconds": round(took.cpu),
        "rssMb": megabytes(rss),
        "packets": took.packets,
        "packetsPerNode": per_node(took.packets),
        "bytesPerNode": per_node(took.bytes),
        "sizesSeen": s.sizes_seen(),
        "staySeconds": o.seconds,
        "stayCpuSeconds": round(stay.cpu),
        "falseFailures": s.false_failures(),
        "problems": [],
    }))
}

/// What a converged cluster costs while nothing happens.
pub fn steady(o: &Options) -> io::Result<Value> {
    let mut s = Swarm::new(o.nodes, o.seed)?;
    let opened = s.open(o.nodes as usize)?;
    let base = clean_rss_bytes();
    if !gather(&mut s, &opened[1..], o)? {
        return Ok(unconverged(&s, o));
    }
    s.pass(SETTLE)?;
    let measuring = Meter::new(s.traffic());
    s.pass(o.time())?;
    let took = measuring.stop(s.traffic());
    let rss = clean_rss_bytes();
    let nodes = f64::from(o.nodes);
    let node_seconds = nodes * took.seconds;
    Ok(json!({
        "nodes": o.nodes,
        "seconds": round(took.seconds),
        "cpuSeconds": round(took.cpu),
        "cpuMsPerNodeSecond": round(1000.0 * took.cpu / node_seconds),
        "packetsPerNodeSecond": round(took.packets as f64 / node_seconds),
        "bytesPerNodeSecond": round(took.bytes as f64 / node_seconds),
        "rssMb": megabytes(rss),
        "baseRssMb": megabytes(base),
        "bytesPerEntry": ((rss - base) / (nodes * nodes)).round(),
        "falseFailures": s.false_failures(),
        "problems": [],
    }))
}

/// Milliseconds, one value for each victim of each repeat; `know` one for each node that was told.
#[derive(Default)]
struct Times {
    first: Vec<f64>,
    all: Vec<f64>,
    know: Vec<f64>,
    spread: Vec<f64>,
}

/// From a fault until the others are told. After each repeat others take the victims' place.
pub fn detect(o: &Options) -> io::Result<Value> {
    let mut s = Swarm::new(o.nodes, o.seed)?;
    let opened = s.open(o.nodes as usize)?;
    if !gather(&mut s, &opened[1..], o)? {
        return Ok(unconverged(&s, o));
    }
    let mut times = Times::default();
    let mut problems: Vec<String> = Vec::new();
    for repeat in 0..o.repeats {
        if repeat > 0 {
            let joining = s.open(o.kill)?;
            if !gather(&mut s, &joining, o)? {
                problems.push(format!("repeat {repeat} {}", too_slow(o)));
                break;
            }
        }
        let any_moment = s.below(1000) as u64;
        s.pass(SETTLE + Duration::from_millis(any_moment))?;
        if !observe(&mut s, o, &mut times)? {
            let limit = DETECT_LIMIT.as_secs();
            problems.push(format!("{} {repeat} did not end within {limit} s", o.fault));
        }
    }
    Ok(json!({
        "nodes": o.nodes,
        "fault": o.fault,
        "kill": o.kill,
        "repeats": o.repeats,
        "firstMs": spread_of(&times.first),
        "allMs": spread_of(&times.all),
        "knowMs": spread_of(&times.know),
        "spreadMs": spread_of(&times.spread),
        "falseFailures": s.false_failures(),
        "problems": problems,
    }))
}

fn observe(s: &mut Swarm, o: &Options, times: &mut Times) -> io::Result<bool> {
    let victims = s.take(o.kill);
    let began = Instant::now();
    for &victim in &victims {
        match o.fault.as_str() {
            "silent" => s.silence(victim),
            "leave" => s.leave(victim),
            _ => s.close(victim),
        }
    }
    let observers = s.live().len();
    let wanted = observers * victims.len();
    let is_over = s.run(DETECT_LIMIT, 1, |s| s.told_count() >= wanted)?;
    for told in s.told() {
        let ms: Vec<f64> = told
            .values()
            .map(|at| 1000.0 * at.duration_since(began).as_secs_f64())
            .collect();
        let Some(first) = ms.iter().copied().reduce(f64::min) else {
            continue;
        };
        let last = ms.iter().copied().fold(0.0, f64::max);
        times.first.push(first);
        times.know.extend(&ms);
        if ms.len() == observers {
            times.all.push(last);
            times.spread.push(last - first);
        }
    }
    for victim in victims {
        s.close(victim);
    }
    Ok(is_over)
}

/// A tenth of the nodes crashes and at the same moment the others begin to send broadcasts, each time another one.
pub fn storm(o: &Options) -> io::Result<Value> {
    let mut s = Swarm::new(o.nodes, o.seed)?;
    let opened = s.open(o.nodes as usize)?;
    if !gather(&mut s, &opened[1..], o)? {
        return Ok(unconverged(&s, o));
    }
    s.pass(SETTLE)?;
    let victims = s.take((o.nodes as usize / 10).max(1));
    let meter = Meter::new(s.traffic());
    let began = Instant::now();
    for &victim in &victims {
        s.close(victim);
    }
    let total = (o.seconds * BROADCASTS_PER_SECOND) as usize;
    let live = s.live();
    let mut crash_all_ms = None;
    let mut note_crash = |s: &mut Swarm| {
        if crash_all_ms.is_none() && s.is_complete() {
            crash_all_ms = Some(round(1000.0 * began.elapsed().as_secs_f64()));
        }
        crash_all_ms.is_some()
    };
    let mut sent = 0;
    while sent < total {
        let due = ((began.elapsed().as_secs_f64() * BROADCASTS_PER_SECOND) as usize).min(total);
        while sent < due {
            send(&mut s, &live, sent);
            sent += 1;
        }
        s.run(TICK, 1, |s| {
            note_crash(s);
            false
        })?;
    }
    let backlog = |s: &Swarm| live.iter().map(|&i| s.nodes[i].foca.custom_broadcast_backlog()).max();
    s.run(o.time() * DRAIN_SHARE, 1, |s| {
        note_crash(s);
        backlog(s) == Some(0)
    })?;
    let took = meter.stop(s.traffic());
    let is_over = s.run(DETECT_LIMIT, 1, &mut note_crash)?;
    let problems = if is_over {
        vec![]
    } else {
        vec!["the crash of a tenth did not end in time"]
    };
    let tally = s.tally.borrow();
    Ok(json!({
        "nodes": o.nodes,
        "crashed": victims.len(),
        "crashAllMs": crash_all_ms,
        "broadcasts": total,
        "delivered": tally.latency_ms.len(),
        "deliveredShare": round(tally.latency_ms.len() as f64 / (total * (live.len() - 1)) as f64),
        "duplicates": tally.duplicates,
        "latencyMs": spread_of(&tally.latency_ms),
        "leftInQueue": backlog(&s),
        "elapsedMs": round(1000.0 * took.seconds),
        "cpuSeconds": round(took.cpu),
        "rssMb": megabytes(rss_bytes()),
        "packets": took.packets,
        "bytes": took.bytes,
        "falseFailures": s.false_failures(),
        "problems": problems,
    }))
}

fn send(s: &mut Swarm, live: &[usize], index: usize) {
    let mut payload = [0; PAYLOAD_BYTES];
    payload[..4].copy_from_slice(&(index as u32).to_be_bytes());
    s.tally.borrow_mut().sent_at.push(Instant::now());
    let from = live[s.below(live.len())];
    s.broadcast(from, &payload);
}

fn gather(s: &mut Swarm, joining: &[usize], o: &Options) -> io::Result<bool> {
    s.join(joining);
    s.run(o.limit(), o.parallel, |s| s.is_complete())
}

fn unconverged(s: &Swarm, o: &Options) -> Value {
    json!({ "nodes": o.nodes, "falseFailures": s.false_failures(), "problems": [too_slow(o)] })
}

fn too_slow(o: &Options) -> String {
    format!("did not converge in {} s", o.limit().as_secs_f64())
}
