/** The accepting side: one request and its answer per connection (W-40). */
import { createServer, type Server, type Socket } from "node:net";
import { tattlerError } from "../errors.js";
import { encodeFrame } from "../wire/frames.js";
import { FrameKind } from "../wire/generated/wire/frame-kind.js";
import type { MemberRecord } from "../wire/records.js";
import { formatIp, parseIp } from "./address.js";
import {
  bytesOfFingerprints,
  fingerprintsIn,
  headOf,
  noContent,
  receiveTurn,
  type Speaker,
  sendTurn,
  type Turn,
} from "./exchange.js";
import { type FrameSealer, FrameSocket } from "./frame_socket.js";
import { countFault, StreamFault } from "./stream_fault.js";
import type { StreamLimits, StreamStats } from "./stream_limits.js";

/** What we tell a peer that synchronises with us, or why we do not. */
export type SyncAnswer =
  | {
      readonly records: readonly MemberRecord[];
      readonly userState: Uint8Array;
      /**
       * Takes over what the peer told: before a plain sync is answered, and in a join once the joiner has confirmed
       * that it agrees to our answer. Never called when it does not.
       */
      readonly merge?: () => void;
    }
  | { readonly refuse: string };

/** What a peer that compares its view with ours lacks, what we want of it, and what becomes of that; or why not. */
export type DigestAnswer =
  | {
      readonly records: readonly MemberRecord[];
      readonly wanted: Uint32Array;
      readonly merge: (records: readonly MemberRecord[]) => void;
    }
  | { readonly refuse: string };

/** Answers to inbound exchanges. `peer` is the member name that the authenticated peer claims. */
export interface StreamHandlers {
  /**
   * Asked after the whole request was read and before anything about us is revealed (E-75).
   * `remoteAddress` is the peer's IP as text, "" when it is gone already.
   */
  onSync(
    peer: string,
    records: MemberRecord[],
    userState: Uint8Array,
    join: boolean,
    remoteAddress: string,
  ): SyncAnswer | Promise<SyncAnswer>;
  /** A peer that compares its view with ours. Left out: refused. */
  onDigest?(peer: string, salt: number, fingerprints: Uint32Array): DigestAnswer;
  /** A complete reliable message. The peer gets its receipt when this returned. */
  onMessage(peer: string, payload: Uint8Array): void;
  /** True when `target` is this member's name. */
  onPing(target: string): boolean;
  /** Told what another handler threw; the peer only learns that there was an internal error. */
  onHandlerError?(error: unknown): void;
}

/** Options that both sides of the stream transport need. */
export interface StreamContext extends Speaker {
  readonly clusterTag: number;
  readonly sealer: FrameSealer;
  readonly compression: boolean;
  readonly limits: StreamLimits;
  readonly stats: StreamStats;
}

export class StreamServer {
  private readonly context: StreamContext;
  private readonly handlers: StreamHandlers;
  private readonly server: Server;
  private readonly allows: ((ip: Uint8Array) => boolean) | undefined;
  private readonly streams = new Set<FrameSocket>();
  /** How many of the streams each remote IP has. */
  private readonly perPeer = new Map<string, number>();

  constructor(context: StreamContext, handlers: StreamHandlers, allows?: (ip: Uint8Array) => boolean) {
    this.context = context;
    this.allows = allows;
    this.handlers = handlers;
    this.server = createServer((socket) => this.accept(socket));
  }

  /** Binds and returns the port. Errors: TATTLER_BIND_FAILED. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const failed = (error: Error): void => {
        reject(tattlerError("TATTLER_BIND_FAILED", [`TCP ${host} port ${port}`, error.message], error));
      };
      this.server.once("error", failed);
      this.server.listen({ host, port, exclusive: true }, () => {
        this.server.off("error", failed);
        this.server.on("error", () => {
          this.context.stats.acceptFailed++;
        });
        resolve(boundPort(this.server));
      });
    });
  }

  /** Stops listening and ends every inbound exchange. */
  async close(): Promise<void> {
    const handles = [...this.streams].map((stream) => stream.closed);
    for (const stream of this.streams) stream.fail(new StreamFault("closed", "this node closed"));
    if (this.server.listening) handles.push(new Promise((resolve) => this.server.close(() => resolve())));
    await Promise.all(handles);
  }

  private accept(socket: Socket): void {
    const { limits, stats } = this.context;
    if (!this.isAllowed(socket)) {
      stats.rejectedAddress++;
      socket.on("error", () => {}).destroy();
      return;
    }
    const remote = textOf(socket.remoteAddress);
    const ofPeer = this.perPeer.get(remote) ?? 0;
    const isFull = this.streams.size >= limits.maxStreams;
    if (isFull || ofPeer >= limits.maxStreamsPerPeer) {
      if (isFull) stats.rejectedLimit++;
      else stats.rejectedPeerLimit++;
      socket.on("error", () => {}).destroy();
      return;
    }
    stats.accepted++;
    const stream = new FrameSocket(socket, { role: "acceptor", ...this.context });
    this.streams.add(stream);
    this.perPeer.set(remote, ofPeer + 1);
    void stream.closed.then(() => this.forget(stream, remote));
    void this.serve(stream, remote);
  }

  private forget(stream: FrameSocket, remote: string): void {
    this.streams.delete(stream);
    const left = (this.perPeer.get(remote) ?? 1) - 1;
    if (left > 0) this.perPeer.set(remote, left);
    else this.perPeer.delete(remote);
  }

  /** One whose address is gone with it may not. */
  private isAllowed({ remoteAddress }: Socket): boolean {
    if (this.allows === undefined) return true;
    const ip = parseIp(remoteAddress ?? "");
    return ip !== null && this.allows(ip);
  }

  private async serve(stream: FrameSocket, remoteAddress: string): Promise<void> {
    const { cluster, limits } = this.context;
    try {
      stream.expireAfter(limits.streamTimeoutMs);
      await stream.greet(limits.helloTimeoutMs);
      const refusal = await this.answer(stream, await receiveTurn(stream, cluster, limits), remoteAddress);
      if (refusal !== null) await this.refuse(stream, refusal);
      await stream.linger();
    } catch (error) {
      await this.handleFault(stream, error);
    } finally {
      stream.destroy();
    }
  }

  /** Sends the answer to a request, or returns why there is none. */
  private async answer(stream: FrameSocket, request: Turn, remoteAddress: string): Promise<string | null> {
    const { kind, source, target, seq, join } = request.head;
    switch (kind) {
      case FrameKind.syncRequest: {
        // Before the request changes anything here (M-006).
        if (target !== "" && target !== this.context.selfName()) return `this is not ${target}`;
        const { records, payload } = request;
        const answer = await this.handlers.onSync(source, records, payload, join, remoteAddress);
        if ("refuse" in answer) return answer.refuse;
        if (!join) answer.merge?.();
        const content = { records: answer.records, payload: answer.userState };
        await sendTurn(stream, headOf(this.context, FrameKind.syncReply, { join }), content);
        if (join) await this.conclude(stream, source, answer.merge);
        return null;
      }
      case FrameKind.digest:
        return this.compare(stream, request);
      case FrameKind.message:
        this.handlers.onMessage(source, request.payload);
        await sendTurn(stream, headOf(this.context, FrameKind.receipt), noContent);
        return null;
      case FrameKind.ping:
        if (!this.handlers.onPing(target)) return `this is not ${target}`;
        await sendTurn(stream, headOf(this.context, FrameKind.ack, { seq }), noContent);
        return null;
      case FrameKind.syncReply:
      case FrameKind.receipt:
      case FrameKind.ack:
      case FrameKind.error:
      case FrameKind.confirm:
      case FrameKind.digestReply:
      case FrameKind.digestFill:
        throw new StreamFault("malformed", `a ${FrameKind[kind]} opens no exchange`);
      default:
        return kind satisfies never;
    }
  }

  private async compare(stream: FrameSocket, { head, payload }: Turn): Promise<string | null> {
    const { source, seq } = head;
    const answer = this.handlers.onDigest?.(source, seq, fingerprintsIn(payload)) ?? { refuse: "no digests here" };
    if ("refuse" in answer) return answer.refuse;
    const content = { records: answer.records, payload: bytesOfFingerprints(answer.wanted) };
    await sendTurn(stream, headOf(this.context, FrameKind.digestReply, { seq }), content);
    const rest = await receiveTurn(stream, this.context.cluster, this.context.limits);
    if (rest.head.kind !== FrameKind.digestFill || rest.head.source !== source) {
      throw new StreamFault("malformed", `a ${FrameKind[rest.head.kind]} where the rest of ${source} is due`);
    }
    answer.merge(rest.records);
    await sendTurn(stream, headOf(this.context, FrameKind.receipt), noContent);
    return null;
  }

  /** The third turn of a join: the joiner has seen who we are, and agrees or goes (M-087 on both ends, E-75). */
  private async conclude(stream: FrameSocket, joiner: string, merge: (() => void) | undefined): Promise<void> {
    const { cluster, limits, stats } = this.context;
    // Taken back when it does agree: the ways in which a joiner may not are many.
    stats.joinsUnconfirmed++;
    const turn = await receiveTurn(stream, cluster, limits);
    const { kind, source } = turn.head;
    if (kind === FrameKind.error) return;
    if (kind !== FrameKind.confirm || source !== joiner) {
      throw new StreamFault("malformed", `a ${FrameKind[kind]} of ${source} where ${joiner} is to confirm`);
    }
    stats.joinsUnconfirmed--;
    merge?.();
    await sendTurn(stream, headOf(this.context, FrameKind.receipt), noContent);
  }

  private async refuse(stream: FrameSocket, reason: string): Promise<void> {
    this.context.stats.refused++;
    await stream.send(encodeFrame(headOf(this.context, FrameKind.error, { reason })));
  }

  /** A peer that authenticated is told what was wrong; any other learns nothing. */
  private async handleFault(stream: FrameSocket, error: unknown): Promise<void> {
    try {
      const reason = this.noteFault(error);
      if (stream.fault !== null) return;
      await stream.send(encodeFrame(headOf(this.context, FrameKind.error, { reason })));
      await stream.linger();
    } catch {
      // The peer did not wait to be told; what was wrong is counted already.
    }
  }

  private noteFault(error: unknown): string {
    const { stats } = this.context;
    if (error instanceof StreamFault) {
      countFault(stats, error.kind);
      return error.message;
    }
    stats.handlerFailed++;
    this.handlers.onHandlerError?.(error);
    return "internal error";
  }
}

function boundPort(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** One text for one address: a dual-stack socket reports IPv4 peers mapped into IPv6. */
function textOf(remoteAddress: string | undefined): string {
  const ip = parseIp(remoteAddress ?? "");
  return ip === null ? (remoteAddress ?? "") : formatIp(ip);
}
