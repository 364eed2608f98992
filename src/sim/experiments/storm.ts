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
import { changed, type Setup, steps, tattler } from "./setups.js";

const secondMs = 1000;
const stepMs = 20;
const limitMs = 5 * 60 * secondMs;

interface Fate {
  readonly id: string;
  readonly title: string;
  readonly refuses: boolean;
  readonly rules: readonly Setup[];
}

const ticksOnly = changed(tattler, "no urgent lane", { urgentFanout: 0 });
const lesser = [1, 2].map((urgentFanout) => changed(tattler, `urgent to ${urgentFanout}`, { urgentFanout }));
const noFeedback = changed(tattler, "no feedback", { gossipFeedback: false });
const half = changed(tattler, "half the sends", { retransmitMult: 2 });
const noDigest = changed(tattler, "no digest sync", { digestSyncIntervalMs: 0 });
const noRing = changed(tattler, "no ring probe", { ringProbe: false });
/** Counts as no rule of ours. */
const reckless = { ...tattler };
const noRefusal = changed(tattler, "a refusal proves nothing", { refusedConfirmations: 0 });

const fates: readonly Fate[] = [
  {
    id: "crash",
    title: "A tenth of the members crash at once, their hosts refuse datagrams",
    refuses: true,
    rules: [ticksOnly, ...lesser, noFeedback, half, noDigest, noRing, noRefusal],
  },
  {
    id: "silent",
    title: "A tenth of the members fall silent at once",
    refuses: false,
    rules: [ticksOnly, noFeedback, half, noDigest, noRing],
  },
];

/** EXPERIMENTS C. */
const hostPerSecond = 140_000;
const oneHost = "One host of 140,000 datagrams a second holds all members, a tenth of them crash";

function cells(scale: Scale): Cell[] {
  const counts = nodesOf(scale, { tiny: [20], quick: [500], full: [500, 2000] });
  const most = Math.max(...counts);
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  const cell = (table: string, setup: Setup, nodes: number, how: How): Cell[] =>
    seeds.map((seed) => ({
      table,
      row: `${nodes} members, ${setup.name}${how.judgesBehind ? ", judges while behind" : ""}`,
      setup,
      seed,
      run: () => storm(setup, how, nodes, seed),
    }));
  return [
    ...fates.flatMap((fate) => [
      ...counts.flatMap((nodes) => steps.flatMap((setup) => cell(fate.id, setup, nodes, fate))),
      ...fate.rules.flatMap((setup) => cell(fate.id, setup, most, fate)),
    ]),
    ...[...steps, ticksOnly].flatMap((setup) => cell("host", setup, most, { refuses: true, hostPerSecond })),
    ...cell("host", reckless, most, { refuses: true, hostPerSecond, judgesBehind: true }),
  ];
}

interface How {
  readonly refuses: boolean;
  /** All members are on one host that handles so many datagrams a second. */
  readonly hostPerSecond?: number;
  /** Members pass verdicts although datagrams wait at their host. */
  readonly judgesBehind?: boolean;
}

function storm({ options, buddy = true }: Setup, how: How, nodes: number, seed: number): Outcome {
  const sampler = new Sampler();
  let falseSuspicions = 0;
  const gone = new Set<string>();
  const stage = new Stage({ nodes, seed, options, buddy }, ({ kind, about }) => {
    if (kind === "suspect" && !gone.has(about)) falseSuspicions++;
  });
  const { sim } = stage;
  const { hostPerSecond: perSecond, judgesBehind = false } = how;
  if (perSecond !== undefined) sim.shareHost(perSecond, { judgesBehind });
  const victims = stage.pick(Math.max(1, Math.floor(nodes / 10)));
  for (const victim of victims) {
    stage.gone.add(victim.name);
    gone.add(victim.name);
    victim.close({ refuses: how.refuses });
  }
  watch(stage, victims, sampler);
  sampler.add("falseFailures", stage.falseFailures);
  sampler.add("falseSuspicions", falseSuspicions);
  return { samples: sampler.samples, traceHash: stage.close() };
}

/** Until everybody knows of every death. */
function watch(stage: Stage, victims: readonly SimNode[], sampler: Sampler): void {
  const { sim } = stage;
  const survivors = sim.nodes;
  const startMs = sim.nowMs;
  const begun = sim.datagrams;
  let [depth, peak, halfMs] = [0, 0, Number.POSITIVE_INFINITY];
  const known = (): number => victims.reduce((sum, { name }) => sum + stage.times("fail", name).size, 0);
  const pairs = victims.length * survivors.length;
  const sent: number[] = [begun];
  let seen = 0;
  while (sim.nowMs - startMs < limitMs && seen < pairs) {
    sim.run(stepMs);
    seen = known();
    if (seen >= pairs / 2) halfMs = Math.min(halfMs, sim.nowMs - startMs);
    peak = Math.max(peak, sim.datagrams - (sent.at(-1) ?? 0));
    sent.push(sim.datagrams);
    depth = survivors.reduce((most, { endpoint }) => Math.max(most, endpoint.queueDepth()), depth);
  }
  const steps = secondMs / stepMs;
  const inSecond = sent.map((datagrams, i) => datagrams - (sent[Math.max(0, i - steps)] ?? begun));
  sampler.add("halfMs", halfMs);
  sampler.add("allMs", seen < pairs ? Number.POSITIVE_INFINITY : sim.nowMs - startMs);
  sampler.add("datagrams", (sim.datagrams - begun) / survivors.length);
  sampler.add("peak", (peak * steps) / 1000);
  sampler.add("secondPeak", inSecond.reduce((most, count) => Math.max(most, count), 0) / 1000);
  sampler.add("depth", depth);
}

const table = ({ id, title }: { readonly id: string; readonly title: string }): Table => ({
  id,
  title,
  rows: "cluster and rules",
  columns: [
    quantiles("half of all verdicts known, s", "halfMs", [0.5], secondMs),
    quantiles("all deaths known to all, s (max)", "allMs", [1], secondMs),
    mean("datagrams a member", "datagrams"),
    quantiles("peak of 20 ms, 1,000 datagrams a second", "peak", [1]),
    quantiles("of a second", "secondPeak", [1]),
    quantiles("deepest queue", "depth", [1]),
    sum("false failures", "falseFailures"),
    sum("false suspicions", "falseSuspicions"),
  ],
});

export const massFailure: Experiment = {
  name: "storm",
  title: "Mass failure (EXPERIMENTS C)",
  tables: [...fates, { id: "host", title: oneHost }].map(table),
  cells,
};
