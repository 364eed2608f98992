import { setFlagsFromString } from "node:v8";
import { expect, it } from "vitest";
import { resolveConfig } from "../src/config.js";

it("the options have one shape in V8 for all nodes of a process, or each read of them misses every cache", () => {
  setFlagsFromString("--allow-natives-syntax");
  const isOneShape = new Function("a", "b", "return %HasFastProperties(a) && %HaveSameMap(a, b)");
  const configs = Array.from({ length: 30 }, (_, i) =>
    resolveConfig({
      name: `n${i}`,
      seed: 2 ** i,
      probeTimeoutMs: 100 + i,
      ...(i % 2 ? { logger: console } : {}),
    }),
  );
  const [last] = configs.slice(-1);
  expect(configs.slice(3).filter((config) => !isOneShape(config, last))).toEqual([]);
});
