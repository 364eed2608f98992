import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { GossipOptions } from "../../src/config.js";
import { type AnomalyCell, suffer } from "../../src/sim/experiments/anomaly.js";
import { type Cell, cellsOf, type Experiment, experiments, type Scale } from "../../src/sim/experiments/index.js";
import { type Filled, fill, hashOf, toMarkdown, violationsOf } from "../../src/sim/experiments/report.js";
import { lifeguard as lifeguardRules, tattler } from "../../src/sim/experiments/setups.js";
import type { OpenOptions } from "../../src/sim/simulation.js";
import { Stage } from "../../src/sim/stage.js";

const tiny: Scale = { size: "tiny", seed: 1 };
const secondMs = 1000;

function run(experiment: Experiment, scale: Scale) {
  const cells = experiment.cells(scale);
  const outcomes = cells.map((cell) => cell.run());
  return { cells, outcomes, tables: fill(experiment, cells, outcomes) };
}

const done = new Map<string, ReturnType<typeof run>>();
/** Each once. */
function runTiny(name: string): ReturnType<typeof run> {
  const known = done.get(name) ?? run(experiments.get(name) as Experiment, tiny);
  done.set(name, known);
  return known;
}

function tablesOf({ table, also }: Cell): string[] {
  return also === undefined ? [table] : [table, also.table];
}

/** What the table says in a row and a column. */
function figure({ head, rows }: Filled, row: string, column: string): string | undefined {
  return rows.find(([name]) => name === row)?.[head.indexOf(column)];
}

describe.each([...experiments])("the experiment %s", (name, experiment) => {
  it("fills every table for every row, with a trace, and is the same run again", () => {
    const { cells, outcomes, tables } = runTiny(name);
    expect(tables.map(({ table }) => table.id)).toEqual(experiment.tables.map(({ id }) => id));
    for (const { table, head, rows } of tables) {
      expect([table.id, rows.length > 1, rows.every((row) => row.length === head.length)]).toEqual([
        table.id,
        true,
        true,
      ]);
      for (const row of rows) expect(row.at(-1)).toMatch(/^[0-9a-f]{8}$/);
      expect(rows.flat().filter((text) => /NaN|undefined/.test(text))).toEqual([]);
    }
    expect(cells.flatMap(tablesOf).every((table) => experiment.tables.some(({ id }) => id === table))).toBe(true);
    const [first] = cells;
    expect(first?.run()).toEqual(outcomes[0]);
    const other = experiment.cells({ ...tiny, seed: 2 });
    expect(other[0]?.run().traceHash).not.toBe(outcomes[0]?.traceHash);
    if (name !== "partitions") expect(violationsOf(cells, outcomes)).toBe(0);
  });

  it("names every cell's table, in each size", () => {
    for (const size of ["quick", "full"] as const) {
      const tables = new Set(experiment.cells({ size, seed: 1 }).flatMap(tablesOf));
      expect([...tables].sort()).toEqual(experiment.tables.map(({ id }) => id).sort());
    }
  });
});

describe("the experiments' figures", () => {
  it("show what they are about", () => {
    const swim = runTiny("swim");
    const [, load] = swim.tables as [Filled, Filled];
    expect(figure(load, "SWIM 2002, 8 members", "datagrams")).toBe("2");
    const lifeguard = runTiny("lifeguard");
    const [components, latency] = lifeguard.tables as [Filled, Filled];
    expect(figure(components, "SWIM", "FP %")).toMatch(/^(100|)$/);
    expect(figure(components, "tattler", "FP")).toBe("0");
    // Suspicions of alpha 5 at 16 members: 5 x log10(16) = 6 s, after a probe of up to two.
    expect(Number(figure(latency, "SWIM", "first detection")?.split(" / ")[0])).toBeGreaterThan(6);
    expect(toMarkdown(load).split("\n")[2]).toBe("| configuration | datagrams | bytes | runs | trace |");
  });

  it("are those of as many seeds and nodes as asked for", () => {
    const spread = experiments.get("spread") as Experiment;
    const cells = spread.cells({ ...tiny, runs: 2, nodes: 7 });
    expect(new Set(cells.map(({ seed }) => seed))).toEqual(new Set([1, 2]));
    expect(cells.every(({ row }) => row.startsWith("7 members"))).toBe(true);
  });
});

describe("the whole grid of Lifeguard", () => {
  it("is every C x D x I of the paper, for one setup when one is asked for", () => {
    const grid = experiments.get("grid") as Experiment;
    const cells = cellsOf(grid, { size: "full", seed: 1, setup: "tattler" });
    expect([cells.length, new Set(cells.map(({ setup }) => setup.name)).size]).toEqual([9 * 6 * 8, 1]);
    expect(cellsOf(grid, { size: "full", seed: 1 }).length).toBe(7 * 9 * 6 * 8);
    const long = [...experiments].filter(([, { isLong }]) => isLong).map(([name]) => name);
    expect(long).toEqual(["grid", "lossy", "large", "large-components"]);
    const [part, some] = ["large", "large-components"].map(
      (name) => cellsOf(experiments.get(name) as Experiment, { size: "full", seed: 1 }) as AnomalyCell[],
    ) as [AnomalyCell[], AnomalyCell[]];
    expect([part.length, some.length]).toEqual([2 * 36, 7 * 6]);
    expect(new Set([...part, ...some].map(({ nodes }) => nodes))).toEqual(new Set([2000]));
    const distinct = (cells: AnomalyCell[]): number =>
      new Set(cells.map(({ anomaly }) => JSON.stringify(anomaly))).size;
    expect([distinct(some), distinct([...part, ...some])]).toEqual([6, 36]); // the six are of the 36
  });

  it("is lived through with 5 and 20 % loss as well, by the same members", () => {
    const full = cellsOf(experiments.get("lossy") as Experiment, { size: "full", seed: 1 });
    expect(full.length).toBe(4 * 9 * 6 * 8);
    const trace = (of: string, row: string): string => {
      const [whole] = runTiny(of).tables as [Filled, Filled];
      return figure(whole, row, "trace") as string;
    };
    for (const setup of ["Lifeguard", "tattler"]) {
      const lossy = [5, 20].map((percent) => trace("lossy", `${setup}, ${percent} % loss`));
      expect(new Set([trace("grid", setup), ...lossy]).size).toBe(3);
    }
    const runs = full.filter(({ row }) => row === "tattler, 20 % loss");
    expect(new Set(runs.map(({ also }) => also?.row)).size).toBe(6);
    const [cell] = experiments.get("lossy")?.cells(tiny) ?? [];
    const same = suffer(
      { setup: lifeguardRules, nodes: 16, lossRate: 0.05 },
      { members: 2, forMs: 2048, pauseMs: 1024 },
      1,
    );
    expect(cell?.run()).toEqual(same);
  });

  it("says of how many members it is", () => {
    const titles = (scale: Scale): string[] => {
      const part = { ...scale, setup: "tattler" };
      const cells = cellsOf(experiments.get("grid") as Experiment, part).slice(0, 1);
      return fill(experiments.get("grid") as Experiment, cells, [{ samples: {}, traceHash: "0".repeat(16) }]).map(
        ({ title }) => title,
      );
    };
    expect(titles(tiny)).toEqual([
      "C x D x I of section V (tables IV and VI), 16 members",
      "The same by D, 16 members",
    ]);
    expect(titles({ ...tiny, nodes: 2000 })[1]).toBe("The same by D, 2,000 members");
    expect(
      runTiny("spread")
        .tables.map(({ title }) => title)
        .filter((title) => /\d members/.test(title)),
    ).toEqual([]);
  });

  it("counts each run for its setup and for how long members were blocked", () => {
    const [whole, byD] = runTiny("grid").tables as [Filled, Filled];
    expect(figure(whole, "SWIM", "runs")).toBe("2");
    for (const forMs of [2048, 8192]) expect(figure(byD, `SWIM, blocked for ${forMs} ms`, "runs")).toBe("1");
    const number = (text: string | undefined): number => Number(text?.replaceAll(",", ""));
    const ofD = number(figure(byD, "SWIM, blocked for 8192 ms", "FP"));
    expect(ofD).toBeGreaterThan(0);
    expect(number(figure(whole, "SWIM", "FP"))).toBe(ofD + number(figure(byD, "SWIM, blocked for 2048 ms", "FP")));
  });
});

describe("npm run experiments", () => {
  const program = new URL("../../build/js/bench/experiments.js", import.meta.url).pathname;
  let folder = "";
  afterEach(() => rmSync(folder, { recursive: true }));

  it("rewrites its own section of a file, the same each time, and nothing else", () => {
    folder = mkdtempSync(join(tmpdir(), "tattler-"));
    const out = join(folder, "RESULTS.md");
    const args = [program, "storm", "--quick", "--nodes", "10", "--jobs", "2", "--out", out];
    writeFileSync(out, "# Mine\n");
    execFileSync(process.execPath, args, { stdio: "pipe" });
    const first = readFileSync(out, "utf8");
    expect(first).toMatch(
      /\n`npm run experiments -- storm --quick --nodes 10`: \d+ runs, seed 1, trace [0-9a-f]{16}\.\n/,
    );
    const experiment = experiments.get("storm") as Experiment;
    expect(first).toContain(`trace ${hashOf(run(experiment, { size: "quick", seed: 1, nodes: 10 }).outcomes)}.`);
    writeFileSync(out, `${first.replace("| runs |", "| jogs |")}\nA reading.\n`);
    execFileSync(process.execPath, args, { stdio: "pipe" });
    expect(readFileSync(out, "utf8")).toBe(`${first}\nA reading.\n`);
  });
});

describe("Lifeguard's anomaly", () => {
  const ruthless = { deafLimitMs: 0, suspicionMaxTimeoutMult: 1, suspicionMult: 1 };
  let stage: Stage;
  afterEach(() => void stage.close());
  const set = (nodes: number, options: Partial<GossipOptions>, how: OpenOptions = {}): void => {
    stage = new Stage({ nodes, seed: 1, options, ...how });
  };

  it("lets nothing in or out, and the timers of who suffers it go on until it judges all others", () => {
    set(6, ruthless);
    const { sim } = stage;
    const sick = sim.nodes[0];
    sick?.stall("gated");
    expect(sim.run(60 * secondMs, () => sick?.memberCount === 1)).toBe(true);
    expect(sim.nodes.slice(1).map(({ memberCount }) => memberCount)).toEqual([5, 5, 5, 5, 5]);
    sick?.resume();
    expect(sim.run(60 * secondMs, () => sim.nodes.every(({ memberCount }) => memberCount === 6))).toBe(true);
    expect(stage.falseFailures).toBeGreaterThan(5);
  });

  it("makes nobody suspicious who knows that it is deaf", () => {
    set(6, {});
    const sick = stage.sim.nodes[0];
    sick?.stall("gated");
    stage.sim.run(30 * secondMs);
    expect([sick?.memberCount, sick?.swim.stats().suspicionsRaised]).toEqual([6, 0]);
  });

  it.each([true, false])("is over for a suspect that a ping tells of it; buddy: %s", (buddy) => {
    // The one gossip about the suspicion is lost; what is left is the ping that tells.
    const silent = { gossipIntervalMs: 0, pushPullIntervalMs: 0, tcpPing: false, retransmitMult: 1, indirectChecks: 0 };
    set(2, { ...silent, refusedConfirmations: 0 }, { buddy });
    const { sim } = stage;
    sim.network.setLossTo("n1", 1);
    expect(sim.run(30 * secondMs, () => sim.node("n0")?.stateOf("n1") === "suspect")).toBe(true);
    sim.run(1500);
    sim.network.heal();
    sim.run(3 * secondMs);
    expect(sim.node("n1")?.swim.selfIncarnation !== 1).toBe(buddy);
  });
});

describe("the time until a cluster is whole again", () => {
  it("is none when nobody noticed, and is else counted from the end of the last block", () => {
    const wholeMs = (forMs: number): number | undefined => {
      const { samples } = suffer({ setup: tattler, nodes: 16 }, { members: 2, forMs, pauseMs: null }, 1);
      return samples.wholeMs?.[0];
    };
    expect(wholeMs(128)).toBe(0);
    expect(wholeMs(32_768)).toBeGreaterThan(0);
    expect(wholeMs(32_768)).toBeLessThan(32_768);
  });
});
