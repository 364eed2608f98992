import { randomBytes } from "node:crypto";
import { describe, expect, it, vi } from "vitest";
import type { StreamHandlers } from "../../src/io/streams.js";
import { encodeFrame, type FrameHead } from "../../src/wire/frames.js";
import { FrameKind } from "../../src/wire/generated/wire/frame-kind.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import type { MemberRecord } from "../../src/wire/records.js";
import {
  closedPort,
  cluster,
  clusterTag,
  eventually,
  failure,
  greet,
  host,
  listen,
  member,
  members,
  type NodeOptions,
  newStreams,
  none,
  openHandles,
  rawServer,
  request,
  syncHead,
  timeoutMs,
  watchHandles,
} from "../support/stream_nodes.js";
import { chunkOf, contextOf, HmacSealer, helloOf, type RawPeer } from "../support/stream_peer.js";

watchHandles();

describe("a sync", () => {
  it("trades 2,000 members and the application's state over several chunks, both ways", async () => {
    const ours = members(2_000);
    const theirs = members(2_000).map((record) => ({ ...record, state: MemberState.suspect }));
    const state = randomBytes(100_000);
    const onSync = vi.fn((_peer: string, _records: MemberRecord[], userState: Uint8Array) => ({
      records: theirs,
      userState: userState.slice().reverse(),
    }));
    const acceptor = await listen({ handlers: { onSync } });
    const dialer = newStreams({ name: "wren" });
    const reply = await dialer.streams.sync(
      host,
      acceptor.port,
      request({ records: () => ours, userState: state, join: true }),
    );

    const [peer, records, userState, join, remoteAddress] = onSync.mock.calls[0] as unknown as Parameters<
      StreamHandlers["onSync"]
    >;
    expect([peer, join, remoteAddress]).toEqual(["wren", true, "127.0.0.1"]);
    expect(Buffer.from(userState).equals(state)).toBe(true);
    expect(reply.peer).toBe("crow");
    expect(records.map(textOf)).toEqual(ours.map(textOf));
    expect(reply.records.map(textOf)).toEqual(theirs.map(textOf));
    expect(Buffer.from(reply.userState).equals(Buffer.from(state).reverse())).toBe(true);
    expect(dialer.sealer.sealed).toBeGreaterThan(5);
    expect(acceptor.sealer.sealed).toBeGreaterThan(5);
    expect(acceptor.streams.stats).toMatchObject({
      accepted: 1,
      closedEarly: 0,
      bytesIn: dialer.streams.stats.bytesOut,
    });
  });

  function textOf(record: MemberRecord): string {
    return [record.name, record.ip, record.port, record.incarnation, record.state, record.meta].join();
  }

  it("asks the application before anything about us is revealed", async () => {
    let sentWhenAsked = -1;
    const acceptor = await listen({
      handlers: {
        onSync: async () => {
          await Promise.resolve();
          sentWhenAsked = acceptor.streams.stats.bytesOut;
          return { records: [], userState: none };
        },
      },
    });
    await newStreams().streams.sync(host, acceptor.port, request({ records: () => members(2_000) }));
    expect(sentWhenAsked).toBe(32);
  });

  it("asks for our members only when the peer has shown its hello", async () => {
    const port = await rawServer((peer) => {
      void peer.until(32).then(() => peer.socket.destroy());
    });
    const records = vi.fn(() => []);
    await failure(newStreams().streams.sync(host, port, request({ records })));
    expect(records).not.toHaveBeenCalled();
  });

  it("that is vetoed tells the joiner why", async () => {
    const acceptor = await listen({ handlers: { onSync: async () => ({ refuse: "version 3 is too old" }) } });
    const { streams } = newStreams();
    const join = await failure(streams.sync(host, acceptor.port, request({ join: true })));
    expect(join.code).toBe("TATTLER_JOIN_REFUSED");
    expect(join.message).toContain("remote error: version 3 is too old");
    const sync = await failure(streams.sync(host, acceptor.port, request()));
    expect(sync.code).toBe("TATTLER_STREAM_REFUSED");
    expect(acceptor.streams.stats.refused).toBe(2);
    expect(streams.stats.refusedByPeer).toBe(2);
  });

  it("of too many members is refused with the reason, although the dialer still sends", async () => {
    const onSync = vi.fn();
    const acceptor = await listen({ maxSyncRecords: 1_000, handlers: { onSync } });
    const records = members(40_000);
    const error = await failure(
      newStreams().streams.sync(host, acceptor.port, request({ records: () => records, join: true })),
    );
    expect(error.code).toBe("TATTLER_JOIN_REFUSED");
    expect(error.message).toMatch(/remote error: more members/);
    expect(acceptor.streams.stats.rejectedOversized).toBe(1);
    expect(onSync).not.toHaveBeenCalled();
  });

  it("whose answer is too large says which limit to raise", async () => {
    const acceptor = await listen({ handlers: { onSync: () => ({ records: members(11), userState: none }) } });
    const error = await failure(newStreams({ maxSyncRecords: 10 }).streams.sync(host, acceptor.port, request()));
    expect(error.code).toBe("TATTLER_STREAM_OVERSIZED");
    expect(error.remedy).toContain("maxSyncRecords");
  });

  it("with a nonsensical member is refused with the reason", async () => {
    const acceptor = await listen();
    const records = () => [{ ...member(1), port: 0 }];
    const error = await failure(newStreams().streams.sync(host, acceptor.port, request({ records })));
    expect(error.message).toMatch(/remote error: member 0: port 0/);
    expect(acceptor.streams.stats.rejectedMalformed).toBe(1);
  });

  it("survives a handler that throws, and says no more than that", async () => {
    const thrown = new Error("secret detail");
    const onHandlerError = vi.fn();
    const acceptor = await listen({
      handlers: {
        onSync: () => {
          throw thrown;
        },
        onHandlerError,
      },
    });
    const error = await failure(newStreams().streams.sync(host, acceptor.port, request()));
    expect(error.message).toMatch(/remote error: internal error/);
    expect(error.message).not.toContain("secret detail");
    expect(onHandlerError).toHaveBeenCalledExactlyOnceWith(thrown);
    expect(acceptor.streams.stats.handlerFailed).toBe(1);
  });

  it("works over IPv6", async (context) => {
    const acceptor = newStreams({ host: "::1" } as NodeOptions);
    const port = await acceptor.streams.listen().catch(() => context.skip("no IPv6 here"));
    expect((await newStreams().streams.sync("::1", port, request())).peer).toBe("crow");
  });
});

describe("an abort signal", () => {
  it("ends a running exchange and its connection", async () => {
    const abort = new AbortController();
    let dialed: RawPeer | undefined;
    const port = await rawServer((peer) => {
      dialed = peer;
      peer.socket.write(helloOf(clusterTag, randomBytes(20)));
      void peer.until(33).then(() => abort.abort("changed my mind"));
    });
    const error = await failure(
      newStreams().streams.sync(host, port, request({ signal: abort.signal, timeoutMs: 60_000 })),
    );
    expect([error.code, error.cause]).toEqual(["TATTLER_ABORTED", "changed my mind"]);
    await dialed!.closed;
  });

  it("that fired before keeps us from dialing", async () => {
    const acceptor = await listen();
    const { streams } = newStreams();
    const error = await failure(
      streams.sendMessage(host, acceptor.port, none, { timeoutMs, signal: AbortSignal.abort() }),
    );
    expect(error.code).toBe("TATTLER_ABORTED");
    expect(streams.stats.dialed).toBe(0);
  });

  it("is let go after a success", async () => {
    const acceptor = await listen();
    const { signal } = new AbortController();
    const remove = vi.spyOn(signal, "removeEventListener");
    await newStreams().streams.sync(host, acceptor.port, request({ signal }));
    expect(remove).toHaveBeenCalledOnce();
  });
});

describe("a message", () => {
  it.each([0, 1, 48 * 1024, 48 * 1024 + 1, 1_000_000])("of %d bytes arrives before its receipt", async (bytes) => {
    const received: [string, Uint8Array][] = [];
    const acceptor = await listen({
      handlers: {
        onMessage: (peer, payload) => {
          received.push([peer, payload]);
        },
      },
    });
    const payload = randomBytes(bytes);
    await newStreams({ name: "wren" }).streams.sendMessage(host, acceptor.port, payload, { timeoutMs });
    expect(received).toHaveLength(1);
    expect(received[0]![0]).toBe("wren");
    expect(payload.equals(received[0]![1])).toBe(true);
  });

  it("without a receipt is a failure", async () => {
    const port = await rawServer((peer) => {
      peer.socket.write(helloOf(clusterTag, randomBytes(20)));
      void peer.until(40).then(() => peer.socket.end());
    });
    const error = await failure(newStreams().streams.sendMessage(host, port, Uint8Array.of(1), { timeoutMs }));
    expect(error.code).toBe("TATTLER_STREAM_CLOSED");
  });

  it("over our limit is not sent, over theirs is refused", async () => {
    const onMessage = vi.fn();
    const acceptor = await listen({ maxMessageBytes: 60_000, handlers: { onMessage } });
    const ours = newStreams({ maxMessageBytes: 100_000 }).streams;
    const tooLarge = await failure(ours.sendMessage(host, acceptor.port, new Uint8Array(100_001), { timeoutMs }));
    expect(tooLarge.code).toBe("TATTLER_MESSAGE_TOO_LARGE");
    expect(ours.stats.dialed).toBe(0);
    const refused = await failure(ours.sendMessage(host, acceptor.port, new Uint8Array(60_001), { timeoutMs }));
    expect(refused.code).toBe("TATTLER_STREAM_REFUSED");
    expect(refused.message).toContain("60000 bytes");
    expect(onMessage).not.toHaveBeenCalled();
    await ours.sendMessage(host, acceptor.port, new Uint8Array(60_000), { timeoutMs });
    expect(onMessage).toHaveBeenCalledOnce();
  });
});

describe("a ping", () => {
  it("is true when the member that is meant answers", async () => {
    const acceptor = await listen();
    expect(await newStreams().streams.ping(host, acceptor.port, "crow", 0xffffffff, timeoutMs)).toBe(true);
  });

  it("is false when somebody else lives there", async () => {
    const acceptor = await listen();
    expect(await newStreams().streams.ping(host, acceptor.port, "owl", 1, timeoutMs)).toBe(false);
  });

  it.each([
    ["another number", { seq: 8 }],
    ["another name", { source: "owl" }],
    ["another kind", { kind: FrameKind.receipt }],
  ])("is false when the ack has %s (T-051)", async (_, change) => {
    const port = await rawServer(
      (peer) => void answerPing(peer, { ...syncHead, kind: FrameKind.ack, source: "crow", seq: 7, ...change }),
    );
    expect(await newStreams().streams.ping(host, port, "crow", 7, timeoutMs)).toBe(false);
  });

  it("is true when the same hand-made ack has none of these faults, and then we hang up", async () => {
    let answering: RawPeer | undefined;
    const port = await rawServer((peer) => {
      answering = peer;
      void answerPing(peer, { ...syncHead, kind: FrameKind.ack, source: "crow", seq: 7 });
    });
    expect(await newStreams().streams.ping(host, port, "crow", 7, timeoutMs)).toBe(true);
    await answering!.closed;
  });

  async function answerPing(peer: RawPeer, head: FrameHead): Promise<void> {
    const challenge = randomBytes(20);
    peer.socket.write(helloOf(clusterTag, challenge));
    const dialer = (await peer.until(37)).subarray(12, 32);
    const sealed = new HmacSealer("secret").seal(encodeFrame(head), contextOf(dialer, challenge, 1, 0, cluster));
    peer.socket.write(chunkOf(sealed));
  }

  it("is false, and no error, when nobody listens, in time when nobody answers, and after close()", async () => {
    const silent = await rawServer(() => {});
    const { streams } = newStreams();
    expect(await streams.ping(host, await closedPort(), "crow", 1, timeoutMs)).toBe(false);
    expect(streams.stats.dialFailed).toBe(1);
    expect(await streams.ping(host, silent, "crow", 1, 40)).toBe(false);
    await streams.close();
    expect(await streams.ping(host, silent, "crow", 1, timeoutMs)).toBe(false);
  });
});

describe("dialing", () => {
  it("shows another challenge every time", async () => {
    const hellos = new Set<string>();
    const port = await rawServer((peer) => {
      void peer.until(32).then((hello) => {
        hellos.add(hello.toString("hex"));
        peer.socket.destroy();
      });
    });
    const { streams } = newStreams();
    for (let round = 0; round < 3; round++) await streams.ping(host, port, "crow", 1, timeoutMs);
    expect(hellos.size).toBe(3);
  });

  it("a closed port says so", async () => {
    const error = await failure(newStreams().streams.sync(host, await closedPort(), request()));
    expect(error.code).toBe("TATTLER_STREAM_UNREACHABLE");
    expect(error.message).toMatch(/127\.0\.0\.1:\d+: .*ECONNREFUSED/);
  });

  it("a port that cannot exist says so", async () => {
    const error = await failure(newStreams().streams.sync(host, 70_000, request()));
    expect(error.code).toBe("TATTLER_STREAM_UNREACHABLE");
  });
});

describe("listen", () => {
  it("returns the bound port, every time", async () => {
    const { streams, port } = await listen();
    expect(port).toBeGreaterThan(0);
    expect(await streams.listen()).toBe(port);
  });

  it("names a port that is taken", async () => {
    const { port } = await listen();
    const error = await failure(newStreams({ port } as NodeOptions).streams.listen());
    expect(error.code).toBe("TATTLER_BIND_FAILED");
    expect(error.message).toContain(`127.0.0.1 port ${port}`);
  });
});

describe("close", () => {
  it("ends exchanges of both directions and leaves no handle", async () => {
    const onSync = vi.fn(() => new Promise<never>(() => {}));
    const acceptor = await listen({ handlers: { onSync } });
    const dialer = await listen();
    const outbound = failure(dialer.streams.sync(host, acceptor.port, request({ timeoutMs: 60_000 })));
    const inbound = await greet(dialer.port);
    await eventually(() => expect(onSync).toHaveBeenCalled());
    expect(openHandles()).toBeGreaterThan(4);
    await dialer.streams.close();
    expect((await outbound).code).toBe("TATTLER_CLOSED");
    await inbound.peer.closed;
    await acceptor.streams.close();
    // A closed listener leaves the list of handles with the next turn of the event loop.
    await eventually(() => expect(openHandles()).toBe(0));
  });

  it("may be called by a handler, which then answers in vain", async () => {
    const acceptor = await listen({
      handlers: {
        onSync: async () => {
          await acceptor.streams.close();
          return { records: [], userState: none };
        },
      },
    });
    const error = await failure(newStreams().streams.sync(host, acceptor.port, request()));
    expect(error.code).toBe("TATTLER_STREAM_CLOSED");
  });

  it("is idempotent, also while the bind is under way and without one", async () => {
    const bound = newStreams().streams;
    const listening = bound.listen();
    await Promise.all([bound.close(), bound.close(), listening]);
    await bound.close();
    await newStreams().streams.close();
  });

  it("ends later calls with TATTLER_CLOSED", async () => {
    const { streams } = await listen();
    await streams.close();
    for (const call of [
      streams.listen(),
      streams.sync(host, 1, request()),
      streams.sendMessage(host, 1, none, { timeoutMs }),
    ])
      expect((await failure(call)).code).toBe("TATTLER_CLOSED");
  });

  it("frees the port", async () => {
    const { streams, port } = await listen();
    await streams.close();
    expect(await newStreams({ port } as NodeOptions).streams.listen()).toBe(port);
  });
});
