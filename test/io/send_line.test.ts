import { describe, expect, it, vi } from "vitest";
import {
  closedPort,
  eventually,
  failure,
  greet,
  host,
  listen,
  newStreams,
  openHandles,
  rawServer,
  timeoutMs,
  watchHandles,
} from "../support/stream_nodes.js";

watchHandles();

const numbered = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n).buffer);
const numberIn = (payload: Uint8Array): number => new Uint32Array(payload.slice().buffer)[0] as number;

describe("reliable messages to one peer (E-57)", () => {
  it("1,000 at once all arrive, each exactly once, over eight connections at a time", async () => {
    const received: number[] = [];
    const acceptor = await listen({ handlers: { onMessage: (_peer, payload) => received.push(numberIn(payload)) } });
    const { streams } = newStreams();
    let most = 0;
    const sends = Array.from({ length: 1_000 }, async (_, n) => {
      await streams.sendMessage(host, acceptor.port, numbered(n), { timeoutMs: 30_000 });
      most = Math.max(most, openHandles());
    });
    await Promise.all(sends);
    expect(received.sort((a, b) => a - b)).toEqual(Array.from({ length: 1_000 }, (_, n) => n));
    // Both ends of eight connections, those that are just closing, and the listener.
    expect(most).toBeLessThan(60);
    expect(acceptor.streams.stats.rejectedPeerLimit).toBe(0);
  });

  it("500 at once to a peer that is often full arrive all the same, once each", async () => {
    const received: number[] = [];
    const acceptor = await listen({
      maxStreams: 3,
      handlers: { onMessage: (_peer, payload) => received.push(numberIn(payload)) },
    });
    const { streams } = newStreams();
    const sends = Array.from({ length: 500 }, (_, n) =>
      streams.sendMessage(host, acceptor.port, numbered(n), { timeoutMs: 30_000 }),
    );
    const failed = (await Promise.allSettled(sends)).filter(({ status }) => status === "rejected").length;
    expect(new Set(received).size).toBe(received.length);
    expect(received.length).toBe(500 - failed);
    expect([failed, acceptor.streams.stats.rejectedLimit > 0]).toEqual([0, true]);
  });

  it("wait in a line: first come, first served, and no longer than their deadline", async () => {
    const port = await rawServer(() => {});
    const { streams } = newStreams({ maxSendsPerPeer: 1 });
    const first = failure(streams.sendMessage(host, port, numbered(1), { timeoutMs: 400 }));
    const second = await failure(streams.sendMessage(host, port, numbered(2), { timeoutMs: 50 }));
    expect(second.code).toBe("TATTLER_STREAM_TIMEOUT");
    expect(second.message).toContain("its turn did not come within 50 ms, 0 were before it");
    expect(streams.stats).toMatchObject({ dialed: 1, timedOut: 1 });
    expect((await first).code).toBe("TATTLER_STREAM_TIMEOUT");
    const order: number[] = [];
    const acceptor = await listen({ handlers: { onMessage: (_peer, payload) => order.push(numberIn(payload)) } });
    await Promise.all([5, 3, 9].map((n) => streams.sendMessage(host, acceptor.port, numbered(n), { timeoutMs })));
    expect(order).toEqual([5, 3, 9]);
  });

  it("fail at once when too many wait, and are let in again later", async () => {
    const acceptor = await listen();
    const { streams } = newStreams({ maxSendsPerPeer: 1, maxQueuedSends: 2 });
    const send = (n: number) => streams.sendMessage(host, acceptor.port, numbered(n), { timeoutMs });
    const taken = [send(1), send(2), send(3)];
    const error = await failure(send(4));
    expect(error.code).toBe("TATTLER_BACKLOG_FULL");
    expect(error.message).toContain(`2 reliable messages wait for ${host}:${acceptor.port} already`);
    await Promise.all(taken);
    await send(5);
  });

  it("do not wait for those to another peer", async () => {
    const silent = await rawServer(() => {});
    const acceptor = await listen();
    const { streams } = newStreams({ maxSendsPerPeer: 1 });
    const stuck = failure(streams.sendMessage(host, silent, numbered(1), { timeoutMs: 60_000 }));
    await streams.sendMessage(host, acceptor.port, numbered(2), { timeoutMs });
    await streams.close();
    expect((await stuck).code).toBe("TATTLER_CLOSED");
  });

  it("hold up neither pings nor syncs to the same peer", async () => {
    const acceptor = await listen({ handlers: { onMessage: () => {} } });
    const { streams } = newStreams({ maxSendsPerPeer: 1 });
    const sends = Array.from({ length: 50 }, (_, n) =>
      streams.sendMessage(host, acceptor.port, numbered(n), { timeoutMs }),
    );
    expect(await streams.ping(host, acceptor.port, "crow", 1, timeoutMs)).toBe(true);
    await Promise.all(sends);
  });

  it("that wait end with their signal, before and after, and with close()", async () => {
    const silent = await rawServer(() => {});
    const { streams } = newStreams({ maxSendsPerPeer: 1 });
    const abort = new AbortController();
    const send = (signal?: AbortSignal) =>
      failure(streams.sendMessage(host, silent, numbered(1), { timeoutMs: 60_000, ...(signal && { signal }) }));
    const [stuck, aborted, waiting] = [send(), send(abort.signal), send()];
    abort.abort("enough");
    expect(await aborted).toMatchObject({ code: "TATTLER_ABORTED", cause: "enough" });
    expect((await send(AbortSignal.abort("before"))).code).toBe("TATTLER_ABORTED");
    await streams.close();
    expect([(await stuck).code, (await waiting).code]).toEqual(["TATTLER_CLOSED", "TATTLER_CLOSED"]);
    expect((await send()).code).toBe("TATTLER_CLOSED");
  });

  it("to a busy peer try again, and say busy when their time is up", async () => {
    const acceptor = await listen({ maxStreams: 1 });
    const { peer } = await greet(acceptor.port);
    const { streams } = newStreams();
    const error = await failure(streams.sendMessage(host, acceptor.port, numbered(1), { timeoutMs: 2_100 }));
    expect(error.code).toBe("TATTLER_STREAM_BUSY");
    expect(streams.stats.dialed).toBeGreaterThan(2);
    const sent = streams.sendMessage(host, acceptor.port, numbered(2), { timeoutMs });
    await eventually(() => expect(acceptor.streams.stats.rejectedLimit).toBeGreaterThan(streams.stats.dialed - 2));
    peer.socket.destroy();
    await sent;
  });

  it("to a busy peer say busy also when this thread stood still until their time was up", async () => {
    const acceptor = await listen({ maxStreams: 1 });
    await greet(acceptor.port);
    const { streams } = newStreams();
    const nowMs = performance.now.bind(performance);
    let laterMs = 0;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => nowMs() + laterMs);
    try {
      const handles = openHandles();
      const sent = failure(streams.sendMessage(host, acceptor.port, numbered(1), { timeoutMs }));
      await eventually(() => {
        expect([streams.stats.dialed > 0, openHandles()]).toEqual([true, handles]);
        // No stream is open: it pauses, and so much time passes at once.
        laterMs = timeoutMs;
      });
      const { dialed } = streams.stats;
      expect([(await sent).code, streams.stats.dialed]).toEqual(["TATTLER_STREAM_BUSY", dialed]);
    } finally {
      clock.mockRestore();
    }
  });

  it("that fail give their turn to the next", async () => {
    const port = await closedPort();
    const { streams } = newStreams({ maxSendsPerPeer: 2 });
    const sends = Array.from({ length: 20 }, (_, n) =>
      failure(streams.sendMessage(host, port, numbered(n), { timeoutMs })),
    );
    const codes = new Set((await Promise.all(sends)).map(({ code }) => code));
    expect([...codes]).toEqual(["TATTLER_STREAM_UNREACHABLE"]);
    expect(streams.stats.dialed).toBe(20);
  });
});
