/** One measured pair: what we need and what the peer needs, in the same run. */
export interface Comparison {
  readonly case: string;
  readonly metric: string;
  readonly unit: string;
  readonly ours: number;
  readonly peer: string;
  readonly theirs: number;
  /** Above 1 means that ours is better, whatever the metric. */
  readonly ratio: number;
  /** Smallest and largest ratio of the rounds. */
  readonly spread: readonly [number, number];
}

/** What a case gets: seconds it may take for each side and round, and how many rounds. */
export interface CaseOptions {
  readonly seconds: number;
  readonly rounds: number;
}

export type BenchCase = (options: CaseOptions) => Promise<Comparison[]>;

export interface Metric {
  readonly case: string;
  readonly metric: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
}

/** Compares rounds that were measured in turn, A B A B: medians of each side, spread of the ratios. */
export function compare(metric: Metric, ours: readonly number[], peer: string, theirs: readonly number[]): Comparison {
  const ratioOf = (a: number, b: number): number => (metric.better === "higher" ? a / b : b / a);
  const ratios = ours.map((value, round) => ratioOf(value, theirs[round] ?? Number.NaN));
  const [mine, other] = [median(ours), median(theirs)];
  return {
    case: metric.case,
    metric: metric.metric,
    unit: metric.unit,
    ours: tidy(mine),
    peer,
    theirs: tidy(other),
    ratio: tidy(ratioOf(mine, other)),
    spread: [tidy(Math.min(...ratios)), tidy(Math.max(...ratios))],
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

/** Three significant digits and more for large numbers. */
function tidy(value: number): number {
  return Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(3));
}
