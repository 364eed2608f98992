import { cellsOfGrid, type Grid, wholeGrid } from "./anomaly.js";
import { type BySize, type Cell, type Experiment, nodesOf, quantiles, type Scale, seedsOf } from "./experiment.js";
import {
  accusations,
  componentColumns,
  components,
  falsePositives,
  interval,
  largeColumns,
  unrecovered,
} from "./lifeguard.js";
import { lifeguard, tattler } from "./setups.js";

const grids: BySize<Grid> = {
  tiny: { members: [2], forMs: [2048, 8192], pauseMs: [1024] },
  quick: { members: [4, 32], forMs: [512, 32_768], pauseMs: [1, 4096] },
  full: wholeGrid,
};

function cells(scale: Scale): Cell[] {
  const [nodes = 128] = nodesOf(scale, { tiny: [16], quick: [128], full: [128] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  return components.flatMap((setup) =>
    cellsOfGrid({ table: "grid", row: setup.name }, { setup, nodes }, grids[scale.size], seeds).map((cell) => ({
      ...cell,
      also: { table: "blocked for", row: `${setup.name}, blocked for ${cell.anomaly.forMs} ms` },
    })),
  );
}

/** Every anomaly of section V: 432 runs a setup, so `--setup tattler` runs one of them. */
export const grid: Experiment = {
  name: "grid",
  title: "Lifeguard 2017: the whole grid",
  isLong: true,
  tables: [
    {
      id: "grid",
      title: "C x D x I of section V, 128 members (tables IV and VI)",
      rows: "configuration",
      columns: componentColumns,
    },
    {
      id: "blocked for",
      title: "The same by D",
      rows: "configuration and anomaly",
      columns: [
        ...falsePositives,
        accusations,
        quantiles("first detection p50 / p99, s", "firstMs", [0.5, 0.99], 1000),
        unrecovered,
      ],
    },
  ],
  cells,
};

function largeCells(scale: Scale): Cell[] {
  const [nodes = 2000] = nodesOf(scale, { tiny: [16], quick: [500], full: [2000] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  return [lifeguard, tattler].flatMap((setup) =>
    cellsOfGrid({ table: "large grid", row: setup.name }, { setup, nodes }, interval[scale.size], seeds),
  );
}

/** One in twelve of them at a size where a run takes minutes. */
export const largeGrid: Experiment = {
  name: "large",
  title: "Lifeguard 2017: a part of the grid at 2,000 members",
  isLong: true,
  tables: [
    {
      id: "large grid",
      title: "36 of C x D x I of section V, 2,000 members (--quick: 4 and 500)",
      rows: "configuration",
      columns: [...largeColumns, accusations, unrecovered],
    },
  ],
  cells: largeCells,
};
