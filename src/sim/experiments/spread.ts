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
  type Table,
} from "./experiment.js";
import { type Setup, steps } from "./setups.js";

const secondMs = 1000;
/** By then every transmit budget is spent; what is missed is left to state syncs. */
const spentMs = 8 * secondMs;
const lossRates = [0, 0.05, 0.2];
const repeats = { tiny: 1, quick: 3, full: 6 };

interface News {
  readonly id: string;
  readonly title: string;
  readonly event: "leave" | "update" | "message";
  readonly happen: (origin: SimNode) => void;
}

const kinds: readonly News[] = [
  { id: "leave", title: "Urgent news: a leave", event: "leave", happen: (origin) => origin.leave() },
  {
    id: "update",
    title: "Ordinary news: new metadata",
    event: "update",
    happen: (origin) => origin.updateMeta(Uint8Array.of(1, 2, 3)),
  },
  {
    id: "message",
    title: "A user's broadcast of 100 bytes",
    event: "message",
    happen: (origin) => void origin.broadcast(new Uint8Array(100)),
  },
];

function cells(scale: Scale): Cell[] {
  const counts = nodesOf(scale, { tiny: [12], quick: [500], full: [500, 2000] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  // A broadcast travels as ordinary news does: once is enough.
  const countsOf = ({ id }: News): readonly number[] => (id === "message" ? counts.slice(0, 1) : counts);
  return kinds.flatMap((news) =>
    countsOf(news).flatMap((nodes) =>
      lossRates.flatMap((lossRate) =>
        steps.flatMap((setup) =>
          seeds.map((seed) => ({
            table: news.id,
            row: `${nodes} members, ${lossRate * 100} % loss, ${setup.name}`,
            setup,
            seed,
            run: () => spreadNews(setup, news, { nodes, lossRate, seed, repeats: repeats[scale.size] }),
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

function spreadNews({ options, buddy = true }: Setup, news: News, given: Given): Outcome {
  const sampler = new Sampler();
  const stage = new Stage({ ...given, options, buddy });
  const { sim } = stage;
  const steadyPerMs = steadyDatagrams(stage);
  for (let i = 0; i < given.repeats; i++) {
    sim.run(stage.dice.below(1000));
    const [origin] = stage.pick(1);
    if (origin === undefined) break;
    const others = sim.nodes.length - 1;
    const [startMs, datagrams] = [sim.nowMs, sim.datagrams];
    stage.forget();
    const { tookMs } = stage.follow(origin, news.event, spentMs, () => news.happen(origin));
    const told = tookMs.length;
    sim.run(startMs + spentMs - sim.nowMs);
    const at = (share: number): number => tookMs[Math.ceil(share * others) - 1] ?? Number.POSITIVE_INFINITY;
    sampler.add("halfMs", at(0.5));
    sampler.add("mostMs", at(0.99));
    sampler.add("lastMs", tookMs.at(-1) ?? Number.POSITIVE_INFINITY);
    sampler.add("missed", others - told);
    sampler.add("datagrams", (sim.datagrams - datagrams - steadyPerMs * spentMs) / others);
    if (news.event === "leave") origin.close();
  }
  return { samples: sampler.samples, traceHash: stage.close() };
}

/** What the whole cluster sends in a millisecond without any news. */
function steadyDatagrams({ sim }: Stage): number {
  const before = sim.datagrams;
  sim.run(spentMs);
  return (sim.datagrams - before) / spentMs;
}

const table = ({ id, title }: News): Table => ({
  id,
  title,
  rows: "cluster and rules",
  columns: [
    quantiles("50 % know, ms p50", "halfMs", [0.5]),
    quantiles("99 % know, ms p50 / p99", "mostMs", [0.5, 0.99]),
    quantiles("last knows, ms p50 / p99 / max", "lastMs", [0.5, 0.99, 1]),
    mean("datagrams a member", "datagrams"),
    mean("members missed by gossip", "missed"),
  ],
});

export const spread: Experiment = {
  name: "spread",
  title: "Spread: one piece of news to all (EXPERIMENTS A)",
  tables: kinds.map(table),
  cells,
};
