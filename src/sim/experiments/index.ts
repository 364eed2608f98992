import { detection } from "./detection.js";
import type { Experiment } from "./experiment.js";
import { grid, largeComponents, largeGrid, lossyGrid } from "./grid.js";
import { join } from "./join.js";
import { lifeguard } from "./lifeguard.js";
import { partitions } from "./partitions.js";
import { rapid } from "./rapid.js";
import { repair } from "./repair.js";
import { spread } from "./spread.js";
import { massFailure } from "./storm.js";
import { swim } from "./swim.js";

export type { Cell, Column, Experiment, Outcome, Samples, Scale, Table } from "./experiment.js";
export { cellsOf } from "./experiment.js";

const all = [
  swim,
  lifeguard,
  grid,
  lossyGrid,
  largeGrid,
  largeComponents,
  rapid,
  partitions,
  detection,
  spread,
  massFailure,
  join,
  repair,
];

/** All experiments by name, in the order of bench/RESULTS.md. */
export const experiments: ReadonlyMap<string, Experiment> = new Map(all.map((one) => [one.name, one]));
