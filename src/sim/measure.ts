import type { SimNode } from "./node.js";
import { type SimEvent, Simulation } from "./simulation.js";
import { Stage, type StageOptions } from "./stage.js";

export interface MeasureOptions extends StageOptions {
  /** How many times the event is made to happen. */
  readonly repeats?: number;
  /** Virtual seconds of the steady state. */
  readonly seconds?: number;
}

/** Milliseconds, or a count, over all repeats. */
export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Figures by name, as they are printed; every name carries its unit. */
export type Figures = Readonly<Record<string, number | Spread>>;

export interface Measured {
  readonly figures: Figures;
  readonly falseFailures: number;
  readonly traceHash: string;
}

const secondMs = 1000;
const limitMs = 10 * 60 * secondMs;
const never = Number.POSITIVE_INFINITY;

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** Datagrams and bytes that a member sends in a second while nothing happens. */
export function measureSteady(given: MeasureOptions): Measured {
  const stage = new Stage(given);
  const { sim } = stage;
  const { seconds = 60, nodes } = given;
  const [datagrams, bytes] = [sim.datagrams, sim.bytes];
  sim.run(seconds * secondMs);
  return finish(stage, {
    datagramsPerNodeSecond: (sim.datagrams - datagrams) / nodes / seconds,
    bytesPerNodeSecond: (sim.bytes - bytes) / nodes / seconds,
  });
}

/** From an event at one member until the first other, and all of them, have been told. */
function measureEvent(given: MeasureOptions, kind: string, happen: (victim: SimNode) => void): Measured {
  const stage = new Stage(given);
  const { sim } = stage;
  const first: number[] = [];
  const all: number[] = [];
  const spread: number[] = [];
  const cost: number[] = [];
  for (let i = 0; i < (given.repeats ?? 5) && sim.nodes.length > 2; i++) {
    sim.run(stage.dice.below(5000));
    const victim = sim.nodes[stage.dice.below(sim.nodes.length)] as SimNode;
    const { tookMs, missed, datagramsPerNode } = stage.follow(victim, kind, limitMs, () => happen(victim));
    const firstMs = tookMs[0] ?? never;
    const allMs = missed > 0 ? never : (tookMs.at(-1) ?? never);
    first.push(firstMs);
    all.push(allMs);
    spread.push(allMs - firstMs);
    cost.push(datagramsPerNode);
    if (!victim.isClosed) victim.close();
    sim.run(5 * secondMs);
  }
  return finish(stage, {
    firstMs: spreadOf(first),
    allMs: spreadOf(all),
    spreadMs: spreadOf(spread),
    datagramsPerNodeWhileSpreading: spreadOf(cost),
  });
}

function finish(stage: Stage, figures: Figures): Measured {
  const { falseFailures } = stage;
  return { figures, falseFailures, traceHash: stage.close() };
}

/** A process that is gone, whose machine says so. */
export function measureCrash(given: MeasureOptions): Measured {
  return measureEvent(given, "fail", (victim) => victim.close({ refuses: true }));
}

/** A machine that is gone: nothing answers. */
export function measureSilent(given: MeasureOptions): Measured {
  return measureEvent(given, "fail", (victim) => victim.close());
}

export function measureLeave(given: MeasureOptions): Measured {
  return measureEvent(given, "leave", (victim) => victim.leave());
}

/** A tenth of the members crash at the same instant. */
export function measureStorm(given: MeasureOptions): Measured {
  const stage = new Stage(given);
  const { sim } = stage;
  const victims = sim.nodes.slice(0, Math.max(1, Math.floor(given.nodes / 10)));
  const atMs = sim.nowMs;
  const before = sim.datagrams;
  for (const victim of victims) {
    stage.gone.add(victim.name);
    victim.close({ refuses: true });
  }
  const survivors = sim.nodes.length;
  let depth = 0;
  const isKnown = (): boolean => victims.every(({ name }) => stage.times("fail", name).size >= survivors);
  while (sim.nowMs - atMs < limitMs && !isKnown()) {
    sim.run(100);
    depth = sim.nodes.reduce((most, { endpoint }) => Math.max(most, endpoint.queueDepth()), depth);
  }
  return finish(stage, {
    allMs: isKnown() ? sim.nowMs - atMs : Number.POSITIVE_INFINITY,
    datagramsPerNode: (sim.datagrams - before) / survivors,
    queueDepthMax: depth,
  });
}

/** All start at once and join through the first. */
export function measureJoin({ nodes, seed, lossRate = 0, options = {}, recorder }: MeasureOptions): Measured {
  let falseFailures = 0;
  const observe = ({ kind }: SimEvent): void => void (kind === "fail" && falseFailures++);
  const sim = new Simulation({ seed, observe, witness: recorder });
  sim.network.lossRate = lossRate;
  for (let i = 0; i < nodes; i++) sim.open(`n${i}`, options);
  for (const node of sim.nodes.slice(1)) node.join("n0");
  const sizes = new Set<number>();
  const { nodes: all } = sim;
  const shareMs: number[] = [];
  const isFull = (): boolean => {
    let pairs = 0;
    for (const { memberCount } of all) {
      sizes.add(memberCount);
      pairs += memberCount;
    }
    if (pairs >= 0.99 * nodes * nodes && shareMs.length === 0) shareMs.push(sim.nowMs);
    return pairs === nodes * nodes;
  };
  while (sim.nowMs < limitMs && !isFull()) sim.run(100);
  const figures = {
    convergeMs: isFull() ? sim.nowMs : Number.POSITIVE_INFINITY,
    ninetyNinePercentMs: shareMs[0] ?? Number.POSITIVE_INFINITY,
    distinctSizes: sizes.size,
    datagramsPerNode: sim.datagrams / nodes,
    bytesPerNode: sim.bytes / nodes,
  };
  const { hash } = sim.trace;
  recorder?.end(sim.nowMs);
  sim.close();
  return { figures, falseFailures, traceHash: hash };
}
