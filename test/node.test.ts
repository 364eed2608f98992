import { describe, expect, it } from "vitest";
import { GossipNode } from "../src/node.js";
import {
  allSee,
  bytes,
  closeAfterEach,
  closeLater,
  errorOf,
  fast,
  letters,
  newCluster,
  newNode,
  sharedKey,
  text,
  until,
  Watch,
} from "./support/nodes.js";

closeAfterEach();

const names = (node: GossipNode): string[] => node.members.map(({ name }) => name).sort();

describe("a new node", () => {
  it("is alone, alive and at the address that it bound", async () => {
    const a = await newNode("a", { meta: "role=web" });
    expect(a.memberCount).toBe(1);
    expect(a.members).toEqual([a.self]);
    expect(a.self).toMatchObject({ name: "a", state: "alive", incarnation: 1 });
    expect(a.self.address).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
    expect(text(a.self.meta)).toBe("role=web");
    expect(a.stats).toMatchObject({ members: 1, alive: 1, suspect: 0, dead: 0, left: 0, health: 0, duplicates: 0 });
  });

  it("starts with all counters at zero, although another used their place before", async () => {
    const [a] = await newCluster(["a", "b"]);
    await a?.close();
    const c = await newNode("c");
    const { datagramsReceived, datagramsSent, recordsReceived } = c.stats.counters;
    expect({ datagramsReceived, datagramsSent, recordsReceived }).toEqual({
      datagramsReceived: 0,
      datagramsSent: 0,
      recordsReceived: 0,
    });
  });

  it("refuses options that are wrong, and names them", async () => {
    expect((await errorOf(() => newNode("a", { bind: "nonsense:x" }))).code).toBe("TATTLER_ADDRESS_INVALID");
    expect((await errorOf(() => newNode("a", { advertise: "a.name" }))).message).toMatch(/advertise/);
    expect((await errorOf(() => newNode("", {}))).code).toBe("TATTLER_OPTION_INVALID");
    expect((await errorOf(() => newNode("a", { probeTimeoutMs: 100 }))).message).toMatch(/probeTimeoutMs/);
    const misspelt = { ...fast, name: "a", gossipInterval: 3 };
    expect((await errorOf(() => GossipNode.create(misspelt))).code).toBe("TATTLER_OPTION_UNKNOWN");
  });
});

describe("members", () => {
  it("know each other on all nodes, whomever each joined", async () => {
    const nodes = await newCluster(letters(6));
    for (const node of nodes) {
      expect(names(node)).toEqual(letters(6));
      for (const other of nodes) {
        expect(node.member(other.self.name)?.address).toBe(other.self.address);
      }
    }
  });

  it("are looked up by name; unknown names are undefined", async () => {
    const [a] = await newCluster(["a", "b"]);
    expect(a?.member("b")).toMatchObject({ name: "b", state: "alive" });
    expect([a?.member("c"), a?.member("")]).toEqual([undefined, undefined]);
  });

  it("that this process hosts in another cluster are not members", async () => {
    const [a] = await newCluster(["a", "b"]);
    await newCluster(["c", "d"], { cluster: "other" });
    expect(a?.member("c")).toBeUndefined();
    expect(a?.memberCount).toBe(2);
  });

  it("are frozen snapshots that later changes do not reach", async () => {
    const [a, b] = (await newCluster(["a", "b"], { meta: "old" })) as [GossipNode, GossipNode];
    const before = a.members;
    const snapshot = a.member("b");
    b.updateMeta("new");
    await until(() => text(a.member("b")?.meta ?? bytes("")) === "new", "the new metadata at a");
    const c = await newNode("c");
    await c.join([a.self.address]);
    expect(before).toHaveLength(2);
    expect(before.map(({ meta }) => text(meta))).toEqual(["old", "old"]);
    expect(text(snapshot?.meta ?? bytes(""))).toBe("old");
    expect(before.every((member) => Object.isFrozen(member))).toBe(true);
    snapshot?.meta.fill(0);
    expect(text(a.member("b")?.meta ?? bytes(""))).toBe("new");
  });

  it("keep their metadata although the caller reuses the buffer it gave", async () => {
    const meta = bytes("first");
    const a = await newNode("a", { meta });
    meta.fill(0x78);
    expect(text(a.self.meta)).toBe("first");
    const update = bytes("second");
    a.updateMeta(update);
    update.fill(0x78);
    const b = await newNode("b");
    await b.join([a.self.address]);
    expect([text(a.self.meta), text(b.member("a")?.meta ?? bytes(""))]).toEqual(["second", "second"]);
  });
});

describe("updateMeta", () => {
  it("reaches every member as an update and raises the incarnation", async () => {
    const nodes = await newCluster(letters(5));
    const [first, ...others] = nodes as [GossipNode, ...GossipNode[]];
    const watches = others.map((node) => new Watch(node));
    const before = first.self.incarnation;
    first.updateMeta(Uint8Array.of(0, 255, 7));
    for (const watch of watches) await watch.until("update n0");
    for (const watch of watches) {
      expect(watch.story()).toEqual(["update n0"]);
      expect(watch.of("update")[0]).toMatchObject({ name: "n0", meta: Uint8Array.of(0, 255, 7) });
    }
    expect(first.self.incarnation).toBeGreaterThan(before);
    expect([...first.self.meta]).toEqual([0, 255, 7]);
  });

  it("can take metadata back to nothing", async () => {
    const [a, b] = (await newCluster(["a", "b"], { meta: "something" })) as [GossipNode, GossipNode];
    a.updateMeta("");
    await until(() => b.member("a")?.meta.length === 0, "empty metadata at b");
  });

  it("refuses more than metaMaxBytes and changes nothing", async () => {
    const a = await newNode("a", { meta: "kept", metaMaxBytes: 16 });
    const { incarnation } = a.self;
    expect((await errorOf(() => a.updateMeta("x".repeat(17)))).code).toBe("TATTLER_OPTION_INVALID");
    expect([text(a.self.meta), a.self.incarnation]).toEqual(["kept", incarnation]);
    a.updateMeta("x".repeat(16));
    expect(a.self.meta).toHaveLength(16);
  });
});

describe("events", () => {
  it("tell of every member once when it joins, with what it is", async () => {
    const a = await newNode("a");
    const watch = new Watch(a);
    const b = await newNode("b", { meta: "b's" });
    await b.join([a.self.address]);
    const c = await newNode("c");
    await c.join([b.self.address]);
    await allSee([a, b, c], 3);
    await watch.until("join c");
    expect(watch.story()).toEqual(["join b", "join c"]);
    expect(watch.of("join")[0]).toEqual(b.self);
    expect(Object.isFrozen(watch.of("join")[0])).toBe(true);
  });

  it("say leave for who left, never fail, also after it closed", async () => {
    const nodes = await newCluster(letters(5));
    const [leaver, ...rest] = nodes as [GossipNode, ...GossipNode[]];
    const watches = rest.map((node) => new Watch(node));
    expect(await leaver.leave()).toBe(true);
    await leaver.close();
    for (const watch of watches) await watch.until("leave n0");
    const probed = rest.map((node) => node.stats.probes + 8);
    await until(() => rest.every((node, i) => node.stats.probes >= (probed[i] as number)), "more probes");
    for (const watch of watches) expect(watch.story(true)).toEqual(["leave n0"]);
    for (const node of rest) {
      expect(node.memberCount).toBe(4);
      expect(node.member("n0")?.state).toBe("left");
    }
  });

  it("say fail for who went without leaving, once on every node", async () => {
    const nodes = await newCluster(letters(4));
    const [gone, ...rest] = nodes as [GossipNode, ...GossipNode[]];
    const watches = rest.map((node) => new Watch(node));
    await gone.close();
    for (const watch of watches) await watch.until("fail n0");
    for (const watch of watches) {
      expect(watch.story()).toEqual(["fail n0"]);
      expect(watch.of("fail")[0]).toMatchObject({ name: "n0", state: "dead" });
      // A verdict may overtake the accusation on its way, so not everyone saw both.
      expect(watch.story(true).filter((line) => line !== "suspect n0")).toEqual(["fail n0"]);
      expect(watch.story(true).at(-1)).toBe("fail n0");
    }
    expect(watches.map((watch) => watch.story(true))).toContainEqual(["suspect n0", "fail n0"]);
    expect(rest.map(names)).toEqual(rest.map(() => ["n1", "n2", "n3"]));
    expect(rest.every((node) => node.stats.dead === 1)).toBe(true);
  });

  it("say recover when a failed member is back under its name and port", async () => {
    const [a, b] = (await newCluster(["a", "b", "c"])) as [GossipNode, GossipNode];
    const { address } = b.self;
    const watch = new Watch(a);
    await b.close();
    await watch.until("fail b");
    const again = await newNode("b", { bind: address, meta: "second life" });
    await again.join([a.self.address]);
    await watch.until("recover b");
    expect(watch.story()).toEqual(["fail b", "recover b"]);
    await until(() => text(a.member("b")?.meta ?? bytes("")) === "second life", "the new metadata");
    await allSee([a, again], 3);
  });

  it("say join again when a member that left is back at another port", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    const watch = new Watch(a);
    await b.leave();
    await b.close();
    await watch.until("leave b");
    const again = await newNode("b");
    await again.join([a.self.address]);
    await allSee([a, again], 2);
    await watch.until("join b");
    expect(watch.story()).toEqual(["leave b", "join b"]);
    expect(a.member("b")?.address).toBe(again.self.address);
  });

  it("notice a restart that was too quick to be seen as a failure", async () => {
    // Nobody judges, however long a busy machine takes in between.
    const unjudged = { probeIntervalMs: 0, refusedConfirmations: 0 };
    const [a, b] = (await newCluster(["a", "b", "c"], { meta: "one", ...unjudged })) as [GossipNode, GossipNode];
    const { address } = b.self;
    const watch = new Watch(a);
    await b.close();
    const again = await newNode("b", { bind: address, meta: "two", ...unjudged });
    await again.join([a.self.address]);
    await until(() => text(a.member("b")?.meta ?? bytes("")) === "two", "the second life's metadata");
    await allSee([a, again], 3);
    expect(watch.of("fail")).toEqual([]);
    expect(again.self.incarnation).toBeGreaterThan(1);
  });
});

describe("leave", () => {
  it("of a lonely node is done at once", async () => {
    const a = await newNode("a");
    expect(await a.leave()).toBe(true);
    expect(a.memberCount).toBe(0);
    expect(a.self.state).toBe("left");
  });

  it("asked for several times is one leave", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    const watch = new Watch(b);
    expect(await Promise.all([a.leave(), a.leave(), a.leave()])).toEqual([true, true, true]);
    expect(await a.leave()).toBe(true);
    await watch.until("leave a");
    expect(watch.story()).toEqual(["leave a"]);
  });

  it("of half a cluster at once, each closed at once, is a failure to nobody", async () => {
    const nodes = await newCluster(letters(16), { profile: "lan", retransmitMult: 4, gossipIntervalMs: 200 });
    const watches = nodes.splice(8).map((node) => new Watch(node));
    await Promise.all(nodes.map((node) => node.leave().then(() => node.close())));
    for (const watch of watches) await until(() => watch.of("leave").length === 8, "the leaves everywhere");
    expect(watches.flatMap((watch) => watch.of("fail"))).toEqual([]);
  });

  it("says so when it could not spread in time", async () => {
    const [a] = (await newCluster(["a", "b"], { gossipIntervalMs: 60_000 })) as [GossipNode];
    expect(await a.leave({ timeoutMs: 20 })).toBe(false);
  });

  it("waits for as long as it is told, however long that is", async () => {
    const [a, b] = (await newCluster(["a", "b"])) as [GossipNode, GossipNode];
    expect(await a.leave({ timeoutMs: Number.POSITIVE_INFINITY })).toBe(true);
    await until(() => b.memberCount === 1, "the leave at b");
  });

  it("that close() overtakes resolves to false", async () => {
    const [a] = (await newCluster(["a", "b"], { gossipIntervalMs: 60_000 })) as [GossipNode];
    const leaving = a.leave();
    await a.close();
    expect(await leaving).toBe(false);
  });

  it("is final: nothing the node does later brings it back", async () => {
    const [a, b] = (await newCluster(["a", "b", "c"])) as [GossipNode, GossipNode];
    const watch = new Watch(b);
    await a.leave();
    await watch.until("leave a");
    expect((await errorOf(() => a.updateMeta("still here?"))).code).toBe("TATTLER_LEFT");
    expect((await errorOf(() => a.join([b.self.address]))).code).toBe("TATTLER_LEFT");
    b.broadcast(bytes("ping"));
    const probed = b.stats.probes + 5;
    await until(() => b.stats.probes >= probed, "more probes of b");
    expect(watch.story(true)).toEqual(["leave a"]);
    expect(a.self.state).toBe("left");
  });
});

describe("nodes without keys", () => {
  it("form a cluster in the clear", async () => {
    const [a, b] = (await newCluster(["a", "b"], { keys: [] })) as [GossipNode, GossipNode];
    const watch = new Watch(b);
    a.broadcast(bytes("hello"));
    await until(() => watch.of("message").length === 1, "the broadcast");
    await a.leave();
    await watch.until("leave a");
  });
});

describe("a node with several keys", () => {
  it("talks with nodes that seal with either of them", async () => {
    const newKey = new Uint8Array(32).fill(9);
    const both = await newNode("both", { keys: [sharedKey, newKey] });
    const old = await newNode("old");
    const next = closeLater(await GossipNode.create({ ...fast, name: "next", keys: [newKey, sharedKey] }));
    await old.join([both.self.address]);
    await next.join([both.self.address]);
    await allSee([both, next, old], 3);
  });
});
