import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { descriptorsFor, requireDescriptors } from "../../bench/cluster/descriptors.js";
import { spreadOf } from "../../bench/scenario.js";

const main = fileURLToPath(new URL("../../build/js/bench/main.js", import.meta.url));
const anySpread = { p50: expect.any(Number), p99: expect.any(Number), max: expect.any(Number) };

function bench(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: "utf8" });
  const lines = stdout.trimEnd().split("\n");
  return { status, stderr, lines, last: () => JSON.parse(lines.at(-1) ?? "") as Record<string, unknown> };
}

/** A time after the fault, or a spread of such. */
function expectSpreadFromZero(figure: unknown): void {
  const values = typeof figure === "number" ? [figure] : Object.values(figure as Record<string, number>);
  for (const value of values) expect(value).toBeGreaterThanOrEqual(0);
}

describe("npm run bench on whole clusters", () => {
  it("lets all nodes join at once and stay", () => {
    const { status, lines, last } = bench("cluster", "--nodes", "10", "--stay", "0.2", "--json");
    expect(status).toBe(0);
    expect(lines[0]).toMatch(/^case +cluster$/);
    expect(last()).toMatchObject({ case: "cluster", nodes: 10, staySeconds: 0.2, falseFailures: 0 });
    expect(last()).toMatchObject({ convergeMs: expect.any(Number), loopDelayMs: anySpread, drops: 0 });
    expect(last().sizesSeen).toBeGreaterThan(1);
    expect(last().cpuSeconds).toBeGreaterThan(0);
    expect(last().packets).toBeGreaterThan(9);
  });

  it("measures what a steady cluster costs", () => {
    const figures = bench("steady", "--nodes", "10", "--seconds", "2", "--json").last();
    expect(figures).toMatchObject({ case: "steady", nodes: 10, bytesPerEntry: expect.any(Number), falseFailures: 0 });
    for (const name of ["cpuMsPerNodeSecond", "packetsPerNodeSecond", "bytesPerNodeSecond"]) {
      expect([name, figures[name]]).toEqual([name, expect.any(Number)]);
      expect(figures[name]).toBeGreaterThan(0);
    }
  });

  it.each(["crash", "silent", "leave"])("sees a %s of two nodes, twice", (fault) => {
    const flags = ["--nodes", "10", "--fault", fault, "--kill", "2", "--repeats", "2"];
    const { status, last } = bench("detect", ...flags, "--json");
    expect(status).toBe(0);
    expect(last()).toMatchObject({ case: "detect", nodes: 10, fault, kill: 2, repeats: 2, falseFailures: 0 });
    expect(last()).toMatchObject({ firstMs: anySpread, allMs: anySpread, knowMs: anySpread, spreadMs: anySpread });
    const apart = fault === "leave" ? {} : { waitMs: anySpread, verdictMs: anySpread };
    expect(last()).toMatchObject(apart);
    expect((last().allMs as { max: number }).max).toBeGreaterThan(0);
  });

  it("floods a cluster of which a tenth has crashed", () => {
    const { status, last } = bench("storm", "--nodes", "10", "--seconds", "0.3", "--json");
    expect(status).toBe(0);
    expect(last()).toMatchObject({ case: "storm", nodes: 10, crashed: 1, broadcasts: 300, falseFailures: 0 });
    expect(last()).toMatchObject({ latencyMs: anySpread, queueDepth: anySpread, duplicates: 0 });
    expect(last().delivered).toBeGreaterThan(0);
  });

  it.each([
    [["cluster", "--stay", "0.2"], { sizesSeen: 10, drops: 0 }],
    [["detect", "--fault", "crash", "--repeats", "3"], { allMs: anySpread, waitMs: anySpread }],
    [["detect", "--fault", "silent", "--kill", "2", "--repeats", "1"], { allMs: anySpread }],
    [["storm", "--seconds", "0.3"], { crashed: 1, broadcasts: 300, duplicates: 0, latencyMs: anySpread }],
  ])("shares the nodes of %j among three threads", (args, figures) => {
    const { status, last } = bench(...args, "--nodes", "10", "--threads", "3", "--json");
    expect(status).toBe(0);
    expect(last()).toMatchObject({ case: args[0], nodes: 10, threads: 3, falseFailures: 0, ...figures });
    for (const [name, figure] of Object.entries(last())) if (name.endsWith("Ms")) expectSpreadFromZero(figure);
  });

  it("ends when a thread fails instead of waiting for it", () => {
    const crew = new URL("../../build/js/bench/cluster/crew.js", import.meta.url);
    const input = `import("${crew}").then(({ playTogether }) => playTogether("tea", {}, 2, (crew) => crew.share(1)));`;
    const { status, stderr } = spawnSync(process.execPath, ["-"], { input, encoding: "utf8" });
    expect([status, stderr]).toEqual([1, expect.stringMatching(/thread 1: there is no case tea/)]);
  });

  it("prints a table in Markdown of how it scales", () => {
    const flags = ["--sizes", "5,10", "--seconds", "0.2", "--repeats", "1"];
    const { status, lines } = bench("scaling", ...flags);
    expect(status).toBe(0);
    expect(lines).toEqual([
      expect.stringMatching(/^\| nodes \| converged s \|/),
      expect.stringMatching(/^\| ---: \|/),
      expect.stringMatching(/^\| 5 \| \d/),
      expect.stringMatching(/^\| 10 \| \d/),
    ]);
  });

  it.each([
    [["tea"], /no case tea/],
    [["cluster", "--nodes", "2"], /--nodes 2 is not a number in its range; give one from 3/],
    [["cluster", "--nodes", "9.5"], /--nodes 9.5 is not a whole number/],
    [["detect", "--fault", "tea"], /no fault tea; give crash, silent, leave/],
    [["steady", "--seconds", "soon"], /--seconds soon is not a number/],
    [["steady", "--set", "probeIntervalMs"], /give --set option=value/],
    [["steady", "--set", "tea=1"], /tea/],
    [["cluster", "--nods", "5"], /--nods/],
    [["cluster", "--nodes", "8", "--threads", "3"], /--threads 3 is not a number in its range; give one from 1 to 2/],
  ])("refuses %j", (args, problem) => {
    const { status, stderr } = bench(...args);
    expect([status, stderr]).toEqual([2, expect.stringMatching(problem)]);
  });

  it("says when nobody would be left to notice", () => {
    const { status, stderr } = bench("detect", "--nodes", "5", "--kill", "4");
    expect([status, stderr]).toEqual([1, expect.stringMatching(/--kill 4 leaves nobody to notice/)]);
  });

  it("says which limit of open files it needs", () => {
    expect(() => requireDescriptors(5000, 1024)).toThrow(
      `5000 nodes need ${descriptorsFor(5000)} open files and the limit is 1024; raise it with "ulimit -n 10512"`,
    );
    expect(() => requireDescriptors(200, 1024)).not.toThrow();
  });

  it("takes percentiles that were measured, not made up between two", () => {
    expect(spreadOf([3, 1, 2])).toEqual({ p50: 2, p99: 3, max: 3 });
    expect(spreadOf([7])).toEqual({ p50: 7, p99: 7, max: 7 });
    expect(spreadOf(Array.from({ length: 200 }, (_, i) => i + 1))).toEqual({ p50: 100, p99: 198, max: 200 });
  });
});
