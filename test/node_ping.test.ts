import { createSocket } from "node:dgram";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import type { GossipNode } from "../src/node.js";
import { closeAfterEach, closeLater, errorOf, newCluster, newNode } from "./support/nodes.js";

closeAfterEach();

const patient = { timeoutMs: 30_000 } as const;

/** A node that believes in a member that never answers: its port is held by a deaf socket. */
async function withSilentMember(): Promise<GossipNode> {
  // Nor do refusals judge it, before its port is held again.
  const unjudged = { probeIntervalMs: 0, refusedConfirmations: 0 };
  const [a, b] = (await newCluster(["a", "b"], unjudged)) as [GossipNode, GossipNode];
  const port = Number(b.self.address.split(":")[1]);
  await b.close();
  const deaf = createSocket("udp4").bind(port, "127.0.0.1");
  closeLater(deaf);
  await once(deaf, "listening");
  return a;
}

describe.each(["linux", "posix"] as const)("ping on the %s back end", (backend) => {
  it("gives the round trip of the member that is asked, by name and by snapshot", async () => {
    const [a, b] = (await newCluster(["a", "b"], { backend })) as [GossipNode, GossipNode];
    const before = b.stats.counters.instantAcks;
    for (const member of ["b", b.self]) {
      const { rttMs, payload } = await a.ping(member, patient);
      expect(rttMs).toBeGreaterThan(0);
      expect(rttMs).toBeLessThan(patient.timeoutMs);
      expect(payload).toEqual(new Uint8Array(0));
    }
    expect(b.stats.counters.instantAcks).toBeGreaterThanOrEqual(before + 2);
  });

  it("is answered by JavaScript where the I/O thread may not", async () => {
    const [a] = (await newCluster(["a", "b"], { backend, stallToleranceMs: 0 })) as [GossipNode];
    expect((await a.ping("b", patient)).rttMs).toBeGreaterThan(0);
  });
});

describe("ping", () => {
  it("runs many at once, and each gets its own answer", async () => {
    const nodes = await newCluster(["a", "b", "c", "d"]);
    const [a] = nodes as [GossipNode];
    const names = Array.from({ length: 300 }, (_, i) => ["b", "c", "d"][i % 3] as string);
    const replies = await Promise.all(names.map((name) => a.ping(name, patient)));
    expect(replies).toHaveLength(300);
  });

  it("of a silent member fails when its time is up, and accuses nobody", async () => {
    const a = await withSilentMember();
    const error = await errorOf(() => a.ping("b", { timeoutMs: 30 }));
    expect(error.code).toBe("TATTLER_PING_TIMEOUT");
    expect(error.message).toContain("b did not answer a ping within 30 ms");
    expect(a.member("b")?.state).toBe("alive");
  });

  it("ends with its signal and with its node", async () => {
    const a = await withSilentMember();
    const aborted = errorOf(() => a.ping("b", { ...patient, signal: AbortSignal.timeout(5) }));
    expect((await aborted).code).toBe("TATTLER_ABORTED");
    expect((await errorOf(() => a.ping("b", { signal: AbortSignal.abort() }))).code).toBe("TATTLER_ABORTED");
    const closed = errorOf(() => a.ping("b", patient));
    await a.close();
    expect((await closed).code).toBe("TATTLER_CLOSED");
  });

  it("refuses whom it does not know, and itself", async () => {
    const a = await newNode("a");
    expect((await errorOf(() => a.ping("nobody"))).code).toBe("TATTLER_MEMBER_UNKNOWN");
    expect((await errorOf(() => a.ping("a"))).code).toBe("TATTLER_ARGUMENT_INVALID");
  });
});
