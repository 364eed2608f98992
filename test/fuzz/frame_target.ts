import { unpackFrame } from "../../src/io/compression.js";
import { fingerprintsIn, receiveTurn, type Turn } from "../../src/io/exchange.js";
import type { FrameSocket } from "../../src/io/frame_socket.js";
import { StreamFault } from "../../src/io/stream_fault.js";
import { defaultStreamLimits } from "../../src/io/stream_limits.js";
import type { Comparison } from "../../src/swim/sync.js";
import { decodeFrame, encodeTurn, FrameRejection, packedIn } from "../../src/wire/frames.js";
import { FrameKind } from "../../src/wire/generated/wire/frame-kind.js";
import { MemberState } from "../../src/wire/generated/wire/member-state.js";
import type { MemberRecord } from "../../src/wire/records.js";
import { packVersions } from "../../src/wire/versions.js";
import { Stage } from "../support/recorder.js";

/** What became of a turn: why it was refused, or the kind of what was applied and what that did. */
export interface Outcome {
  readonly isApplied: boolean;
  /** With no numbers and names in it: turns of one signature took the same way. */
  readonly signature: string;
}

export const cluster = "fuzz";
export const knownNames = ["self", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"] as const;

const range = { min: 1, max: 3, current: 2 };
const ownVersions = packVersions({ protocol: range, application: range });
/** A turn of the largest frame takes some ten milliseconds. */
const hangMs = 2000;
const turnsPerLife = 64;

/**
 * The whole way of frames from an open chunk to the roster: verifier, unpacking, decoding, the rules of a turn, then
 * Sync as the two ends of an exchange call it. Throws when a frame does what none may do.
 */
export class FrameTarget {
  readonly #verify: (frame: Uint8Array) => boolean;
  readonly #nowMs: () => number;
  #stage = new Stage();
  #turnsLeft = 0;

  /** @param verify of a native endpoint. */
  constructor(verify: (frame: Uint8Array) => boolean, nowMs: () => number) {
    this.#verify = verify;
    this.#nowMs = nowMs;
  }

  /** The turn of a peer that sends these frames and then hangs up. */
  async run(frames: readonly Uint8Array[]): Promise<Outcome> {
    if (this.#turnsLeft-- === 0) this.#beginLife();
    const startedAtMs = this.#nowMs();
    const outcome = await this.#take(frames);
    const tookMs = this.#nowMs() - startedAtMs;
    if (tookMs > hangMs) throw new Error(`a turn that takes ${Math.round(tookMs)} ms`);
    return outcome;
  }

  /** Ends the life of the node: throws when it holds what it should have given back. */
  endLife(): void {
    this.#turnsLeft = 0;
    const held = this.#stage.heldAfterStop();
    if (held.length > 0) throw new Error(`held after the stop: ${held.slice(0, 5).join(", ")}`);
    this.#stage = new Stage();
  }

  #beginLife(): void {
    this.endLife();
    this.#turnsLeft = turnsPerLife;
    this.#stage = new Stage({}, 1, Uint8Array.of(1), ownVersions).started().knows(...knownNames.slice(1));
    this.#stage.suspect("m2", "m1");
    this.#stage.death("m3", "m1");
    this.#stage.farewell("m4");
    this.#stage.forget();
  }

  async #take(frames: readonly Uint8Array[]): Promise<Outcome> {
    let turn: Turn;
    try {
      turn = await receiveTurn(this.#socketOf(frames), cluster, defaultStreamLimits);
    } catch (error) {
      return refusal(error);
    }
    const before = this.#stage.swim.roster.size;
    try {
      this.#apply(turn);
    } catch (error) {
      return refusal(error);
    }
    const { events, calls } = this.#stage.recorder;
    const did = new Set([...events.map(({ kind }) => kind), ...calls.map(({ verb }) => verb)]);
    this.#check(turn, before);
    return { isApplied: true, signature: `${FrameKind[turn.head.kind]} ${[...did].sort().join(" ")}` };
  }

  /** A stream of which only receive() is asked. */
  #socketOf(frames: readonly Uint8Array[]): FrameSocket {
    let next = 0;
    const receive = async (): Promise<Uint8Array> => {
      const frame = frames[next++];
      if (frame === undefined) throw new StreamFault("truncated", "connection closed");
      if (!this.#verify(frame)) throw new StreamFault("seal", "not a frame");
      const inside = packedIn(frame);
      if (inside === null) return frame;
      const plain = await unpackFrame(inside, defaultStreamLimits.maxChunkBytes);
      if (!this.#verify(plain)) throw new StreamFault("malformed", "what was packed is not a frame");
      return plain;
    };
    return { receive } as unknown as FrameSocket;
  }

  #apply({ head, records, payload }: Turn): void {
    const { swim, nowMs } = this.#stage;
    switch (head.kind) {
      case FrameKind.syncRequest:
      case FrameKind.syncReply:
      case FrameKind.digestFill:
        return swim.handleSync(nowMs, head.source, records);
      case FrameKind.digest:
        return this.#checkComparison(swim.sync.compare(head.seq, fingerprintsIn(payload)), payload);
      case FrameKind.digestReply: {
        const wanted = fingerprintsIn(payload);
        swim.handleSync(nowMs, head.source, records);
        return this.#checkTold(swim.sync.recordsOf(head.seq, wanted));
      }
      case FrameKind.message:
      case FrameKind.receipt:
      case FrameKind.ping:
      case FrameKind.ack:
      case FrameKind.error:
      case FrameKind.confirm:
        return;
      default:
        throw new Error(`a kind that decoding should refuse: ${head.kind satisfies never}`);
    }
  }

  #checkComparison({ records, wanted }: Comparison, payload: Uint8Array): void {
    this.#checkTold(records);
    if (wanted.length > payload.length / 4) throw new Error("more is wanted than the peer has");
  }

  /** What we tell must be what others accept, or one member's nonsense would end the syncs of all. */
  #checkTold(records: readonly MemberRecord[]): void {
    if (records.length > this.#stage.swim.roster.size) throw new Error("more is told than is known");
    const head = { kind: FrameKind.syncReply, cluster, source: "self" };
    const limits = { maxMembers: records.length, maxMetaBytes: defaultStreamLimits.maxMetaBytes };
    let told = 0;
    for (const frame of encodeTurn(head, records, new Uint8Array(0))) {
      if (!this.#verify(frame)) throw new Error("we encode what does not verify");
      const decoded = decodeFrame(frame, limits);
      if (decoded instanceof FrameRejection) throw new Error(`we tell what others refuse: ${decoded.message}`);
      told += decoded.members.length;
    }
    if (told !== records.length) throw new Error("we tell less than we know");
  }

  #check({ records }: Turn, sizeBefore: number): void {
    const stage = this.#stage;
    const { roster } = stage.swim;
    const states = [MemberState.alive, MemberState.suspect, MemberState.dead, MemberState.left];
    const counted = states.reduce((sum, state) => sum + roster.count(state), 0);
    if (counted !== roster.size) throw new Error(`${roster.size} members, of which ${counted} are in some state`);
    if (roster.size > sizeBefore + records.length) throw new Error("more members than were told of");
    if (!/^alive [1-9]/.test(stage.view("self"))) throw new Error(`we are ${stage.view("self")}`);
    // An alive or suspect record tells of a member, accuses it, asks it to refute: no more than that.
    const calls = stage.recorder.take().length;
    if (calls > 8 * (records.length + 1)) throw new Error(`${calls} effects of ${records.length} records`);
    stage.forget();
    stage.recorder.conflicts.length = 0;
    stage.recorder.urgent.length = 0;
    // Timers, verdicts among them; runTo() throws when they make no progress.
    if (this.#turnsLeft % 8 !== 0) return;
    this.#checkTold(stage.swim.sync.localRecords());
    stage.runTo(stage.nowMs + 700);
    stage.forget();
  }
}

/** Nothing but a fault of the stream may be thrown, with words that are fit for a log. */
function refusal(error: unknown): Outcome {
  if (!(error instanceof StreamFault)) throw error;
  const { kind, message } = error;
  if (message.length > 512) throw new Error(`a fault of ${message.length} characters`);
  if (/\p{Cc}/u.test(message)) throw new Error(`control characters in the fault ${JSON.stringify(message)}`);
  return { isApplied: false, signature: `${kind} ${message.replace(/".*"|\d+/gs, "#")}` };
}
