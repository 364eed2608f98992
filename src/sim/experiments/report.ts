import { mixHashes } from "../trace.js";
import {
  type Cell,
  type Experiment,
  mergeSamples,
  type Outcome,
  type Place,
  type Samples,
  sumOf,
  type Table,
} from "./experiment.js";
import { tattler } from "./setups.js";

/** A table with its figures. */
export interface Filled {
  readonly table: Table;
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

interface Row {
  readonly name: string;
  readonly samples: Samples;
  readonly runs: number;
  readonly traceHash: string;
}

/** Where a cell counts in a table. */
export function placeIn(table: string, cell: Cell): Place | undefined {
  return [cell, cell.also].find((place) => place?.table === table);
}

/** Adds up what the cells saw: `outcomes` in their order. Rows and tables without any are left out. */
export function fill(
  { tables }: Experiment,
  cells: readonly Cell[],
  outcomes: readonly (Outcome | undefined)[],
): Filled[] {
  return tables.flatMap((table) => {
    const rows = rowsOf(table, cells, outcomes);
    const [first] = rows;
    if (first === undefined) return [];
    const head = [table.rows, ...table.columns.map(({ name }) => name), "runs", "trace"];
    const filled = rows.map(({ name, samples, runs, traceHash }) => [
      name,
      ...table.columns.map((column) => column.show(samples, first.samples, name)),
      String(runs),
      traceHash.slice(0, 8),
    ]);
    return [{ table, title: titleOf(table, cells), head, rows: filled }];
  });
}

function titleOf({ id, title }: Table, cells: readonly Cell[]): string {
  const own = cells.filter((cell) => placeIn(id, cell) !== undefined);
  const [nodes, ...others] = new Set(own.map((cell) => cell.nodes));
  return nodes === undefined || others.length > 0 ? title : `${title}, ${nodes.toLocaleString("en")} members`;
}

function rowsOf(table: Table, cells: readonly Cell[], outcomes: readonly (Outcome | undefined)[]): Row[] {
  const byName = new Map<string, Outcome[]>();
  cells.forEach((cell, i) => {
    const outcome = outcomes[i];
    const place = placeIn(table.id, cell);
    if (place === undefined || outcome === undefined) return;
    byName.set(place.row, [...(byName.get(place.row) ?? []), outcome]);
  });
  return [...byName].map(([name, own]) => ({
    name,
    samples: mergeSamples(own.map(({ samples }) => samples)),
    runs: own.length,
    traceHash: mixHashes(own.map(({ traceHash }) => traceHash)),
  }));
}

export function toMarkdown({ title, head, rows }: Filled): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [`### ${title}`, "", line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

export function toText({ title, head, rows }: Filled): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return [title, ...all.map(line)].join("\n");
}

/** What must not happen under our own rules. */
const faults = ["fp", "falseFailures", "broken"];

export function violationsOf(cells: readonly Cell[], outcomes: readonly Outcome[]): number {
  const own = outcomes.filter((_, i) => cells[i]?.setup === tattler);
  return own.reduce((total, { samples }) => faults.reduce((sum, name) => sum + sumOf(samples, name), total), 0);
}

/** Of a whole experiment. */
export function hashOf(outcomes: readonly Outcome[]): string {
  return mixHashes(outcomes.map(({ traceHash }) => traceHash));
}
