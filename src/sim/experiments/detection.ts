import type { SimNode } from "../node.js";
import { Stage } from "../stage.js";
import { mixHashes } from "../trace.js";
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
  type Table,
} from "./experiment.js";
import { changed, lifeguard, memberlist, rivals, type Setup, steps, tattler } from "./setups.js";

const secondMs = 1000;
/** Whoever has not heard by then has been missed, and only state syncs are left to tell it. */
const limitMs = 2 * 60 * secondMs;
const restMs = 5 * secondMs;
const lossRates = [0, 0.05, 0.2];

interface Fate {
  readonly id: string;
  readonly title: string;
  readonly event: "fail" | "leave";
  readonly happen: (victim: SimNode) => void;
  /** Our rules weighed one by one, each with the share of datagrams that get lost. */
  readonly rules: readonly (readonly [Setup, number])[];
  /** So many victims for a row of them. */
  readonly repeats: number;
}

const noRing = changed(tattler, "no ring probe", { ringProbe: false });
const noRefusal = changed(tattler, "a refusal proves nothing", { refusedConfirmations: 0 });
const oneRefusal = changed(tattler, "one refusal is enough", { refusedConfirmations: 1 });
const twoRounds = changed(tattler, "2 round-robin probes a second, no ring probe", {
  ringProbe: false,
  probeIntervalMs: 500,
  probeTimeoutMs: 400,
});
const ticksOnly = changed(tattler, "no urgent lane", { urgentFanout: 0 });
const noTcp = changed(tattler, "no TCP ping", { tcpPing: false });
const patient = [1500, 3000, 4000].map((ms) =>
  changed(tattler, `suspicion at least ${ms / secondMs} s`, { suspicionMinMs: ms }),
);
const longIndirect = changed(tattler, "helpers have the rest of the interval", { indirectTimeoutMs: 0 });
const shortDirect = changed(tattler, "direct time-out from 50 ms", { probeTimeoutMinMs: 50 });
const longDirect = changed(tattler, "direct time-out 500 ms", { probeTimeoutMinMs: 500 });

const crash: Fate = {
  id: "crash",
  title: "A process crashes, its host refuses datagrams",
  event: "fail",
  happen: (victim) => victim.close({ refuses: true }),
  rules: [tattler, noRing, twoRounds, oneRefusal, noRefusal, ticksOnly].map((setup) => [setup, 0]),
  repeats: 24,
};
const silent: Fate = {
  id: "silent",
  title: "A machine falls silent",
  event: "fail",
  happen: (victim) => victim.close(),
  rules: [
    ...[memberlist, lifeguard, tattler, ...patient, noRing, longIndirect, shortDirect, longDirect, noTcp].map(
      (setup) => [setup, 0] as const,
    ),
    [tattler, 0.2],
    [noTcp, 0.2],
  ],
  repeats: 16,
};
const leave: Fate = {
  id: "leave",
  title: "A member leaves",
  event: "leave",
  happen: (victim) => victim.leave(),
  rules: [],
  repeats: 0,
};
const fates = [crash, silent, leave];

/** In every size: EXPERIMENTS D has three members. */
const few = 3;
const repeatsOf = ({ size }: Scale, nodes: number): number =>
  nodes <= few ? { tiny: 2, quick: 12, full: 60 }[size] : { tiny: 1, quick: 2, full: nodes > 500 ? 6 : 12 }[size];

function cells(scale: Scale): Cell[] {
  const counts = nodesOf(scale, { tiny: [few, 12], quick: [few, 128, 500], full: [few, 128, 500, 2000] });
  // Our verdicts hardly depend on the number of members, as the first tables show.
  const [some = few] = nodesOf(scale, { tiny: [12], quick: [128], full: [500] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  const cell = (table: string, fate: Fate, setup: Setup, given: Omit<Given, "seed">): Cell[] =>
    seeds.map((seed) => ({
      table,
      row: rowOf(given.nodes, given.lossRate, setup),
      setup,
      seed,
      run: () => follow(setup, fate, { ...given, seed }),
    }));
  return [
    ...fates.flatMap((fate) =>
      counts.flatMap((nodes) =>
        lossesOf(scale, nodes).flatMap((lossRate) =>
          (nodes > 500 ? rivals : steps).flatMap((setup) =>
            cell(fate.id, fate, setup, { nodes, lossRate, repeats: repeatsOf(scale, nodes) }),
          ),
        ),
      ),
    ),
    ...fates.flatMap((fate) =>
      fate.rules.flatMap(([setup, lossRate]) =>
        cell(`${fate.id} rules`, fate, setup, {
          nodes: some,
          lossRate,
          repeats: { tiny: 1, quick: 3, full: fate.repeats }[scale.size],
        }),
      ),
    ),
  ];
}

function lossesOf({ size }: Scale, nodes: number): readonly number[] {
  if (nodes <= few) return [0];
  return size === "full" ? lossRates : [0, 0.2];
}

interface Given {
  readonly nodes: number;
  readonly lossRate: number;
  readonly seed: number;
  readonly repeats: number;
}

/** One victim after the other, in clusters of which at most a quarter goes. */
function follow({ options, buddy = true }: Setup, fate: Fate, given: Given): Outcome {
  const sampler = new Sampler();
  const perStage = Math.max(1, given.nodes >> 2);
  const hashes: string[] = [];
  for (let left = given.repeats, life = 0; left > 0; left -= perStage, life++) {
    const stage = new Stage({ ...given, seed: given.seed + 1000 * life, options, buddy });
    for (let i = 0; i < Math.min(left, perStage); i++) watch(stage, fate, sampler);
    sampler.add("falseFailures", stage.falseFailures);
    hashes.push(stage.close());
  }
  return { samples: sampler.samples, traceHash: mixHashes(hashes) };
}

function watch(stage: Stage, fate: Fate, sampler: Sampler): void {
  const { sim } = stage;
  sim.run(stage.dice.below(restMs));
  const [victim] = stage.pick(1);
  if (victim === undefined) return;
  const { tookMs, missed, datagramsPerNode } = stage.follow(victim, fate.event, limitMs, () => fate.happen(victim));
  const [firstMs, lastMs] = [tookMs[0] ?? Number.POSITIVE_INFINITY, tookMs.at(-1) ?? Number.POSITIVE_INFINITY];
  sampler.add("firstMs", firstMs);
  sampler.add("allMs", missed > 0 ? Number.POSITIVE_INFINITY : lastMs);
  sampler.add("spreadMs", missed > 0 ? Number.POSITIVE_INFINITY : lastMs - firstMs);
  sampler.add("datagrams", datagramsPerNode);
  victim.close();
  sim.run(restMs);
}

const columns = [
  quantiles("first knows p50 / max, s", "firstMs", [0.5, 1], secondMs),
  quantiles("all know p50 / max, s", "allMs", [0.5, 1], secondMs),
  quantiles("from first to all p50 / max, s", "spreadMs", [0.5, 1], secondMs),
  mean("datagrams a member meanwhile", "datagrams"),
  sum("false failures", "falseFailures"),
];

const table = ({ id, title }: Fate): Table => ({ id, title, rows: "cluster and rules", columns });
const rulesTable = ({ id, title }: Fate): Table => ({
  id: `${id} rules`,
  title: `${title}: what each rule does`,
  rows: "cluster and rules",
  columns,
});

export const detection: Experiment = {
  name: "detection",
  title: "Detection: from an event at one member until all know",
  tables: [...fates.map(table), ...fates.filter(({ rules }) => rules.length > 0).map(rulesTable)],
  cells,
};
