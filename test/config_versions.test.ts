import { describe, expect, it } from "vitest";
import { type GossipOptions, parseOption, resolveConfig } from "../src/config.js";

describe("the option applicationVersion (M-065)", () => {
  const resolve = (applicationVersion: unknown) =>
    resolveConfig({ name: "n", applicationVersion } as GossipOptions).applicationVersion;

  it("is 0 alone by default, and otherwise what was given, kept apart and frozen", () => {
    expect(resolve(undefined)).toEqual({ min: 0, max: 0, current: 0 });
    const given = { min: 0, max: 255, current: 7 };
    const taken = resolve(given);
    given.current = 9;
    expect([taken, Object.isFrozen(taken)]).toEqual([{ min: 0, max: 255, current: 7 }, true]);
  });

  it.each([
    [{ min: 2, max: 1, current: 1 }],
    [{ min: 1, max: 2, current: 3 }],
    [{ min: 1, max: 2, current: 0 }],
    [{ min: -1, max: 2, current: 0 }],
    [{ min: 0, max: 256, current: 0 }],
    [{ min: 0, max: 2, current: 0.5 }],
    [{ min: 0, max: 2 }],
    [7],
    ["1,2,1"],
  ])("refuses %j and says what to give", (given) => {
    const remedy =
      /option applicationVersion: .* make no range; give whole numbers from 0 to 255, min <= current <= max/;
    expect(() => resolve(given)).toThrow(remedy);
  });

  it("is read from a command line as min,max,current", () => {
    expect(parseOption("applicationVersion", "1, 3,2")).toEqual({ applicationVersion: { min: 1, max: 3, current: 2 } });
    for (const text of ["", "1,2", "1,2,3,4"]) {
      expect(() => parseOption("applicationVersion", text)).toThrow(/is not three numbers; write min,max,current/);
    }
    expect(() => parseOption("applicationVersion", "1,2,9")).toThrow(/make no range/);
  });
});
