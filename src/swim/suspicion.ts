import type { MemberHandle } from "../wire/addon.js";
import { Evidence } from "../wire/generated/wire/evidence.js";

/** M-113: suspicionMult x max(1, log10(members)) x probeIntervalMs, the logarithm cut to three decimals. */
export function scaledSuspicionMs(suspicionMult: number, members: number, probeIntervalMs: number): number {
  const scale = Math.max(1, Math.log10(Math.max(1, members)));
  return Math.floor(suspicionMult * (Math.floor(scale * 1000) / 1000) * probeIntervalMs);
}

/** M-115: independent confirmations that bring the time-out down to its minimum. */
export function expectedConfirmations(suspicionMult: number, members: number): number {
  const expected = suspicionMult - 2;
  return members - 2 < expected ? 0 : expected;
}

/**
 * Lifeguard section IV.B, M-116: max - log(c + 1) / log(k + 1) x (max - min), in whole milliseconds, at least min.
 * Without expected confirmations it is min.
 */
export function suspicionTimeoutMs(confirmations: number, expected: number, minMs: number, maxMs: number): number {
  if (expected < 1) return minMs;
  const share = Math.log(confirmations + 1) / Math.log(expected + 1);
  return Math.max(minMs, Math.floor(maxMs - share * (maxMs - minMs)));
}

/** One suspected member. Times are in hearing time (see Hearing), so that they stand still while we are deaf. */
export interface Suspicion {
  readonly member: MemberHandle;
  readonly accusers: Set<MemberHandle>;
  readonly startedHeardMs: number;
  /** Of the ping that looks once more before the verdict; 0: it has not left. */
  checkSeq: number;
  /** Time that it was given on top. */
  extraMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  /** Confirmations that bring it down to its minimum; 0: it is there. */
  expected: number;
}

/** All running suspicions, with the earliest expiry at hand. */
export class Suspicions {
  readonly #byMember = new Map<MemberHandle, Suspicion>();
  #earliestHeardMs = Number.POSITIVE_INFINITY;
  #isStale = false;

  get size(): number {
    return this.#byMember.size;
  }

  /** @param nowHeardMs the time, less the time that clocks stood still. */
  start(member: MemberHandle, accuser: MemberHandle, nowHeardMs: number, timing: SuspicionTiming): void {
    const accusers = new Set([accuser]);
    const suspicion = { member, accusers, startedHeardMs: nowHeardMs, checkSeq: 0, extraMs: 0, ...timing };
    this.#byMember.set(member, suspicion);
    this.#earliestHeardMs = Math.min(this.#earliestHeardMs, expiryHeardMs(suspicion));
  }

  /**
   * Whether the accuser is new and still counts (M-116): the first accuser, repeats, unknown accusers and those
   * past the expected number do not.
   */
  confirm(member: MemberHandle, accuser: MemberHandle): boolean {
    const suspicion = this.#byMember.get(member);
    if (suspicion === undefined || accuser === 0 || suspicion.accusers.has(accuser)) return false;
    if (confirmationsOf(suspicion) >= suspicion.expected) return false;
    suspicion.accusers.add(accuser);
    this.#earliestHeardMs = Math.min(this.#earliestHeardMs, expiryHeardMs(suspicion));
    return true;
  }

  /** Brings a suspicion down to its minimum; whether it still expected confirmations. */
  hasten(member: MemberHandle): boolean {
    const suspicion = this.#byMember.get(member);
    if (suspicion === undefined || suspicion.expected === 0) return false;
    suspicion.expected = 0;
    this.#earliestHeardMs = Math.min(this.#earliestHeardMs, expiryHeardMs(suspicion));
    return true;
  }

  /** Gives a suspected member more time. */
  postpone(member: MemberHandle, byMs: number): void {
    const suspicion = this.#byMember.get(member);
    if (suspicion === undefined) return;
    suspicion.extraMs += byMs;
    this.#isStale = true;
  }

  /** Leaves no suspicion less than its shortest time, as if it began at `nowHeardMs`. */
  renew(nowHeardMs: number): void {
    for (const suspicion of this.#byMember.values()) {
      const leftMs = expiryHeardMs(suspicion) - nowHeardMs;
      suspicion.extraMs += Math.max(0, suspicion.minMs - leftMs);
      suspicion.checkSeq = 0;
    }
    this.#isStale = true;
  }

  end(member: MemberHandle): void {
    if (this.#byMember.delete(member)) this.#isStale = true;
  }

  /** What one who repeats the accusation may say of it. */
  evidenceOf(member: MemberHandle, accuser: MemberHandle): Evidence {
    return this.#byMember.get(member)?.accusers.has(accuser) ? Evidence.timeout : Evidence.hearsay;
  }

  of(member: MemberHandle): Suspicion | undefined {
    return this.#byMember.get(member);
  }

  /** Earliest expiry in hearing time, Infinity when nobody is suspected. */
  earliestHeardMs(): number {
    if (this.#isStale) {
      this.#isStale = false;
      this.#earliestHeardMs = Number.POSITIVE_INFINITY;
      for (const suspicion of this.#byMember.values()) {
        this.#earliestHeardMs = Math.min(this.#earliestHeardMs, expiryHeardMs(suspicion));
      }
    }
    return this.#earliestHeardMs;
  }

  /**
   * Members whose suspicion has run out at `nowMs`, after clocks stood still for `frozenMs`. They stay until end() is
   * called. Adds up like Swim's deadline does, so that both agree to the last bit.
   */
  expired(nowMs: number, frozenMs: number): MemberHandle[] {
    if (this.earliestHeardMs() + frozenMs > nowMs) return [];
    const due: MemberHandle[] = [];
    for (const suspicion of this.#byMember.values()) {
      if (expiryHeardMs(suspicion) + frozenMs <= nowMs) due.push(suspicion.member);
    }
    return due;
  }
}

export interface SuspicionTiming {
  readonly minMs: number;
  readonly maxMs: number;
  readonly expected: number;
}

export function confirmationsOf(suspicion: Suspicion): number {
  return suspicion.accusers.size - 1;
}

/** From its start, as its confirmations have it now. */
export function timeoutMsOf(suspicion: Suspicion): number {
  const { expected, minMs, maxMs } = suspicion;
  return suspicionTimeoutMs(confirmationsOf(suspicion), expected, minMs, maxMs);
}

function expiryHeardMs(suspicion: Suspicion): number {
  return suspicion.startedHeardMs + timeoutMsOf(suspicion) + suspicion.extraMs;
}
