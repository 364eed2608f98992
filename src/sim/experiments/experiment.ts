/** What an experiment is made of: cells that run apart from each other, and tables that add them up. */
import type { Setup } from "./setups.js";

/** Numbers by name, one for each time that something was seen. */
export type Samples = Readonly<Record<string, readonly number[]>>;

export interface Outcome {
  readonly samples: Samples;
  readonly traceHash: string;
}

/** A row of a table. */
export interface Place {
  readonly table: string;
  readonly row: string;
}

/** One run of a simulation, or a few in a row, and the row that it counts for. */
export interface Cell extends Place {
  /** Counts here as well. */
  readonly also?: Place;
  readonly setup: Setup;
  /** How many members, where the row does not say it: the table's title does when all its cells have as many. */
  readonly nodes?: number;
  readonly seed: number;
  run(): Outcome;
}

/** How much is run: `full` is what bench/RESULTS.md holds, `quick` is for developing, `tiny` for tests. */
export interface Scale {
  readonly size: "tiny" | "quick" | "full";
  readonly seed: number;
  /** How many seeds each cell is run with; default: what the size says. */
  readonly runs?: number;
  /** Instead of the numbers of members that the size says. */
  readonly nodes?: number;
  /** Only the cells of setups whose name begins so. */
  readonly setup?: string;
}

export interface Column {
  readonly name: string;
  /** @param first the first row of the table, to compare with. */
  show(samples: Samples, first: Samples, row: string): string;
}

export interface Table {
  readonly id: string;
  readonly title: string;
  /** What the first column holds. */
  readonly rows: string;
  readonly columns: readonly Column[];
}

export interface Experiment {
  readonly name: string;
  readonly title: string;
  readonly tables: readonly Table[];
  /** Takes hours: run when it is asked for by name, not with all. */
  readonly isLong?: true;
  cells(scale: Scale): Cell[];
}

/** What is run at this scale. */
export function cellsOf(experiment: Experiment, scale: Scale): Cell[] {
  const { setup: wanted = "" } = scale;
  return experiment.cells(scale).filter(({ setup }) => setup.name.startsWith(wanted));
}

/** By size. */
export type BySize<T> = Readonly<Record<Scale["size"], T>>;

export function nodesOf({ size, nodes }: Scale, counts: BySize<readonly number[]>): readonly number[] {
  return nodes === undefined ? counts[size] : [nodes];
}

export function seedsOf({ size, seed, runs }: Scale, counts: BySize<number>): number[] {
  return Array.from({ length: runs ?? counts[size] }, (_, i) => seed + i);
}

/** A row of clusters of a size, under some loss, with a setup. */
export function rowOf(nodes: number, lossRate: number, { name }: Setup): string {
  return `${nodes} members, ${lossRate * 100} % loss, ${name}`;
}

// --- samples

/** Adds values under a name; what never came is Infinity. */
export class Sampler {
  readonly samples: Record<string, number[]> = {};

  add(name: string, ...values: readonly number[]): void {
    this.samples[name] = [...(this.samples[name] ?? []), ...values];
  }
}

/** Without the fear of too many arguments. */
export function mergeSamples(all: readonly Samples[]): Samples {
  const merged: Record<string, number[]> = {};
  for (const samples of all) {
    for (const [name, values] of Object.entries(samples)) {
      let into = merged[name];
      if (into === undefined) merged[name] = into = [];
      for (const value of values) into.push(value);
    }
  }
  return merged;
}

export function sumOf(samples: Samples, name: string): number {
  return (samples[name] ?? []).reduce((sum, value) => sum + value, 0);
}

export function meanOf(samples: Samples, name: string): number {
  return sumOf(samples, name) / (samples[name]?.length ?? 0);
}

/** NaN without samples. */
export function quantileOf(samples: Samples, name: string, share: number): number {
  const sorted = [...(samples[name] ?? [])].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

// --- columns

export function textOf(value: number, digits = 3): string {
  if (Number.isNaN(value)) return "";
  if (!Number.isFinite(value)) return "never";
  if (value !== 0 && Math.abs(value) < 100) return String(Number(value.toPrecision(digits)));
  return Math.round(value).toLocaleString("en");
}

export function sum(name: string, of: string, unit = 1): Column {
  return { name, show: (samples) => textOf(sumOf(samples, of) / unit) };
}

export function mean(name: string, of: string, unit = 1): Column {
  return { name, show: (samples) => textOf(meanOf(samples, of) / unit) };
}

/** Of the first row's sum. */
export function percent(name: string, of: string): Column {
  return {
    name,
    show: (samples, first) => {
      const whole = sumOf(first, of);
      return whole === 0 ? "" : textOf((100 * sumOf(samples, of)) / whole);
    },
  };
}

/** What part of a sum another is, in percent. */
export function share(name: string, of: string, whole: string): Column {
  return {
    name,
    show: (samples) => (sumOf(samples, whole) === 0 ? "" : textOf((100 * sumOf(samples, of)) / sumOf(samples, whole))),
  };
}

/** Several quantiles in one cell; 1 is the largest. */
export function quantiles(name: string, of: string, shares: readonly number[], unit = 1): Column {
  return {
    name,
    show: (samples) =>
      samples[of] === undefined ? "" : shares.map((share) => textOf(quantileOf(samples, of, share) / unit)).join(" / "),
  };
}

export function count(name: string, of: string): Column {
  return { name, show: (samples) => textOf(samples[of]?.length ?? 0) };
}

/** What others printed, by row. */
export function published(name: string, by: Readonly<Record<string, string>>): Column {
  return { name, show: (_samples, _first, row) => by[row] ?? "" };
}
