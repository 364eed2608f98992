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

/** One row of each table: the first of tattler's, in which a change of the protocol shows. */
export function cellsToCheck({ tables }: Experiment, cells: readonly Cell[]): ReadonlySet<number> {
  const chosen = new Set<number>();
  for (const { id } of tables) {
    const places = cells.map((cell) => placeIn(id, cell));
    const isOurs = (_: unknown, i: number): boolean =>
      places[i] !== undefined && (cells[i] as Cell).setup.name.startsWith("tattler");
    const first = cells.findIndex(isOurs);
    const place = first < 0 ? places.find((one) => one !== undefined) : places[first];
    places.forEach((one, i) => {
      if (one !== undefined && one.row === place?.row) chosen.add(i);
    });
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
