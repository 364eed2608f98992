import type { MemberHandle } from "../wire/addon.js";
import type { Evidence } from "../wire/generated/wire/evidence.js";
import type { MemberState } from "../wire/generated/wire/member-state.js";
import type { Roster } from "./roster.js";
import { confirmationsOf, type Suspicions, timeoutMsOf } from "./suspicion.js";

/** What answered a probe, or why nothing did. */
export const ProbeEnd = {
  /** The target itself, over UDP. */
  direct: 0,
  /** The target, through a helper. */
  indirect: 1,
  /** The target over TCP, before anything came over UDP (M-108). */
  tcp: 2,
  failed: 3,
  /** Nothing was heard from anybody: no verdict. */
  inconclusive: 4,
  /** The target left or was declared dead meanwhile. */
  gone: 5,
} as const;
export type ProbeEnd = (typeof ProbeEnd)[keyof typeof ProbeEnd];

/** In place of the state before: we had not heard of the member. */
export const unheardOf = 255;
export type StateBefore = MemberState | typeof unheardOf;

/**
 * Is told what the core does, for logs, diagnostics and history. Numbers only, so that telling costs next to nothing.
 * Handles are valid during the call. Must not call back into the core, nor run user code.
 */
export interface Observer {
  probeStarted(target: MemberHandle, health: number): void;
  /** @param rttMs from the first ping to the answer; -1 without one. */
  probeEnded(target: MemberHandle, how: ProbeEnd, rttMs: number, health: number): void;
  /** Somebody else is suspected (`confirmations` 0), or an independent accuser confirms it (M-117). */
  suspected(nowMs: number, suspicion: ObservedSuspicion): void;
  /** We were accused and refuted it (M-172). */
  refuted(nowMs: number, from: MemberHandle, accused: number, evidence: Evidence, incarnation: number): void;
  /** @param by who accused or declared it dead; the member itself for a farewell; 0 otherwise. */
  became(nowMs: number, member: MemberHandle, change: ObservedChange): void;
  healthChanged(before: number, score: number): void;
  /** We stay out of the cluster because our links are bad, or come back. */
  quarantined(isOn: boolean): void;
}

export interface ObservedSuspicion {
  readonly subject: MemberHandle;
  readonly from: MemberHandle;
  readonly incarnation: number;
  readonly evidence: Evidence;
  readonly confirmations: number;
  /** Confirmations that bring the time-out down to its minimum. */
  readonly expected: number;
  /** From the first accusation to the verdict, as it stands now. */
  readonly timeoutMs: number;
}

export interface ObservedChange {
  readonly before: StateBefore;
  readonly after: MemberState;
  readonly incarnation: number;
  readonly by: MemberHandle;
  /** For suspect, dead and left. */
  readonly evidence: Evidence;
}

export interface SeenParts {
  readonly effects: { readonly observer?: Observer | undefined };
  readonly roster: Roster;
  readonly suspicions: Suspicions;
}

/** Tells the observer, if there is one, what has become of members and suspicions. */
export class Seen {
  readonly #parts: SeenParts;

  constructor(parts: SeenParts) {
    this.#parts = parts;
  }

  /** The state that the subject has come to, if it is another than `before`. */
  state(nowMs: number, before: StateBefore, subject: MemberHandle, by: MemberHandle, evidence: Evidence): void {
    const { effects, roster } = this.#parts;
    const after = roster.stateOf(subject);
    if (effects.observer === undefined || after === before) return;
    const incarnation = roster.incarnationOf(subject);
    effects.observer.became(nowMs, subject, { before, after, incarnation, by, evidence });
  }

  /** An accusation counted: what the suspicion is now. */
  suspicion(
    nowMs: number,
    { subject, from, incarnation, evidence }: Omit<ObservedSuspicion, "confirmations" | "expected" | "timeoutMs">,
  ): void {
    const { effects, suspicions } = this.#parts;
    const suspicion = suspicions.of(subject);
    if (effects.observer === undefined || suspicion === undefined) return;
    const confirmations = confirmationsOf(suspicion);
    const timing = { confirmations, expected: suspicion.expected, timeoutMs: timeoutMsOf(suspicion) };
    effects.observer.suspected(nowMs, { subject, from, incarnation, evidence, ...timing });
  }
}
