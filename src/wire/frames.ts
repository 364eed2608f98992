/**
 * The Frame of a stream: encoding, and decoding of a buffer that the native verifier accepted.
 */
import { Builder, ByteBuffer, Encoding } from "flatbuffers";
import { Address4 } from "./generated/wire/address4.js";
import { Address6 } from "./generated/wire/address6.js";
import { Codec } from "./generated/wire/codec.js";
import { Frame } from "./generated/wire/frame.js";
import { FrameKind } from "./generated/wire/frame-kind.js";
import { MemberRecord as RecordTable } from "./generated/wire/member-record.js";
import { MemberState } from "./generated/wire/member-state.js";
import { Versions } from "./generated/wire/versions.js";
import { isMappedIpv4, sharedIp, writeMappedIpv4 } from "./ip.js";
import type { MemberRecord } from "./records.js";
import { AsciiTexts } from "./texts.js";
import { type PackedVersions, readVersions, unknownVersions, unpackVersions } from "./versions.js";

/** Most plaintext bytes that members and payload take in one frame; the head adds less than 1 KiB. */
export const frameBodyBytes = 48 * 1024;
/** Longest member name in UTF-8 bytes. */
export const maxNameBytes = 128;
const maxReasonLength = 256;

/** What every frame of one sender's turn repeats. */
export interface FrameHead {
  readonly kind: FrameKind;
  /** Full cluster name. */
  readonly cluster: string;
  /** The sender's member name. */
  readonly source: string;
  /** For a ping: who is meant. For a sync: who is expected, if that matters. Default "". */
  readonly target?: string;
  /** For a ping and its ack. Default 0. */
  readonly seq?: number;
  /** For a sync: the sender joins. Default false. */
  readonly join?: boolean;
  /** For an error; cut to 256 characters. Default "". */
  readonly reason?: string;
}

/** What a head has besides who sends what. */
export type FrameDetails = Omit<FrameHead, "kind" | "cluster" | "source">;

/** A frame as plain values that own their bytes. */
export interface DecodedFrame extends Required<FrameHead> {
  /** False when the sender's turn goes on with another frame. */
  readonly last: boolean;
  readonly members: MemberRecord[];
  readonly payload: Uint8Array;
}

export interface DecodeLimits {
  /** Most members this frame may carry. */
  readonly maxMembers: number;
  /** Longest metadata of one member, in bytes. */
  readonly maxMetaBytes: number;
}

/** Encodes a turn that is one frame without members and payload. The caller owns the bytes. */
export function encodeFrame(head: FrameHead): Uint8Array {
  builder.clear();
  return finishFrame(head, [], noBytes, true);
}

/**
 * Encodes one sender's turn, members before payload, as frames of at most `frameBodyBytes`; only the last
 * one says so. Each frame is built when it is asked for, so that a slow reader holds one in memory.
 */
export function* encodeTurn(
  head: FrameHead,
  records: readonly MemberRecord[],
  payload: Uint8Array,
): Generator<Uint8Array, void, void> {
  let record = 0;
  let byte = 0;
  do {
    builder.clear();
    const members: number[] = [];
    for (; record < records.length; record++) {
      const next = records[record]!;
      if (members.length > 0 && roomAfter(members.length) < recordBytes(next)) break;
      members.push(writeRecord(next));
    }
    const room = record < records.length ? 0 : Math.max(0, roomAfter(members.length));
    const part = payload.subarray(byte, byte + room);
    byte += part.length;
    yield finishFrame(head, members, part, record === records.length && byte === payload.length);
  } while (record < records.length || byte < payload.length);
}

/** A frame of which nothing is known but how to unpack the one inside. */
export interface PackedFrame {
  readonly codec: Codec;
  /** A view. */
  readonly packed: Uint8Array;
}

/** Encodes the frame around a packed one. */
export function encodePacked(codec: Codec, packed: Uint8Array): Uint8Array {
  const around = new Builder(packed.length + 64);
  const packedOffset = around.createByteVector(packed);
  Frame.startFrame(around);
  Frame.addCodec(around, codec);
  Frame.addPacked(around, packedOffset);
  around.finish(Frame.endFrame(around));
  return around.asUint8Array();
}

/** What a verified frame has inside; null when it is a plain one. */
export function packedIn(bytes: Uint8Array): PackedFrame | null {
  const frame = Frame.getRootAsFrame(new ByteBuffer(bytes), view);
  const codec = frame.codec();
  return codec === Codec.none ? null : { codec, packed: frame.packedArray() ?? noBytes };
}

/**
 * Decodes a frame that verified as a FlatBuffer and checks what a verifier cannot.
 * Returns the rejection instead of throwing it, since a peer's nonsense is no exception here.
 */
export function decodeFrame(bytes: Uint8Array, limits: DecodeLimits): DecodedFrame | FrameRejection {
  try {
    return readFrame(bytes, limits);
  } catch (error) {
    if (error instanceof FrameRejection) return error;
    throw error;
  }
}

/** A peer's words as they may end in a log or a terminal: at most 256 characters, none that controls anything. */
export function onOneLine(text: string): string {
  return text.slice(0, maxReasonLength).replace(/\p{Cc}/gu, " ");
}

/** Why a frame is not accepted; the message may be told to its sender. */
export class FrameRejection extends Error {
  readonly kind: "malformed" | "oversized";

  constructor(kind: "malformed" | "oversized", reason: string) {
    super(reason);
    this.kind = kind;
  }
}

// One builder for all frames: a frame is finished and copied out before anything else can run.
const builder = new Builder(64 * 1024);
const noBytes = new Uint8Array(0);
const ascii = new Uint8Array(maxNameBytes);
/** By length, because names have few different ones. */
const asciiOfLength: (Uint8Array | undefined)[] = [];
const texts = new AsciiTexts();
const addressBytes = new Uint8Array(16);
// Fatal, because a replaced character would give a member another name here than elsewhere.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const view = new Frame();
const recordView = new RecordTable();
const address4 = new Address4();
const address6 = new Address6();
const versionsView = new Versions();

function roomAfter(members: number): number {
  return frameBodyBytes - builder.offset() - 4 * members;
}

/** Upper bound: table, vtable, inline fields, two length prefixes with padding, and at most 3 UTF-8 bytes a unit. */
function recordBytes(record: MemberRecord): number {
  return 104 + 3 * record.name.length + record.meta.length;
}

function writeRecord(record: MemberRecord): number {
  const name = builder.createString(asciiOf(record.name) ?? record.name);
  const meta = record.meta.length > 0 ? builder.createByteVector(record.meta) : 0;
  RecordTable.startMemberRecord(builder);
  RecordTable.addName(builder, name);
  RecordTable.addIncarnation(builder, record.incarnation);
  RecordTable.addState(builder, record.state);
  writeAddress(record.ip, record.port);
  RecordTable.addMeta(builder, meta);
  writeVersions(record.versions ?? unknownVersions);
  return RecordTable.endMemberRecord(builder);
}

/** In a buffer of its own until the next call; null when other characters are in it. Most names are plain ASCII. */
function asciiOf(text: string): Uint8Array | null {
  if (text.length > maxNameBytes) return null;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return null;
    ascii[i] = code;
  }
  return (asciiOfLength[text.length] ??= ascii.subarray(0, text.length));
}

function writeAddress(ip: Uint8Array, port: number): void {
  if (isMappedIpv4(ip)) {
    const number = ((ip[12]! << 24) | (ip[13]! << 16) | (ip[14]! << 8) | ip[15]!) >>> 0;
    RecordTable.addV4(builder, Address4.createAddress4(builder, number, port));
  } else {
    RecordTable.addV6(builder, Address6.createAddress6(builder, Array.from(ip), port));
  }
}

function writeVersions(packed: PackedVersions): void {
  const versions = unpackVersions(packed);
  if (versions === null) return;
  const { protocol: p, application: a } = versions;
  RecordTable.addVersions(builder, Versions.createVersions(builder, p.min, p.max, p.current, a.min, a.max, a.current));
}

function finishFrame(head: FrameHead, members: number[], payload: Uint8Array, last: boolean): Uint8Array {
  const payloadOffset = payload.length > 0 ? builder.createByteVector(payload) : 0;
  const membersOffset = members.length > 0 ? Frame.createMembersVector(builder, members) : 0;
  const cluster = builder.createString(head.cluster);
  const source = builder.createString(head.source);
  const target = head.target ? builder.createString(head.target) : 0;
  const reason = head.reason ? builder.createString(head.reason.slice(0, maxReasonLength)) : 0;
  builder.finish(
    Frame.createFrame(
      builder,
      head.kind,
      last,
      cluster,
      source,
      target,
      head.seq ?? 0,
      head.join ?? false,
      membersOffset,
      payloadOffset,
      reason,
      Codec.none,
      0,
    ),
  );
  return builder.asUint8Array().slice();
}

function readFrame(bytes: Uint8Array, limits: DecodeLimits): DecodedFrame {
  const frame = Frame.getRootAsFrame(new ByteBuffer(bytes), view);
  if (frame.codec() !== Codec.none || frame.packedLength() > 0) reject("a packed frame where a plain one is due");
  const kind = frame.kind();
  if (FrameKind[kind] === undefined) reject(`unknown frame kind ${kind}`);
  return {
    kind,
    last: frame.last(),
    cluster: readText(frame.cluster(Encoding.UTF8_BYTES), "cluster"),
    source: readName(frame.source(Encoding.UTF8_BYTES), "source"),
    target: readTarget(frame, kind),
    seq: frame.seq(),
    join: frame.join(),
    members: readMembers(frame, limits),
    payload: frame.payloadArray()?.slice() ?? noBytes,
    reason: onOneLine(readText(frame.reason(Encoding.UTF8_BYTES), "reason")),
  };
}

function readTarget(frame: Frame, kind: FrameKind): string {
  const target = frame.target(Encoding.UTF8_BYTES);
  if (kind === FrameKind.ping) return readName(target, "target");
  return kind === FrameKind.syncRequest && target !== null ? readName(target, "target") : "";
}

function readMembers(frame: Frame, limits: DecodeLimits): MemberRecord[] {
  const count = frame.membersLength();
  // Before the loop: vectors may point at one table many times, so a small frame can hold many members.
  if (count > limits.maxMembers) {
    throw new FrameRejection("oversized", `more members than the ${limits.maxMembers} left of the limit`);
  }
  const members: MemberRecord[] = [];
  for (let index = 0; index < count; index++) {
    members.push(readRecord(frame.members(index, recordView)!, index, limits.maxMetaBytes));
  }
  return members;
}

function readRecord(record: RecordTable, index: number, maxMetaBytes: number): MemberRecord {
  const state = record.state();
  const incarnation = record.incarnation();
  if (MemberState[state] === undefined) reject(`member ${index}: unknown state ${state}`);
  if (incarnation === 0) reject(`member ${index}: incarnation 0`);
  if (record.metaLength() > maxMetaBytes) {
    throw new FrameRejection("oversized", `member ${index}: metadata of more than ${maxMetaBytes} bytes`);
  }
  const name = readName(record.name(Encoding.UTF8_BYTES), "member name");
  const port = readAddress(record, addressBytes);
  if (port === null) reject(`member ${index}: not exactly one address`);
  if (port === 0) reject(`member ${index}: port 0`);
  const ip = sharedIp(addressBytes);
  const versions = readVersions(record.versions(versionsView));
  const meta = record.metaArray()?.slice() ?? noBytes;
  if (versions === unknownVersions) return { name, ip, port, incarnation, state, meta };
  return { name, ip, port, incarnation, state, meta, versions };
}

/** Writes the address into `ip` and returns the port; null unless the record has exactly one. */
function readAddress(record: RecordTable, ip: Uint8Array): number | null {
  const v4 = record.v4(address4);
  const v6 = record.v6(address6);
  if (v4 !== null && v6 === null) {
    writeMappedIpv4(v4.ip(), ip);
    return v4.port();
  }
  if (v6 === null || v4 !== null) return null;
  for (let index = 0; index < 16; index++) ip[index] = v6.ip(index)!;
  return v6.port();
}

function readName(bytes: string | Uint8Array | null, what: string): string {
  const length = bytes?.length ?? 0;
  if (length === 0 || length > maxNameBytes) reject(`${what} is not 1 to ${maxNameBytes} bytes long`);
  return readText(bytes, what);
}

function readText(bytes: string | Uint8Array | null, what: string): string {
  if (bytes === null) return "";
  if (typeof bytes === "string") return bytes;
  const text = bytes.length <= maxNameBytes ? texts.of(bytes) : null;
  if (text !== null) return text;
  try {
    return decoder.decode(bytes);
  } catch {
    reject(`${what} is not UTF-8`);
  }
}

function reject(reason: string): never {
  throw new FrameRejection("malformed", reason);
}
