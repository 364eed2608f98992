import type { Cell, Experiment } from "../../src/sim/experiments/index.js";
import { type Filled, placeIn } from "../../src/sim/experiments/report.js";

/** A row that was run again. */
export interface Checked {
  readonly title: string;
  readonly row: string;
  readonly trace: string;
  /** What the file says; none: no such row. */
  readonly written: string | undefined;
}

/** One row of each table: the first of our defaults, or of them with a change. A change of the protocol shows there. */
export function cellsToCheck({ tables }: Experiment, cells: readonly Cell[]): ReadonlySet<number> {
  const chosen = new Set<number>();
  for (const { id } of tables) {
    const own = cells.flatMap((cell, index) => {
      const place = placeIn(id, cell);
      return place === undefined ? [] : [{ index, row: place.row, setup: cell.setup.name }];
    });
    const ours = own.find(({ setup }) => setup === "tattler") ?? own.find(({ setup }) => setup.startsWith("tattler"));
    const chosenRow = (ours ?? own[0])?.row;
    for (const { index, row } of own) if (row === chosenRow) chosen.add(index);
  }
  return chosen;
}

/** The rows beside what a file of results has under the same titles. */
export function compare(file: string, name: string, tables: readonly Filled[]): Checked[] {
  const section = between(file, `<!-- figures: ${name} -->`, `<!-- end: ${name} -->`);
  return tables.flatMap(({ title, rows }) => {
    const table = between(`${section}\n### `, `### ${title}\n`, "\n### ");
    return rows.map((cells) => {
      const row = cells[0] as string;
      const line = table.split("\n").find((text) => text.startsWith(`| ${row} | `));
      return { title, row, trace: cells.at(-1) as string, written: line?.split(" | ").at(-1)?.replace(" |", "") };
    });
  });
}

/** Nothing without both. */
function between(text: string, from: string, to: string): string {
  const start = text.indexOf(from);
  const end = text.indexOf(to, start + from.length);
  return start < 0 || end < 0 ? "" : text.slice(start + from.length, end);
}
