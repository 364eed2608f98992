import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { KeptOutcomes, type Origin } from "../../bench/experiments/kept_outcomes.js";
import { hashOfProgram } from "../../bench/experiments/program.js";
import { compare } from "../../bench/experiments/staleness.js";

const program = fileURLToPath(new URL("../../build/js/bench/experiments.js", import.meta.url));
const origin: Origin = { experiments: ["join", "storm"], scale: { size: "quick", seed: 1, nodes: 4 }, program: "abc" };
const some = { samples: { ms: [1, 2] }, traceHash: "00ff" };
const other = { samples: { ms: [3] }, traceHash: "11ee" };

let folder = "";
let file = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tattler-"));
  file = join(folder, "kept.jsonl");
});
afterEach(() => rmSync(folder, { recursive: true }));

const textOf = (path: string): string => readFileSync(path, "utf8");

describe("kept outcomes", () => {
  it("are those of their experiment and cell", () => {
    const kept = new KeptOutcomes(file, origin);
    expect(kept.get("join", 0)).toBeUndefined();
    kept.add("join", 12, some);
    kept.add("storm", 1, other);
    for (const one of [kept, new KeptOutcomes(file, origin)]) {
      expect(one.get("join", 12)).toMatchObject(some);
      expect(one.get("storm", 1)).toMatchObject(other);
      expect([one.get("storm", 12), one.get("join", 1)]).toEqual([undefined, undefined]);
    }
  });

  it.each([
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.NaN,
    -0,
    0,
    0.1 + 0.2,
    Number.MIN_VALUE,
    Number.MAX_VALUE,
    2 ** 53 + 2,
  ])("come back exactly: %s", (value) => {
    new KeptOutcomes(file, origin).add("join", 0, { samples: { a: [1, value, 2], none: [] }, traceHash: "00ff" });
    const outcome = new KeptOutcomes(file, origin).get("join", 0);
    expect(outcome).toMatchObject({ samples: { a: [1, value, 2], none: [] }, traceHash: "00ff" });
    expect(Object.is(outcome?.samples.a?.[1], value)).toBe(true);
  });

  it("lose only the line that a kill cut off, wherever it was cut", () => {
    const kept = new KeptOutcomes(file, origin);
    kept.add("join", 0, some);
    const before = textOf(file);
    kept.add("join", 1, other);
    const whole = textOf(file);
    for (let length = before.length; length < whole.length; length++) {
      writeFileSync(file, whole.slice(0, length));
      const again = new KeptOutcomes(file, origin);
      expect([length, again.get("join", 1)]).toEqual([length, undefined]);
      expect(again.get("join", 0)).toMatchObject(some);
      again.add("join", 1, other);
      expect(textOf(file)).toBe(whole);
    }
  });

  it("begin anew when not even the first line was whole", () => {
    new KeptOutcomes(file, origin);
    const head = textOf(file);
    for (let length = 0; length < head.length; length++) {
      writeFileSync(file, head.slice(0, length));
      new KeptOutcomes(file, origin).add("join", 0, some);
      expect(new KeptOutcomes(file, origin).get("join", 0)).toMatchObject(some);
      expect(textOf(file).startsWith(head)).toBe(true);
    }
  });

  it.each([
    ["another build", { program: "abd" }, /is from another build, whose figures may differ; delete it or give another/],
    [
      "other experiments",
      { experiments: ["join"] },
      /is from `npm run experiments -- join --quick --nodes 4`; run that/,
    ],
    ["a full run", { scale: { size: "full", seed: 1, nodes: 4 } }, /-- join storm --nodes 4`; run that/],
    ["another seed", { scale: { ...origin.scale, seed: 2 } }, /--quick --seed 2 --nodes 4`; run that/],
    ["a number of runs", { scale: { ...origin.scale, runs: 2 } }, /--quick --runs 2 --nodes 4`; run that/],
    ["no number of nodes", { scale: { size: "quick", seed: 1 } }, /-- join storm --quick`; run that/],
    ["a setup", { scale: { ...origin.scale, setup: "SWIM" } }, /--nodes 4 --setup SWIM`; run that/],
    ["a setup of many words", { scale: { ...origin.scale, setup: "a, b" } }, /--nodes 4 --setup "a, b"`; run that/],
  ] as const)("of %s are refused and left as they are", (_, difference, problem) => {
    new KeptOutcomes(file, { ...origin, ...difference }).add("join", 0, some);
    const text = `${textOf(file)}cut`;
    writeFileSync(file, text);
    expect(() => new KeptOutcomes(file, origin)).toThrow(problem);
    expect(textOf(file)).toBe(text);
  });

  it.each(["# Mine\n", "# Mine", "\n", "{}\n", "null\n", '{"program":"abc"}\n'])("are not in a file of %j", (text) => {
    writeFileSync(file, text);
    expect(() => new KeptOutcomes(file, origin)).toThrow(/kept.jsonl holds no outcomes of experiments; give another/);
    expect(textOf(file)).toBe(text);
  });

  it.each(["", "\0\0", "{}", "null"])("tell which line is broken: %j", (line) => {
    new KeptOutcomes(file, origin).add("join", 0, some);
    const text = `${textOf(file)}${line}\n`;
    writeFileSync(file, text);
    expect(() => new KeptOutcomes(file, origin)).toThrow(/line 3 of .*kept.jsonl is broken; delete it/);
    expect(textOf(file)).toBe(text);
  });
});

describe("the hash of a program", () => {
  const parts = ["dist/random.js", "dist/sim/network.js", "build/Release/tattler.node"];
  const bench = ["build/js/bench/experiments.js", "build/js/bench/experiments/program.js"];
  const put = (name: string, text: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  beforeEach(() => {
    for (const name of [...parts, ...bench]) put(name, name);
  });

  it.each([...parts, ...bench])("is another when %s is", (name) => {
    const before = hashOfProgram(folder);
    put(name, "other");
    expect(hashOfProgram(folder)).not.toBe(before);
    put(name, name);
    expect(hashOfProgram(folder)).toBe(before);
  });

  it("is another when a file is added or has another name", () => {
    const hashes = [hashOfProgram(folder)];
    put("dist/sim/clock.js", "");
    hashes.push(hashOfProgram(folder));
    renameSync(join(folder, "dist/sim/clock.js"), join(folder, "dist/sim/clocks.js"));
    hashes.push(hashOfProgram(folder));
    expect(new Set(hashes).size).toBe(3);
  });

  it("is the same whatever has no say in the figures, and in another place", () => {
    const before = hashOfProgram(folder);
    for (const name of ["dist/random.d.ts", "dist/.tsbuildinfo", "build/js/bench/soak.js"]) put(name, "other");
    expect(hashOfProgram(folder)).toBe(before);
    const moved = `${folder}-moved`;
    renameSync(folder, moved);
    folder = moved;
    expect(hashOfProgram(folder)).toBe(before);
  });
});

describe("npm run experiments -- --keep", () => {
  const flags = ["join", "partitions", "--quick", "--nodes", "4", "--runs", "1", "--dry"];
  const run = (...more: string[]) => spawnSync(process.execPath, [program, ...flags, ...more], { encoding: "utf8" });
  /** Of how many cells it told that they had run. */
  const ranOf = (stderr: string): number => stderr.match(/\r/g)?.length ?? 0;

  let inOneGo = "";
  let whole = "";
  let lines: string[] = [];
  beforeAll(() => {
    const own = mkdtempSync(join(tmpdir(), "tattler-"));
    inOneGo = run().stdout;
    const { stdout, stderr } = run("--keep", join(own, "kept.jsonl"), "--jobs", "1");
    whole = textOf(join(own, "kept.jsonl"));
    lines = whole.trimEnd().split("\n");
    rmSync(own, { recursive: true });
    expect([stdout, ranOf(stderr), lines.length]).toEqual([inOneGo, 9 + 6, 1 + 9 + 6]);
  });

  it("goes on where a kill cut the file off, and ends like a run in one go", () => {
    // After the third cell of the second experiment, whose members never find each other again, and a part of a line.
    const kept = lines.slice(0, 1 + 9 + 3);
    expect([inOneGo, kept.at(-1)]).toEqual([expect.stringMatching(/never/), expect.stringMatching(/"Infinity"/)]);
    writeFileSync(file, whole.slice(0, kept.join("\n").length + 21));
    const { status, stdout, stderr } = run("--keep", file, "--jobs", "1");
    expect([status, stdout]).toEqual([0, inOneGo]);
    expect(stderr).toContain(`join: 9 of 9 cells are in ${file}\npartitions: 3 of 6 cells are in ${file}\n`);
    expect([ranOf(stderr), textOf(file)]).toEqual([3, whole]);
  });

  it("runs what is missing, anywhere, with any number of jobs, and takes the rest from the file", () => {
    const altered = lines.map((line) => line.replace(/("partitions","cell":1,.*"healMs":)\[0\]/, '$1["Infinity"]'));
    const kept = altered.filter((line) => !/"join","cell":[036],/.test(line));
    writeFileSync(file, `${kept.join("\n")}\n`);
    const { stdout, stderr } = run("--keep", file, "--jobs", "2");
    expect([kept.length, ranOf(stderr)]).toEqual([1 + 6 + 6, 3]);
    expect(textOf(file).trimEnd().split("\n").sort()).toEqual([...altered].sort());
    expect(stdout).not.toBe(inOneGo);
    expect(stdout).toBe(inOneGo.replace("for 1 s, tattler | 0 |", "for 1 s, tattler | never |"));
  });

  it("refuses the file of another build or of other flags, and leaves it as it is", () => {
    const refused = (text: string, problem: string, ...more: string[]): void => {
      writeFileSync(file, text);
      const { status, stdout, stderr } = run("--keep", file, ...more);
      expect([status, stdout, stderr, textOf(file)]).toEqual([2, "", `experiments: ${file} ${problem}\n`, text]);
    };
    const remedy = "delete it or give another file";
    const another = whole.replace(/"program":"[0-9a-f]{64}"/, `"program":"${"0".repeat(64)}"`);
    refused(another, `is from another build, whose figures may differ; ${remedy}`);
    const command = "`npm run experiments -- join partitions --quick --runs 1 --nodes 4`";
    refused(whole, `is from ${command}; run that, ${remedy}`, "--seed", "2");
  });

  it("tells at once that a file cannot be written", () => {
    const { status, stdout, stderr } = run("--keep", join(folder, "none", "kept.jsonl"));
    expect([status, stdout, stderr]).toEqual([2, "", expect.stringMatching(/^experiments: ENOENT.*none/)]);
  });
});

describe("rows of a file of results", () => {
  const table = { id: "t", title: "T", rows: "setup", columns: [] };
  const filled = { table, title: "T, 4 members", head: ["setup", "trace"], rows: [["tattler", "aaaaaaaa"]] };
  const section = (name: string, title: string, ...rows: string[]): string =>
    `<!-- figures: ${name} -->\nRuns.\n\n### ${title}\n\n${rows.join("\n")}\n<!-- end: ${name} -->\n`;
  const written = (...sections: string[]) => compare(sections.join("\n"), "mine", [filled])[0]?.written;

  it("are those of the experiment, the title and the whole name", () => {
    const others = ["| tattler, more | 11111111 |", "| SWIM | 22222222 |"];
    const mine = section("mine", "T, 4 members", ...others, "| tattler | bbbbbbbb |");
    const elsewhere = section("other", "T, 4 members", "| tattler | cccccccc |");
    expect(written(elsewhere, mine, elsewhere)).toBe("bbbbbbbb");
    const later = mine.replace("<!-- end", "\n### U\n\n| tattler | dddddddd |\n<!-- end");
    expect(written(later)).toBe("bbbbbbbb");
    for (const none of ["", elsewhere, section("mine", "T, 5 members", "| tattler | bbbbbbbb |")]) {
      expect(written(none)).toBeUndefined();
    }
    expect(written(section("mine", "T, 4 members", ...others), elsewhere)).toBeUndefined();
  });
});

describe("npm run experiments -- --check", () => {
  const flags = ["partitions", "join", "--quick", "--nodes", "4", "--runs", "1"];
  const run = (...more: string[]) =>
    spawnSync(process.execPath, [program, ...flags, "--out", file, ...more], { encoding: "utf8" });

  it("runs a row of each table again, and fails for those whose trace the file does not have", () => {
    expect(run().status).toBe(0);
    const text = textOf(file);
    const same = run("--check");
    const rows = same.stdout.trimEnd().split("\n");
    expect([same.status, textOf(file)]).toEqual([0, text]);
    expect(rows).toEqual([
      expect.stringMatching(/^partitions: Until all .*: 4 members, cut for 1 s, tattler: trace [0-9a-f]{8}, as in /),
      expect.stringMatching(/^join: From nothing to full views: 4 members, 0 % loss, tattler: trace .*, as in /),
      expect.stringMatching(/^join: What each rule does: 4 members, 0 % loss, tattler: trace .*, as in /),
    ]);
    expect(same.stderr.match(/\r/g)?.length).toBe(3);
    // Of what is kept only those rows count: a row of which a part is kept would have another trace.
    const kept = join(folder, "cells.jsonl");
    expect(run("--dry", "--keep", kept).status).toBe(0);
    expect(run("--check", "--keep", kept).stdout).toBe(same.stdout);
    const trace = rows[0]?.match(/trace (\w+)/)?.[1] as string;
    writeFileSync(file, text.replace(`${trace} |`, "00000000 |").replace("### From nothing", "### From something"));
    const other = run("--check");
    expect(other.status).toBe(1);
    expect(other.stdout.split("\n")[0]).toMatch(new RegExp(`: trace ${trace}, but ${file} has 00000000$`));
    expect(other.stdout.split("\n")[1]).toMatch(/, but .* has no such row$/);
    expect(other.stdout.split("\n")[2]).toBe(rows[2]);
  });

  it("needs a file", () => {
    const { status, stderr } = run("--check");
    expect([status, stderr]).toEqual([2, `experiments: there is no ${file} to check; give --out\n`]);
  });
});

describe("npm run experiments", () => {
  const run = (...flags: string[]) => spawnSync(process.execPath, [program, ...flags], { encoding: "utf8" });

  it.each([
    ["--bogus", /^experiments: Unknown option '--bogus'\nnpm run experiments -- \[/],
    ["nothing", /^experiments: there is no experiment nothing\nnpm run experiments -- \[/],
    ["--jobs=x", /^experiments: give whole numbers\n/],
    ["--runs=0", /^experiments: --runs and --nodes are 1 or more\n/],
  ])("says what is wrong with %s, and what it can do", (flag, told) => {
    const { status, stdout, stderr } = run(flag);
    expect([status, stdout, stderr]).toEqual([2, "", expect.stringMatching(told)]);
  });

  it("writes no table for a setup that there is not", () => {
    const { status, stderr } = run("join", "--setup", "nobody", "--out", file);
    expect([status, stderr]).toEqual([2, "experiments: no setup of join has a name that begins with nobody\n"]);
    expect(existsSync(file)).toBe(false);
  });

  it("says what it can do when asked", () => {
    const { status, stdout, stderr } = run("--help");
    expect([status, stdout, stderr]).toEqual([0, expect.stringMatching(/^npm run experiments -- \[swim\|/), ""]);
  });
});
