/** Turns of an exchange: what one side says, over as many frames as it takes. */
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  type DecodedFrame,
  decodeFrame,
  encodeTurn,
  type FrameDetails,
  type FrameHead,
  FrameRejection,
  onOneLine,
} from "../wire/frames.js";
import { FrameKind } from "../wire/generated/wire/frame-kind.js";
import type { MemberRecord } from "../wire/records.js";
import type { FrameSocket } from "./frame_socket.js";
import { StreamFault } from "./stream_fault.js";
import type { StreamLimits } from "./stream_limits.js";

/** One side's complete turn. */
export interface Turn {
  /** Of the first frame; all frames of a turn agree in kind and source. */
  readonly head: DecodedFrame;
  readonly records: MemberRecord[];
  readonly payload: Uint8Array;
}

export interface TurnContent {
  readonly records: readonly MemberRecord[];
  readonly payload: Uint8Array;
}

/** Who speaks, in every frame. */
export interface Speaker {
  /** Full cluster name. */
  readonly cluster: string;
  /** Our member name. */
  readonly selfName: () => string;
}

/** Details last: V8 gives an object that begins with a spread a shape of its own, and there is one for every turn. */
export function headOf(speaker: Speaker, kind: FrameKind, details: FrameDetails = {}): FrameHead {
  return { kind, cluster: speaker.cluster, source: speaker.selfName(), ...details };
}

export const noContent: TurnContent = { records: [], payload: new Uint8Array(0) };

export async function sendTurn(stream: FrameSocket, head: FrameHead, content: TurnContent): Promise<void> {
  const mayPack = mayCarryMembers(head.kind);
  let frames = 0;
  for (const frame of encodeTurn(head, content.records, content.payload)) {
    // A socket with room takes one frame after another; timers and datagrams must have their turn between two.
    if (frames++ > 0) await nextTurn();
    await stream.send(frame, mayPack);
  }
}

/**
 * Reads frames up to the last of the turn. Rejects with a StreamFault; when the frames opened but make no
 * sense or exceed a limit the stream stays usable, so that the acceptor can tell the dialer why.
 */
export async function receiveTurn(stream: FrameSocket, cluster: string, limits: StreamLimits): Promise<Turn> {
  const records: MemberRecord[] = [];
  const parts: Uint8Array[] = [];
  let head: DecodedFrame | null = null;
  let payloadBytes = 0;
  for (;;) {
    // What has arrived already would be read without a pause.
    if (head !== null) await nextTurn();
    const frame = decode(await stream.receive(), limits, limits.maxSyncRecords - records.length);
    head ??= frame;
    checkFrame(frame, head, cluster);
    payloadBytes += frame.payload.length;
    const mostBytes = isDigest(head.kind) ? 4 * limits.maxSyncRecords : limits.maxMessageBytes;
    if (payloadBytes > mostBytes) throw new StreamFault("oversized", `a payload of more than ${mostBytes} bytes`);
    for (const record of frame.members) records.push(record);
    parts.push(frame.payload);
    if (frame.last) return { head, records, payload: join(parts, payloadBytes) };
  }
}

function decode(bytes: Uint8Array, limits: StreamLimits, maxMembers: number): DecodedFrame {
  const frame = decodeFrame(bytes, { maxMembers, maxMetaBytes: limits.maxMetaBytes });
  if (frame instanceof FrameRejection) throw new StreamFault(frame.kind, frame.message);
  return frame;
}

function checkFrame(frame: DecodedFrame, head: DecodedFrame, cluster: string): void {
  if (frame.cluster !== cluster) throw new StreamFault("cluster", `"${onOneLine(frame.cluster)}" is not "${cluster}"`);
  if (frame.kind !== head.kind || frame.source !== head.source) {
    throw new StreamFault("malformed", "frames of one turn differ in kind or source");
  }
  if (frame.members.length > 0 && !mayCarryMembers(frame.kind)) throw misplaced("members", frame.kind);
  if (frame.payload.length > 0 && !mayCarryPayload(frame.kind)) throw misplaced("a payload", frame.kind);
}

/** Whose payload is fingerprints. */
function isDigest(kind: FrameKind): boolean {
  return kind === FrameKind.digest || kind === FrameKind.digestReply;
}

function mayCarryMembers(kind: FrameKind): boolean {
  const isSync = kind === FrameKind.syncRequest || kind === FrameKind.syncReply;
  return isSync || kind === FrameKind.digestReply || kind === FrameKind.digestFill;
}

function mayCarryPayload(kind: FrameKind): boolean {
  const isSync = kind === FrameKind.syncRequest || kind === FrameKind.syncReply;
  return isSync || isDigest(kind) || kind === FrameKind.message;
}

/** As they travel; every platform that the addon is built for is little endian. */
export function bytesOfFingerprints(fingerprints: Uint32Array): Uint8Array {
  return new Uint8Array(fingerprints.buffer, fingerprints.byteOffset, fingerprints.byteLength);
}

export function fingerprintsIn(payload: Uint8Array): Uint32Array {
  if (payload.length % 4 !== 0) throw new StreamFault("malformed", "fingerprints that are no whole numbers");
  return new Uint32Array(payload.slice().buffer);
}

function misplaced(what: string, kind: FrameKind): StreamFault {
  return new StreamFault("malformed", `${what} in a frame of kind ${FrameKind[kind]}`);
}

function join(parts: Uint8Array[], bytes: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(bytes);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
