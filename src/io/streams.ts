/** Reliable exchanges over TCP: join and state sync, messages with a receipt, the fallback ping. */
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { TattlerError, tattlerError } from "../errors.js";
import type { FrameHead } from "../wire/frames.js";
import { FrameKind } from "../wire/generated/wire/frame-kind.js";
import { isMappedIpv4 } from "../wire/ip.js";
import type { MemberRecord } from "../wire/records.js";
import { classifyIp, formatIp, parseIp } from "./address.js";
import {
  bytesOfFingerprints,
  fingerprintsIn,
  headOf,
  noContent,
  receiveTurn,
  sendTurn,
  type Turn,
  type TurnContent,
} from "./exchange.js";
import { type FrameSealer, FrameSocket } from "./frame_socket.js";
import { SendLines } from "./send_line.js";
import { abortFault, countFault, faultError, StreamFault } from "./stream_fault.js";
import { defaultStreamLimits, newStreamStats, type StreamLimits, type StreamStats } from "./stream_limits.js";
import { type StreamContext, type StreamHandlers, StreamServer } from "./stream_server.js";

export type { FrameSealer } from "./frame_socket.js";
export type { StreamLimits, StreamStats } from "./stream_limits.js";
export type { StreamHandlers, SyncAnswer } from "./stream_server.js";

/** Pauses before a busy peer is asked again, doubling. */
const firstPauseMs = 20;
const longestPauseMs = 500;

/** Limits that are left out have the default of `defaultStreamLimits`. */
export interface StreamsOptions extends Partial<StreamLimits> {
  /** Address to listen on, an IP as text. */
  readonly host: string;
  /** Port to listen on; 0 lets the system pick one. */
  readonly port: number;
  /** First 4 bytes of the cluster name's hash, as a number. */
  readonly clusterTag: number;
  readonly cluster: string;
  readonly sealer: FrameSealer;
  /** Whether state syncs are packed, with peers that do the same. Default true. */
  readonly compression?: boolean;
  /** Our member name; asked for every exchange. */
  readonly selfName: () => string;
  /** Whether a peer with this IP may connect; the others are closed unread. Left out: all may. */
  readonly allows?: ((ip: Uint8Array) => boolean) | undefined;
  readonly handlers: StreamHandlers;
}

export interface ExchangeOptions {
  /** Deadline of the whole exchange, dialing included, in milliseconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface SyncRequest extends ExchangeOptions {
  /** Our members; asked once the peer has shown its hello. */
  readonly records: () => readonly MemberRecord[];
  /** The application's state. */
  readonly userState: Uint8Array;
  readonly join: boolean;
  /**
   * In a join, asked about the answer before the peer takes over anything of ours; returns why not, or null to agree.
   * Default: agrees.
   */
  readonly vet?: (reply: SyncReply) => string | null;
  /** The name of the member that is expected there; another refuses. Left out: any. */
  readonly target?: string | undefined;
}

export interface ReconcileRequest extends ExchangeOptions {
  readonly salt: number;
  /** Of our records; asked once the peer has shown its hello. */
  readonly fingerprints: () => Uint32Array;
  /** Takes over the records that we lack, and returns those that the peer wants. */
  readonly merge: (peer: string, records: readonly MemberRecord[], wanted: Uint32Array) => readonly MemberRecord[];
}

export interface SyncReply {
  /** The peer's member name. */
  readonly peer: string;
  readonly records: MemberRecord[];
  readonly userState: Uint8Array;
}

/**
 * One listener and any number of outbound exchanges. The listener and running exchanges keep the process
 * alive until close().
 */
export class Streams {
  readonly stats: Readonly<StreamStats>;

  private readonly options: StreamsOptions;
  private readonly context: StreamContext;
  private readonly server: StreamServer;
  private readonly lines: SendLines;
  private readonly dialing = new Set<FrameSocket>();
  private readonly closer = new AbortController();
  private listening: Promise<number> | null = null;
  private closing: Promise<void> | null = null;

  constructor(options: StreamsOptions) {
    const { clusterTag, cluster, sealer, selfName, allows, handlers, compression = true } = options;
    const stats = newStreamStats();
    this.stats = stats;
    this.options = options;
    this.context = { clusterTag, cluster, sealer, compression, selfName, limits: limitsOf(options), stats };
    this.lines = new SendLines(this.context.limits);
    this.server = new StreamServer(this.context, handlers, allows);
  }

  /** Binds and returns the port; called again, the same. Errors: TATTLER_BIND_FAILED, TATTLER_CLOSED. */
  listen(): Promise<number> {
    if (this.closing !== null) return Promise.reject(tattlerError("TATTLER_CLOSED"));
    this.listening ??= this.server.listen(this.options.host, this.options.port);
    return this.listening;
  }

  /** Ends every exchange; theirs and ours fail. Resolves when all sockets are closed. Idempotent. */
  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  /**
   * Trades state with a member. A join has a third turn, in which we confirm that we agree to the answer, and resolves
   * once the peer has merged ours. Errors: TATTLER_JOIN_REFUSED or TATTLER_STREAM_REFUSED with the peer's
   * reason, TATTLER_NAME_MISMATCH, TATTLER_CLUSTER_MISMATCH, TATTLER_STREAM_CLOSED (often a key mismatch), the other
   * TATTLER_STREAM_* rows, TATTLER_ABORTED, TATTLER_CLOSED.
   */
  async sync(host: string, port: number, request: SyncRequest): Promise<SyncReply> {
    const { join, records, userState, target, vet } = request;
    this.checkSize(userState);
    return this.exchange(host, port, request, async (stream) => {
      const content = { records: records(), payload: userState };
      const head = headOf(this.context, FrameKind.syncRequest, target === undefined ? { join } : { join, target });
      const turn = await this.ask(stream, head, content, FrameKind.syncReply);
      const reply = { peer: turn.head.source, records: turn.records, userState: turn.payload };
      if (join) await this.confirm(stream, vet?.(reply) ?? null);
      return reply;
    });
  }

  /** Compares views with a member and trades what either lacks, in three turns. Errors: as sync(). */
  async reconcile(host: string, port: number, request: ReconcileRequest): Promise<void> {
    const { salt, fingerprints, merge } = request;
    return this.exchange(host, port, request, async (stream) => {
      const head = headOf(this.context, FrameKind.digest, { seq: salt });
      const question = { records: [], payload: bytesOfFingerprints(fingerprints()) };
      const reply = await this.ask(stream, head, question, FrameKind.digestReply);
      const rest = merge(reply.head.source, reply.records, fingerprintsIn(reply.payload));
      const fill = { records: rest, payload: noContent.payload };
      await this.ask(stream, headOf(this.context, FrameKind.digestFill, { seq: salt }), fill, FrameKind.receipt);
    });
  }

  /**
   * Delivers a message and resolves on the peer's receipt. At most once: after an error it may have arrived
   * all the same. Waits, within its deadline, while maxSendsPerPeer others are on their way to the same address or the
   * peer is busy. Errors: as sync(), TATTLER_MESSAGE_TOO_LARGE and TATTLER_BACKLOG_FULL.
   */
  async sendMessage(host: string, port: number, payload: Uint8Array, options: ExchangeOptions): Promise<void> {
    this.checkSize(payload);
    const { timeoutMs, signal } = options;
    const peer = textOf(host, port);
    const untilMs = performance.now() + timeoutMs;
    if (this.closing !== null) throw tattlerError("TATTLER_CLOSED");
    const leave = await this.lines.enter(peer, timeoutMs, signal).catch((error) => {
      throw this.explain(error, peer);
    });
    try {
      await this.whileBusy(untilMs, signal, (leftMs) =>
        this.exchange(host, port, { timeoutMs: leftMs, signal }, async (stream) => {
          await this.ask(stream, headOf(this.context, FrameKind.message), { records: [], payload }, FrameKind.receipt);
        }),
      );
    } finally {
      leave();
    }
  }

  /** True when the member `targetName` answered in time. Never rejects: silence is the only sign of failure. */
  async ping(host: string, port: number, targetName: string, seq: number, timeoutMs: number): Promise<boolean> {
    try {
      return await this.exchange(host, port, { timeoutMs }, async (stream) => {
        const head = headOf(this.context, FrameKind.ping, { target: targetName, seq });
        const ack = await this.ask(stream, head, noContent, FrameKind.ack);
        return ack.head.seq === seq >>> 0 && ack.head.source === targetName;
      });
    } catch {
      return false;
    }
  }

  private async shutDown(): Promise<void> {
    this.closer.abort();
    this.lines.close();
    const handles = [...this.dialing].map((stream) => stream.closed);
    for (const stream of this.dialing) stream.fail(new StreamFault("closed", "this node closed"));
    // A bind in progress has no listener to close yet.
    await this.listening?.catch(() => {});
    await Promise.all([...handles, this.server.close()]);
  }

  /** A busy peer closed before its hello, so nothing of ours has reached it: to try again delivers nothing twice. */
  private async whileBusy(
    untilMs: number,
    signal: AbortSignal | undefined,
    attempt: (leftMs: number) => Promise<void>,
  ): Promise<void> {
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
      try {
        return await attempt(Math.max(0, Math.ceil(untilMs - performance.now())));
      } catch (error) {
        const isBusy = error instanceof TattlerError && error.code === "TATTLER_STREAM_BUSY";
        if (!isBusy || untilMs - performance.now() <= pauseMs) throw error;
        const signals = signal === undefined ? [this.closer.signal] : [this.closer.signal, signal];
        // Aborted or closed: the next attempt says so.
        await wait(pauseMs, undefined, { signal: AbortSignal.any(signals) }).catch(() => {});
        // This thread stood still until no time was left to hear more.
        if (performance.now() >= untilMs && !signals.some(({ aborted }) => aborted)) throw error;
      }
    }
  }

  /** One connection: dials, greets, runs, and always leaves the socket destroyed. */
  private async exchange<T>(
    host: string,
    port: number,
    options: ExchangeOptions,
    run: (stream: FrameSocket) => Promise<T>,
  ): Promise<T> {
    const address = textOf(host, port);
    if (this.closing !== null) throw tattlerError("TATTLER_CLOSED");
    if (options.signal?.aborted) throw faultError(abortFault(options.signal), address);
    const stream = this.dial(host, port, address);
    const abort = (): void => {
      stream.fail(abortFault(options.signal!));
    };
    options.signal?.addEventListener("abort", abort, { once: true });
    try {
      stream.expireAfter(options.timeoutMs);
      await stream.greet(options.timeoutMs);
      return await run(stream);
    } catch (error) {
      throw this.explain(error, address);
    } finally {
      options.signal?.removeEventListener("abort", abort);
      stream.destroy();
    }
  }

  private dial(host: string, port: number, address: string): FrameSocket {
    this.context.stats.dialed++;
    // node:net throws at such a port, and leaves a handle behind.
    if (!(port > 0 && port <= 65_535)) {
      throw this.explain(new StreamFault("unreachable", "there is no such port"), address);
    }
    const stream = new FrameSocket(connect({ host, port, ...sourceOf(this.options.host, host) }), {
      role: "dialer",
      ...this.context,
    });
    this.dialing.add(stream);
    void stream.closed.then(() => this.dialing.delete(stream));
    return stream;
  }

  private async confirm(stream: FrameSocket, refusal: string | null): Promise<void> {
    if (refusal === null) {
      await this.ask(stream, headOf(this.context, FrameKind.confirm), noContent, FrameKind.receipt);
      return;
    }
    this.context.stats.refused++;
    await sendTurn(stream, headOf(this.context, FrameKind.error, { join: true, reason: refusal }), noContent);
    await stream.linger();
    throw tattlerError("TATTLER_JOIN_REFUSED", ["this node itself", refusal]);
  }

  private async ask(stream: FrameSocket, head: FrameHead, content: TurnContent, expected: FrameKind): Promise<Turn> {
    await sendTurn(stream, head, content);
    const reply = await receiveTurn(stream, this.context.cluster, this.context.limits);
    const { kind, reason, source } = reply.head;
    const isSync = head.kind === FrameKind.syncRequest;
    if (isSync && head.target !== undefined && source !== head.target) {
      throw new StreamFault("name", `it is ${source}, not ${head.target}`);
    }
    if (kind === expected) return reply;
    if (kind === FrameKind.error) throw new StreamFault(head.join ? "joinRefused" : "refused", reason);
    throw new StreamFault("malformed", `a ${FrameKind[kind]} where a ${FrameKind[expected]} is due`);
  }

  private explain(error: unknown, address: string): unknown {
    if (!(error instanceof StreamFault)) return error;
    countFault(this.context.stats, error.kind);
    return faultError(error, address);
  }

  private checkSize(payload: Uint8Array): void {
    const { maxMessageBytes } = this.context.limits;
    if (payload.length <= maxMessageBytes) return;
    throw tattlerError("TATTLER_MESSAGE_TOO_LARGE", [String(payload.length), String(maxMessageBytes)]);
  }
}

function textOf(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * A stream comes from the address that datagrams come from, or the lists of others would not know us by it (E-22). On
 * loopback the system's choice is as good, except between different addresses of it.
 */
function sourceOf(boundHost: string, host: string): { localAddress?: string } {
  const [bound, target] = [parseIp(boundHost), parseIp(host)];
  if (bound === null || target === null || isMappedIpv4(bound) !== isMappedIpv4(target)) return {};
  const kind = classifyIp(bound);
  if (kind === "unspecified" || formatIp(bound) === formatIp(target)) return {};
  return kind === "loopback" || classifyIp(target) !== "loopback" ? { localAddress: boundHost } : {};
}

function limitsOf(options: StreamsOptions): StreamLimits {
  const limits: Record<string, number> = { ...defaultStreamLimits };
  for (const key of Object.keys(defaultStreamLimits)) {
    const given = options[key as keyof StreamLimits];
    if (given !== undefined) limits[key] = given;
  }
  return limits as unknown as StreamLimits;
}
