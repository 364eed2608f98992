import fc from "fast-check";
import { Builder } from "flatbuffers";
import { describe, expect, it } from "vitest";
import {
  type DecodedFrame,
  decodeFrame,
  encodeFrame,
  encodeTurn,
  type FrameHead,
  FrameRejection,
  frameBodyBytes,
} from "../../src/wire/frames.js";
import { Address4 } from "../../src/wire/generated/wire/address4.js";
import { Address6 } from "../../src/wire/generated/wire/address6.js";
import { Frame } from "../../src/wire/generated/wire/frame.js";
import { FrameKind } from "../../src/wire/generated/wire/frame-kind.js";
import { MemberRecord as RecordTable } from "../../src/wire/generated/wire/member-record.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import type { MemberRecord } from "../../src/wire/records.js";

const limits = { maxMembers: 100_000, maxMetaBytes: 512 };
const head: FrameHead = { kind: FrameKind.syncRequest, cluster: "prod", source: "wren-1", join: true };
const none = new Uint8Array(0);

function mapped(...bytes: number[]): Uint8Array {
  return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes);
}

function decoded(bytes: Uint8Array): DecodedFrame {
  const frame = decodeFrame(bytes, limits);
  if (frame instanceof FrameRejection) throw frame;
  return frame;
}

function decodeTurn(frames: Iterable<Uint8Array>): {
  frames: DecodedFrame[];
  members: MemberRecord[];
  payload: Uint8Array;
} {
  const list = [...frames].map(decoded);
  return {
    frames: list,
    members: list.flatMap((frame) => frame.members),
    payload: Buffer.concat(list.map((frame) => frame.payload)),
  };
}

const anyVersions = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const plainRecord: fc.Arbitrary<MemberRecord> = fc.record({
  name: fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }).filter((name) => Buffer.byteLength(name) <= 128),
  ip: fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }).map((ip) => mapped(...ip)),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  ),
  port: fc.integer({ min: 1, max: 65_535 }),
  incarnation: fc.integer({ min: 1, max: 0xffffffff }),
  state: fc.constantFrom(MemberState.alive, MemberState.suspect, MemberState.dead, MemberState.left),
  meta: fc.uint8Array({ maxLength: 512 }),
});
const anyRecord: fc.Arbitrary<MemberRecord> = fc.oneof(
  plainRecord,
  fc.tuple(plainRecord, anyVersions).map(([record, versions]) => ({ ...record, versions })),
);

describe("the addresses of records", () => {
  it("stay what they were, however many have the same one", () => {
    const ips = [1, 1, 2, 1, 1].map((last) => mapped(10, 0, 0, last));
    const record = { port: 7946, incarnation: 1, state: MemberState.alive, meta: none };
    const turn = encodeTurn(
      head,
      ips.map((ip, i) => ({ ...record, name: `m${i}`, ip })),
      none,
    );
    expect(decodeTurn(turn).members.map(({ ip }) => ip)).toEqual(ips);
  });
});

describe("a turn", () => {
  it("decodes to what was encoded, whatever the members and the payload", () => {
    fc.assert(
      fc.property(fc.array(anyRecord, { maxLength: 200 }), fc.uint8Array({ maxLength: 2_000 }), (records, payload) => {
        const turn = decodeTurn(encodeTurn(head, records, payload));
        expect(turn.members).toEqual(records);
        expect(Buffer.from(payload).equals(turn.payload)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  it("takes several bounded frames, of which only the last says so", () => {
    const records = Array.from(
      { length: 2_000 },
      (_, index): MemberRecord => ({
        name: `member-${index}`,
        ip: mapped(10, 0, index >> 8, index & 255),
        port: 7946,
        incarnation: 1,
        state: MemberState.alive,
        meta: new Uint8Array(index % 512).fill(7),
      }),
    );
    const payload = new Uint8Array(150_000).map((_, index) => index);
    const encoded = [...encodeTurn(head, records, payload)];
    for (const frame of encoded) expect(frame.length).toBeLessThanOrEqual(frameBodyBytes + 1024);
    const { frames, members, payload: got } = decodeTurn(encoded);
    expect(frames.length).toBeGreaterThan(10);
    expect(frames.map((frame) => frame.last)).toEqual([...frames.slice(1).map(() => false), true]);
    expect(frames.every((frame) => frame.join && frame.source === "wren-1" && frame.cluster === "prod")).toBe(true);
    expect(members).toEqual(records);
    expect(Buffer.from(payload).equals(got)).toBe(true);
  });

  it("without content is one last frame", () => {
    const frames = [...encodeTurn(head, [], none)].map(decoded);
    expect(frames).toHaveLength(1);
    expect(frames[0]).toEqual({ ...head, last: true, target: "", seq: 0, members: [], payload: none, reason: "" });
  });

  it("of 49,152 payload bytes and one more takes two frames", () => {
    const turn = decodeTurn(encodeTurn({ ...head, kind: FrameKind.message }, [], new Uint8Array(frameBodyBytes + 1)));
    expect(turn.frames.map((frame) => frame.payload.length).reduce((a, b) => a + b)).toBe(frameBodyBytes + 1);
    expect(turn.frames).toHaveLength(2);
  });

  it("may be built while another is under way, although both share one builder", () => {
    const a = encodeTurn(head, [], new Uint8Array(100_000).fill(1));
    const b = encodeTurn(head, [], new Uint8Array(100_000).fill(2));
    const framesOfA: Uint8Array[] = [];
    for (const frame of a) {
      framesOfA.push(frame);
      b.next();
    }
    expect(decodeTurn(framesOfA).payload.every((byte) => byte === 1)).toBe(true);
  });

  it("that could not be encoded does not spoil the next one", () => {
    const broken = { name: "x", ip: null as unknown as Uint8Array, port: 1, incarnation: 1, state: 0, meta: none };
    expect(() => [...encodeTurn(head, [broken], none)]).toThrow();
    expect(decoded(encodeFrame(head)).source).toBe("wren-1");
  });
});

describe("a frame", () => {
  it("carries whom a sync expects, and nobody when it does not matter", () => {
    const target = (kind: FrameKind) => decoded(encodeFrame({ ...head, kind, target: "crow" })).target;
    expect([target(FrameKind.syncRequest), target(FrameKind.message)]).toEqual(["crow", ""]);
    expect(decoded(encodeFrame({ ...head, kind: FrameKind.syncRequest })).target).toBe("");
  });

  it("carries a ping's target and number", () => {
    const frame = decoded(encodeFrame({ ...head, kind: FrameKind.ping, target: "crow", seq: 0xfffffffe }));
    expect([frame.kind, frame.target, frame.seq]).toEqual([FrameKind.ping, "crow", 0xfffffffe]);
  });

  it("carries a reason that is cut and holds no control characters", () => {
    const frame = decoded(encodeFrame({ ...head, kind: FrameKind.error, reason: `\x1b[31mno\n${"x".repeat(500)}` }));
    expect(frame.reason).toMatch(/^ \[31mno x+$/);
    expect(frame.reason).toHaveLength(256);
  });

  it("keeps a name that begins with a byte order mark as it is", () => {
    expect(decoded(encodeFrame({ ...head, source: "\ufeffcrow" })).source).toBe("\ufeffcrow");
  });

  it("owns its bytes after decoding", () => {
    const record = { name: "m", ip: mapped(1, 2, 3, 4), port: 5, incarnation: 6, state: 0, meta: Uint8Array.of(9) };
    const bytes = [...encodeTurn(head, [record], Uint8Array.of(8))][0]!;
    const frame = decoded(bytes);
    bytes.fill(0xee);
    expect([frame.payload, frame.members[0]]).toEqual([Uint8Array.of(8), record]);
  });

  it("keeps an IPv4 address as a number read big-endian", () => {
    const record = { name: "m", ip: mapped(1, 2, 3, 4), port: 5, incarnation: 6, state: 0, meta: none };
    const bytes = Buffer.from([...encodeTurn(head, [record], none)][0]!);
    expect(bytes.includes(Buffer.from([4, 3, 2, 1, 5, 0]))).toBe(true);
    expect(decoded(bytes).members[0]!.ip).toEqual(mapped(1, 2, 3, 4));
  });
});

interface RawRecord {
  name?: string | Uint8Array;
  incarnation?: number;
  state?: number;
  v4?: number;
  v6?: number;
  meta?: number;
}

/** Built with the generated classes alone, so that it can hold what the codec would not write. */
function rawFrame(
  records: RawRecord[],
  frame: { kind?: number; source?: string; target?: string; share?: number } = {},
): Uint8Array {
  const builder = new Builder(1024);
  const offsets = records.map((record) => rawRecord(builder, record));
  if (frame.share !== undefined) offsets.push(...Array.from({ length: frame.share }, () => offsets[0]!));
  const members = Frame.createMembersVector(builder, offsets);
  const source = builder.createString(frame.source ?? "wren-1");
  const target = frame.target === undefined ? 0 : builder.createString(frame.target);
  const root = Frame.createFrame(builder, frame.kind ?? 0, true, 0, source, target, 0, false, members, 0, 0, 0, 0);
  builder.finish(root);
  return builder.asUint8Array();
}

function rawRecord(builder: Builder, record: RawRecord): number {
  const name = builder.createString(record.name ?? "m");
  const meta = record.meta === undefined ? 0 : builder.createByteVector(new Uint8Array(record.meta));
  RecordTable.startMemberRecord(builder);
  RecordTable.addName(builder, name);
  RecordTable.addIncarnation(builder, record.incarnation ?? 1);
  RecordTable.addState(builder, record.state ?? 0);
  if (record.v4 !== undefined) RecordTable.addV4(builder, Address4.createAddress4(builder, 1, record.v4));
  if (record.v6 !== undefined) RecordTable.addV6(builder, Address6.createAddress6(builder, [], record.v6));
  RecordTable.addMeta(builder, meta);
  return RecordTable.endMemberRecord(builder);
}

describe("decoding rejects", () => {
  const cases: [string, Uint8Array, RegExp][] = [
    ["an unknown kind", rawFrame([], { kind: 99 }), /unknown frame kind 99/],
    ["an empty source", rawFrame([], { source: "" }), /source is not 1 to 128/],
    ["a source of 129 bytes", rawFrame([], { source: `${"é".repeat(64)}x` }), /source is not 1 to 128/],
    ["a sync whose target has no name", rawFrame([], { target: "" }), /target is not 1 to 128/],
    ["a ping without a target", rawFrame([], { kind: FrameKind.ping }), /target is not 1 to 128/],
    ["an empty name", rawFrame([{ name: "", v4: 1 }]), /name is not 1 to 128/],
    ["a name of 129 bytes", rawFrame([{ name: "x".repeat(129), v4: 1 }]), /name is not 1 to 128/],
    ["a name that is not UTF-8", rawFrame([{ name: Uint8Array.of(0x61, 0xff), v4: 1 }]), /not UTF-8/],
    ["incarnation 0", rawFrame([{ v4: 1 }, { incarnation: 0, v4: 1 }]), /member 1: incarnation 0/],
    ["an unknown state", rawFrame([{ state: 4, v4: 1 }]), /unknown state 4/],
    ["no address", rawFrame([{}]), /not exactly one address/],
    ["two addresses", rawFrame([{ v4: 1, v6: 1 }]), /not exactly one address/],
    ["IPv4 port 0", rawFrame([{ v4: 0 }]), /port 0/],
    ["IPv6 port 0", rawFrame([{ v6: 0 }]), /port 0/],
    ["long metadata", rawFrame([{ v4: 1, meta: 513 }]), /metadata of more than 512/],
  ];
  it.each(cases)("%s", (_, bytes, reason) => {
    const rejection = decodeFrame(bytes, limits);
    expect(rejection).toBeInstanceOf(FrameRejection);
    expect((rejection as FrameRejection).message).toMatch(reason);
  });

  it("more members than are left, also when they share one table", () => {
    const bytes = rawFrame([{ v4: 1 }], { share: 10_000 });
    expect((decodeFrame(bytes, { ...limits, maxMembers: 10_000 }) as FrameRejection).kind).toBe("oversized");
    expect((decodeFrame(bytes, limits) as DecodedFrame).members).toHaveLength(10_001);
  });

  it("nothing at the edge of the limits", () => {
    const edge = rawFrame([{ name: "x".repeat(128), v4: 65_535, incarnation: 0xffffffff, state: 3, meta: 512 }]);
    expect(decoded(edge).members[0]).toMatchObject({ port: 65_535, incarnation: 0xffffffff, state: MemberState.left });
  });
});
