import type { Comparison } from "./comparison.js";
import type { Report, Spread } from "./scenario.js";

function format(value: number): string {
  return value.toLocaleString("en", { maximumSignificantDigits: 6 });
}

export function writeComparisons(comparisons: readonly Comparison[]): void {
  const rows = comparisons.map((c) => [
    c.case,
    `${c.metric} (${c.unit})`,
    format(c.ours),
    c.peer,
    format(c.theirs),
    `${format(c.ratio)} (${c.spread.map(format).join(" to ")})`,
  ]);
  writeRows([["case", "metric", "ours", "peer", "theirs", "ratio (spread)"], ...rows]);
}

export function writeReport(report: Report): void {
  const rows = Object.entries(report)
    .filter(([name]) => name !== "problems")
    .map(([name, value]) => [name, cellOf(value)]);
  writeRows(rows);
}

function cellOf(value: Report[string]): string {
  if (typeof value === "number") return format(value);
  if (typeof value === "string") return value;
  if (!("p50" in value)) return value.join("; ");
  return `p50 ${format(value.p50)}  p99 ${format(value.p99)}  max ${format(value.max)}`;
}

export function writeRows(table: readonly string[][]): void {
  const columns = Math.max(...table.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) => Math.max(...table.map((row) => row[i]?.length ?? 0)));
  for (const row of table)
    console.log(
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join("  ")
        .trimEnd(),
    );
  console.log("");
}

/** One line of the scaling table: the figures of three cases at one size. */
export interface Scaled {
  readonly nodes: number;
  readonly cluster: Report;
  readonly steady: Report;
  readonly detect: Report;
}

const scalingColumns: readonly [string, (row: Scaled) => string][] = [
  ["nodes", ({ nodes }) => format(nodes)],
  ["converged s", ({ cluster }) => seconds(cluster.convergeMs)],
  ["CPU s to converge", ({ cluster }) => format(cluster.cpuSeconds as number)],
  ["join packets/node", ({ cluster }) => format(cluster.packetsPerNode as number)],
  ["sizes seen", ({ cluster }) => format(cluster.sizesSeen as number)],
  ["CPU ms/node s", ({ steady }) => format(steady.cpuMsPerNodeSecond as number)],
  ["packets/node s", ({ steady }) => format(steady.packetsPerNodeSecond as number)],
  ["bytes/node s", ({ steady }) => format(steady.bytesPerNodeSecond as number)],
  ["RSS B/entry", ({ steady }) => format(steady.bytesPerEntry as number)],
  ["crash first p50 s", ({ detect }) => seconds((detect.firstMs as Spread).p50)],
  [
    "all p50 / p99 s",
    ({ detect }) => `${seconds((detect.allMs as Spread).p50)} / ${seconds((detect.allMs as Spread).p99)}`,
  ],
  ["spread p99 ms", ({ detect }) => format((detect.spreadMs as Spread).p99)],
  ["false failures", ({ cluster, steady, detect }) => String(sumOfFalse([cluster, steady, detect]))],
];

export const scalingHead: readonly string[] = [
  line(scalingColumns.map(([title]) => title)),
  line(scalingColumns.map(() => "---:")),
];

export function scalingLine(row: Scaled): string {
  return line(scalingColumns.map(([, cell]) => cell(row)));
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function seconds(ms: unknown): string {
  return ((ms as number) / 1000).toFixed(2);
}

function sumOfFalse(reports: readonly Report[]): number {
  return reports.reduce((sum, { falseFailures }) => sum + falseFailures, 0);
}
