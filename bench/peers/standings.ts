import type { Report, Spread } from "../scenario.js";

export const contestCases = ["cluster", "steady", "detect", "storm"] as const;
export type ContestCase = (typeof contestCases)[number];

/** One figure of a report. */
export interface Measure {
  readonly metric: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** Name of the figure, and which of its percentiles. */
  readonly figure: string;
  readonly at?: keyof Spread;
}

/** Median and extremes of the rounds. */
export interface Rounds {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** One measure of both sides; null where a side has no such figure in any round. */
export interface Standing {
  readonly case: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: Rounds | null;
  readonly peer: string;
  readonly theirs: Rounds | null;
  /** Of the medians, and of each round by itself. Above 1 means that ours is better, whatever the measure. */
  readonly ratio: Rounds | null;
}

/** What was measured in one round, one side right after the other; null when a side failed. */
export interface Round {
  readonly ours: Report | null;
  readonly theirs: Report | null;
}

const lower = (metric: string, unit: string, figure: string, at?: keyof Spread): Measure => {
  return { metric, unit, better: "lower", figure, ...(at === undefined ? {} : { at }) };
};

const falseFailures = lower("false failures", "", "falseFailures");

export const measures: Record<ContestCase, readonly Measure[]> = {
  cluster: [
    lower("all know all", "ms", "convergeMs"),
    lower("CPU to converge", "s", "cpuSeconds"),
    lower("datagrams a node", "", "packetsPerNode"),
    lower("bytes in datagrams a node", "B", "bytesPerNode"),
    lower("bytes in streams a node", "B", "streamBytesPerNode"),
    lower("sizes seen", "", "sizesSeen"),
    lower("RSS", "MB", "rssMb"),
    falseFailures,
  ],
  steady: [
    lower("CPU of a node a second", "ms", "cpuMsPerNodeSecond"),
    lower("datagrams of a node a second", "", "packetsPerNodeSecond"),
    lower("bytes of a node a second", "B", "bytesPerNodeSecond"),
    lower("stream bytes of a node a second", "B", "streamBytesPerNodeSecond"),
    lower("RSS", "MB", "rssMb"),
    lower("RSS an entry", "B", "bytesPerEntry"),
    falseFailures,
  ],
  detect: [
    lower("first is told, p50", "ms", "firstMs", "p50"),
    lower("all are told, p50", "ms", "allMs", "p50"),
    lower("all are told, max", "ms", "allMs", "max"),
    lower("from first to last, p50", "ms", "spreadMs", "p50"),
    falseFailures,
  ],
  storm: [
    lower("crash of a tenth known to all", "ms", "crashAllMs"),
    { metric: "broadcasts delivered, share", unit: "", better: "higher", figure: "deliveredShare" },
    lower("broadcast latency, p50", "ms", "latencyMs", "p50"),
    lower("broadcast latency, p99", "ms", "latencyMs", "p99"),
    lower("CPU", "s", "cpuSeconds"),
    lower("datagrams", "", "packets"),
    falseFailures,
  ],
};

export function standingsOf(name: ContestCase, peer: string, rounds: readonly Round[]): Standing[] {
  return measures[name].map((measure) => {
    const pairs = rounds.map(({ ours, theirs }) => [figureOf(ours, measure), figureOf(theirs, measure)] as const);
    const { metric, unit } = measure;
    const ours = roundsOf(pairs.map(([mine]) => mine));
    const theirs = roundsOf(pairs.map(([, other]) => other));
    const ratios = roundsOf(pairs.map(([mine, other]) => ratioOf(measure, mine, other)));
    const middle = ratioOf(measure, ours?.median ?? null, theirs?.median ?? null);
    const ratio = ratios === null || middle === null ? null : { ...ratios, median: middle };
    return { case: name, metric, unit, ours: tidied(ours), peer, theirs: tidied(theirs), ratio: tidied(ratio) };
  });
}

/** What did not come about, each once, with the rounds it befell. */
export function remarksOf(name: string, peer: string, rounds: readonly Round[]): string[] {
  const sides = [
    [peer, rounds.map(({ theirs }) => theirs)],
    ["tattler", rounds.map(({ ours }) => ours)],
  ] as const;
  return sides.flatMap(([side, reports]) => {
    const problems = reports.flatMap((report) => report?.problems ?? ["failed"]);
    return [...new Set(problems)].map((problem) => {
      const count = problems.filter((other) => other === problem).length;
      return `${name}: ${side} ${problem}, in ${count} of ${reports.length} rounds`;
    });
  });
}

/** The table's cells, the head first. */
export function standingRows(standings: readonly Standing[]): string[][] {
  const peer = standings[0]?.peer ?? "";
  const head = ["case", "measure", "tattler (min..max)", `${peer} (min..max)`, "ratio (min..max)"];
  const rows = standings.map(({ case: name, metric, unit, ours, theirs, ratio }) => {
    return [name, unit === "" ? metric : `${metric}, ${unit}`, cellOf(ours), cellOf(theirs), cellOf(ratio)];
  });
  return [head, ...rows];
}

function figureOf(report: Report | null, { figure, at }: Measure): number | null {
  const value = report?.[figure] as number | Spread | null | undefined;
  const number = typeof value === "object" && at !== undefined ? value?.[at] : value;
  return typeof number === "number" && Number.isFinite(number) ? number : null;
}

function ratioOf({ better }: Measure, ours: number | null, theirs: number | null): number | null {
  if (ours === null || theirs === null) return null;
  const ratio = better === "higher" ? ours / theirs : theirs / ours;
  return Number.isFinite(ratio) ? ratio : null;
}

function roundsOf(values: readonly (number | null)[]): Rounds | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return null;
  return { median: middleOf(known), min: Math.min(...known), max: Math.max(...known) };
}

/** Between the two in the middle when there are two, so that it favours neither side. */
function middleOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low = Number.NaN, high = low] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return (low + high) / 2;
}

function tidied(rounds: Rounds | null): Rounds | null {
  return rounds && { median: tidy(rounds.median), min: tidy(rounds.min), max: tidy(rounds.max) };
}

function tidy(value: number): number {
  return Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(3));
}

function cellOf(rounds: Rounds | null): string {
  if (rounds === null) return "–";
  const { median: middle, min, max } = rounds;
  const format = (value: number): string => value.toLocaleString("en", { maximumSignificantDigits: 6 });
  return min === max ? format(middle) : `${format(middle)} (${format(min)}..${format(max)})`;
}
