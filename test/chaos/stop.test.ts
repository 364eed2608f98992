import { afterEach, describe, expect, it } from "vitest";
import { type ChaosAgent, ChaosAgents } from "../support/chaos_agents.js";

const agents = new ChaosAgents();
afterEach(() => agents.clear());

/** Who reported anybody but this one. */
const others = (name: string): string[] => agents.failures().filter((line) => !line.endsWith(`: ${name}`));
const fromIt = (name: string): string[] => agents.failures().filter((line) => line.startsWith(`${name}: `));

async function freeze(agent: ChaosAgent, ms: number): Promise<void> {
  agent.process.kill("SIGSTOP");
  await agents.holds(() => others(agent.name), ms);
  agent.process.kill("SIGCONT");
}

describe("SIGSTOP", () => {
  it("of a second, and again, loses nobody for good", async () => {
    await agents.startAll(5);
    for (const name of ["n1", "n3", "n1"]) {
      await freeze(agents.of(name), 1000);
      await agents.spread(agents.of(name), `after ${name} ${agents.of(name).lines.length}`);
      await agents.agree();
    }
    await agents.dismiss();
  });

  it("until all have declared it failed, then SIGCONT: it recovers and has accused nobody", async () => {
    await agents.startAll(5);
    const frozen = agents.of("n2");
    frozen.process.kill("SIGSTOP");
    await agents.told("fail", "n2");
    frozen.process.kill("SIGCONT");
    await agents.told("recover", "n2");
    await agents.dismiss();
    expect([fromIt("n2"), others("n2")]).toEqual([[], []]);
  });

  it("of two at once, one in the middle of the other, ends in one view", async () => {
    await agents.startAll(6);
    const [one, other] = [agents.of("n1"), agents.of("n4")];
    one.process.kill("SIGSTOP");
    await agents.told(
      "fail",
      "n1",
      agents.running.filter((agent) => agent !== one),
    );
    other.process.kill("SIGSTOP");
    await agents.told(
      "fail",
      "n4",
      agents.running.filter((agent) => agent !== one && agent !== other),
    );
    one.process.kill("SIGCONT");
    await agents.told(
      "recover",
      "n1",
      agents.running.filter((agent) => agent !== other),
    );
    other.process.kill("SIGCONT");
    await agents.dismiss();
  });
});
