import { describe, expect, it } from "vitest";
import type { GossipOptions } from "../src/config.js";
import type { GossipNode } from "../src/node.js";
import { allSee, bytes, closeAfterEach, errorOf, newNode, sharedKey, text, until, Watch } from "./support/nodes.js";

closeAfterEach();

const names = ["a", "b", "c", "d"];

type Encryption = Pick<GossipOptions, "keys" | "verifyIncoming" | "encryptOutgoing">;
const plain: Encryption = { keys: [] };
const first: Encryption = { keys: [sharedKey], verifyIncoming: false, encryptOutgoing: false };
const second: Encryption = { keys: [sharedKey], verifyIncoming: false, encryptOutgoing: true };
const full: Encryption = { keys: [sharedKey] };

/** Slow enough that a busy machine takes nobody for dead. */
const patient = { probeIntervalMs: 1000, probeTimeoutMs: 500 } as const;

/** Everybody sends everybody a reliable message and a broadcast, and gets all of them. */
async function talk(nodes: readonly GossipNode[], round: string): Promise<void> {
  const watches = nodes.map((node) => new Watch(node));
  for (const from of nodes) {
    const others = nodes.filter((node) => node !== from);
    await Promise.all(others.map((to) => from.send(to.self.name, bytes(round), { reliable: true, timeoutMs: 30_000 })));
    from.broadcast(bytes(round));
  }
  const wanted = 2 * (nodes.length - 1);
  // Who has just come also hears what was being gossiped before.
  const got = (watch: Watch) => watch.of("message").filter(({ payload }) => text(payload) === round).length;
  for (const watch of watches) await until(() => got(watch) >= wanted, `${round}: ${wanted} messages`, 30_000);
  expect(watches.map(got)).toEqual(nodes.map(() => wanted));
}

describe.each(["linux", "posix"] as const)("encryption is rolled out on the %s back end (T-016, M-188)", (backend) => {
  it("by restarting one node after the other, three times, with mixed nodes", async () => {
    const nodes: GossipNode[] = [];
    const failures: string[] = [];
    const start = async (name: string, step: Encryption): Promise<GossipNode> => {
      const node = await newNode(name, { ...patient, ...step, backend });
      return node.on("fail", (member) => void failures.push(`${name}: ${member.name} failed`));
    };
    for (const name of names) nodes.push(await start(name, plain));
    for (const node of nodes.slice(1)) await node.join([(nodes[0] as GossipNode).self.address]);
    await allSee(nodes, names.length);
    for (const [number, step] of [first, second, full].entries()) {
      for (const [i, name] of names.entries()) {
        const old = nodes[i] as GossipNode;
        await old.leave();
        await old.close();
        const next = await start(name, step);
        nodes[i] = next;
        await next.join(nodes.filter((node) => node !== next).map((node) => node.self.address));
        await allSee(nodes, names.length);
        await talk(nodes, `step ${number} with ${name}`);
      }
    }
    expect(failures).toEqual([]);
    const stranger = await start("stranger", plain);
    await expect(stranger.join([(nodes[0] as GossipNode).self.address])).rejects.toThrow(/key mismatch/);
  });

  it("never by half a step: what is left out is an error, and nothing changes", async () => {
    const a = await newNode("a", { ...full, backend });
    for (const step of [{ verifyIncoming: true }, { encryptOutgoing: true }, {}]) {
      expect((await errorOf(() => a.setEncryption(step as never))).code).toBe("TATTLER_ARGUMENT_INVALID");
    }
    const strange = await newNode("strange", { ...plain, backend });
    await expect(strange.join([a.self.address])).rejects.toThrow(/key mismatch/);
  });

  it("at run time, node by node, and nobody fails", async () => {
    const nodes: GossipNode[] = [];
    for (const name of names) nodes.push(await newNode(name, { ...patient, ...first, backend }));
    for (const node of nodes.slice(1)) await node.join([(nodes[0] as GossipNode).self.address]);
    await allSee(nodes, names.length);
    const watches = nodes.map((node) => new Watch(node));
    for (const verifyIncoming of [false, true]) {
      for (const node of nodes) {
        node.setEncryption({ verifyIncoming, encryptOutgoing: true });
        await talk(nodes, `${node.self.name} ${verifyIncoming}`);
      }
    }
    expect(nodes.map((node) => node.stats.counters.dropPlaintext)).toEqual([0, 0, 0, 0]);
    for (const watch of watches) expect([watch.of("fail"), watch.of("leave")]).toEqual([[], []]);
  });
});
