import { afterEach, describe, expect, it } from "vitest";
import { ChaosAgents } from "../support/chaos_agents.js";

const agents = new ChaosAgents();
afterEach(() => agents.clear());

const names = ["n0", "n1", "n2", "n3", "n4", "n5"];
const rounds = 3;

describe("restart storms", () => {
  it.each(["SIGKILL", "SIGTERM"])(
    "by %s, one after the other, all of them, without waiting for the rest",
    async (how) => {
      await agents.startAll(names.length);
      for (let round = 0; round < rounds; round++) {
        for (const name of names) {
          const [agent] = await (how === "SIGKILL" ? agents.kill(name) : agents.leave(name));
          await agents.restart(agent!);
        }
        await agents.agree();
      }
      await agents.spread(agents.of("n0"), "to all that are new");
      await agents.dismiss();
    },
  );

  it("of half of them at once, by turns", async () => {
    await agents.startAll(names.length);
    for (let round = 0; round < rounds; round++) {
      const half = names.filter((_, index) => index % 2 === round % 2);
      const victims = await agents.kill(...half);
      await Promise.all(victims.map((victim) => agents.restart(victim)));
      await agents.agree();
    }
    await agents.spread(agents.of("n0"), "to all that are new");
    await agents.dismiss();
  });

  it("of all of them at once: they find each other at the old addresses", async () => {
    await agents.startAll(names.length);
    const addresses = agents.running.map(({ at }) => at);
    const victims = await agents.kill(...names);
    await Promise.all(victims.map((victim) => agents.restart(victim, { join: addresses })));
    await agents.dismiss(/no address could be joined.*next try in \d+ ms$/);
    expect(agents.failures()).toEqual([]);
  });
});
