import { describe, expect, it } from "vitest";
import type { GossipNode } from "../../src/node.js";
import { nameServer } from "../support/dns_server.js";
import { allSee, closeAfterEach, closeLater, errorOf, newNode, until, within } from "../support/nodes.js";
import { closedPort } from "../support/stream_nodes.js";
import { RawServer } from "../support/stream_peer.js";

closeAfterEach();

const portOf = (node: GossipNode): number => Number(node.self.address.split(":").at(-1));

/** Listeners that accept and never answer; told of every connection. */
async function silentPorts(count: number, onDial: () => void = () => {}): Promise<string[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => RawServer.start(onDial)));
  return servers.map((server) => `127.0.0.1:${closeLater(server).port}`);
}

describe("join by DNS", () => {
  it("takes all addresses of a host, IPv4 and IPv6, with the fate of each", async () => {
    const a = await newNode("a", { bind: "127.0.0.2:0" });
    const b = await newNode("b", { bind: `[::1]:${portOf(a)}` });
    const c = await newNode("c", { bind: "[::]:0", advertise: "127.0.0.1" });
    const { resolver } = await nameServer({ "seed.test": ["127.0.0.2", "::1", "127.0.0.9", "127.0.0.2"] });
    const { joined, attempts } = await c.join([`seed.test:${portOf(a)}`], { resolver });
    const fates = attempts.map(({ address, outcome, peer }) => `${address} ${outcome} ${peer}`).sort();
    expect(joined).toBe(2);
    expect(fates).toEqual([
      `${a.self.address} joined a`,
      `127.0.0.9:${portOf(a)} failed null`,
      `${b.self.address} joined b`,
    ]);
  });

  it("takes the hosts and ports of a service, and its dead hosts do not matter", async () => {
    const [a, b, c] = [await newNode("a"), await newNode("b"), await newNode("c")];
    const { resolver } = await nameServer({
      "_gossip._tcp.test": [
        { name: "gone.test", port: 1 },
        { name: "one.test", port: portOf(a) },
        { name: "one.test", port: portOf(b) },
      ],
      "one.test": ["127.0.0.1"],
    });
    const { joined, attempts } = await c.join(["_gossip._tcp.test", a.self.address], { resolver });
    const fates = attempts.map(({ address, outcome }) => `${address} ${outcome}`).sort();
    // The address that was given as well is contacted once.
    expect([joined, fates]).toEqual([
      2,
      [`${a.self.address} joined`, `${b.self.address} joined`, "gone.test:1 failed"].sort(),
    ]);
    await allSee([a, b, c], 3);
  });

  it("that finds nobody says why for each name", async () => {
    const a = await newNode("a");
    const { resolver } = await nameServer({ "silent.test": "silent", "_s._tcp.test": "garbage" });
    const names = ["silent.test", "_s._tcp.test", "nowhere.test", "srv:nothing.test"];
    const error = await errorOf(() => a.join(names, { resolver, timeoutMs: 2000 }));
    expect(error.code).toBe("TATTLER_JOIN_FAILED");
    for (const name of names) expect(error.message).toContain(`${name}: cannot resolve`);
  });

  it("ends during the look-up when its signal aborts", async () => {
    const a = await newNode("a");
    const { resolver, asked } = await nameServer({ "_s._tcp.test": "silent" });
    const stop = new AbortController();
    const joining = errorOf(() => a.join(["_s._tcp.test"], { resolver, timeoutMs: 60_000, signal: stop.signal }));
    await until(() => asked.length === 1, "the question");
    stop.abort();
    expect((await within(joining, "the end of the join")).code).toBe("TATTLER_ABORTED");
  });
});

describe("join of addresses that do not answer", () => {
  it("fails within its deadline (T-012)", async () => {
    const a = await newNode("a");
    const [silent] = (await silentPorts(1)) as [string];
    const error = await within(
      errorOf(() => a.join([silent], { timeoutMs: 100 })),
      "the deadline",
    );
    expect(error.code).toBe("TATTLER_JOIN_FAILED");
    expect(error.cause).toMatchObject({ code: "TATTLER_STREAM_TIMEOUT" });
  });

  it("waits for all of them at once, and has joined the good one meanwhile", async () => {
    const [a, b] = [await newNode("a"), await newNode("b")];
    let dialed = 0;
    const silent = await silentPorts(9, () => dialed++);
    const stop = new AbortController();
    // A time-out that never comes: all ten are under way before any has ended.
    const joining = b.join([...silent, a.self.address], { parallel: 10, timeoutMs: 600_000, signal: stop.signal });
    await until(() => dialed === 9 && a.memberCount === 2 && b.memberCount === 2, "nine dials and one member");
    stop.abort();
    const { joined, attempts } = await within(joining, "the end of the join");
    expect([joined, attempts.length, attempts[0]?.address]).toEqual([1, 10, a.self.address]);
    expect(attempts.filter(({ outcome }) => outcome === "failed")).toHaveLength(9);
  });

  it("contacts no more at a time than it may", async () => {
    const a = await newNode("a");
    const stop = new AbortController();
    const joining = errorOf(() =>
      silentPorts(6).then((silent) => a.join(silent, { parallel: 2, timeoutMs: 600_000, signal: stop.signal })),
    );
    await until(() => a.stats.streams.dialed === 2, "two dials");
    stop.abort();
    expect((await within(joining, "the end of the join")).code).toBe("TATTLER_ABORTED");
    expect(a.stats.streams.dialed).toBe(2);
  });

  it("goes on to the next as soon as one has ended", async () => {
    const [a, b] = [await newNode("a"), await newNode("b")];
    const dead = await Promise.all(Array.from({ length: 5 }, closedPort));
    const { joined } = await b.join([...dead.map((port) => `127.0.0.1:${port}`), a.self.address], { parallel: 1 });
    expect([joined, b.stats.streams.dialed]).toEqual([1, 6]);
  });

  it.each([0, 1.5, 1025, Number.NaN, "8"])("refuses parallel: %s", async (parallel) => {
    const a = await newNode("a");
    const error = await errorOf(() => a.join([], { parallel: parallel as number }));
    expect(error.message).toContain(`parallel: ${parallel} is out of range`);
  });
});
