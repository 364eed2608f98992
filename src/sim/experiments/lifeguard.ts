import type { Stall } from "../host.js";
import { cellsOfGrid, type Grid, recoverMs, type Suffering } from "./anomaly.js";
import {
  type BySize,
  type Cell,
  type Column,
  type Experiment,
  nodesOf,
  percent,
  published,
  quantiles,
  type Scale,
  seedsOf,
  sum,
} from "./experiment.js";
import {
  buddySystem,
  changed,
  lifeguard as full,
  hasty,
  lhaProbe,
  lhaSuspicion,
  memberlist,
  type Setup,
  swim,
  tattler,
  tuned,
} from "./setups.js";

interface Row extends Omit<Suffering, "nodes"> {
  readonly table: string;
  readonly name: string;
  readonly grid: Grid;
  /** Instead of the usual number. */
  readonly nodes?: number;
}

const secondMs = 1000;
const tiny: Grid = { members: [2], forMs: [8192], pauseMs: [1024] };

/** 36 of the paper's 432 (EXPERIMENTS E): every third C, every second D and I. */
export const interval: BySize<Grid> = {
  tiny,
  quick: { members: [16], forMs: [8192, 32_768], pauseMs: [1, 1024] },
  full: { members: [8, 20, 32], forMs: [512, 8192, 32_768], pauseMs: [1, 16, 256, 4096] },
};
const worst: BySize<Grid> = {
  tiny,
  quick: { members: [16], forMs: [16_384], pauseMs: [1024] },
  full: { members: [32], forMs: [8192, 32_768], pauseMs: [1, 64, 1024] },
};
/** More of them than the paper blocked, and for long. */
const large: BySize<Grid> = {
  tiny,
  quick: { members: [4], forMs: [16_384], pauseMs: [1024] },
  full: { members: [32, 64, 128], forMs: [8192, 32_768], pauseMs: [64] },
};
const third: BySize<Grid> = {
  tiny,
  quick: worst.quick,
  full: { members: [20, 32], forMs: [8192, 32_768], pauseMs: [1, 16, 256] },
};
const threshold: BySize<Grid> = {
  tiny: { members: [2], forMs: [32_768], pauseMs: [null] },
  quick: { members: [16], forMs: [32_768], pauseMs: [null] },
  full: { members: [1, 8, 16, 32], forMs: [16_384, 32_768], pauseMs: [null] },
};

const noDeafRule = changed(tattler, "without the deaf rule", { deafLimitMs: 0 });
const noTcp = (setup: Setup): Setup => changed(setup, "no TCP ping", { tcpPing: false });
const noDigest = changed(noTcp(tattler), "no digest sync", { digestSyncIntervalMs: 0 });
const halfSends = changed(noTcp(tattler), "half the sends", { retransmitMult: 2 });
const rivals = [memberlist, full, tattler];
/** Those of the paper, then what memberlist ships, then ours. */
export const components = [swim, lhaProbe, lhaSuspicion, buddySystem, full, memberlist, tattler] as const;
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
  const lossy = (setups: readonly Setup[], grid: Grid, lossRate: number, kind: Stall): Row[] =>
    named(each("loss", setups, { grid, lossRate, kind }), `${lossRate * 100} % loss, ${kinds[kind]}`);
  return [
    ...each("components", [...components, hasty, noDeafRule], { grid: interval[size] }),
    ...each("latency", components, { grid: threshold[size] }),
    ...each("tuning", [swim, ...tunings], { grid: worst[size] }),
    ...each("tuning latency", [swim, ...tunings], { grid: threshold[size] }),
    ...(Object.keys(kinds) as Stall[]).flatMap((kind) =>
      named(each("kinds", [...rivals, noDeafRule], { grid: worst[size], kind }), kinds[kind]),
    ),
    ...lossy(rivals, worst[size], 0.05, "gated"),
    ...lossy(rivals, worst[size], 0.2, "gated"),
    ...lossy(rivals.map(noTcp), third[size], 0.05, "gated"),
    ...lossy(rivals.map(noTcp), interval[size], 0.2, "scriptStalled"),
    ...lossy([noTcp(tattler), noDigest, halfSends], third[size], 0.2, "gated"),
    ...each("large", [full, tattler], { grid: large[size], nodes: { tiny: 16, quick: 500, full: 2000 }[size] }),
  ];
}

function cells(scale: Scale): Cell[] {
  const [nodes = 128] = nodesOf(scale, { tiny: [16], quick: [128], full: [128] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  return rowsOf(scale).flatMap((row) =>
    cellsOfGrid({ table: row.table, row: row.name }, { nodes, ...row }, row.grid, seeds),
  );
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

export const falsePositives: readonly Column[] = [sum("FP", "fp"), sum("FP-", "fpHealthy")];
export const accusations = sum("accusations by the sick: probes that failed", "accusations");
export const unrecovered = sum(`runs not recovered in ${recoverMs / secondMs} s`, "unrecovered");

/** Tables IV and VI. */
export const componentColumns: readonly Column[] = [
  ...falsePositives,
  percent("FP %", "fp"),
  published("paper", paper.fp),
  percent("FP- %", "fpHealthy"),
  published("paper", paper.fpHealthy),
  percent("datagrams %", "datagrams"),
  published("paper", paper.datagrams),
  percent("bytes %", "bytes"),
  unrecovered,
];

export const latencies: readonly Column[] = [
  quantiles("first detection p50 / p99, s", "firstMs", [0.5, 0.99], secondMs),
  quantiles("known to all healthy p50 / p99, s", "allMs", [0.5, 0.99], secondMs),
];

/** Nobody published these. */
export const largeColumns: readonly Column[] = [...falsePositives, ...latencies, percent("datagrams %", "datagrams")];

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
      title: "False positives and load (tables IV and VI)",
      rows: "configuration",
      columns: componentColumns,
    },
    {
      id: "latency",
      title: "Latency of one long anomaly, seconds, p50 / p99 / p99.9 (table V)",
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
      title: "What exactly stands still",
      rows: "configuration and anomaly",
      columns: [...falsePositives, accusations, quantiles("first detection p50, s", "firstMs", [0.5], secondMs)],
    },
    {
      id: "loss",
      title: "With lost datagrams",
      rows: "configuration, loss and anomaly",
      columns: [...falsePositives, accusations],
    },
    {
      id: "large",
      title: "More of them blocked, and for long",
      rows: "configuration",
      columns: largeColumns,
    },
  ],
  cells,
};
