import { MemberState } from "../../wire/generated/wire/member-state.js";
import type { SimNode } from "../node.js";
import { Stage } from "../stage.js";
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
  type Table,
} from "./experiment.js";
import { changed, rivals, type Setup, tattler } from "./setups.js";

const secondMs = 1000;
/** By then every transmit budget is spent; what is missed is left to state syncs. */
const spentMs = 8 * secondMs;
const lossRates = [0, 0.05, 0.2];
const largest = 4000;
const repeats = { tiny: 1, quick: 3, full: 6 };

interface News {
  readonly id: string;
  readonly title: string;
  readonly event: "leave" | "update" | "message";
  readonly happen: (origin: SimNode) => void;
  readonly rules: readonly Rule[];
}

/** A rule of ours weighed against the others. */
interface Rule {
  readonly setup: Setup;
  readonly lossRate: number;
  /** The share of all others that each member does not know. */
  readonly unknown?: number;
}

const budget = (mult: number, what: string): Setup => changed(tattler, what, { retransmitMult: mult });
const half = budget(2, "half the sends");
const quarter = budget(1, "a quarter of the sends");
const noTicks = changed(quarter, "no ticks", { gossipIntervalMs: 0 });
const noFeedback = changed(tattler, "no feedback", { gossipFeedback: false });
const fanouts = [0, 1, 2].map((urgentFanout) => changed(tattler, `urgent to ${urgentFanout}`, { urgentFanout }));
/** Views stay as they are: nothing compares them, nobody looks for who is missing. */
const unlike = { digestSyncIntervalMs: 0, pushPullIntervalMs: 0, reconnectTimeoutMs: 0 };
const views = [0, 0.1, 0.5].map((unknown) => ({
  setup: changed(tattler, `no syncs, each knows ${100 - unknown * 100} %`, unlike),
  lossRate: 0.05,
  unknown,
}));
const lossy = [noTicks, quarter, half, tattler, noFeedback].map((setup) => ({ setup, lossRate: 0.2 }));

const kinds: readonly News[] = [
  {
    id: "leave",
    title: "Urgent news: a leave",
    event: "leave",
    happen: (origin) => origin.leave(),
    rules: [
      ...[...fanouts, noTicks, quarter, half, tattler, noFeedback].map((setup) => ({ setup, lossRate: 0.05 })),
      ...views,
      ...lossy,
    ],
  },
  {
    id: "update",
    title: "Ordinary news: new metadata",
    event: "update",
    happen: (origin) => origin.updateMeta(Uint8Array.of(1, 2, 3)),
    rules: [quarter, half, tattler, noFeedback].map((setup) => ({ setup, lossRate: 0.05 })),
  },
  {
    id: "message",
    title: "A user's broadcast of 100 bytes",
    event: "message",
    happen: (origin) => void origin.broadcast(new Uint8Array(100)),
    rules: [],
  },
];

function cells(scale: Scale): Cell[] {
  const counts = nodesOf(scale, { tiny: [12], quick: [500], full: [500, 2000] });
  const [most = 0] = nodesOf(scale, { tiny: [12], quick: [500], full: [2000] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  const cell = (table: string, news: News, nodes: number, rule: Rule): Cell[] =>
    seeds.map((seed) => ({
      table,
      row: rowOf(nodes, rule.lossRate, rule.setup),
      setup: rule.setup,
      seed,
      run: () => spreadNews(rule, news, { nodes, seed, repeats: repeats[scale.size] }),
    }));
  // A broadcast travels as ordinary news does: once is enough.
  const countsOf = ({ id }: News): readonly number[] => (id === "message" ? counts.slice(0, 1) : counts);
  return kinds.flatMap((news) => [
    ...countsOf(news).flatMap((nodes) =>
      lossRates.flatMap((lossRate) => rivals.flatMap((setup) => cell(news.id, news, nodes, { setup, lossRate }))),
    ),
    ...(news.id === "leave" && scale.size === "full" && scale.nodes === undefined
      ? rivals.flatMap((setup) => cell(news.id, news, largest, { setup, lossRate: 0.05 }))
      : []),
    ...news.rules.flatMap((rule) => cell(`${news.id} rules`, news, most, rule)),
  ]);
}

interface Given {
  readonly nodes: number;
  readonly seed: number;
  readonly repeats: number;
}

function spreadNews({ setup, lossRate, unknown = 0 }: Rule, news: News, given: Given): Outcome {
  const sampler = new Sampler();
  const { options, buddy = true } = setup;
  const stage = new Stage({ ...given, lossRate, options, buddy });
  const { sim } = stage;
  const origins = stage.pick(given.repeats);
  thin(stage, unknown, origins);
  const steadyPerMs = steadyDatagrams(stage);
  for (const origin of origins) {
    sim.run(stage.dice.below(1000));
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

/** Everybody forgets a random share of the others, but for those whom the news will be about. */
function thin({ sim, dice }: Stage, share: number, known: readonly SimNode[]): void {
  const kept = new Set(known);
  const others = sim.nodes.filter((node) => !kept.has(node));
  for (const node of share === 0 ? [] : sim.nodes) {
    const { roster } = node.swim;
    for (const other of others) {
      if (other !== node && dice.nextFloat() < share) roster.become(other.self, MemberState.dead, 1, 0);
    }
    roster.forget(1);
  }
}

/** What the whole cluster sends in a millisecond without any news. */
function steadyDatagrams({ sim }: Stage): number {
  const before = sim.datagrams;
  sim.run(spentMs);
  return (sim.datagrams - before) / spentMs;
}

const columns = [
  quantiles("50 % know, ms p50", "halfMs", [0.5]),
  quantiles("99 % know, ms p50 / p99", "mostMs", [0.5, 0.99]),
  quantiles("last knows, ms p50 / p99 / max", "lastMs", [0.5, 0.99, 1]),
  mean("datagrams a member", "datagrams"),
  mean("members missed by gossip", "missed"),
];

const rows = "cluster and rules";
const table = ({ id, title }: News): Table => ({ id, title, rows, columns });
const rulesTable = ({ id, title }: News): Table => ({
  id: `${id} rules`,
  title: `${title}: what each rule does`,
  rows,
  columns,
});

export const spread: Experiment = {
  name: "spread",
  title: "Spread: one piece of news to all (EXPERIMENTS A)",
  tables: [...kinds.map(table), ...kinds.filter(({ rules }) => rules.length > 0).map(rulesTable)],
  cells,
};
