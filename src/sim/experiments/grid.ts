import { cellsOfGrid, type Grid, type Suffering, wholeGrid } from "./anomaly.js";
import {
  type BySize,
  type Cell,
  type Experiment,
  nodesOf,
  percent,
  quantiles,
  type Scale,
  seedsOf,
} from "./experiment.js";
import {
  accusations,
  componentColumns,
  components,
  falsePositives,
  interval,
  largeColumns,
  latencies,
  unrecovered,
} from "./lifeguard.js";
import { lifeguard, type Setup, tattler } from "./setups.js";

const grids: BySize<Grid> = {
  tiny: { members: [2], forMs: [2048, 8192], pauseMs: [1024] },
  quick: { members: [4, 32], forMs: [512, 32_768], pauseMs: [1, 4096] },
  full: wholeGrid,
};

/** How many members there are; 128 in the paper. */
const clusterSizes: BySize<readonly number[]> = { tiny: [16], quick: [128], full: [128] };

/** Each run counts in the first table, and by D in the second. */
function cellsByD([table, byD]: readonly [string, string], row: string, how: Suffering, scale: Scale) {
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  return cellsOfGrid({ table, row }, how, grids[scale.size], seeds).map((cell) => ({
    ...cell,
    also: { table: byD, row: `${row}, blocked for ${cell.anomaly.forMs} ms` },
  }));
}

function cells(scale: Scale): Cell[] {
  const [nodes = 128] = nodesOf(scale, clusterSizes);
  return components.flatMap((setup) => cellsByD(["grid", "blocked for"], setup.name, { setup, nodes }, scale));
}

/** Every anomaly of section V: 432 runs a setup, so `--setup tattler` runs one of them. */
export const grid: Experiment = {
  name: "grid",
  title: "Lifeguard 2017: the whole grid",
  isLong: true,
  tables: [
    {
      id: "grid",
      title: "C x D x I of section V (tables IV and VI)",
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

function lossyCells(scale: Scale): Cell[] {
  const [nodes = 128] = nodesOf(scale, clusterSizes);
  return [0.05, 0.2].flatMap((lossRate) =>
    [lifeguard, tattler].flatMap((setup) => {
      const row = `${setup.name}, ${lossRate * 100} % loss`;
      return cellsByD(["lossy grid", "lossy, blocked for"], row, { setup, nodes, lossRate }, scale);
    }),
  );
}

const lossyColumns = [
  ...falsePositives,
  accusations,
  ...latencies,
  quantiles("whole again after p50 / p99 / max, s", "wholeMs", [0.5, 0.99, 1], 1000),
  unrecovered,
];

/** The paper's network lost nothing. */
export const lossyGrid: Experiment = {
  name: "lossy",
  title: "Lifeguard 2017: the whole grid with lost datagrams",
  isLong: true,
  tables: [
    {
      id: "lossy grid",
      title: "C x D x I of section V with loss",
      rows: "configuration and loss",
      columns: lossyColumns,
    },
    {
      id: "lossy, blocked for",
      title: "The same by D",
      rows: "configuration, loss and anomaly",
      columns: lossyColumns,
    },
  ],
  cells: lossyCells,
};

/** Blocks that outlast SWIM's suspicion of 16.5 s, few and many, and two that do not. */
const corners: BySize<readonly Grid[]> = {
  tiny: [interval.tiny],
  quick: [{ members: [16], forMs: [32_768], pauseMs: [16] }],
  full: [
    { members: [8, 32], forMs: [8192], pauseMs: [16] },
    { members: [8, 32], forMs: [32_768], pauseMs: [16, 4096] },
  ],
};

function largeCells(table: string, setups: readonly Setup[], parts: readonly Grid[], scale: Scale): Cell[] {
  const [nodes = 2000] = nodesOf(scale, { tiny: [16], quick: [500], full: [2000] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  return setups.flatMap((setup) =>
    parts.flatMap((part) => cellsOfGrid({ table, row: setup.name }, { setup, nodes }, part, seeds)),
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
      title: "A part of C x D x I of section V",
      rows: "configuration",
      columns: [...largeColumns, accusations, unrecovered],
    },
  ],
  cells: (scale) => largeCells("large grid", [lifeguard, tattler], [interval[scale.size]], scale),
};

/** Six of them for those whose storms take seven minutes a run. */
export const largeComponents: Experiment = {
  name: "large-components",
  title: "Lifeguard 2017: each component at 2,000 members",
  isLong: true,
  tables: [
    {
      id: "large components",
      title: "Some of C x D x I of section V",
      rows: "configuration",
      columns: [
        ...falsePositives,
        percent("FP %", "fp"),
        percent("FP- %", "fpHealthy"),
        ...latencies,
        percent("datagrams %", "datagrams"),
        percent("bytes %", "bytes"),
        accusations,
        unrecovered,
      ],
    },
  ],
  cells: (scale) => largeCells("large components", components, corners[scale.size], scale),
};
