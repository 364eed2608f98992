import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { afterWarmUp, isFlat, type Point, slopeOf } from "../../bench/soak/slope.js";

const program = fileURLToPath(new URL("../../build/js/bench/soak.js", import.meta.url));
const line = (count: number, value: (minute: number) => number): Point[] =>
  Array.from({ length: count }, (_, minute) => ({ minute, value: value(minute) }));

describe("the slope of a gauge", () => {
  it("of an exact line is the line's, without error", () => {
    fc.assert(
      fc.property(fc.integer({ min: -1000, max: 1000 }), fc.integer({ min: -1000, max: 1000 }), (start, rise) => {
        const { perMinute, error } = slopeOf(line(10, (minute) => start + rise * minute));
        expect(perMinute).toBeCloseTo(rise, 9);
        expect(error).toBeCloseTo(0, 6);
      }),
    );
  });

  it("and its standard error are those of a textbook: 1 2 4 4 5 at 0 to 4", () => {
    const values = [1, 2, 4, 4, 5];
    const { perMinute, error } = slopeOf(line(5, (minute) => values[minute] ?? 0));
    // Sxx = 10, Sxy = 10, residuals -0.2 -0.2 0.8 -0.2 -0.2: sqrt(0.8 / 3 / 10)
    expect(perMinute).toBeCloseTo(1, 12);
    expect(error).toBeCloseTo(Math.sqrt(0.8 / 30), 12);
  });

  it("of fewer than three points, or of points at one moment, proves nothing", () => {
    for (const points of [[], line(1, () => 1), line(2, () => 1), line(5, () => 1).map((p) => ({ ...p, minute: 1 }))]) {
      expect(slopeOf(points)).toEqual({ perMinute: 0, error: Number.POSITIVE_INFINITY });
      expect(isFlat(slopeOf(points), 1000)).toBe(false);
    }
  });

  it.each([
    ["noise", { perMinute: 2.9, error: 1 }, 0, true],
    ["more than noise", { perMinute: 3.1, error: 1 }, 0, false],
    ["more than noise, but less than what matters", { perMinute: 3.1, error: 1 }, 3.2, true],
    ["downwards", { perMinute: -100, error: 1 }, 0, true],
    ["still", { perMinute: 0, error: 0 }, 0, true],
  ])("is judged: %s", (_, slope, bound, verdict) => {
    expect(isFlat(slope, bound)).toBe(verdict);
  });

  it("leaves the warm-up out", () => {
    const warming = line(40, (minute) => (minute < 10 ? minute : 10));
    expect(isFlat(slopeOf(warming), 0)).toBe(false);
    expect(afterWarmUp(warming, 0.25)[0]).toEqual({ minute: 10, value: 10 });
    expect(isFlat(slopeOf(afterWarmUp(warming, 0.25)), 0)).toBe(true);
  });
});

describe("npm run soak", () => {
  it("reports every gauge, counts what was done, and fails when so little time proves nothing", () => {
    const args = ["--expose-gc", program, "--minutes", "0.05", "--nodes", "8", "--json"];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    const { trends, ...figures } = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
    expect(figures).toMatchObject({ nodes: 8, samples: 1, falseFailures: 0 });
    expect(figures.deeds).toMatchObject({ crashes: 3, leaves: 3, returns: 6 });
    const gauges = ["rssKib", "heapKib", "externalKib", "handles", "descriptors", "threads", "waitingMessages"];
    expect(trends.map(({ gauge }: { gauge: string }) => gauge)).toEqual(gauges);
    expect([status, stderr]).toEqual([1, expect.stringContaining("soak: rssKib grows")]);
  });

  it.each([
    [["--minutes", "soon"], /--minutes soon is no time/],
    [["--nodes", "3"], /--nodes 3: 8 or more/],
    [["--nods", "9"], /nods/],
  ])("refuses %j", (args, problem) => {
    const { status, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: "utf8" });
    expect([status, stderr]).toEqual([2, expect.stringMatching(problem)]);
  });
});
