import { Builder } from "flatbuffers";
import type { Random } from "../../src/random.js";
import { Address4 } from "../../src/wire/generated/wire/address4.js";
import { Address6 } from "../../src/wire/generated/wire/address6.js";
import { Frame } from "../../src/wire/generated/wire/frame.js";
import { FrameKind } from "../../src/wire/generated/wire/frame-kind.js";
import { MemberRecord as RecordTable } from "../../src/wire/generated/wire/member-record.js";
import { Versions } from "../../src/wire/generated/wire/versions.js";
import { cluster, knownNames } from "./frame_target.js";

const kinds = Object.values(FrameKind).filter((kind): kind is FrameKind => typeof kind === "number");
const withMembers: readonly FrameKind[] = [
  FrameKind.syncRequest,
  FrameKind.syncReply,
  FrameKind.digestReply,
  FrameKind.digestFill,
];
const withPayload: readonly FrameKind[] = [
  FrameKind.syncRequest,
  FrameKind.syncReply,
  FrameKind.digest,
  FrameKind.digestReply,
  FrameKind.message,
];
const incarnations = [1, 2, 3, 4, 5, 65_536, 65_537, 65_538, 2 ** 24 + 1, 2 ** 30, 2 ** 31, 2 ** 32 - 2, 2 ** 32 - 1];
const words = [
  0, 1, 2, 3, 4, 8, 16, 127, 128, 255, 256, 512, 513, 4096, 65_535, 65_536, 0x7fffffff, 0xfffffffc, 0xffffffff,
];
const oddNames = [
  "",
  "é",
  "\u0000",
  "m1\u0000",
  "\ufeffm1",
  "x".repeat(128),
  "x".repeat(129),
  "__proto__",
  "M1",
  "\u202em1",
];

/** Hostile turns from a seed: valid frames turned byte by byte, and frames of hostile fields. */
export class FrameMutator {
  readonly #random: Random;
  /** What to start from. */
  readonly pool: Uint8Array[];

  constructor(random: Random, pool: Uint8Array[]) {
    this.#random = random;
    this.pool = pool;
  }

  /** One to three frames; the target stops at the first that ends the turn. */
  turn(): Uint8Array[] {
    const frames = [this.#frame()];
    while (frames.length < 3 && this.#one(8)) frames.push(this.#frame());
    return frames;
  }

  #frame(): Uint8Array {
    if (this.#one(4)) return this.#turned(this.#pick(this.pool));
    const made = this.#made();
    return this.#one(4) ? this.#turned(made) : made;
  }

  // --- bytes

  #turned(frame: Uint8Array): Uint8Array {
    let bytes = Uint8Array.from(frame);
    do bytes = this.#turnedOnce(bytes);
    while (this.#one(3));
    return bytes.length > 0 ? bytes : Uint8Array.of(0);
  }

  #turnedOnce(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const random = this.#random;
    const at = random.below(bytes.length + 1);
    const view = new DataView(bytes.buffer);
    switch (random.below(7)) {
      case 0:
        if (at < bytes.length) bytes[at]! ^= 1 << random.below(8);
        return bytes;
      case 1:
        if (at < bytes.length) bytes[at] = this.#word() & 255;
        return bytes;
      case 2:
        if (at + 2 <= bytes.length) view.setUint16(at, this.#word() & 0xffff, true);
        return bytes;
      case 3: // offsets and lengths stand on borders of four bytes
        if ((at & ~3) + 4 <= bytes.length) view.setUint32(at & ~3, this.#word(), true);
        return bytes;
      case 4:
        return bytes.slice(0, at);
      case 5:
        return bytes.copyWithin(at, random.below(bytes.length + 1), random.below(bytes.length + 1));
      default: {
        const other = this.#pick(this.pool);
        const from = random.below(other.length + 1);
        return Uint8Array.from([...bytes.subarray(0, at), ...other.subarray(from)]);
      }
    }
  }

  // --- fields

  #made(): Uint8Array {
    const random = this.#random;
    const builder = new Builder(512);
    const offsets = Array.from({ length: random.below(this.#one(50) ? 300 : 5) }, () => this.#record(builder));
    // A vector may name one table many times.
    const first = offsets[0];
    if (first !== undefined && this.#one(40)) offsets.push(...new Array<number>(random.below(2000)).fill(first));
    const known: FrameKind = this.#pick(this.#one(3) ? kinds : withMembers);
    const kind: FrameKind = this.#one(50) ? random.below(256) : known;
    const isOdd = this.#one(40);
    const members = withMembers.includes(kind) || isOdd ? Frame.createMembersVector(builder, offsets) : 0;
    const payload = withPayload.includes(kind) || isOdd ? Frame.createPayloadVector(builder, this.#bytes(64)) : 0;
    const source = builder.createString(this.#name());
    const named = builder.createString(this.#one(30) ? "other" : cluster);
    const target = this.#one(3) ? builder.createString(this.#name()) : 0;
    const reason = this.#one(6) ? builder.createString(this.#pick(oddNames).repeat(4)) : 0;
    const packed = this.#one(80) ? Frame.createPackedVector(builder, this.#bytes(64)) : 0;
    const codec = this.#one(60) ? random.below(3) : 0;
    const [isLast, joins] = [!this.#one(8), this.#one(4)];
    const seq = this.#one(2) ? 1 : this.#word();
    const root = Frame.createFrame(
      builder,
      kind,
      isLast,
      named,
      source,
      target,
      seq,
      joins,
      members,
      payload,
      reason,
      codec,
      packed,
    );
    builder.finish(root);
    return builder.asUint8Array().slice();
  }

  #record(builder: Builder): number {
    const random = this.#random;
    const name = builder.createString(this.#name());
    const meta = this.#one(3) ? RecordTable.createMetaVector(builder, this.#bytes(this.#one(10) ? 514 : 8)) : 0;
    RecordTable.startMemberRecord(builder);
    RecordTable.addName(builder, name);
    RecordTable.addIncarnation(builder, this.#one(20) ? random.below(3) : this.#pick(incarnations));
    RecordTable.addState(builder, this.#one(99) ? random.below(256) : random.below(4));
    const is6 = this.#one(8);
    const port = this.#one(99) ? 0 : 7946 + random.below(2);
    if (!is6 || this.#one(99)) {
      RecordTable.addV4(builder, Address4.createAddress4(builder, 0x0a000000 + random.below(9), port));
    }
    if (is6) RecordTable.addV6(builder, Address6.createAddress6(builder, [...this.#bytes(16)], port));
    if (this.#one(4)) {
      const [a, b, c] = [random.below(4), random.below(4), random.below(4)];
      RecordTable.addVersions(builder, Versions.createVersions(builder, 1, 3, 2, a, b, c));
    }
    RecordTable.addMeta(builder, meta);
    return RecordTable.endMemberRecord(builder);
  }

  #name(): string | Uint8Array {
    if (this.#one(99)) return this.#bytes(130);
    if (this.#one(40)) return this.#pick(oddNames);
    return this.#one(3) ? `n${this.#random.below(40)}` : this.#pick(knownNames);
  }

  #bytes(most: number): Uint8Array {
    const length = this.#one(2) ? 4 * this.#random.below(most / 4 + 1) : this.#random.below(most + 1);
    return Uint8Array.from({ length }, () => this.#random.below(256));
  }

  #word(): number {
    return this.#one(4) ? this.#random.nextUint32() : this.#pick(words);
  }

  /** True once in so many times. */
  #one(times: number): boolean {
    return this.#random.below(times) === 0;
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)]!;
  }
}
