import type { Random } from "../random.js";
import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import { MemberState } from "../wire/generated/wire/member-state.js";
import type { Directory, Streams } from "./effects.js";
import type { LiveWatcher, Roster } from "./roster.js";

/** How often a member considers to try somebody. */
const tickMs = 10_000;
/** One who is dead for t is tried by the whole cluster once in t / 10, within these bounds. */
const shortestGapMs = 10_000;
const longestGapMs = 300_000;
/** More are not remembered; the longest dead goes first. */
const mostRemembered = 4096;

const never = Number.POSITIVE_INFINITY;

interface Gone {
  readonly address: AddressHandle;
  readonly sinceMs: number;
}

export interface ReconnectParts {
  readonly directory: Directory;
  readonly streams: Streams;
  readonly random: Random;
}

/**
 * Remembers the dead long after the roster forgot them, and compares views with them now and then: after a partition,
 * however long, the two sides find each other without help (ARCHITECTURE 5.12, as Serf does: S-172). All members of a
 * side together try each of its dead once in a growing time, so that it costs nobody anything.
 */
export class Reconnect implements LiveWatcher {
  tried = 0;
  readonly #timeoutMs: number;
  readonly #parts: ReconnectParts;
  readonly #gone = new Map<MemberHandle, Gone>();
  #roster: Roster | null = null;
  #tickAtMs = never;

  /** @param timeoutMs after so long dead nobody is tried any more; 0: at once. */
  constructor(timeoutMs: number, parts: ReconnectParts) {
    this.#timeoutMs = timeoutMs;
    this.#parts = parts;
  }

  /** Members remembered. */
  get size(): number {
    return this.#gone.size;
  }

  start(nowMs: number, roster: Roster): void {
    this.#roster = roster;
    if (this.#timeoutMs > 0) this.#tickAtMs = nowMs + this.#parts.random.nextFloat() * tickMs;
  }

  stop(): void {
    this.#tickAtMs = never;
    for (const member of [...this.#gone.keys()]) this.#forget(member);
  }

  nextTickMs(): number {
    return this.#gone.size === 0 ? never : this.#tickAtMs;
  }

  advance(nowMs: number): void {
    if (this.nextTickMs() > nowMs) return;
    this.#tickAtMs = nowMs + tickMs;
    for (const [member, { sinceMs }] of this.#gone) {
      if (nowMs - sinceMs > this.#timeoutMs || this.#hasLeft(member)) this.#forget(member);
    }
    this.#tryOne(nowMs);
  }

  // --- LiveWatcher

  handleCame(member: MemberHandle): void {
    this.#forget(member);
  }

  handleWent(member: MemberHandle): void {
    const roster = this.#roster;
    if (roster === null || this.#tickAtMs === never) return;
    if (!roster.has(member) || roster.stateOf(member) !== MemberState.dead) return;
    const address = roster.addressOf(member);
    const { directory } = this.#parts;
    directory.retain(member);
    directory.retainAddress(address);
    this.#gone.set(member, { address, sinceMs: roster.changedAtMs(member) });
    if (this.#gone.size > mostRemembered) this.#forget(this.#gone.keys().next().value as MemberHandle);
  }

  #tryOne(nowMs: number): void {
    const { random, streams } = this.#parts;
    const all = [...this.#gone];
    const chosen = all[random.below(Math.max(1, all.length))];
    if (chosen === undefined) return;
    const [member, { address, sinceMs }] = chosen;
    const gapMs = Math.min(longestGapMs, Math.max(shortestGapMs, (nowMs - sinceMs) / 10));
    const live = Math.max(1, this.#roster?.liveCount ?? 1);
    if (random.nextFloat() >= (all.length / live) * (tickMs / gapMs)) return;
    this.tried++;
    streams.reconcile(address, member);
  }

  #hasLeft(member: MemberHandle): boolean {
    const roster = this.#roster as Roster;
    return roster.has(member) && roster.stateOf(member) === MemberState.left;
  }

  #forget(member: MemberHandle): void {
    const gone = this.#gone.get(member);
    if (gone === undefined) return;
    this.#gone.delete(member);
    const { directory } = this.#parts;
    directory.releaseAddress(gone.address);
    directory.release(member);
  }
}
