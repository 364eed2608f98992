import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { describe, expect, it, vi } from "vitest";
import { helloBytes } from "../../src/io/frame_socket.js";
import type { GossipNode } from "../../src/node.js";
import {
  allSee,
  closeAfterEach,
  closeLater,
  errorOf,
  newCluster,
  newNode,
  sharedKey,
  until,
  Watch,
  within,
} from "../support/nodes.js";
import { closedPort } from "../support/stream_nodes.js";

closeAfterEach();

/** A listener that accepts and says nothing. */
async function silentPort(): Promise<number> {
  const sockets = new Set<{ destroy(): void }>();
  const server: Server = createServer((socket) => sockets.add(socket.on("error", () => {})));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closeLater({
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  return (server.address() as { port: number }).port;
}

/** The address of a proxy before a node, which passes on what the node says; `serve` does the rest. */
async function frontOf(node: GossipNode, serve: (socket: Socket, behind: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    const behind = connect(Number(portOf(node)), "127.0.0.1").on("error", () => {});
    socket.on("error", () => {}).on("close", () => behind.destroy());
    behind.pipe(socket);
    serve(socket, behind);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closeLater({ close: () => server.close() });
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

const portOf = (node: GossipNode): string => node.self.address.split(":").at(-1) as string;

describe("join", () => {
  it("tells the fate of each address", async () => {
    const [a, b, c] = [await newNode("a"), await newNode("b"), await newNode("c")];
    const dead = `127.0.0.1:${await closedPort()}`;
    const result = await c.join([a.self.address, dead, c.self.address, `localhost:${portOf(b)}`]);
    expect(result.joined).toBe(2);
    const outcomes = new Map(result.attempts.map((attempt) => [attempt.address, attempt]));
    expect(outcomes.get(a.self.address)).toEqual({
      address: a.self.address,
      outcome: "joined",
      peer: "a",
      error: null,
    });
    expect(outcomes.get(b.self.address)).toMatchObject({ outcome: "joined", peer: "b" });
    expect(outcomes.get(c.self.address)).toMatchObject({ outcome: "skipped", peer: "c", error: null });
    expect(outcomes.get(dead)).toMatchObject({ outcome: "failed", peer: null });
    expect(outcomes.get(dead)?.error).toMatchObject({ code: "TATTLER_STREAM_UNREACHABLE" });
    await allSee([a, b, c], 3);
  });

  it("of nothing, or of oneself only, succeeds with nothing joined", async () => {
    const a = await newNode("a");
    expect(await a.join([])).toEqual({ joined: 0, attempts: [] });
    const { joined, attempts } = await a.join([a.self.address]);
    expect([joined, attempts.length]).toEqual([0, 1]);
    expect(a.stats.streams.dialed).toBe(0);
  });

  it("of oneself by an address that is not the advertised one does not count as joined", async () => {
    const a = await newNode("a", { bind: "0.0.0.0:0", advertise: "127.0.0.1" });
    const watch = new Watch(a);
    const result = await a.join([`127.0.0.2:${portOf(a)}`]);
    expect(result).toMatchObject({ joined: 0, attempts: [{ outcome: "skipped", peer: "a" }] });
    expect(a.memberCount).toBe(1);
    expect(watch.events).toEqual([]);
  });

  it("takes our own port when the address has none", async () => {
    const a = await newNode("a");
    const b = await newNode("b", { bind: `127.0.0.2:${portOf(a)}` });
    expect((await b.join(["127.0.0.1"])).joined).toBe(1);
    await allSee([a, b], 2);
  });

  it("refuses an address that is none before it contacts any", async () => {
    const [a, b] = [await newNode("a"), await newNode("b")];
    expect((await errorOf(() => b.join([a.self.address, "127.0.0.1:99999"]))).code).toBe("TATTLER_ADDRESS_INVALID");
    expect(b.stats.streams.dialed).toBe(0);
    expect(a.memberCount).toBe(1);
  });

  it("that reaches nobody fails and lists why, for each address", async () => {
    const a = await newNode("a");
    const [first, second] = [await closedPort(), await silentPort()];
    const targets = [`127.0.0.1:${first}`, `127.0.0.1:${second}`, "no-such-host.invalid:1"];
    const error = await errorOf(() => a.join(targets, { timeoutMs: 150 }));
    expect(error.code).toBe("TATTLER_JOIN_FAILED");
    for (const target of targets) expect(error.message).toContain(target);
    expect(error.message).toMatch(/ECONNREFUSED/);
    expect(error.message).toMatch(/no hello within 150 ms|took longer than 150 ms/);
    expect(error.cause).toBeInstanceOf(Error);
    expect(a.memberCount).toBe(1);
  });

  it("ends as soon as its signal aborts", async () => {
    const a = await newNode("a");
    const target = `127.0.0.1:${await silentPort()}`;
    const stop = new AbortController();
    const joining = errorOf(() => a.join([target], { timeoutMs: 60_000, signal: stop.signal }));
    await until(() => a.stats.streams.dialed === 1, "the dial");
    stop.abort(new Error("enough"));
    const error = await within(joining, "the end of the join", 2_000);
    expect(error.code).toBe("TATTLER_ABORTED");
    expect(error.cause).toMatchObject({ message: "enough" });
    expect((await errorOf(() => a.join([target], { signal: stop.signal }))).code).toBe("TATTLER_ABORTED");
    expect(a.stats.streams.dialed).toBe(1);
  });

  it("waits its turn when the member serves as many streams as it may", async () => {
    const a = await newNode("a", { maxStreams: 2 });
    const joiners = await Promise.all(Array.from({ length: 8 }, (_, i) => newNode(`j${i}`)));
    const results = await Promise.all(joiners.map((node) => node.join([a.self.address])));
    expect(results.every(({ joined }) => joined === 1)).toBe(true);
    await allSee([a, ...joiners], 9);
  });

  it("tries again when a starved member gives up on it", async () => {
    const [a, b] = [await newNode("a"), await newNode("b")];
    const nowMs = performance.now.bind(performance);
    let laterMs = 0;
    closeLater({ close: () => vi.restoreAllMocks() });
    vi.spyOn(performance, "now").mockImplementation(() => nowMs() + laterMs);
    let streams = 0;
    const front = await frontOf(a, (socket, behind) => {
      if (++streams > 1) return socket.pipe(behind);
      let heardBytes = 0;
      socket.on("data", ({ length }) => {
        heardBytes += length;
        // The hellos are traded and the request is under way, and so much time passes at once.
        if (heardBytes <= helloBytes || socket.destroyed) return;
        laterMs += 4_000;
        socket.resetAndDestroy();
      });
    });
    expect((await b.join([front], { timeoutMs: 60_000 })).attempts).toMatchObject([{ outcome: "joined", peer: "a" }]);
    expect(streams).toBe(2);
  });

  it("gives up waiting for a busy member when its signal aborts", async () => {
    const a = await newNode("a", { maxStreams: 1, streamTimeoutMs: 60_000 });
    const b = await newNode("b");
    const [host, port] = a.self.address.split(":") as [string, string];
    const holder = connect(Number(port), host).on("error", () => {});
    closeLater({ close: () => holder.destroy() });
    await until(() => a.stats.streams.accepted === 1, "the stream that keeps a busy");
    const stop = new AbortController();
    const joining = errorOf(() => b.join([a.self.address], { signal: stop.signal }));
    await until(() => a.stats.streams.rejectedLimit >= 4, "four refusals");
    stop.abort();
    // No timer is waited for.
    const later = new Promise((resolve) => setImmediate(() => setImmediate(resolve, "later")));
    expect(await Promise.race([joining.then(() => "at once"), later])).toBe("at once");
  });

  it("of many addresses contacts several at once and knows everybody in the end", async () => {
    const others = await Promise.all(Array.from({ length: 12 }, (_, i) => newNode(`n${i}`)));
    const joiner = await newNode("joiner");
    const result = await joiner.join(others.map((node) => node.self.address));
    expect(result.joined).toBe(12);
    await allSee([joiner, ...others], 13);
  });

  it("merges two clusters that were apart", async () => {
    const left = await newCluster(["a", "b", "c"]);
    const right = await newCluster(["d", "e", "f"]);
    await (left[1] as GossipNode).join([(right[2] as GossipNode).self.address]);
    await allSee([...left, ...right], 6);
  });
});

/** The counters of a stream and of a datagram that a node refuses. */
interface Refusal {
  readonly stream: "rejectedSeal" | "rejectedCluster";
  readonly datagram: "dropUnknownKey" | "dropCluster" | "dropPlaintext" | "dropSealed";
}

describe("a stranger", () => {
  /** Lets it try by stream and by datagram, and waits until both are counted. */
  async function knock(stranger: GossipNode, at: GossipNode, refusal: Refusal): Promise<Error> {
    const error = await errorOf(() => stranger.join([at.self.address]));
    expect(error.code).toBe("TATTLER_JOIN_FAILED");
    await stranger.send(at.self.address, Uint8Array.of(1));
    const counted = () => [at.stats.streams[refusal.stream], at.stats.counters[refusal.datagram]];
    await until(() => counted().every((count) => count > 0), `${refusal.stream} and ${refusal.datagram}`);
    expect(counted()).toEqual([1, 1]);
    return error.cause as Error;
  }

  async function members(): Promise<{ a: GossipNode; watch: Watch }> {
    const [a] = (await newCluster(["a", "b"])) as [GossipNode];
    return { a, watch: new Watch(a) };
  }

  it("with another key is told so, counted, and never seen", async () => {
    const { a, watch } = await members();
    const stranger = await newNode("stranger", { keys: [new Uint8Array(32).fill(1)] });
    const cause = await knock(stranger, a, { stream: "rejectedSeal", datagram: "dropUnknownKey" });
    expect(cause.message).toMatch(/key/);
    expect(a.stats.counters.framesRejected).toBe(1);
    expect([a.memberCount, stranger.memberCount, watch.events]).toEqual([2, 1, []]);
  });

  it("of another cluster is told so, counted, and never seen", async () => {
    const { a, watch } = await members();
    const stranger = await newNode("stranger", { cluster: "another" });
    const cause = await knock(stranger, a, { stream: "rejectedCluster", datagram: "dropCluster" });
    expect(cause).toMatchObject({ code: "TATTLER_CLUSTER_MISMATCH" });
    expect([a.memberCount, stranger.memberCount, watch.events]).toEqual([2, 1, []]);
  });

  it("without a key is told so, counted, and never seen", async () => {
    const { a, watch } = await members();
    const stranger = await newNode("stranger", { keys: [] });
    const cause = await knock(stranger, a, { stream: "rejectedSeal", datagram: "dropPlaintext" });
    expect(cause.message).toMatch(/key/);
    expect([a.memberCount, stranger.memberCount, watch.events]).toEqual([2, 1, []]);
  });

  it("with a key is refused by nodes without one", async () => {
    const a = await newNode("a", { keys: [] });
    const stranger = await newNode("stranger", { keys: [sharedKey] });
    await knock(stranger, a, { stream: "rejectedSeal", datagram: "dropSealed" });
    expect([a.memberCount, stranger.memberCount]).toEqual([1, 1]);
  });
});
