import type { Stall } from "../host.js";
import type { SimEvent } from "../simulation.js";
import { Stage } from "../stage.js";
import { type Cell, type Outcome, type Place, Sampler } from "./experiment.js";
import type { Setup } from "./setups.js";

/** Section V: so many random members are blocked for a time, again and again after a pause, or once (null). */
export interface Anomaly {
  readonly members: number;
  readonly forMs: number;
  readonly pauseMs: number | null;
}

/** C x D x I of section V; no pause: the threshold experiment. */
export interface Grid {
  readonly members: readonly number[];
  readonly forMs: readonly number[];
  readonly pauseMs: readonly (number | null)[];
}

/** All 432 of the paper's. */
export const wholeGrid: Grid = {
  members: [1, 4, 8, 12, 16, 20, 24, 28, 32],
  forMs: [128, 512, 2048, 8192, 16_384, 32_768],
  pauseMs: [1, 4, 16, 64, 256, 1024, 4096, 16_384],
};

export interface AnomalyCell extends Cell {
  readonly anomaly: Anomaly;
}

/** What a row of a table is measured with. */
export interface Suffering {
  readonly setup: Setup;
  readonly nodes: number;
  readonly kind?: Stall;
  readonly lossRate?: number;
}

const secondMs = 1000;
const quiesceMs = 5 * secondMs; // a stage has had ten before
const cycleMs = 120 * secondMs;
/** So long after the last block everybody has to know everybody again. */
export const recoverMs = 120 * secondMs;

function anomaliesOf({ members, forMs, pauseMs }: Grid): Anomaly[] {
  return members.flatMap((count) =>
    forMs.flatMap((ms) => pauseMs.map((pause) => ({ members: count, forMs: ms, pauseMs: pause }))),
  );
}

/** One row's runs: each anomaly with each seed. */
export function cellsOfGrid(place: Place, how: Suffering, grid: Grid, seeds: readonly number[]): AnomalyCell[] {
  const { setup, nodes } = how;
  return anomaliesOf(grid).flatMap((anomaly) =>
    seeds.map((seed) => ({ ...place, anomaly, setup, nodes, seed, run: () => suffer(how, anomaly, seed) })),
  );
}

/** One run: what is said of the healthy, and how soon the sick are found. */
export function suffer(how: Suffering, anomaly: Anomaly, seed: number): Outcome {
  const { setup, nodes, lossRate = 0, kind = "gated" } = how;
  const sampler = new Sampler();
  const sick = new Set<string>();
  const falseAt = { anywhere: 0, healthy: 0 };
  const note = ({ kind: what, about, node }: SimEvent): void => {
    if (what !== "fail" || sick.has(about)) return;
    falseAt.anywhere++;
    if (!sick.has(node)) falseAt.healthy++;
  };
  const { options, buddy = true } = setup;
  const stage = new Stage({ nodes, seed, lossRate, options, buddy }, note);
  const { sim } = stage;
  sim.run(quiesceMs);
  const victims = stage.pick(anomaly.members);
  for (const { name } of victims) sick.add(name);
  const startMs = sim.nowMs;
  const before = { datagrams: sim.datagrams, bytes: sim.bytes };
  do {
    for (const victim of victims) victim.stall(kind);
    sim.run(anomaly.forMs);
    for (const victim of victims) victim.resume();
    if (anomaly.pauseMs !== null) sim.run(anomaly.pauseMs);
  } while (anomaly.pauseMs !== null && sim.nowMs - startMs < cycleMs);
  const all = sim.nodes;
  const endMs = sim.nowMs;
  const recovered = sim.run(recoverMs, () => all.every(({ memberCount }) => memberCount === nodes));
  sampler.add("fp", falseAt.anywhere);
  sampler.add("fpHealthy", falseAt.healthy);
  sampler.add("accusations", ...victims.map(({ swim: core }) => core.stats().failedProbes));
  sampler.add("datagrams", sim.datagrams - before.datagrams);
  sampler.add("bytes", sim.bytes - before.bytes);
  sampler.add("unrecovered", recovered ? 0 : 1);
  sampler.add("wholeMs", recovered ? sim.nowMs - endMs : Number.POSITIVE_INFINITY);
  for (const name of sick) {
    const told = [...stage.times("fail", name)].filter(([node]) => !sick.has(node)).map(([, atMs]) => atMs - startMs);
    if (told.length > 0) sampler.add("firstMs", Math.min(...told));
    if (told.length === nodes - sick.size) sampler.add("allMs", Math.max(...told));
  }
  return { samples: sampler.samples, traceHash: stage.close() };
}
