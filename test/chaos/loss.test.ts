import { expect, it } from "vitest";
import { describeOnHosts } from "../support/chaos_hosts.js";

const mayFailToJoin = /no address could be joined.*next try in \d+ ms$/;

describeOnHosts("loss", (hosts) => {
  it.each([5, 20])("of %d in 100 on every wire: a crash, a join and a leave are known to all", async (percent) => {
    await hosts.open(1);
    await hosts.network.loss("*", "*", percent);
    await hosts.start("n5", { place: hosts.network.host(5) });
    await hosts.agree();
    const [victim] = await hosts.kill("n1");
    await hosts.told("fail", "n1");
    await hosts.restart(victim!);
    await hosts.agree();
    await hosts.leave("n2");
    await hosts.told("leave", "n2");
    await hosts.agree();
    if (percent === 5) expect(hosts.failuresBut("n1")).toEqual([]);
    expect((await hosts.network.count()).lost).toBeGreaterThan(0);
    await hosts.network.heal();
    await hosts.dismiss(mayFailToJoin);
  });

  it("of 50 % on every wire: whoever was lost comes back without help", async () => {
    await hosts.open();
    await hosts.network.loss("*", "*", 50);
    await hosts.holds(() => [], 10_000);
    const [victim] = await hosts.kill("n1");
    await hosts.told("fail", "n1");
    await hosts.network.heal();
    await hosts.agree();
    await hosts.restart(victim!);
    await hosts.dismiss(mayFailToJoin);
  });

  it("from one member to another only: nobody is lost, as others help", async () => {
    await hosts.open();
    await hosts.network.loss(0, 1, 100);
    await hosts.network.loss(4, 2, 100);
    await hosts.holds(() => hosts.failures(), 12_000);
    await hosts.agree();
    await hosts.network.heal();
    await hosts.dismiss();
    expect(hosts.failures()).toEqual([]);
  });

  it("of all that one member sends: it fails alone, accuses nobody for good, and comes back without help", async () => {
    await hosts.open();
    await hosts.network.loss(3, "*", 100);
    await hosts.told("fail", "n3");
    expect(hosts.failuresBut("n3").filter((line) => !line.startsWith("n3: "))).toEqual([]);
    await hosts.network.heal();
    await hosts.dismiss();
  });

  it("of all that one member should hear: it fails alone, and comes back without help", async () => {
    await hosts.open();
    await hosts.network.loss("*", 3, 100);
    await hosts.told("fail", "n3");
    expect(hosts.failuresBut("n3").filter((line) => !line.startsWith("n3: "))).toEqual([]);
    await hosts.network.heal();
    await hosts.dismiss();
  });
});
