import { anomaliesOf, cellsOfGrid, type Grid, suffer, wholeGrid } from "./anomaly.js";
import { type BySize, type Cell, type Experiment, nodesOf, quantiles, type Scale, seedsOf, sum } from "./experiment.js";
import { componentColumns, components, interval, largeColumns } from "./lifeguard.js";
import { lifeguard, tattler } from "./setups.js";

const grids: BySize<Grid> = {
  tiny: { members: [2], forMs: [2048, 8192], pauseMs: [1024] },
  quick: { members: [4, 32], forMs: [512, 32_768], pauseMs: [1, 4096] },
  full: wholeGrid,
};

const accusations = sum("accusations by the sick: probes that failed", "accusations");
const unrecovered = sum("runs that never recovered", "unrecovered");

function cells(scale: Scale): Cell[] {
  const [nodes = 128] = nodesOf(scale, { tiny: [16], quick: [128], full: [128] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  return components.flatMap((setup) =>
    anomaliesOf(grids[scale.size]).flatMap((anomaly) =>
      seeds.map((seed) => ({
        table: "grid",
        row: setup.name,
        also: { table: "blocked for", row: `${setup.name}, blocked for ${anomaly.forMs} ms` },
        setup,
        seed,
        run: () => suffer({ setup, nodes }, anomaly, seed),
      })),
    ),
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
        sum("FP", "fp"),
        sum("FP-", "fpHealthy"),
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
    cellsOfGrid("large grid", setup.name, { setup, nodes }, interval[scale.size], seeds),
  );
}

/** One in twelve of its anomalies where a run takes minutes. */
export const largeGrid: Experiment = {
  name: "large",
  title: "Lifeguard 2017: a part of the grid at 2,000 members",
  isLong: true,
  tables: [
    {
      id: "large grid",
      title: "36 of C x D x I of section V, 2,000 members (--quick: 500)",
      rows: "configuration",
      columns: [...largeColumns, accusations, unrecovered],
    },
  ],
  cells: largeCells,
};
