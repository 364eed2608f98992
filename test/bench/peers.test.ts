import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { build, missingTool, parseReport, peers } from "../../bench/peers/peers.js";
import { measures, type Round, remarksOf, standingRows, standingsOf } from "../../bench/peers/standings.js";
import type { Report } from "../../bench/scenario.js";

const main = fileURLToPath(new URL("../../build/js/bench/main.js", import.meta.url));

function report(figures: Record<string, unknown> = {}): Report {
  return { case: "cluster", nodes: 10, falseFailures: 0, problems: [], ...figures } as Report;
}

function rowOf(rounds: readonly Round[], name: keyof typeof measures, metric: string) {
  const standing = standingsOf(name, "memberlist", rounds).find((one) => one.metric === metric);
  if (standing === undefined) throw new Error(`there is no measure ${metric}`);
  return standing;
}

function bench(env: NodeJS.ProcessEnv, ...args: string[]) {
  return spawnSync(process.execPath, [main, ...args], { encoding: "utf8", env: { ...process.env, ...env } });
}

describe("standings of tattler and a peer", () => {
  it("are medians with extremes, and the ratio of the medians with the extremes of the rounds", () => {
    const rounds = [
      { ours: report({ convergeMs: 1000 }), theirs: report({ convergeMs: 3000 }) },
      { ours: report({ convergeMs: 2000 }), theirs: report({ convergeMs: 2000 }) },
      { ours: report({ convergeMs: 1200 }), theirs: report({ convergeMs: 6000 }) },
    ];
    expect(rowOf(rounds, "cluster", "all know all")).toEqual({
      case: "cluster",
      metric: "all know all",
      unit: "ms",
      ours: { median: 1200, min: 1000, max: 2000 },
      peer: "memberlist",
      theirs: { median: 3000, min: 2000, max: 6000 },
      ratio: { median: 2.5, min: 1, max: 5 },
    });
  });

  it("favour neither side when the rounds are even", () => {
    const rounds = [
      { ours: report({ cpuSeconds: 1 }), theirs: report({ cpuSeconds: 9 }) },
      { ours: report({ cpuSeconds: 3 }), theirs: report({ cpuSeconds: 1 }) },
    ];
    const { ours, theirs, ratio } = rowOf(rounds, "cluster", "CPU to converge");
    expect([ours?.median, theirs?.median, ratio?.median]).toEqual([2, 5, 2.5]);
  });

  it("turn the ratio round where more is better", () => {
    const rounds = [{ ours: report({ deliveredShare: 0.8 }), theirs: report({ deliveredShare: 0.4 }) }];
    expect(rowOf(rounds, "storm", "broadcasts delivered, share").ratio?.median).toBe(2);
  });

  it("take the percentile of a spread", () => {
    const spread = (p50: number, max: number) => ({ allMs: { p50, p99: max, max } });
    const rounds = [{ ours: report(spread(10, 20)), theirs: report(spread(50, 200)) }];
    expect(rowOf(rounds, "detect", "all are told, p50").ratio?.median).toBe(5);
    expect(rowOf(rounds, "detect", "all are told, max").ratio?.median).toBe(10);
  });

  it("leave out a side without figures and a ratio of nothing", () => {
    const rounds = [
      { ours: report({ convergeMs: 1000 }), theirs: report({ problems: ["did not converge in 120 s"] }) },
      { ours: report({ convergeMs: 1500 }), theirs: null },
    ];
    const { ours, theirs, ratio } = rowOf(rounds, "cluster", "all know all");
    expect([ours?.median, theirs, ratio]).toEqual([1250, null, null]);
    expect(rowOf(rounds, "cluster", "false failures").ratio).toBeNull();
    expect(remarksOf("cluster", "memberlist", rounds)).toEqual([
      "cluster: memberlist did not converge in 120 s, in 1 of 2 rounds",
      "cluster: memberlist failed, in 1 of 2 rounds",
    ]);
  });

  it("are cells with the extremes where they differ", () => {
    const rounds = [
      { ours: report({ convergeMs: 1000 }), theirs: report({ convergeMs: 3000 }) },
      { ours: report({ convergeMs: 2000 }), theirs: report({ convergeMs: 3000 }) },
    ];
    const [head, ...rows] = standingRows(standingsOf("cluster", "memberlist", rounds));
    expect(head).toEqual(["case", "measure", "tattler (min..max)", "memberlist (min..max)", "ratio (min..max)"]);
    expect(rows[0]).toEqual(["cluster", "all know all, ms", "1,500 (1,000..2,000)", "3,000", "2 (1.5..3)"]);
    expect(rows.at(-1)).toEqual(["cluster", "false failures", "0", "0", "–"]);
    expect(rows).toHaveLength(measures.cluster.length);
  });
});

describe("what a peer's program prints", () => {
  it("is a report in its last line", () => {
    const line = JSON.stringify(report({ convergeMs: 7 }));
    expect(parseReport("foca", `warming up\n${line}\n`)).toMatchObject({ case: "cluster", convergeMs: 7 });
  });

  it.each([
    ["", /foca printed no JSON but ""/],
    ["panic: no such file", /no JSON but "panic: no such file"/],
    ["null", /JSON that is no report: null/],
    ['{"case":"cluster","nodes":3,"falseFailures":0}', /no report/],
    ['{"case":"cluster","nodes":"3","falseFailures":0,"problems":[]}', /no report/],
  ])("may be none: %j", (output, problem) => {
    expect(() => parseReport("foca", output)).toThrow(problem);
  });
});

describe("npm run bench -- peers", () => {
  it("says which tool is missing", async () => {
    const tool = { ...peers.foca.tool, commands: ["/no/such/cargo"] };
    const said = "there is no cargo here (tried /no/such/cargo), so it goes without foca";
    expect(missingTool("foca", tool)).toBe(said);
    expect(await build({ ...peers.foca, tool })).toBe(said);
  });

  it("says why a peer does not build", async () => {
    const tool = { ...peers.foca.tool, commands: [process.execPath], buildArgs: ["-e", "throw 'no compiler'"] };
    expect(await build({ ...peers.foca, tool })).toMatch(/^foca does not build here: \S/);
  });

  it("does without what it lacks and fails at nothing", () => {
    const { status, stdout } = bench({ PATH: "/no/such", HOME: "/no/such" }, "peers", "--against", "foca", "--json");
    expect(status).toBe(0);
    const [said, json] = stdout.trimEnd().split("\n");
    expect(said).toMatch(/^bench: there is no cargo here/);
    expect(JSON.parse(json ?? "")).toEqual({ case: "peers", nodes: 100, standings: [], queues: [] });
  });

  it.each([
    [["peers", "tea"], /peers have no case tea; give cluster, steady, detect, storm, queue/],
    [["peers", "--against", "serf"], /there is no peer serf; give memberlist, foca/],
  ])("refuses %j", (args, problem) => {
    const { status, stderr } = bench({}, ...args);
    expect([status, stderr]).toEqual([2, expect.stringMatching(problem)]);
  });
});
