import { afterEach, describe, expect, it } from "vitest";
import { ChaosAgents } from "../support/chaos_agents.js";
import { ChaosNetwork, whyNoNetwork } from "../support/chaos_network.js";

const hosts = 6;
const agents = new ChaosAgents();
let network: ChaosNetwork;

afterEach(async () => {
  await agents.clear();
  expect(await network?.close()).toEqual([]);
});

/** One agent on each host but so many, which stay free. */
async function startOn(free = 0): Promise<void> {
  network = await ChaosNetwork.open(hosts);
  await agents.startAll(hosts - free, (index) => ({ place: network.host(index) }));
}

const on = (indices: readonly number[]) => indices.map((index) => agents.of(`n${index}`));
const about = (name: string): string[] => agents.failures().filter((line) => line.endsWith(`: ${name}`));
const notAbout = (name: string): string[] => agents.failures().filter((line) => !line.endsWith(`: ${name}`));
const mayFailToJoin = /no address could be joined.*next try in \d+ ms$/;

function losses(): void {
  it.each([5, 20])("of %d in 100 on every wire: a crash, a join and a leave are known to all", async (percent) => {
    await startOn(1);
    await network.loss("*", "*", percent);
    await agents.start("n5", { place: network.host(5) });
    await agents.agree();
    const [victim] = await agents.kill("n1");
    await agents.told("fail", "n1");
    await agents.restart(victim!);
    await agents.agree();
    await agents.leave("n2");
    await agents.told("leave", "n2");
    await agents.agree();
    if (percent === 5) expect(notAbout("n1")).toEqual([]);
    expect((await network.count()).lost).toBeGreaterThan(0);
    await network.heal();
    await agents.dismiss(mayFailToJoin);
  });

  it("of 50 % on every wire: whoever was lost comes back without help", async () => {
    await startOn();
    await network.loss("*", "*", 50);
    await agents.holds(() => [], 10_000);
    const [victim] = await agents.kill("n1");
    await agents.told("fail", "n1");
    await network.heal();
    await agents.agree();
    await agents.restart(victim!);
    await agents.dismiss(mayFailToJoin);
  });

  it("from one member to another only: nobody is lost, as others help", async () => {
    await startOn();
    await network.loss(0, 1, 100);
    await network.loss(4, 2, 100);
    await agents.holds(() => agents.failures(), 12_000);
    await agents.agree();
    await network.heal();
    await agents.dismiss();
    expect(agents.failures()).toEqual([]);
  });

  it("of all that one member sends: it fails alone, accuses nobody for good, and comes back without help", async () => {
    await startOn();
    await network.loss(3, "*", 100);
    await agents.told("fail", "n3");
    expect(notAbout("n3").filter((line) => !line.startsWith("n3: "))).toEqual([]);
    await network.heal();
    await agents.dismiss();
  });

  it("of all that one member should hear: it fails alone, and comes back without help", async () => {
    await startOn();
    await network.loss("*", 3, 100);
    await agents.told("fail", "n3");
    expect(notAbout("n3").filter((line) => !line.startsWith("n3: "))).toEqual([]);
    await network.heal();
    await agents.dismiss();
  });
}

function delays(): void {
  it("of 100 ms, 50 more or less, each way: nobody is lost, and a crash is known to all", async () => {
    await startOn();
    await network.delay("*", "*", 100, 50);
    await agents.holds(() => agents.failures(), 8000);
    const [victim] = await agents.kill("n1");
    await agents.told("fail", "n1");
    await agents.restart(victim!);
    await agents.agree();
    await network.heal();
    await agents.dismiss();
    expect(notAbout("n1")).toEqual([]);
  });
}

function partitions(): void {
  it("into halves: each fails the other, and they find each other again without help", async () => {
    await startOn();
    const [one, other] = [
      [0, 1, 2],
      [3, 4, 5],
    ] as const;
    await network.cut(one, other);
    for (const index of other) await agents.told("fail", `n${index}`, on(one));
    for (const index of one) await agents.told("fail", `n${index}`, on(other));
    await network.heal();
    await agents.dismiss();
  });

  it("of one host, with a crash and a new member on the other side meanwhile: one view without help", async () => {
    await startOn(1);
    await network.cut([0], [1, 2, 3, 4, 5]);
    await agents.told("fail", "n0", on([1, 2, 3, 4]));
    await agents.start("n5", { place: network.host(5), join: on([1, 2]).map(({ at }) => at) });
    await agents.kill("n4");
    await agents.told("fail", "n4", on([1, 2, 3]));
    await network.heal();
    await agents.dismiss();
    expect(about("n5")).toEqual([]);
  });

  it("and a machine that falls silent is found by time-outs alone", async () => {
    await startOn();
    await network.cut([2], [0, 1, 3, 4, 5]);
    const [victim] = await agents.kill("n2");
    await agents.told("fail", "n2");
    await network.heal();
    await agents.restart(victim!);
    await agents.dismiss();
    expect(notAbout("n2")).toEqual([]);
  });
}

const reason = whyNoNetwork();
if (reason === "") {
  describe("loss", losses);
  describe("delay", delays);
  describe("a partition", partitions);
} else {
  it(`cannot test loss, delay and partitions: this machine lets us make no network (${reason})`, () => {
    expect(whyNoNetwork()).not.toBe("");
  });
}
