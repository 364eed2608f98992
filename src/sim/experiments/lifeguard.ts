import type { Stall } from "../host.js";
import type { SimEvent } from "../simulation.js";
import { Stage } from "../stage.js";
import {
  type BySize,
  type Cell,
  type Column,
  type Experiment,
  nodesOf,
  type Outcome,
  percent,
  published,
  quantiles,
  Sampler,
  type Scale,
  seedsOf,
  sum,
} from "./experiment.js";
import {
  buddySystem,
  lifeguard as full,
  lhaProbe,
  lhaSuspicion,
  memberlist,
  type Setup,
  swim,
  tattler,
  tuned,
} from "./setups.js";

/** Section V: so many random members are blocked for a time, again and again after a pause, or once (null). */
interface Anomaly {
  readonly members: number;
  readonly forMs: number;
  readonly pauseMs: number | null;
}

/** C x D x I of section V; no pause: the threshold experiment. */
interface Grid {
  readonly members: readonly number[];
  readonly forMs: readonly number[];
  readonly pauseMs: readonly (number | null)[];
}

/** What a row of a table is measured with. */
interface Row {
  readonly table: string;
  readonly name: string;
  readonly setup: Setup;
  readonly grid: Grid;
  readonly kind?: Stall;
  readonly lossRate?: number;
  readonly nodes?: number;
}

const secondMs = 1000;
const quiesceMs = 5 * secondMs; // a stage has had ten before
const cycleMs = 120 * secondMs;
const recoverMs = 120 * secondMs;

/** Of the paper's C {1, 4, 8 ... 32}, D {128 ... 32768} and I {1 ... 16384}, which are 432 cells of ten runs. */
const interval: BySize<Grid> = {
  tiny: { members: [2], forMs: [8192], pauseMs: [1024] },
  quick: { members: [16], forMs: [8192, 32768], pauseMs: [1, 1024] },
  full: { members: [4, 16, 32], forMs: [8192, 32768], pauseMs: [1, 64, 1024] },
};
const worst: BySize<Grid> = {
  tiny: { members: [2], forMs: [8192], pauseMs: [1024] },
  quick: { members: [16], forMs: [16384], pauseMs: [1024] },
  full: { members: [32], forMs: [8192, 32768], pauseMs: [1, 64, 1024] },
};
const few: BySize<Grid> = {
  tiny: { members: [2], forMs: [8192], pauseMs: [1024] },
  quick: { members: [4], forMs: [16384], pauseMs: [1024] },
  full: { members: [32], forMs: [8192, 32768], pauseMs: [1024] },
};
const threshold: BySize<Grid> = {
  tiny: { members: [2], forMs: [32768], pauseMs: [null] },
  quick: { members: [16], forMs: [32768], pauseMs: [null] },
  full: { members: [1, 8, 16, 32], forMs: [16384, 32768], pauseMs: [null] },
};

const components = [swim, lhaProbe, lhaSuspicion, buddySystem, full, memberlist, tattler];
const tunings = [4, 5].flatMap((alpha) => [2, 4, 6].map((beta) => tuned(alpha, beta)));
const kinds: Readonly<Record<Stall, string>> = {
  gated: "traffic blocked",
  stopped: "process stopped",
  scriptStalled: "JavaScript stalled",
};

function rowsOf({ size }: Scale): Row[] {
  const each = (table: string, setups: readonly Setup[], more: Omit<Row, "table" | "name" | "setup">): Row[] =>
    setups.map((setup) => ({ table, name: setup.name, setup, ...more }));
  const named = (rows: readonly Row[], suffix: string): Row[] =>
    rows.map((row) => ({ ...row, name: `${row.name}, ${suffix}` }));
  return [
    ...each("components", components, { grid: interval[size] }),
    ...each("latency", components, { grid: threshold[size] }),
    ...each("tuning", [swim, ...tunings], { grid: worst[size] }),
    ...each("tuning latency", [swim, ...tunings], { grid: threshold[size] }),
    ...(Object.keys(kinds) as Stall[]).flatMap((kind) =>
      named(each("kinds", [memberlist, full, tattler], { grid: worst[size], kind }), kinds[kind]),
    ),
    ...[0.05, 0.2].flatMap((lossRate) =>
      named(each("loss", [memberlist, full, tattler], { grid: worst[size], lossRate }), `${lossRate * 100} % loss`),
    ),
    ...each("large", [memberlist, full, tattler], {
      grid: few[size],
      nodes: { tiny: 16, quick: 500, full: 2000 }[size],
    }),
  ];
}

function anomaliesOf({ members, forMs, pauseMs }: Grid): Anomaly[] {
  return members.flatMap((count) =>
    forMs.flatMap((ms) => pauseMs.map((pause) => ({ members: count, forMs: ms, pauseMs: pause }))),
  );
}

function cells(scale: Scale): Cell[] {
  const [nodes = 128] = nodesOf(scale, { tiny: [16], quick: [128], full: [128] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  return rowsOf(scale).flatMap((row) =>
    anomaliesOf(row.grid).flatMap((anomaly) =>
      seeds.map((seed) => ({
        table: row.table,
        row: row.name,
        setup: row.setup,
        seed,
        run: () => suffer({ nodes, ...row }, anomaly, seed),
      })),
    ),
  );
}

/** One run: what is said of the healthy, and how soon the sick are found. */
function suffer(row: Row & { readonly nodes: number }, anomaly: Anomaly, seed: number): Outcome {
  const { setup, nodes, lossRate = 0, kind = "gated" } = row;
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
  const recovered = sim.run(recoverMs, () => all.every(({ memberCount }) => memberCount === nodes));
  sampler.add("fp", falseAt.anywhere);
  sampler.add("fpHealthy", falseAt.healthy);
  sampler.add("accusations", ...victims.map(({ swim: core }) => core.stats().failedProbes));
  sampler.add("datagrams", sim.datagrams - before.datagrams);
  sampler.add("bytes", sim.bytes - before.bytes);
  sampler.add("unrecovered", recovered ? 0 : 1);
  for (const name of sick) {
    const told = [...stage.times("fail", name)].filter(([node]) => !sick.has(node)).map(([, atMs]) => atMs - startMs);
    if (told.length > 0) sampler.add("firstMs", Math.min(...told));
    if (told.length === nodes - sick.size) sampler.add("allMs", Math.max(...told));
  }
  return { samples: sampler.samples, traceHash: stage.close() };
}

// --- what the paper printed (arXiv 1707.00788v2)

const paper = {
  fp: { SWIM: "100", "LHA-Probe": "67.7", "LHA-Suspicion": "3.00", "Buddy System": "94.1", Lifeguard: "1.53" },
  fpHealthy: { SWIM: "100", "LHA-Probe": "32.9", "LHA-Suspicion": "6.71", "Buddy System": "44.6", Lifeguard: "1.89" },
  datagrams: {
    SWIM: "100",
    "LHA-Probe": "98.5",
    "LHA-Suspicion": "111.3",
    "Buddy System": "100.1",
    Lifeguard: "110.6",
  },
  first: {
    SWIM: "12.44 / 16.96 / 19.40",
    "LHA-Probe": "12.42 / 17.75 / 20.10",
    "LHA-Suspicion": "12.42 / 17.47 / 25.41",
    "Buddy System": "12.45 / 17.12 / 19.16",
    Lifeguard: "12.45 / 17.90 / 21.20",
  },
  all: {
    SWIM: "12.90 / 16.93 / 20.17",
    "LHA-Probe": "12.90 / 17.98 / 20.56",
    "LHA-Suspicion": "12.89 / 17.33 / 23.80",
    "Buddy System": "12.92 / 17.18 / 19.81",
    Lifeguard: "12.91 / 18.05 / 21.68",
  },
  tunedFp: tunedBy(["37.7", "8.04", "3.18", "26.6", "5.43", "1.53"]),
  tunedFpHealthy: tunedBy(["20.3", "9.50", "4.83", "15.4", "5.05", "1.89"]),
  tunedFirst: tunedBy(["83.0", "83.0", "83.1", "99.8", "99.5", "100.1"]),
};

function tunedBy(values: readonly string[]): Record<string, string> {
  return Object.fromEntries(tunings.map(({ name }, i) => [name, values[i] ?? ""]));
}

const falsePositives: readonly Column[] = [sum("FP", "fp"), sum("FP-", "fpHealthy")];
const tails = [0.5, 0.99, 0.999];

function percentOfMedian(name: string, of: string): Column {
  const median = quantiles("", of, [0.5]);
  const value = (text: string): number => Number(text.replaceAll(",", ""));
  return {
    name,
    show: (samples, first, row) => {
      const [ours, whole] = [samples, first].map((from) => value(median.show(from, first, row)));
      return ours && whole ? ((100 * ours) / whole).toFixed(1) : "";
    },
  };
}

export const lifeguard: Experiment = {
  name: "lifeguard",
  title: "Lifeguard 2017: false positives and latency while members are slow",
  tables: [
    {
      id: "components",
      title: "False positives and load, 128 members (tables IV and VI)",
      rows: "configuration",
      columns: [
        ...falsePositives,
        percent("FP %", "fp"),
        published("paper", paper.fp),
        percent("FP- %", "fpHealthy"),
        published("paper", paper.fpHealthy),
        percent("datagrams %", "datagrams"),
        published("paper", paper.datagrams),
        percent("bytes %", "bytes"),
        sum("runs that never recovered", "unrecovered"),
      ],
    },
    {
      id: "latency",
      title: "Latency of one long anomaly, 128 members, seconds, p50 / p99 / p99.9 (table V)",
      rows: "configuration",
      columns: [
        quantiles("first detection", "firstMs", tails, secondMs),
        published("paper", paper.first),
        quantiles("known to all healthy", "allMs", tails, secondMs),
        published("paper", paper.all),
      ],
    },
    {
      id: "tuning",
      title: "Timings of Lifeguard, % of SWIM (table VII)",
      rows: "configuration",
      columns: [
        ...falsePositives,
        percent("FP %", "fp"),
        published("paper", paper.tunedFp),
        percent("FP- %", "fpHealthy"),
        published("paper", paper.tunedFpHealthy),
      ],
    },
    {
      id: "tuning latency",
      title: "Their median first detection, % of SWIM (table VII)",
      rows: "configuration",
      columns: [percentOfMedian("median %", "firstMs"), published("paper", paper.tunedFirst)],
    },
    {
      id: "kinds",
      title: "What exactly stands still, 128 members",
      rows: "configuration and anomaly",
      columns: [
        ...falsePositives,
        sum("failed probes by the sick", "accusations"),
        quantiles("first detection p50, s", "firstMs", [0.5], secondMs),
      ],
    },
    {
      id: "loss",
      title: "With lost datagrams, 128 members",
      rows: "configuration and loss",
      columns: falsePositives,
    },
    {
      id: "large",
      title: "2,000 members (--quick: 500)",
      rows: "configuration",
      columns: [
        ...falsePositives,
        quantiles("first detection p50 / p99, s", "firstMs", [0.5, 0.99], secondMs),
        quantiles("known to all healthy p50 / p99, s", "allMs", [0.5, 0.99], secondMs),
        percent("datagrams %", "datagrams"),
      ],
    },
  ],
  cells,
};
