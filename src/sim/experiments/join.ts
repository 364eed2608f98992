import { Simulation } from "../simulation.js";
import {
  type Cell,
  type Experiment,
  mean,
  nodesOf,
  type Outcome,
  quantiles,
  rowOf,
  Sampler,
  type Scale,
  seedsOf,
  sum,
} from "./experiment.js";
import { changed, memberlist, rivals, type Setup, tattler } from "./setups.js";

const secondMs = 1000;
const stepMs = 100;
const limitMs = 10 * 60 * secondMs;

const digestSync = changed(memberlist, "with digest sync", { digestSyncIntervalMs: secondMs });
const noDigest = changed(tattler, "no digest sync", { digestSyncIntervalMs: 0 });
const rare = changed(tattler, "at most one sync in 5 s", { digestSyncIntervalMs: 5 * secondMs });
const noFeedback = changed(tattler, "no feedback", { gossipFeedback: false });
const half = changed(tattler, "half the sends", { retransmitMult: 2 });
const twice = changed(tattler, "twice the sends", { retransmitMult: 8 });
const rules = [digestSync, noDigest, tattler, rare, noFeedback, half, twice];

function cells(scale: Scale): Cell[] {
  const counts = nodesOf(scale, { tiny: [12], quick: [128, 500], full: [500, 2000] });
  const [few = 0] = counts;
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  const cell = (table: string, setup: Setup, nodes: number, lossRate: number): Cell[] =>
    seeds.map((seed) => ({
      table,
      row: rowOf(nodes, lossRate, setup),
      setup,
      seed,
      run: () => joinAtOnce(setup, { nodes, lossRate, seed }),
    }));
  return [
    ...counts.flatMap((nodes) =>
      (scale.size === "full" ? [0, 0.05] : [0]).flatMap((lossRate) =>
        rivals.flatMap((setup) => cell("join", setup, nodes, lossRate)),
      ),
    ),
    ...rules.flatMap((setup) => cell("join rules", setup, few, 0)),
  ];
}

export interface Given {
  readonly nodes: number;
  readonly lossRate: number;
  readonly seed: number;
}

/** All start at the same instant and join through the first. */
export function joinAtOnce({ options, buddy = true }: Setup, { nodes, lossRate, seed }: Given): Outcome {
  const sampler = new Sampler();
  let falseFailures = 0;
  const sim = new Simulation({ seed, observe: ({ kind }) => void (kind === "fail" && falseFailures++) });
  sim.network.lossRate = lossRate;
  for (let i = 0; i < nodes; i++) sim.open(`n${i}`, options, { buddy });
  const all = sim.nodes;
  for (const node of all.slice(1)) node.join("n0");
  const sizes = new Set<number>();
  let [mostMs, pairs] = [Number.POSITIVE_INFINITY, 0];
  while (sim.nowMs < limitMs && pairs < nodes * nodes) {
    sim.run(stepMs);
    pairs = 0;
    for (const { memberCount } of all) {
      pairs += memberCount;
      // As Rapid's agents do, once a second.
      if (sim.nowMs % secondMs < stepMs) sizes.add(memberCount);
    }
    if (pairs >= 0.99 * nodes * nodes) mostMs = Math.min(mostMs, sim.nowMs);
  }
  sampler.add("mostMs", mostMs);
  sampler.add("allMs", pairs < nodes * nodes ? Number.POSITIVE_INFINITY : sim.nowMs);
  sampler.add("sizes", sizes.size);
  sampler.add("datagrams", sim.datagrams / nodes);
  sampler.add("kib", sim.bytes / nodes / 1024);
  sampler.add("syncs", all.reduce((total, { swim }) => total + swim.stats().syncsMerged, 0) / nodes);
  sampler.add("falseFailures", falseFailures);
  const { hash } = sim.trace;
  sim.close();
  return { samples: sampler.samples, traceHash: hash };
}

export const joinColumns = [
  quantiles("99 % of pairs, s", "mostMs", [1], secondMs),
  quantiles("all pairs, s", "allMs", [1], secondMs),
  quantiles("distinct sizes reported", "sizes", [1]),
  mean("datagrams a member", "datagrams"),
  mean("KiB a member", "kib"),
  mean("syncs merged by a member", "syncs"),
  sum("false failures", "falseFailures"),
];

export const join: Experiment = {
  name: "join",
  title: "Join storm: all start at once and join through one (EXPERIMENTS B)",
  tables: [
    { id: "join", title: "From nothing to full views", rows: "cluster and rules", columns: joinColumns },
    { id: "join rules", title: "What each rule does", rows: "cluster and rules", columns: joinColumns },
  ],
  cells,
};
