import type { SimNode } from "../node.js";
import { Stage } from "../stage.js";
import {
  type Cell,
  type Experiment,
  mean,
  nodesOf,
  type Outcome,
  quantiles,
  Sampler,
  type Scale,
  seedsOf,
  sum,
  type Table,
} from "./experiment.js";
import { type Setup, steps } from "./setups.js";

const secondMs = 1000;
const limitMs = 10 * 60 * secondMs;
const lossRates = [0, 0.05, 0.2];
/** One after the other in the same cluster. */
const repeats = { tiny: 1, quick: 2, full: 6 };

interface Fate {
  readonly id: string;
  readonly title: string;
  readonly event: "fail" | "leave";
  readonly happen: (victim: SimNode) => void;
}

const fates: readonly Fate[] = [
  {
    id: "crash",
    title: "A process crashes, its host refuses datagrams",
    event: "fail",
    happen: (victim) => victim.close({ refuses: true }),
  },
  { id: "silent", title: "A machine falls silent", event: "fail", happen: (victim) => victim.close() },
  { id: "leave", title: "A member leaves", event: "leave", happen: (victim) => victim.leave() },
];

function cells(scale: Scale): Cell[] {
  const counts = nodesOf(scale, { tiny: [12], quick: [128, 500], full: [128, 500, 2000] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  return fates.flatMap((fate) =>
    counts.flatMap((nodes) =>
      (scale.size === "full" && nodes <= 500 ? lossRates : [0, 0.2]).flatMap((lossRate) =>
        steps.flatMap((setup) =>
          seeds.map((seed) => ({
            table: fate.id,
            row: `${nodes} members, ${lossRate * 100} % loss, ${setup.name}`,
            setup,
            seed,
            run: () => follow(setup, fate, { nodes, lossRate, seed, repeats: repeats[scale.size] }),
          })),
        ),
      ),
    ),
  );
}

interface Given {
  readonly nodes: number;
  readonly lossRate: number;
  readonly seed: number;
  readonly repeats: number;
}

function follow({ options, buddy = true }: Setup, fate: Fate, given: Given): Outcome {
  const sampler = new Sampler();
  const stage = new Stage({ ...given, options, buddy });
  const { sim } = stage;
  for (let i = 0; i < given.repeats; i++) {
    sim.run(stage.dice.below(5000));
    const [victim] = stage.pick(1);
    if (victim === undefined) break;
    const { tookMs, missed, datagramsPerNode } = stage.follow(victim, fate.event, limitMs, () => fate.happen(victim));
    sampler.add("firstMs", tookMs[0] ?? Number.POSITIVE_INFINITY);
    sampler.add("allMs", missed > 0 ? Number.POSITIVE_INFINITY : (tookMs.at(-1) ?? Number.POSITIVE_INFINITY));
    sampler.add("spreadMs", (tookMs.at(-1) ?? Number.POSITIVE_INFINITY) - (tookMs[0] ?? 0));
    sampler.add("datagrams", datagramsPerNode);
    victim.close();
    sim.run(5 * secondMs);
  }
  sampler.add("falseFailures", stage.falseFailures);
  return { samples: sampler.samples, traceHash: stage.close() };
}

const table = ({ id, title }: Fate): Table => ({
  id,
  title,
  rows: "cluster and rules",
  columns: [
    quantiles("first knows p50 / max, s", "firstMs", [0.5, 1], secondMs),
    quantiles("all know p50 / max, s", "allMs", [0.5, 1], secondMs),
    quantiles("from first to all p50 / max, s", "spreadMs", [0.5, 1], secondMs),
    mean("datagrams a member meanwhile", "datagrams"),
    sum("false failures", "falseFailures"),
  ],
});

export const detection: Experiment = {
  name: "detection",
  title: "Detection: from an event at one member until all know",
  tables: fates.map(table),
  cells,
};
