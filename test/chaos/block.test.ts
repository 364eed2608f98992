import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { ChaosAgents, type Extra } from "../support/chaos_agents.js";

const agents = new ChaosAgents();
afterEach(() => agents.clear());

const block = fileURLToPath(new URL("../support/block.mjs", import.meta.url));
const blockedFor = (ms: number): Extra => ({
  nodeFlags: ["--import", block],
  env: { CHAOS_BLOCK_MS: String(ms) },
});
/** Whoever does not answer has failed within some two seconds: sooner than the block ends. */
const watchful = ["--set", "suspicionMinMs=300"];
/** Who reported anybody but this one. */
const others = (name: string): string[] => agents.failures().filter((line) => !line.endsWith(`: ${name}`));
const fromIt = (name: string): string[] => agents.failures().filter((line) => line.startsWith(`${name}: `));

describe("a blocked JavaScript thread", () => {
  it("of 3 s is alive to everybody: no failure anywhere", async () => {
    await agents.startAll(5, (index) => ({ args: watchful, ...(index === 2 ? blockedFor(3000) : {}) }));
    const blocked = agents.of("n2");
    for (let round = 1; round <= 2; round++) {
      blocked.process.kill("SIGUSR2");
      const isOver = (): boolean => blocked.events.filter(({ event }) => event === "unblocked").length === round;
      await agents.until(isOver, () => "the block to end");
      await agents.spread(blocked, `after block ${round}`);
    }
    await agents.dismiss();
    expect(agents.failures()).toEqual([]);
  });

  it("of 60 s is declared failed by all, recovers, and has accused nobody", async () => {
    await agents.startAll(5, (index) => (index === 2 ? blockedFor(60_000) : {}));
    const blocked = agents.of("n2");
    blocked.process.kill("SIGUSR2");
    await blocked.event("blocked");
    await agents.told("fail", "n2");
    expect(blocked.events.some(({ event }) => event === "unblocked")).toBe(false);
    await agents.until(
      () => blocked.events.some(({ event }) => event === "unblocked"),
      () => "the block to end",
    );
    await agents.told(["recover", "join"], "n2"); // after gossipToTheDeadMs the others have forgotten it
    await agents.dismiss();
    expect([fromIt("n2"), others("n2")]).toEqual([[], []]);
  });
});
