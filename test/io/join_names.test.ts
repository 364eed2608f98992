import { describe, expect, it } from "vitest";
import type { GossipNode } from "../../src/node.js";
import { allSee, closeAfterEach, errorOf, newNode, Watch } from "../support/nodes.js";

closeAfterEach();

const at = (name: string, node: GossipNode): string => `${name}/${node.self.address}`;

describe.each(["127.0.0.1:0", "[::1]:0"])("join of name/address at %s (M-006)", (bind) => {
  it("takes the member of that name", async () => {
    const [a, b] = [await newNode("a", { bind }), await newNode("b", { bind })];
    expect(await b.join([at("a", a)])).toMatchObject({ joined: 1, attempts: [{ outcome: "joined", peer: "a" }] });
    await allSee([a, b], 2);
  });

  it("refuses a member of another name, and nothing is merged on either side", async () => {
    const [a, b] = [await newNode("a", { bind }), await newNode("b", { bind })];
    const watches = [new Watch(a), new Watch(b)];
    const error = await errorOf(() => b.join([at("wren", a)]));
    expect(error.code).toBe("TATTLER_JOIN_FAILED");
    expect(error.cause).toMatchObject({ code: "TATTLER_NAME_MISMATCH" });
    expect(error.message).toContain(`another member answers at ${a.self.address}: it is a, not wren`);
    expect([a.stats.syncsMerged, b.stats.syncsMerged, a.memberCount, b.memberCount]).toEqual([0, 0, 1, 1]);
    expect([a.stats.streams.refused, b.stats.streams.refusedByPeer]).toEqual([1, 1]);
    expect(watches.flatMap((watch) => watch.events)).toEqual([]);
  });

  it("fails for that address alone", async () => {
    const [a, b, c] = [await newNode("a", { bind }), await newNode("b", { bind }), await newNode("c", { bind })];
    const result = await c.join([at("wren", a), at("b", b)]);
    expect(result.joined).toBe(1);
    expect(new Set(result.attempts.map(({ outcome, peer }) => `${outcome} ${peer}`))).toEqual(
      new Set(["failed null", "joined b"]),
    );
    expect(a.memberCount).toBe(1);
  });

  it("skips oneself by one's own name, and fails by another", async () => {
    const a = await newNode("a", { bind });
    expect(await a.join([at("a", a)])).toMatchObject({ joined: 0, attempts: [{ outcome: "skipped" }] });
    expect((await errorOf(() => a.join([at("b", a)]))).cause).toMatchObject({ code: "TATTLER_NAME_MISMATCH" });
  });

  it("without a name before the slash is no address", async () => {
    const [a, b] = [await newNode("a", { bind }), await newNode("b", { bind })];
    const error = await errorOf(() => b.join([at("", a)]));
    expect(error.code).toBe("TATTLER_ADDRESS_INVALID");
    expect(error.message).toMatch(/name before \/ is empty/);
    expect(b.stats.streams.dialed).toBe(0);
  });
});
