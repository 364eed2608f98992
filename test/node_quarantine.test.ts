import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { GossipNode } from "../src/node.js";
import { closeAfterEach, newCluster, newNode, sharedKey, until, Watch } from "./support/nodes.js";

closeAfterEach();

/** Deaf nodes do not wait longer and longer for answers. */
const quick = { awarenessMaxMultiplier: 1, tcpPing: false } as const;

/** Deaf and mute, as it has another key than the others, until they have declared it dead. */
async function cutOff(node: GossipNode, witness: GossipNode): Promise<void> {
  const other = new Uint8Array(randomBytes(32));
  const watch = new Watch(witness);
  const before = node.stats.inconclusiveProbes;
  node.keyring.add(other);
  node.keyring.use(other);
  node.keyring.remove(sharedKey);
  await watch.until(`fail ${node.self.name}`);
  await until(() => node.stats.inconclusiveProbes >= before + 8, "probes without any answer");
  node.keyring.add(sharedKey);
  node.keyring.use(sharedKey);
  node.keyring.remove(other);
}

describe("a node that was deaf for the second time (Rapid, section 7)", () => {
  it("goes into quarantine, lets nobody join through it, and is back when its links stay good", async () => {
    const nodes = await newCluster(["a", "b", "c", "d"], { ...quick, suspicionMinMs: 500, quarantineMs: 3000 });
    const [a, , , d] = nodes as [GossipNode, GossipNode, GossipNode, GossipNode];
    await cutOff(d, a);
    await until(() => nodes.every(({ memberCount }) => memberCount === 4), "its return");
    await cutOff(d, a);
    await until(() => d.stats.quarantined === 1, "its quarantine");
    const newcomer = await newNode("e");
    await expect(newcomer.join([d.self.address])).rejects.toThrow(/in quarantine: join through another member/);
    await newcomer.join([a.self.address]);
    await until(() => [...nodes, newcomer].every(({ memberCount }) => memberCount === 5), "all five");
    expect([d.stats.quarantined, d.stats.quarantines]).toEqual([0, 1]);
  });
});
