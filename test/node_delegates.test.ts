import { describe, expect, it } from "vitest";
import type { Conflict, Delegates, MemberClaim } from "../src/delegates.js";
import type { GossipNode } from "../src/node.js";
import {
  allSee,
  bytes,
  closeAfterEach,
  errorOf,
  letters,
  newCluster,
  newNode,
  text,
  until,
  Watch,
  within,
} from "./support/nodes.js";

closeAfterEach();

describe("allowMerge", () => {
  it("of the member that is joined refuses: nobody learns of the other", async () => {
    const asked: (readonly MemberClaim[])[] = [];
    const veto: Delegates = {
      allowMerge: (members) => {
        asked.push(members);
        return "we are full";
      },
      localState: () => bytes("a secret"),
      mergeRemoteState: () => asked.push([]),
    };
    const told: string[] = [];
    const guarded = await newNode("guarded", {}, veto);
    const other = await newNode("other", { meta: "m" }, { mergeRemoteState: (state) => told.push(text(state)) });
    const watches = [new Watch(guarded), new Watch(other)];
    const error = await errorOf(() => other.join([guarded.self.address]));
    expect(error.code).toBe("TATTLER_JOIN_FAILED");
    expect(error.cause).toMatchObject({ code: "TATTLER_JOIN_REFUSED", message: expect.stringMatching(/we are full/) });
    expect(asked).toMatchObject([[{ name: "other", address: other.self.address, state: "alive", meta: bytes("m") }]]);
    expect([guarded.memberCount, other.memberCount, told]).toEqual([1, 1, []]);
    expect([guarded.member("other"), other.member("guarded")]).toEqual([undefined, undefined]);
    expect(watches.flatMap(({ events }) => events)).toEqual([]);
    expect(guarded.stats.streams.refused).toBe(1);
  });

  it("of the joiner refuses: neither end merges anything and the join fails with its reason (E-75)", async () => {
    const merged: string[] = [];
    const joiner = await newNode(
      "joiner",
      {},
      {
        allowMerge: (members) => (members.some(({ name }) => name === "foe") ? "not with the foe" : undefined),
        mergeRemoteState: (state) => merged.push(text(state)),
        localState: () => bytes("mine"),
      },
    );
    const mergeRemoteState = () => merged.push("by the foe");
    const foe = await newNode("foe", {}, { localState: () => bytes("come in"), mergeRemoteState });
    const error = await errorOf(() => joiner.join([foe.self.address]));
    expect(error.cause).toMatchObject({
      code: "TATTLER_JOIN_REFUSED",
      message: expect.stringMatching(/not with the foe/),
    });
    await until(() => foe.stats.streams.joinsUnconfirmed === 1, "the foe to know");
    expect([joiner.stats.syncsMerged, foe.stats.syncsMerged, merged]).toEqual([0, 0, []]);
    expect([joiner.members, foe.members].map((members) => members.map(({ name }) => name))).toEqual([
      ["joiner"],
      ["foe"],
    ]);
  });

  it("that agrees lets the join through, and is not asked at later syncs", async () => {
    let asked = 0;
    const nod: Delegates = {
      allowMerge: () => {
        asked++;
        return undefined;
      },
    };
    const a = await newNode("a", { pushPullIntervalMs: 100 }, nod);
    const b = await newNode("b", { pushPullIntervalMs: 100 }, nod);
    await b.join([a.self.address]);
    await until(() => a.stats.syncsMerged >= 4, "syncs");
    expect(asked).toBe(2);
    expect([a.memberCount, b.memberCount]).toEqual([2, 2]);
  });

  it("that throws refuses, and its error is reported", async () => {
    const a = await newNode(
      "a",
      {},
      {
        allowMerge: () => {
          throw new Error("broken judge");
        },
      },
    );
    const watch = new Watch(a);
    const b = await newNode("b");
    expect((await errorOf(() => b.join([a.self.address]))).cause).toMatchObject({ code: "TATTLER_JOIN_REFUSED" });
    await until(() => watch.of("error").length === 1, "the error");
    expect(watch.of("error")[0]?.message).toBe("broken judge");
    expect([a.memberCount, b.memberCount]).toEqual([1, 1]);
  });

  it("may close the node that it is asked about", async () => {
    const nodes: GossipNode[] = [];
    const close = (name: string): Delegates => ({
      allowMerge: () => void nodes.find((node) => node.self.name === name)?.close(),
    });
    nodes.push(await newNode("a", {}, close("a")), await newNode("b"));
    const [a, b] = nodes as [GossipNode, GossipNode];
    const error = await within(
      errorOf(() => b.join([a.self.address])),
      "the join",
    );
    expect(error.code).toBe("TATTLER_JOIN_FAILED");
    expect(b.memberCount).toBe(1);
    await a.close();
  });

  it("of the joiner may close it, too", async () => {
    const nodes: GossipNode[] = [];
    nodes.push(await newNode("a"), await newNode("b", {}, { allowMerge: () => void nodes[1]?.close() }));
    const [a, b] = nodes as [GossipNode, GossipNode];
    const joining = b.join([a.self.address]).catch((error) => error);
    await within(joining, "the join");
    await b.close();
    await until(() => a.memberCount === 1, "a alone again");
  });
});

describe("allowAlive", () => {
  it("keeps a member out that came by gossip, and is asked with what it claims", async () => {
    const asked: MemberClaim[] = [];
    const choosy: Delegates = {
      allowAlive: (member) => {
        asked.push(member);
        return member.name !== "pest";
      },
    };
    const seed = await newNode("seed");
    const a = await newNode("a", {}, choosy);
    await a.join([seed.self.address]);
    const watch = new Watch(a);
    const pest = await newNode("pest", { meta: "bzz" });
    const friend = await newNode("friend");
    await pest.join([seed.self.address]);
    await friend.join([seed.self.address]);
    await until(() => a.member("friend") !== undefined && asked.some(({ name }) => name === "pest"), "both claims");
    expect(watch.story()).toEqual(["join friend"]);
    expect(a.member("pest")).toBeUndefined();
    expect(asked.find(({ name }) => name === "pest")).toMatchObject({
      name: "pest",
      address: pest.self.address,
      state: "alive",
      meta: bytes("bzz"),
    });
    await allSee([seed], 4);
  });

  it("keeps a member out of a state sync", async () => {
    const nodes = await newCluster(letters(3));
    const choosy = await newNode("choosy", {}, { allowAlive: ({ name }) => name !== "n1" });
    await choosy.join([(nodes[0] as GossipNode).self.address]);
    expect(choosy.members.map(({ name }) => name).sort()).toEqual(["choosy", "n0", "n2"]);
  });

  it("is asked before an update, which it may refuse", async () => {
    let open = true;
    const a = await newNode("a", {}, { allowAlive: () => open });
    const b = await newNode("b", { meta: "one" });
    await b.join([a.self.address]);
    const asked = new Watch(a);
    open = false;
    b.updateMeta("two");
    await until(() => b.stats.queueDepth === 0, "the gossip to end");
    expect([text(a.member("b")?.meta ?? bytes("")), asked.of("update")]).toEqual(["one", []]);
  });

  it("that throws keeps the member out, and the error comes after the protocol's work", async () => {
    const a = await newNode(
      "a",
      {},
      {
        allowAlive: () => {
          throw new Error("no idea");
        },
      },
    );
    const counts: number[] = [];
    a.on("error", () => {
      counts.push(a.memberCount);
      a.broadcast(bytes("calling back is fine here"));
    });
    const b = await newNode("b");
    await b.join([a.self.address]);
    await until(() => counts.length > 0, "the error");
    expect(new Set(counts)).toEqual(new Set([1]));
  });

  it("that closes the node in the middle of a datagram breaks nothing", async () => {
    const seed = await newNode("seed");
    const nodes: GossipNode[] = [];
    const closing: Delegates = {
      allowAlive: ({ name }) => {
        if (name.startsWith("n")) void nodes[0]?.close();
        return true;
      },
    };
    nodes.push(await newNode("a", {}, closing));
    await nodes[0]?.join([seed.self.address]);
    const watch = new Watch(seed);
    for (const name of letters(4)) await (await newNode(name)).join([seed.self.address]);
    await watch.until("fail a");
    expect((await errorOf(() => nodes[0]?.members)).code).toBe("TATTLER_CLOSED");
    await nodes[0]?.close();
    const again = await newNode("a2");
    await again.join([seed.self.address]);
    await allSee([seed, again], 6);
  });
});

describe("localState and mergeRemoteState", () => {
  function statesOf(name: string, merged: string[]): Delegates {
    return {
      localState: (join) => bytes(`${name}/${join}`),
      mergeRemoteState: (state, join) => merged.push(`${name} < ${text(state)}/${join}`),
    };
  }

  it("trade both ways at a join and at every later sync", async () => {
    const merged: string[] = [];
    const a = await newNode("a", { pushPullIntervalMs: 0 }, statesOf("a", merged));
    const b = await newNode("b", { pushPullIntervalMs: 100 }, statesOf("b", merged));
    await b.join([a.self.address]);
    expect(merged.sort()).toEqual(["a < b/true/true", "b < a/true/true"]);
    // Another sync may be under way before this looks.
    await until(() => new Set(merged).size >= 4, "a sync");
    expect([...new Set(merged)].sort()).toEqual([
      "a < b/false/false",
      "a < b/true/true",
      "b < a/false/false",
      "b < a/true/true",
    ]);
  });

  it("are called after the memberships were merged, and not for nothing", async () => {
    const seen: number[] = [];
    const nodes: GossipNode[] = [];
    const a = await newNode("a", {}, { mergeRemoteState: () => seen.push(nodes[0]?.memberCount ?? 0) });
    nodes.push(a);
    await (await newNode("silent")).join([a.self.address]);
    await (await newNode("empty", {}, { localState: () => new Uint8Array(0) })).join([a.self.address]);
    expect(seen).toEqual([]);
    await (await newNode("talker", {}, { localState: () => bytes("x") })).join([a.self.address]);
    await until(() => seen.length > 0, "the state");
    expect(seen).toEqual([4]);
  });

  it("carry large states whole", async () => {
    const big = new Uint8Array(1_000_000).map((_, i) => i * 7);
    let got: Uint8Array | null = null;
    const a = await newNode("a", {}, { localState: () => big });
    const b = await newNode(
      "b",
      {},
      {
        mergeRemoteState: (state) => {
          got = state;
        },
      },
    );
    await b.join([a.self.address]);
    expect(Buffer.compare(got ?? bytes(""), big)).toBe(0);
  });

  it("that throw are reported and the memberships merge all the same", async () => {
    const bad: Delegates = {
      localState: () => {
        throw new Error("no state");
      },
      mergeRemoteState: () => {
        throw new Error("no merge");
      },
    };
    const a = await newNode("a", {}, bad);
    const watch = new Watch(a);
    const b = await newNode("b", {}, { localState: () => bytes("b") });
    await b.join([a.self.address]);
    await allSee([a, b], 2);
    await until(() => watch.of("error").length === 2, "both errors");
    expect(watch.of("error").map(({ message }) => message)).toEqual(["no state", "no merge"]);
  });

  it("fail as questions when they return promises, and as what is told when those reject", async () => {
    const late = async (): Promise<never> => {
      throw new Error("late");
    };
    const bad = { localState: late, mergeRemoteState: late, allowAlive: late } as unknown as Delegates;
    const a = await newNode("a", {}, bad);
    const watch = new Watch(a);
    const b = await newNode("b", {}, { localState: () => bytes("b") });
    await b.join([a.self.address]);
    const messages = (): Set<string> =>
      new Set(watch.of("error").map(({ message }) => message.split(";")[0] as string));
    await until(() => messages().size === 3, "all errors");
    const promised = (name: string): string => `argument ${name}: it returned a promise`;
    expect(messages()).toEqual(new Set([promised("allowAlive"), promised("localState"), "late"]));
    expect(a.memberCount).toBe(1);
  });

  it("may close the node from within a periodic sync", async () => {
    const nodes: GossipNode[] = [];
    const closing: Delegates = {
      localState: (join) => {
        if (!join) void nodes[0]?.close();
        return bytes("bye");
      },
    };
    nodes.push(await newNode("a", { pushPullIntervalMs: 100 }, closing));
    const b = await newNode("b", { pushPullIntervalMs: 0 });
    const watch = new Watch(b);
    await b.join([(nodes[0] as GossipNode).self.address]);
    await watch.until("fail a");
    await nodes[0]?.close();
  });
});

describe("onConflict", () => {
  it("tells of two nodes with one name, and the first keeps it", async () => {
    const conflicts: Conflict[] = [];
    const a = await newNode("a", {}, { onConflict: (conflict) => conflicts.push(conflict) });
    const [twin, second] = [await newNode("twin"), await newNode("twin")];
    await twin.join([a.self.address]);
    await second.join([a.self.address]);
    await until(() => conflicts.length > 0, "the conflict");
    expect(conflicts[0]).toEqual({ name: "twin", address: twin.self.address, claimedBy: second.self.address });
    expect(a.member("twin")?.address).toBe(twin.self.address);
    expect(a.stats.conflicts).toBeGreaterThan(0);
  });
});

describe("onRoundTrip", () => {
  it("tells for every member how long a probe took", async () => {
    const trips = new Map<string, number>();
    const beganMs = performance.now();
    const a = await newNode("a", {}, { onRoundTrip: (member, rttMs) => trips.set(member, rttMs) });
    for (const name of ["b", "c"]) await (await newNode(name)).join([a.self.address]);
    await until(() => trips.size === 2, "both round trips");
    for (const rttMs of trips.values()) expect(rttMs).toBeGreaterThan(0);
    for (const rttMs of trips.values()) expect(rttMs).toBeLessThan(performance.now() - beganMs);
  });

  it("gives what the member puts into its acks, empty at first, and so does ping()", async () => {
    const payloads: string[] = [];
    const a = await newNode("a", {}, { onRoundTrip: (_member, _rttMs, payload) => payloads.push(text(payload)) });
    const b = await newNode("b");
    await b.join([a.self.address]);
    await until(() => payloads.length > 0, "a round trip");
    expect(new Set(payloads)).toEqual(new Set([""]));
    b.setAckPayload(bytes("coordinate"));
    await until(() => payloads.includes("coordinate"), "the payload");
    expect(text((await a.ping("b", { timeoutMs: 30_000 })).payload)).toBe("coordinate");
    expect((await errorOf(() => b.setAckPayload(new Uint8Array(257)))).message).toContain("give at most 256");
    expect(text((await a.ping("b", { timeoutMs: 30_000 })).payload)).toBe("coordinate");
  });
});

const noOtherDials = { digestSyncIntervalMs: 0, reconnectTimeoutMs: 0 };

describe("allowTcpPing (M-056)", () => {
  it("is asked for every member before it is pinged over TCP, and one that throws agrees", async () => {
    const asked: string[] = [];
    const errors: Error[] = [];
    const refusing = {
      allowTcpPing: (member: string): boolean => {
        asked.push(member);
        if (member === "c") throw new Error("undecided");
        return false;
      },
    };
    const a = await newNode("a", { deafLimitMs: 0, pushPullIntervalMs: 0, ...noOtherDials }, refusing);
    a.on("error", (error) => errors.push(error));
    const others = [await newNode("b"), await newNode("c")];
    for (const node of others) await node.join([a.self.address]);
    await until(() => a.memberCount === 3, "three members");
    const before = a.stats.streams.dialed;
    // In one turn, or one may be refused by the other and tell: two refusals are a death without a probe.
    await Promise.all(others.map((node) => node.close()));
    await until(() => asked.includes("b") && errors.length > 0, "both questions");
    await until(() => a.memberCount === 1, "two failures");
    expect(errors[0]?.message).toBe("undecided");
    // Every dial since was a ping of c: nobody else is left to sync with.
    expect(a.stats.streams.dialed - before).toBeLessThanOrEqual(asked.filter((name) => name === "c").length);
    expect(a.stats.streams.dialed).toBeGreaterThan(before);
  });
});
