import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cli } from "../support/agent.js";

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, "sim", ...args], { encoding: "utf8" });
  return { status, stderr, text: stdout, last: stdout.trimEnd().split("\n").at(-1) ?? "" };
}

describe("tattler sim", () => {
  it("lives random lives, finds nothing, and is the same in another process and in threads", () => {
    const args = ["--scenario", "swarm", "--nodes", "12", "--seed", "5", "--runs", "2", "--json"];
    const [first, again] = [run(...args), run(...args, "--jobs", "2")];
    expect([first.status, first.stderr]).toEqual([0, ""]);
    expect(JSON.parse(first.last)).toMatchObject({ scenario: "swarm", nodes: 12, seed: 5, runs: 2, violations: 0 });
    expect(JSON.parse(first.last).traceHash).toMatch(/^[0-9a-f]{16}$/);
    expect(again.last).toBe(first.last);
  });

  it.each(["steady", "crash", "silent", "leave", "storm", "join"])("measures %s", (scenario) => {
    const { status, stderr, last } = run("--scenario", scenario, "--nodes", "20", "--seed", "3", "--json");
    expect([status, stderr]).toEqual([0, ""]);
    const figures = JSON.parse(last) as Record<string, unknown>;
    expect(figures).toMatchObject({ scenario, nodes: 20, violations: 0 });
    expect(Object.values(figures)).not.toContain(null); // JSON's word for what never came
  });

  it.each(["swarm", "steady", "silent", "storm", "join"])("draws %s, and runs it as it would without", (scenario) => {
    const folder = mkdtempSync(join(tmpdir(), "tattler-picture-"));
    try {
      const file = join(folder, "run.html");
      const args = ["--scenario", scenario, "--nodes", "12", "--seed", "5", "--runs", "2", "--json"];
      const { status, stderr, last, text } = run(...args, "--html", file);
      expect([status, stderr]).toEqual([0, ""]);
      expect(text).toContain(`${file}, of the first run`);
      expect(last).toBe(run(...args).last);
      const page = readFileSync(file, "utf8");
      const first = JSON.parse(run("--scenario", scenario, "--nodes", "12", "--seed", "5", "--json").last);
      for (const said of [scenario, "12 members", "seed 5", "first of 2 runs", first.traceHash]) {
        expect(page).toContain(said);
      }
      expect(page.trimEnd().endsWith("</html>")).toBe(true);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("takes how long the steady state lasts, and how often an event happens", () => {
    const hashes = [
      ["steady", "--seconds", "5"],
      ["steady", "--seconds", "6"],
      ["leave", "--repeats", "1"],
      ["leave", "--repeats", "2"],
    ].map((args) => JSON.parse(run("--nodes", "12", "--json", "--scenario", ...args).last).traceHash);
    expect(new Set(hashes).size).toBe(4);
  });

  it("repeats an experiment in small, with its tables", () => {
    const args = ["--scenario", "spread", "--nodes", "8", "--seed", "2", "--json"];
    const { status, stderr, last, text } = run(...args);
    expect([status, stderr]).toEqual([0, ""]);
    expect(JSON.parse(last)).toMatchObject({ scenario: "spread", nodes: 8, seed: 2, runs: 1, violations: 0 });
    expect(text).toMatch(/^Urgent news: a leave\ncluster and rules +50 % know.*\n8 members, 0 % loss, memberlist's/);
  });

  it.each([
    [["--scenario", "tea"], /no scenario tea.*swarm, steady/],
    [["--nodes", "1"], /--nodes 1 is not a whole number.*from 2/],
    [["--runs", "few"], /--runs few/],
    [["--seconds", "0"], /--seconds 0 is not a whole number.*from 1/],
    [["--repeats", "0"], /--repeats 0 is not a whole number.*from 1/],
    [["--jobs", "0"], /--jobs 0 is not a whole number.*from 1/],
    [["--html", "/there/is/no/run.html"], /--html cannot be written: ENOENT.*give a file in a folder that is there/],
    [["--scenario", "spread", "--html", "run.html"], /--html draws one run, and spread.*give --scenario one of swarm/],
    [["--jobs", "2", "--html", "run.html"], /--html looks on in its own thread; give it without --jobs/],
  ])("refuses %j", (args, problem) => {
    const { status, stderr } = run(...args);
    expect([status, stderr]).toEqual([2, expect.stringMatching(problem)]);
  });
});
