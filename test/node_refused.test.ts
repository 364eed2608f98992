import { describe, expect, it } from "vitest";
import type { GossipNode } from "../src/node.js";
import { closeAfterEach, newCluster, newNode, until, Watch } from "./support/nodes.js";

closeAfterEach();

/** So slow that a time-out and a suspicion would take minutes. */
const slow = { suspicionMinMs: 60_000, suspicionMult: 64, suspicionMaxTimeoutMult: 64, backend: "linux" } as const;

describe("a process that is gone (ARCHITECTURE 5.7)", () => {
  it("is failed everywhere as soon as two have been refused, long before a suspicion runs out", async () => {
    const nodes = await newCluster(["a", "b", "c", "d", "e"], slow);
    const watches = nodes.slice(0, 4).map((node) => new Watch(node));
    const evidence: string[] = [];
    for (const node of nodes.slice(0, 4)) node.on("fail", (member) => void evidence.push(member.evidence));
    await (nodes[4] as GossipNode).close();
    await Promise.all(watches.map((watch) => watch.until("fail e")));
    // A ping may be quicker than the verdict: who sees by its digest that somebody is behind passes on what it knows.
    expect(evidence.map((one) => (one === "hearsay" ? "refused" : one))).toEqual(Array(4).fill("refused"));
    expect(evidence).toContain("refused");
    expect(nodes.slice(0, 4).map(({ memberCount }) => memberCount)).toEqual([4, 4, 4, 4]);
  });

  it("recovers when it is started again, at once and for good", async () => {
    const [a, b, c] = (await newCluster(["a", "b", "c"], slow)) as [GossipNode, GossipNode, GossipNode];
    const { address } = c.self;
    const watch = new Watch(a);
    await c.close();
    await watch.until("fail c");
    const again = await newNode("c", { ...slow, bind: address });
    await again.join([b.self.address]);
    await watch.until("recover c");
    await until(() => [a, b, again].every(({ memberCount }) => memberCount === 3), "three members");
  });
});
