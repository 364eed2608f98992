/** A hand-driven TCP peer and a stand-in for the native sealer, for tests of the stream transport. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { FrameSealer } from "../../src/io/streams.js";
import { Counter } from "../../src/wire/generated/wire/counter.js";

/** Authenticates like the native Endpoint does; encrypts nothing. */
export class HmacSealer implements FrameSealer {
  sealed = 0;
  constructor(private readonly key: string) {}

  seal(frame: Uint8Array, context: Uint8Array): Uint8Array {
    this.sealed++;
    return Buffer.concat([this.tag(frame, context), frame]);
  }

  open(chunk: Uint8Array, context: Uint8Array): Uint8Array | number {
    if (chunk.length < 32) return Counter.dropTruncated;
    const frame = chunk.slice(32);
    return timingSafeEqual(chunk.subarray(0, 32), this.tag(frame, context)) ? frame : Counter.dropUnsealable;
  }

  verify(): boolean {
    return true;
  }

  private tag(frame: Uint8Array, context: Uint8Array): Buffer {
    return createHmac("sha256", this.key).update(context).update(frame).digest();
  }
}

/** The authenticated context as the format has it, written down a second time. */
export function contextOf(
  dialer: Uint8Array,
  acceptor: Uint8Array,
  direction: 0 | 1,
  index: number,
  cluster: string,
): Uint8Array {
  const place = Buffer.alloc(5);
  place[0] = direction;
  place.writeUInt32LE(index, 1);
  return Buffer.concat([dialer, acceptor, place, Buffer.from(cluster)]);
}

export function helloOf(clusterTag: number, challenge: Uint8Array): Buffer {
  const tag = Buffer.alloc(4);
  tag.writeUInt32LE(clusterTag);
  return Buffer.concat([Buffer.from("TTLS\x01\x00\x00\x00"), tag, challenge]);
}

export function chunkOf(sealed: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(sealed.length);
  return Buffer.concat([length, sealed]);
}

/** Bytes in, bytes out; keeps all that it received. */
export class RawPeer {
  received = Buffer.alloc(0);
  readonly closed: Promise<void>;

  constructor(readonly socket: Socket) {
    socket.on("data", (data) => {
      this.received = Buffer.concat([this.received, data]);
    });
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => socket.on("close", () => resolve()));
  }

  static async dial(port: number): Promise<RawPeer> {
    const peer = new RawPeer(connect({ host: "127.0.0.1", port }));
    await once(peer.socket, "connect");
    return peer;
  }

  /** Resolves when at least `bytes` have come; rejects when the peer closes first. */
  async until(bytes: number): Promise<Buffer> {
    while (this.received.length < bytes) {
      if (this.socket.closed) throw new Error(`closed after ${this.received.length} bytes`);
      await Promise.race([once(this.socket, "data"), this.closed]);
    }
    return this.received;
  }
}

/** A listener that hands every connection to `serve`. */
export class RawServer {
  private readonly sockets = new Set<Socket>();
  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async start(serve: (peer: RawPeer) => void): Promise<RawServer> {
    const server = createServer((socket) => {
      raw.sockets.add(socket);
      serve(new RawPeer(socket));
    });
    server.listen({ host: "127.0.0.1", port: 0 });
    await once(server, "listening");
    const raw = new RawServer(server, (server.address() as { port: number }).port);
    return raw;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
