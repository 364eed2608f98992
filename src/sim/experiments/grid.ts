import { anomaliesOf, type Grid, suffer, wholeGrid } from "./anomaly.js";
import { type BySize, type Cell, type Experiment, nodesOf, quantiles, type Scale, seedsOf, sum } from "./experiment.js";
import { lifeguard, memberlist, swim, tattler } from "./setups.js";

const grids: BySize<Grid> = {
  tiny: { members: [2], forMs: [2048, 8192], pauseMs: [1024] },
  quick: { members: [4, 32], forMs: [512, 32_768], pauseMs: [1, 4096] },
  full: wholeGrid,
};

function cells(scale: Scale): Cell[] {
  const [nodes = 128] = nodesOf(scale, { tiny: [16], quick: [128], full: [128] });
  const seeds = seedsOf(scale, { tiny: 1, quick: 1, full: 1 });
  return [tattler, lifeguard, memberlist, swim].flatMap((setup) =>
    anomaliesOf(grids[scale.size]).flatMap((anomaly) =>
      seeds.map((seed) => ({
        table: "grid",
        row: `${setup.name}, blocked for ${anomaly.forMs} ms`,
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
      title: "C x D x I of section V, 128 members, by D",
      rows: "configuration and anomaly",
      columns: [
        sum("FP", "fp"),
        sum("FP-", "fpHealthy"),
        sum("accusations by the sick: probes that failed", "accusations"),
        quantiles("first detection p50, s", "firstMs", [0.5], 1000),
        sum("runs that never recovered", "unrecovered"),
      ],
    },
  ],
  cells,
};
