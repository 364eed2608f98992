/** Nodes of the stream transport on loopback, closed and checked for left-over handles after each test. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, beforeEach, expect, vi } from "vitest";
import type { TattlerError } from "../../src/errors.js";
import { type StreamHandlers, type StreamLimits, Streams, type SyncRequest } from "../../src/io/streams.js";
import { encodeFrame, encodeTurn, type FrameHead } from "../../src/wire/frames.js";
import { FrameKind } from "../../src/wire/generated/wire/frame-kind.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import type { MemberRecord } from "../../src/wire/records.js";
import { chunkOf, contextOf, HmacSealer, helloOf, RawPeer, RawServer } from "./stream_peer.js";

export const host = "127.0.0.1";
export const cluster = "prod";
export const clusterTag = 0xfedcba98;
export const none = new Uint8Array(0);
/** Longer than a busy machine stands still, and than eventually() waits: a timer that is left behind shows. */
export const timeoutMs = 30_000;

/** Closed after each test, last opened first. */
let open: { close(): Promise<unknown> }[] = [];
let handlesBefore = 0;

/** To be called once by each test file. */
export function watchHandles(): void {
  beforeEach(() => {
    handlesBefore = tcpHandles();
  });
  afterEach(async () => {
    for (const one of open.reverse()) await one.close();
    open = [];
    await eventually(() => expect(tcpHandles()).toBe(handlesBefore));
  });
}

/** TCP handles opened since the test began. */
export function openHandles(): number {
  return tcpHandles() - handlesBefore;
}

function tcpHandles(): number {
  return process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP")).length;
}

export function member(index: number, metaBytes = 100): MemberRecord {
  const ip = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, index >> 8, index & 255);
  const meta = new Uint8Array(metaBytes).fill(index);
  return { name: `member-${index}`, ip, port: 7946, incarnation: index + 1, state: MemberState.alive, meta };
}

export function members(count: number): MemberRecord[] {
  return Array.from({ length: count }, (_, index) => member(index));
}

export interface NodeOptions extends Partial<StreamLimits> {
  name?: string;
  key?: string;
  cluster?: string;
  clusterTag?: number;
  compression?: boolean;
  handlers?: Partial<StreamHandlers>;
}

export function newStreams(options: NodeOptions = {}): { streams: Streams; sealer: HmacSealer } {
  const { name = "crow", key = "secret", handlers, ...rest } = options;
  const sealer = new HmacSealer(key);
  const streams = new Streams({
    host,
    port: 0,
    cluster,
    clusterTag,
    sealer,
    selfName: () => name,
    handlers: {
      onSync: () => ({ records: [member(1)], userState: none }),
      onMessage: () => {},
      onPing: (target) => target === name,
      ...handlers,
    },
    helloTimeoutMs: timeoutMs,
    streamTimeoutMs: timeoutMs,
    ...rest,
  });
  open.push(streams);
  return { streams, sealer };
}

export async function listen(
  options: NodeOptions = {},
): Promise<{ streams: Streams; sealer: HmacSealer; port: number }> {
  const node = newStreams(options);
  return { ...node, port: await node.streams.listen() };
}

export function request(changes: Partial<SyncRequest> = {}): SyncRequest {
  return { records: () => [member(0)], userState: none, join: false, timeoutMs, ...changes };
}

export async function failure(promise: Promise<unknown>): Promise<TattlerError> {
  return promise.then(
    () => {
      throw new Error("it succeeded");
    },
    (error) => error,
  );
}

/** A dialer that greeted a node and seals by hand. */
export async function greet(port: number, challenge = randomBytes(20)) {
  const peer = await RawPeer.dial(port);
  peer.socket.write(helloOf(clusterTag, challenge));
  const acceptor = (await peer.until(32)).subarray(12, 32);
  const sealer = new HmacSealer("secret");
  const seal = (frame: Uint8Array, index: number, direction: 0 | 1 = 0): Buffer =>
    chunkOf(sealer.seal(frame, contextOf(challenge, acceptor, direction, index, cluster)));
  const reply = (): Uint8Array | number =>
    sealer.open(peer.received.subarray(36), contextOf(challenge, acceptor, 1, 0, cluster));
  return { peer, seal, reply };
}

export async function rawServer(serve: (peer: RawPeer) => void): Promise<number> {
  const server = await RawServer.start(serve);
  open.push(server);
  return server.port;
}

export const syncHead: FrameHead = { kind: FrameKind.syncRequest, cluster, source: "wren" };
export const pingFrame = encodeFrame({ ...syncHead, kind: FrameKind.ping, target: "crow", seq: 1 });

/** Two frames of one turn; the first alone is no request. */
export function twoFrames(): [Uint8Array, Uint8Array] {
  const frames = [...encodeTurn({ ...syncHead, kind: FrameKind.message }, [], new Uint8Array(60_000))];
  expect(frames).toHaveLength(2);
  return frames as [Uint8Array, Uint8Array];
}

export async function closedPort(): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Polls until the check passes; fails as it does after 15 s. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: 15_000, interval: 2 });
}
