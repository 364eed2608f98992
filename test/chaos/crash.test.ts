import { afterEach, describe, expect, it } from "vitest";
import { ChaosAgents } from "../support/chaos_agents.js";

const agents = new ChaosAgents();
afterEach(() => agents.clear());

describe("kill -9", () => {
  it("of one is known to all, and it comes back at the same address", async () => {
    await agents.startAll(5);
    const [victim] = await agents.kill("n3");
    await agents.told("fail", "n3");
    await agents.agree();
    await agents.restart(victim!);
    await agents.told("recover", "n3");
    await agents.dismiss();
  });

  it("of three out of seven at once is known to all, and they come back at their addresses", async () => {
    await agents.startAll(7);
    const victims = await agents.kill("n1", "n4", "n6");
    for (const { name } of victims) await agents.told("fail", name);
    await agents.agree();
    await Promise.all(victims.map((victim) => agents.restart(victim)));
    await agents.dismiss();
    const survivors = ["n0", "n2", "n3", "n5"];
    expect(agents.failures().filter((line) => survivors.some((name) => line.endsWith(`: ${name}`)))).toEqual([]);
  });

  it("frees a name for another address after deadReclaimMs", async () => {
    await agents.startAll(5, () => ({ args: ["--set", "deadReclaimMs=1000"] }));
    const [victim] = await agents.kill("n2");
    await agents.told("fail", "n2");
    const again = await agents.start("n2", victim!.extra);
    expect(again.at).not.toBe(victim!.at);
    await agents.told(["join", "recover"], "n2");
    await agents.dismiss();
  });

  it("is not what a SIGTERM is: who leaves is at another address at once, and nobody failed", async () => {
    await agents.startAll(5);
    const [leaver] = await agents.leave("n2");
    await agents.told("leave", "n2");
    const again = await agents.start("n2", leaver!.extra);
    expect(again.at).not.toBe(leaver!.at);
    await agents.dismiss();
    expect(agents.failures()).toEqual([]);
  });
});
