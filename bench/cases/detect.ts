import { preparations } from "../cluster/faults.js";
import { Sightings } from "../cluster/sightings.js";
import { onStage, type Stage } from "../cluster/stage.js";
import { type Report, type ScenarioOptions, spreadOf } from "../scenario.js";

/** Milliseconds, one value for each victim of each repeat; `know` one for each node that was told. */
interface Times {
  readonly first: number[];
  readonly all: number[];
  readonly know: number[];
  readonly wait: number[];
  readonly verdict: number[];
  readonly spread: number[];
}

/**
 * From a fault until the others are told. crash: the sockets close. silent: the victims' process is stopped, so nothing
 * reads or answers and every socket stays open. leave: they say so. After each repeat others take the victims' place.
 */
export function detect(options: ScenarioOptions): Promise<Report> {
  const { nodes, fault, kill, repeats } = options;
  if (kill >= nodes - 2) throw new Error(`--kill ${kill} leaves nobody to notice; give less than ${nodes - 2}`);
  return onStage(options, async (stage) => {
    const members = fault === "silent" ? nodes - kill : nodes;
    const seats = await stage.cluster.open(members);
    await stage.gather(seats.slice(1), members);
    const times: Times = { first: [], all: [], know: [], wait: [], verdict: [], spread: [] };
    for (let repeat = 0; repeat < repeats; repeat++) {
      if (repeat > 0 && fault !== "silent") await stage.gather(await stage.cluster.open(kill), nodes);
      await observe(stage, options, repeat, times);
    }
    const isLeave = fault === "leave";
    return {
      case: "detect",
      nodes,
      fault,
      kill,
      repeats,
      firstMs: spreadOf(times.first),
      allMs: spreadOf(times.all),
      knowMs: spreadOf(times.know),
      ...(isLeave ? {} : { waitMs: spreadOf(times.wait), verdictMs: spreadOf(times.verdict) }),
      spreadMs: spreadOf(times.spread),
      ...stage.verdict(),
    };
  });
}

async function observe(stage: Stage, options: ScenarioOptions, repeat: number, times: Times): Promise<void> {
  const { cluster } = stage;
  const blow = await preparations[options.fault](stage, options, repeat);
  try {
    await stage.settle();
    await stage.pass(cluster.random.nextFloat(), "any moment of a probe interval");
    for (const member of blow.members) cluster.expect(member);
    const observers = cluster.seats.length;
    const wanted = observers * blow.members.length;
    const seen = new Sightings(blow.kind, blow.members);
    const left = new Set(blow.members);
    cluster.onEvent = (kind, about, observer) => {
      if (kind === "fail" && options.fault === "leave" && left.has(about)) cluster.falseFailures++;
      if (!left.has(observer)) seen.note(kind, about, observer);
    };
    blow.strike();
    const what = `${options.fault} ${repeat + 1}/${options.repeats}`;
    const line = (): string => `${what}: ${seen.count}/${wanted} told`;
    await stage.during(line, () => stage.attempt(what, () => seen.count >= wanted, 180_000));
    seen.stop();
    collect(seen, observers, times);
  } finally {
    cluster.onEvent = null;
    await blow.cleanUp();
  }
}

function collect(seen: Sightings, observers: number, times: Times): void {
  for (const { probedMs, toldMs } of seen.results()) {
    times.know.push(...toldMs);
    const firstMs = toldMs[0];
    const lastMs = toldMs.at(-1);
    if (firstMs === undefined || lastMs === undefined) continue;
    times.first.push(firstMs);
    const waitMs = Math.min(probedMs ?? firstMs, firstMs);
    times.wait.push(waitMs);
    times.verdict.push(firstMs - waitMs);
    if (toldMs.length < observers) continue;
    times.all.push(lastMs);
    times.spread.push(lastMs - firstMs);
  }
}
