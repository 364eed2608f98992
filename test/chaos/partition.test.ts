import { expect, it } from "vitest";
import { describeOnHosts } from "../support/chaos_hosts.js";

describeOnHosts("delay", (hosts) => {
  it("of 100 ms, 50 more or less, each way: nobody is lost, and a crash is known to all", async () => {
    await hosts.open();
    await hosts.network.delay("*", "*", 100, 50);
    await hosts.holds(() => hosts.failures(), 8000);
    const [victim] = await hosts.kill("n1");
    await hosts.told("fail", "n1");
    await hosts.restart(victim!);
    await hosts.agree();
    await hosts.network.heal();
    await hosts.dismiss();
    expect(hosts.failuresBut("n1")).toEqual([]);
  });
});

describeOnHosts("a partition", (hosts) => {
  it("into halves: each fails the other, and they find each other again without help", async () => {
    await hosts.open();
    const [one, other] = [
      [0, 1, 2],
      [3, 4, 5],
    ] as const;
    await hosts.network.cut(one, other);
    for (const index of other) await hosts.told("fail", `n${index}`, hosts.on(one));
    for (const index of one) await hosts.told("fail", `n${index}`, hosts.on(other));
    await hosts.network.heal();
    await hosts.dismiss();
  });

  it("of one host, with a crash and a new member on the other side meanwhile: one view without help", async () => {
    await hosts.open(1);
    await hosts.network.cut([0], [1, 2, 3, 4, 5]);
    await hosts.told("fail", "n0", hosts.on([1, 2, 3, 4]));
    await hosts.start("n5", { place: hosts.network.host(5), join: hosts.on([1, 2]).map(({ at }) => at) });
    await hosts.kill("n4");
    await hosts.told("fail", "n4", hosts.on([1, 2, 3]));
    await hosts.network.heal();
    await hosts.dismiss();
    expect(hosts.failures().filter((line) => line.endsWith(": n5"))).toEqual([]);
  });

  it("and a machine that falls silent is found by time-outs alone", async () => {
    await hosts.open();
    await hosts.network.cut([2], [0, 1, 3, 4, 5]);
    const [victim] = await hosts.kill("n2");
    await hosts.told("fail", "n2");
    await hosts.network.heal();
    await hosts.restart(victim!);
    await hosts.dismiss();
    expect(hosts.failuresBut("n2")).toEqual([]);
  });
});
