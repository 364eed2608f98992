/**
 * One TCP connection as a sequence of sealed frames. Knows bytes, deadlines and bounds; no frame kinds.
 *
 * Each side opens with a hello in the clear: magic (4), version (1), codecs it opens (1; a bit each, unknown ones are
 * ignored), zero (2), cluster tag (4, little endian), challenge (20 random bytes). Then chunks: u32 little-endian
 * length, sealed frame. Every chunk is sealed for its place: both challenges, the direction, its index and the
 * cluster name are authenticated with it, so that none can be replayed, reordered, reflected or moved to another
 * exchange. A frame is packed before it is sealed.
 */
import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { packedIn } from "../wire/frames.js";
import { Counter } from "../wire/generated/wire/counter.js";
import { brotliBit, packFrame, unpackFrame } from "./compression.js";
import { StreamFault } from "./stream_fault.js";
import type { StreamLimits, StreamStats } from "./stream_limits.js";

/** The native Endpoint fits. Neither may keep `context` after it returned. */
export interface FrameSealer {
  /** Seals a Frame; `context` is authenticated with it. */
  seal(frame: Uint8Array, context: Uint8Array): Uint8Array;
  /** Opens and verifies; a number (a Counter) says why not. */
  open(chunk: Uint8Array, context: Uint8Array): Uint8Array | number;
  /** Verifies a Frame that was packed inside an opened one. */
  verify(frame: Uint8Array): boolean;
}

export interface FrameSocketOptions {
  readonly role: "dialer" | "acceptor";
  readonly clusterTag: number;
  readonly cluster: string;
  readonly sealer: FrameSealer;
  /** Whether we pack frames and open packed ones. */
  readonly compression: boolean;
  readonly limits: StreamLimits;
  readonly stats: StreamStats;
}

export const helloBytes = 32;
export const streamVersion = 1;
const magic = Buffer.from("TTLS");
const challengeBytes = 20;
const longestTimerMs = 0x7fffffff;

/**
 * Half duplex: at most one of greet(), send(), receive() and linger() runs at a time. They reject with the
 * StreamFault that ended the connection; the first fault stays.
 */
export class FrameSocket {
  /** Settles when the system's handle is gone. */
  readonly closed: Promise<void>;
  /** What ended the connection, or null while it is usable. */
  fault: StreamFault | null = null;

  private readonly socket: Socket;
  private readonly options: FrameSocketOptions;
  private readonly challenge = randomBytes(challengeBytes);
  private readonly timers = new Set<NodeJS.Timeout>();
  private outgoing: ChunkContext | null = null;
  private incoming: ChunkContext | null = null;
  private readonly openedAtMs = performance.now();
  private connected: boolean;
  private greeted = false;
  private peerUnpacks = false;
  private receivedBytes = 0;
  private wake: (() => void) | null = null;

  constructor(socket: Socket, options: FrameSocketOptions) {
    this.socket = socket;
    this.options = options;
    this.connected = !socket.connecting;
    socket.setNoDelay(true);
    const changed = (): void => this.wake?.();
    socket.on("readable", changed).on("end", changed).on("drain", changed);
    socket.on("connect", () => {
      this.connected = true;
    });
    socket.on("error", (error) => this.fail(this.lost(error)));
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        this.fail(this.lost());
        resolve();
      });
    });
  }

  /** Ends the exchange as timed out unless it is over in time. Range: from 0; more than 24 days count as 24 days. */
  expireAfter(timeoutMs: number): void {
    this.startTimer(timeoutMs, `the exchange took longer than ${timeoutMs} ms`);
  }

  /** Trades hellos. `timeoutMs` bounds the wait for the peer's. */
  async greet(timeoutMs: number): Promise<void> {
    const timer = this.startTimer(timeoutMs, `no hello within ${timeoutMs} ms`);
    await this.write(encodeHello(this.options.clusterTag, this.challenge, this.codecs));
    this.startExchange(this.checkHello(await this.read(helloBytes)));
    this.stopTimer(timer);
    this.greeted = true;
  }

  /** Seals and writes one frame, with `mayPack` packed where that pays; resolves when there is room for the next. */
  async send(frame: Uint8Array, mayPack = false): Promise<void> {
    const chunk = this.options.sealer.seal(mayPack ? await this.pack(frame) : frame, this.outgoing!.next());
    const bytes = Buffer.allocUnsafe(4 + chunk.length);
    bytes.writeUInt32LE(chunk.length, 0);
    bytes.set(chunk, 4);
    await this.write(bytes);
  }

  /** Reads and opens one frame, and unpacks it. */
  async receive(): Promise<Uint8Array> {
    const length = (await this.read(4)).readUInt32LE(0);
    this.checkLength(length);
    const frame = this.options.sealer.open(await this.read(length), this.incoming!.next());
    if (typeof frame !== "number") return this.unpack(frame);
    throw this.fail(new StreamFault("seal", `chunk rejected as ${Counter[frame] ?? frame}`));
  }

  /**
   * Ends our side and discards what still comes, until the peer has closed or the exchange expires. Closing
   * at once while the peer still sends would reset the connection and take our last frame with it.
   */
  async linger(): Promise<void> {
    this.socket.end();
    while (this.fault === null) {
      const rest = this.take();
      if (rest === null) await this.changed();
      else this.checkTotal(rest.length);
    }
  }

  /** Destroys the connection; the first fault wins and is returned. */
  fail(fault: StreamFault): StreamFault {
    this.fault ??= fault;
    this.destroy();
    this.wake?.();
    return this.fault;
  }

  /** Idempotent. */
  destroy(): void {
    for (const timer of this.timers) clearTimeout(timer);
    this.timers.clear();
    this.socket.destroy();
  }

  private get codecs(): number {
    return this.options.compression ? brotliBit : 0;
  }

  private async pack(frame: Uint8Array): Promise<Uint8Array> {
    if (!this.options.compression || !this.peerUnpacks) return frame;
    const packed = await packFrame(frame);
    this.options.stats.bytesSaved += frame.length - packed.length;
    return packed;
  }

  /** What is inside may be as long as a frame that comes plain, and counts in the exchange as it does. */
  private async unpack(frame: Uint8Array): Promise<Uint8Array> {
    const inside = packedIn(frame);
    if (inside === null) return frame;
    if (!this.options.compression) throw new StreamFault("malformed", "a packed frame, which we did not offer to open");
    const plain = await unpackFrame(inside, this.options.limits.maxChunkBytes);
    // The peer may have closed meanwhile: what it sent before is good all the same.
    this.checkTotal(plain.length);
    if (!this.options.sealer.verify(plain)) throw new StreamFault("malformed", "what was packed is not a frame");
    return plain;
  }

  private startTimer(timeoutMs: number, detail: string): NodeJS.Timeout {
    const expire = (): void => {
      if (this.timers.has(timer)) this.fail(new StreamFault("timeout", detail));
    };
    // What came in time is read first: after a long turn of this thread, timers go off before sockets are read.
    const timer = setTimeout(() => setImmediate(expire), Math.min(timeoutMs, longestTimerMs));
    this.timers.add(timer);
    return timer;
  }

  private stopTimer(timer: NodeJS.Timeout): void {
    clearTimeout(timer);
    this.timers.delete(timer);
  }

  private lost(error?: Error): StreamFault {
    const detail = error?.message ?? "connection closed";
    if (!this.connected) return new StreamFault("unreachable", detail, error);
    if (!this.greeted) return new StreamFault("busy", detail, error);
    const { role, limits } = this.options;
    const ageMs = Math.floor(performance.now() - this.openedAtMs);
    if (role === "acceptor" || ageMs < Math.min(limits.helloTimeoutMs, limits.streamTimeoutMs)) {
      return new StreamFault("truncated", detail, error);
    }
    // Whoever cannot open what we sent closes at once; after so long it is a deadline of the peer that ran out.
    return new StreamFault("timeout", `it gave up after ${ageMs} ms, ${detail}`, error);
  }

  private checkHello(hello: Buffer): Buffer {
    const version = hello[4]!;
    if (!hello.subarray(0, 4).equals(magic)) throw this.fail(new StreamFault("hello", "wrong magic"));
    if (version !== streamVersion || hello.readUInt16LE(6) !== 0) {
      throw this.fail(new StreamFault("hello", `stream version ${version}, ours is ${streamVersion}`));
    }
    const { cluster, clusterTag } = this.options;
    if (hello.readUInt32LE(8) !== clusterTag >>> 0) {
      throw this.fail(new StreamFault("cluster", `its cluster tag differs from that of "${cluster}"`));
    }
    this.peerUnpacks = (hello[5]! & brotliBit) !== 0;
    return hello.subarray(12);
  }

  private startExchange(peerChallenge: Buffer): void {
    const isDialer = this.options.role === "dialer";
    const challenges = isDialer ? [this.challenge, peerChallenge] : [peerChallenge, this.challenge];
    this.outgoing = new ChunkContext(challenges, isDialer ? 0 : 1, this.options.cluster);
    this.incoming = new ChunkContext(challenges, isDialer ? 1 : 0, this.options.cluster);
  }

  private checkLength(length: number): void {
    const { maxChunkBytes } = this.options.limits;
    if (length === 0) throw this.fail(new StreamFault("malformed", "empty chunk"));
    if (length > maxChunkBytes) {
      throw this.fail(new StreamFault("oversized", `a chunk of ${length} bytes, the limit is ${maxChunkBytes}`));
    }
    this.checkTotal(4 + length);
  }

  private checkTotal(bytes: number): void {
    const { maxExchangeBytes } = this.options.limits;
    this.receivedBytes += bytes;
    if (this.receivedBytes <= maxExchangeBytes) return;
    throw this.fail(new StreamFault("oversized", `an exchange of more than ${maxExchangeBytes} bytes`));
  }

  private async read(bytes: number): Promise<Buffer> {
    for (;;) {
      if (this.fault !== null) throw this.fault;
      const part = this.take(bytes);
      if (part?.length === bytes) return part;
      if (part !== null || this.socket.readableEnded) throw this.fail(this.lost());
      await this.changed();
    }
  }

  private take(bytes?: number): Buffer | null {
    const part = this.socket.read(bytes) as Buffer | null;
    this.options.stats.bytesIn += part?.length ?? 0;
    return part;
  }

  private async write(bytes: Buffer): Promise<void> {
    if (this.fault !== null) throw this.fault;
    this.options.stats.bytesOut += bytes.length;
    if (this.socket.write(bytes)) return;
    while (this.socket.writableNeedDrain) {
      if (this.fault !== null) throw this.fault;
      await this.changed();
    }
  }

  private changed(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }
}

export function encodeHello(clusterTag: number, challenge: Uint8Array, codecs = 0): Buffer {
  const hello = Buffer.alloc(helloBytes);
  magic.copy(hello);
  hello[4] = streamVersion;
  hello[5] = codecs;
  hello.writeUInt32LE(clusterTag >>> 0, 8);
  hello.set(challenge, 12);
  return hello;
}

/** What is authenticated with each chunk of one direction: both challenges, direction, index, cluster name. */
export class ChunkContext {
  private readonly bytes: Buffer;
  private index = 0;

  constructor(challenges: readonly Uint8Array[], direction: 0 | 1, cluster: string) {
    this.bytes = Buffer.concat([...challenges, Buffer.of(direction, 0, 0, 0, 0), Buffer.from(cluster)]);
  }

  /** Valid until the next call. */
  next(): Uint8Array {
    this.bytes.writeUInt32LE(this.index++, 2 * challengeBytes + 1);
    return this.bytes;
  }
}
