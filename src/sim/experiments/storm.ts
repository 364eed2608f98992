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
const stepMs = 20;
const limitMs = 5 * 60 * secondMs;

const fates = [
  { id: "crash", refuses: true, title: "A tenth of the members crash at once, their hosts refuse datagrams" },
  { id: "silent", refuses: false, title: "A tenth of the members fall silent at once" },
];

function cells(scale: Scale): Cell[] {
  const counts = nodesOf(scale, { tiny: [20], quick: [500], full: [500, 2000] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  return fates.flatMap(({ id, refuses }) =>
    counts.flatMap((nodes) =>
      steps.flatMap((setup) =>
        seeds.map((seed) => ({
          table: id,
          row: `${nodes} members, ${setup.name}`,
          setup,
          seed,
          run: () => storm(setup, refuses, nodes, seed),
        })),
      ),
    ),
  );
}

function storm({ options, buddy = true }: Setup, refuses: boolean, nodes: number, seed: number): Outcome {
  const sampler = new Sampler();
  let falseSuspicions = 0;
  const gone = new Set<string>();
  const stage = new Stage({ nodes, seed, options, buddy }, ({ kind, about }) => {
    if (kind === "suspect" && !gone.has(about)) falseSuspicions++;
  });
  const { sim } = stage;
  const victims = stage.pick(Math.max(1, Math.floor(nodes / 10)));
  for (const victim of victims) {
    stage.gone.add(victim.name);
    gone.add(victim.name);
    victim.close({ refuses });
  }
  const survivors = sim.nodes;
  const startMs = sim.nowMs;
  const begun = sim.datagrams;
  let [depth, peak, halfMs] = [0, 0, Number.POSITIVE_INFINITY];
  const known = (): number => victims.reduce((sum, { name }) => sum + stage.times("fail", name).size, 0);
  const pairs = victims.length * survivors.length;
  let seen = 0;
  while (sim.nowMs - startMs < limitMs && seen < pairs) {
    const before = sim.datagrams;
    sim.run(stepMs);
    seen = known();
    if (seen >= pairs / 2) halfMs = Math.min(halfMs, sim.nowMs - startMs);
    peak = Math.max(peak, (sim.datagrams - before) / (stepMs / secondMs));
    depth = survivors.reduce((most, { endpoint }) => Math.max(most, endpoint.queueDepth()), depth);
  }
  sampler.add("halfMs", halfMs);
  sampler.add("allMs", seen < pairs ? Number.POSITIVE_INFINITY : sim.nowMs - startMs);
  sampler.add("datagrams", (sim.datagrams - begun) / survivors.length);
  sampler.add("peak", peak / 1000);
  sampler.add("depth", depth);
  sampler.add("falseFailures", stage.falseFailures);
  sampler.add("falseSuspicions", falseSuspicions);
  return { samples: sampler.samples, traceHash: stage.close() };
}

const table = ({ id, title }: { readonly id: string; readonly title: string }): Table => ({
  id,
  title,
  rows: "cluster and rules",
  columns: [
    quantiles("half of all verdicts known, s", "halfMs", [0.5], secondMs),
    quantiles("all deaths known to all, s (max)", "allMs", [1], secondMs),
    mean("datagrams a member", "datagrams"),
    quantiles("peak, 1,000 datagrams a second", "peak", [1]),
    quantiles("deepest queue", "depth", [1]),
    sum("false failures", "falseFailures"),
    sum("false suspicions", "falseSuspicions"),
  ],
});

export const massFailure: Experiment = {
  name: "storm",
  title: "Mass failure (EXPERIMENTS C)",
  tables: fates.map(table),
  cells,
};
