import type { AddressHandle, MemberHandle } from "../wire/addon.js";
import type { Effects } from "./effects.js";

/** A ping on behalf of another member. */
interface Errand {
  readonly target: MemberHandle;
  readonly requester: AddressHandle;
  readonly requesterSeq: number;
  nackAtMs: number;
  readonly forgetAtMs: number;
}

/** More at once are refused: a member asks rarely, so a flood is a fault or an attack. */
const mostErrands = 1024;

/** Share of the probe time-out after which a helper sends its nack, so that it arrives before the verdict (E-04). */
const nackShare = 0.8;

/** Pings that this node makes as a helper of others (M-106). */
export class Errands {
  refused = 0;
  readonly #bySeq = new Map<number, Errand>();
  readonly #effects: Effects;
  readonly #nextSeq: () => number;
  readonly #probeTimeoutMs: number;

  constructor(effects: Effects, nextSeq: () => number, probeTimeoutMs: number) {
    this.#effects = effects;
    this.#nextSeq = nextSeq;
    this.#probeTimeoutMs = probeTimeoutMs;
  }

  /** When the next nack is due, or an answered-for errand may be forgotten. */
  nextVerdictMs(): number {
    let earliest = Number.POSITIVE_INFINITY;
    for (const errand of this.#bySeq.values()) earliest = Math.min(earliest, errand.nackAtMs, errand.forgetAtMs);
    return earliest;
  }

  /** @param target 0 when it is not a member that this node may ping. */
  handleRequest(
    nowMs: number,
    requester: AddressHandle,
    target: MemberHandle,
    address: AddressHandle,
    requesterSeq: number,
  ): void {
    // That we are here is still worth telling.
    if (target === 0 || this.#bySeq.size >= mostErrands) {
      this.refused++;
      this.#effects.datagrams.nack(requester, requesterSeq);
      return;
    }
    const seq = this.#nextSeq();
    this.#effects.directory.retainAddress(requester);
    const nackAtMs = nowMs + nackShare * this.#probeTimeoutMs;
    const forgetAtMs = nowMs + 2 * this.#probeTimeoutMs;
    this.#bySeq.set(seq, { target, requester, requesterSeq, nackAtMs, forgetAtMs });
    this.#effects.datagrams.ping(address, target, seq);
  }

  /** Passes an ack on. A late one still counts after the nack (T-043). */
  handleAck(seq: number): void {
    const errand = this.#bySeq.get(seq);
    if (errand === undefined) return;
    this.#effects.datagrams.ack(errand.requester, errand.requesterSeq, false);
    this.#forget(seq, errand);
  }

  /** The target's host refused: whoever asked learns at once, with our accusation on top of the nack. */
  handleRefused(target: MemberHandle): void {
    for (const errand of this.#bySeq.values()) {
      if (errand.target !== target || errand.nackAtMs === Number.POSITIVE_INFINITY) continue;
      this.#effects.datagrams.nack(errand.requester, errand.requesterSeq);
      errand.nackAtMs = Number.POSITIVE_INFINITY;
    }
  }

  advance(drainedThroughMs: number): void {
    for (const [seq, errand] of this.#bySeq) {
      if (errand.nackAtMs <= drainedThroughMs) {
        this.#effects.datagrams.nack(errand.requester, errand.requesterSeq);
        errand.nackAtMs = Number.POSITIVE_INFINITY;
      }
      if (errand.forgetAtMs <= drainedThroughMs) this.#forget(seq, errand);
    }
  }

  clear(): void {
    for (const [seq, errand] of this.#bySeq) this.#forget(seq, errand);
  }

  #forget(seq: number, errand: Errand): void {
    this.#bySeq.delete(seq);
    this.#effects.directory.releaseAddress(errand.requester);
  }
}
